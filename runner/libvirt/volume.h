// Storage pools: a disk goes in as a volume, streamed through libvirt, so that it works the same on this
// machine and on another.
//
// Pools of files (dir, fs, netfs) take any format: the file arrives as it is, its holes stay holes. Pools of
// block devices (logical) take raw disks only, since an image that grows does not fit on a device of its own
// size; there every byte is written, because a new device holds what was there before. Other kinds are
// refused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "runner/libvirt/connection.h"
#include "runner/libvirt/domain.h"
#include "runner/libvirt/handle.h"
#include "runner/os/stop.h"

namespace hyper2kvm::libvirt {

struct StoragePool {
  PoolHandle handle;
  std::string name;
  std::string type;              // dir, fs, netfs, logical
  std::filesystem::path target;  // its directory as libvirt's host sees it; empty where it has none
  std::uint64_t available = 0;   // bytes
  bool holds_block_devices() const { return type == "logical"; }
};

// An active pool of a kind that we can use. Throws os::Error.
StoragePool find_pool(const Connection& connection, const std::string& name);
// Throws os::Error (kInvalid) where the pool cannot hold a disk of this format.
void check_pool_format(const StoragePool& pool, contract::OutputFormat format);

// The disk as the pool knows it, when its file already lies in the pool's directory (then nothing needs to be
// uploaded); the pool is refreshed for that. That it is the same file, and not one of the same path on
// another host or in another container, is told by its time of change.
std::optional<DomainDisk> disk_in_pool(const Connection& connection, const StoragePool& pool,
                                       const DomainDisk& disk);

// A name for a volume: only letters, digits and "_.+-", with the format as its ending in a pool of files. In
// one of block devices it is short, without underscores, and none that LVM keeps for itself (lvm(8)).
std::string volume_name(const std::string& domain, const DomainDisk& disk, bool block_device,
                        unsigned number);

// The volume that is being made, kept up to date at every step, so that it can be found again where the
// connection broke before its making was confirmed.
struct VolumeClaim {
  enum class State {
    kNone,     // nothing was made
    kUnknown,  // asked for, not answered
    kOurs,     // made
  };
  OwnedVolume volume;
  State state = State::kNone;
};

// Makes an empty volume of this size under the first free name.
VolumeHandle create_volume(const StoragePool& pool, const std::string& domain, const DomainDisk& disk,
                           std::uint64_t bytes, VolumeClaim& claim);

// Sends the file's bytes, and to a block device that is larger zeroes up to its end. done counts holes as
// sent. before_transfer is told of bytes that are about to be read or sent, and may wait. Throws os::Error,
// and what before_transfer throws; the stream is then aborted.
void upload(const Connection& connection, const StoragePool& pool, virStorageVolPtr volume,
            const std::filesystem::path& file, const std::function<void(std::uint64_t done)>& progress,
            const std::function<void(std::uint64_t bytes)>& before_transfer, const os::StopToken& stop);

// Where the volume is, for the domain.
DomainDisk disk_of_volume(virStorageVolPtr volume, contract::OutputFormat format);

// One that does not exist is fine.
void delete_volume(const Connection& connection, const OwnedVolume& volume);
// Deletes what was claimed. One whose making was not confirmed is left alone where it holds data: it is
// somebody else's then.
void delete_claimed(const Connection& connection, const VolumeClaim& claim);

}  // namespace hyper2kvm::libvirt
