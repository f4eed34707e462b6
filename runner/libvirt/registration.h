// Registers a converted machine with libvirt, by its C API.
//
//   connect ─► refuse early ─► volumes (pool) ─► set aside the old domain ─► define ─► autostart ─► start
//
// Everything before the last arrow is undone after a failure or a stop: a domain that was to be replaced has
// its name, its definition and its NVRAM back, volumes that were made are deleted (over a new connection
// where the old one broke), and nothing else was touched. Only after a success is the replaced domain
// undefined.
//
// Thread-safety: any thread, several at once; with qemu:///embed one root per process. The first use of this
// room starts libvirt's event loop in a thread that lives as long as the process, and silences libvirt's own
// printing of errors. Source: docs/libvirt.md.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"
#include "runner/libvirt/domain.h"
#include "runner/os/stop.h"

namespace hyper2kvm::libvirt {

struct Registered {
  std::string name;  // of the domain
  std::string uuid;
  std::string xml;          // as libvirt keeps it
  std::string domain_type;  // kvm or qemu
  bool started = false;
  std::vector<DomainDisk> disks;      // where they are now: as given, or the pool's volumes
  std::vector<std::string> warnings;  // a changed name, KVM that does not start...
};

// Of an upload into a pool: disk is an index of facts.disks, done and total are bytes of its file. Called
// from the thread that registers; must not throw.
using UploadProgress = std::function<void(std::size_t disk, std::uint64_t done, std::uint64_t total)>;
// Told of bytes of an upload before they are read, and again before they are sent; it may wait, and may throw
// os::Error to end the registration.
using BeforeTransfer = std::function<void(std::uint64_t bytes)>;

// settings: the manifest's `libvirt`, or what a front end supplies. facts.name is used where settings.name is
// empty, and settings.network or settings.bridge replaces that of every NIC. Chooses kvm where it really
// starts a machine and qemu (TCG) where not. An existing domain of that name is an error with the way out
// (overwrite, another name) unless settings.overwrite; one that runs, is saved or has snapshots is never
// overwritten. Throws os::Error.
Registered register_machine(const contract::Libvirt& settings, const DomainFacts& facts,
                            const os::StopToken& stop, const UploadProgress& progress = {},
                            const BeforeTransfer& before_transfer = {});

// Refuses early what register_machine would refuse late: the connection, the name, the pool, the network,
// what the host's firmware can do. Of facts.disks only the formats are looked at: the files need not exist
// yet. Throws os::Error.
void check_registration(const contract::Libvirt& settings, const DomainFacts& facts,
                        const os::StopToken& stop);

}  // namespace hyper2kvm::libvirt
