// The disks' side of the appliance: qemu-storage-daemon with an explicit block graph, one vhost-user-blk
// export a disk.
//
// Each disk is the source's own nodes, read-only, below a qcow2 node over the overlay file, which is all that
// is ever written. The listening sockets are ours: the kernel inside can connect before the daemon runs (it
// waits in the backlog), so both start at once and nobody polls for a socket to appear. Source: QEMU 7.2,
// docs/tools/qemu-storage-daemon.rst and qapi/block-core.json.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runner/appliance/appliance.h"
#include "runner/os/file.h"

namespace hyper2kvm::appliance {

// The daemon's arguments. The listening socket of disk N is its descriptor first_descriptor + N.
std::vector<std::string> storage_arguments(const std::vector<DiskSource>& disks, int first_descriptor);

// A listening unix socket directory/name, however long the path of the directory is. Throws os::Error.
os::UniqueFd listen_at(const std::filesystem::path& directory, const std::string& name);

}  // namespace hyper2kvm::appliance
