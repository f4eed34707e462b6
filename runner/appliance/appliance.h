// The appliance: a User-mode Linux kernel that opens the guest's disks so that our host never mounts them.
//
// It runs as whoever we are, needs no capability and no device, sees no host file and no network: its root is
// a read-only ext4 image of our own, its disks are vhost-user-blk exports of qemu-storage-daemon, its only
// line out is a pair of pipes. Source: docs/appliance.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "runner/guest/protocol.h"
#include "runner/os/stop.h"

namespace hyper2kvm::appliance {

struct Limits {
  std::uint64_t memory_bytes = 512ull << 20;  // of the machine inside
  std::chrono::seconds time{600};             // from start to answer
};

// Where the pieces are. Defaults are found beside the running program, in the installation, or in the
// environment (HYPER2KVM_APPLIANCE); see find_installation.
struct Installation {
  std::filesystem::path kernel;      // linux.uml
  std::filesystem::path root_image;  // our ext4 image
};
// Throws os::Error that names what is missing and the package that holds it.
Installation find_installation();

// A disk as qemu-storage-daemon opens it: the JSON of a --blockdev option with a node-name, already checked
// by us (format explicit, no reference that we did not resolve). The daemon opens a qcow2 overlay on top;
// only the overlay is written.
struct DiskSource {
  std::string node_name;               // of the top node of `blockdevs`
  std::vector<std::string> blockdevs;  // JSON of each --blockdev, in order
  std::filesystem::path overlay;  // an existing qcow2 file with that virtual size, without a backing file
                                  // name in it; empty: read-only
  // Every file that `blockdevs` opens; the daemon can read no other.
  std::vector<std::filesystem::path> files;
};

struct Session {
  Installation installation;
  Limits limits;
  std::filesystem::path scratch;  // a private directory for sockets; must exist; left as it was found
  std::filesystem::path
      console_log;  // replaced by what the machine's console said, at most 128 KiB; may be empty
  std::vector<DiskSource> disks;  // in the manifest's order
};

// Boots, hands over the request, waits for the answer, ends everything, and has flushed the overlays when it
// returns. progress gets what the agent says meanwhile. Throws os::Error; on a stop request, a time-out or a
// crash nothing is left running.
guest::Answer run(const Session& session, const guest::Request& request, const os::StopToken& stop,
                  const std::function<void(const std::string&)>& progress);

}  // namespace hyper2kvm::appliance
