// What is built on partitions, made available layer by layer: md RAID arrays, LUKS volumes for which there is
// a key, and LVM volume groups, in whatever order they are stacked. All of it is taken down again in reverse.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runner/guest/protocol.h"
#include "runner/guest/serve.h"
#include "runner/guest/storage/lvm_metadata.h"
#include "runner/guest/storage/storage.h"

namespace hyper2kvm::guest {

class ActivatedVolumes {
 public:
  explicit ActivatedVolumes(const Environment& environment) : environment_(environment) {}
  ActivatedVolumes(const ActivatedVolumes&) = delete;
  ActivatedVolumes& operator=(const ActivatedVolumes&) = delete;
  ~ActivatedVolumes() { release(); }

  // Adds the volumes to storage until no layer yields a new one. What cannot be opened (a group that lacks a
  // disk, an array of a kind that the kernel does not know) becomes a warning: it may not be what the guest
  // needs. A key that opens nothing that it was given for is an os::Error.
  void activate(Storage& storage, const std::vector<VolumeKey>& keys, bool read_only,
                std::vector<std::string>& warnings);
  // Nothing may be mounted from them any more.
  void release() noexcept;

 private:
  bool open_arrays(Storage& storage, bool read_only, std::vector<std::string>& warnings);
  bool open_encrypted(Storage& storage, const std::vector<VolumeKey>& keys, bool read_only,
                      std::vector<std::string>& warnings);
  bool open_groups(Storage& storage, bool read_only, std::vector<std::string>& warnings);
  void open_with_lvm(const LvmGroup& group, std::vector<Volume>& found, std::vector<std::string>& warnings);
  void add(Storage& storage, Volume volume);
  void load(const char* module) const;

  const Environment& environment_;
  std::vector<std::string> seen_;                 // volumes that were dealt with
  std::vector<std::function<void()>> take_down_;  // in the order of building
};

}  // namespace hyper2kvm::guest
