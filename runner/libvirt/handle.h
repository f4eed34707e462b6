// libvirt's reference-counted objects, owned. Freeing one never fails in a way that we could act on.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace hyper2kvm::libvirt {

template <auto Free>
struct FreedBy {
  template <typename Object>
  void operator()(Object* object) const noexcept {
    Free(object);
  }
};

using DomainHandle = std::unique_ptr<virDomain, FreedBy<virDomainFree>>;
using NetworkHandle = std::unique_ptr<virNetwork, FreedBy<virNetworkFree>>;
using PoolHandle = std::unique_ptr<virStoragePool, FreedBy<virStoragePoolFree>>;
using VolumeHandle = std::unique_ptr<virStorageVol, FreedBy<virStorageVolFree>>;
using StreamHandle = std::unique_ptr<virStream, FreedBy<virStreamFree>>;

// Takes over a string that libvirt allocated; empty for nullptr.
inline std::string taken(char* text) {
  std::unique_ptr<char, FreedBy<std::free>> owner(text);
  return text == nullptr ? std::string() : std::string(text);
}

}  // namespace hyper2kvm::libvirt
