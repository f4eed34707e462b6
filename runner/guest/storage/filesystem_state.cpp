#include "runner/guest/storage/filesystem_state.h"

#include <array>
#include <set>
#include <utility>

#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::uint64_t kManyInodes = 65536;

bool is_ext(const std::string& type) { return type == "ext2" || type == "ext3" || type == "ext4"; }

// How many there is room for at the moment; big-endian at 128 of the superblock.
std::uint64_t inodes_of_xfs(const Volume& volume) {
  std::array<std::byte, 8> bytes{};
  os::File::open(volume.node, os::File::Mode::kRead).read_exactly_at(128, bytes);
  std::uint64_t count = 0;
  for (std::byte byte : bytes) count = count << 8 | std::to_integer<std::uint64_t>(byte);
  return count;
}

std::vector<std::string> check_command(const Volume& volume) {
  const std::string& type = volume.type;
  // Only the file system's own structure; names and contents are the guest's affair.
  if (is_ext(type)) return {"e2fsck", "-f", "-n", volume.node};
  if (type == "xfs") {
    // It reads ahead in threads, which cost more in the appliance than they save where there is little to
    // read.
    if (inodes_of_xfs(volume) < kManyInodes) return {"xfs_repair", "-n", "-P", volume.node};
    return {"xfs_repair", "-n", volume.node};
  }
  if (type == "btrfs") return {"btrfs", "check", "--readonly", volume.node};
  if (type == "vfat") return {"fsck.vfat", "-n", volume.node};
  return {};
}

void require_success(const Volume& volume, os::Process& check) {
  os::ExitStatus status = check.wait({}, std::chrono::minutes(10));
  if (status.success()) return;
  // fsck.vfat counts a dirty bit and differences of the backup boot sector as findings too.
  if (volume.type == "vfat" && !status.signalled && status.code == 1) return;
  // What is still in the log looks like damage; nothing in the superblock tells that there is something.
  if (volume.type == "xfs" && check.stderr_tail().find("changes in a log") != std::string::npos) return;
  throw os::Error(os::ErrorKind::kInvalid, volume.name + " (" + volume.type + ")",
                  "the file system is not whole: " + check.program() + " " + status.description(),
                  "Check it in the source machine (fsck), shut that machine down and export it again.");
}

}  // namespace

FilesystemState read_filesystem_state(const Volume& volume) {
  if (volume.node.empty()) return FilesystemState::kClean;
  auto read = [&volume](std::uint64_t offset) {
    std::array<std::byte, 256> bytes{};
    os::File::open(volume.node, os::File::Mode::kRead).read_exactly_at(offset, bytes);
    return bytes;
  };
  if (is_ext(volume.type)) {
    auto superblock = read(1024);
    auto byte = [&superblock](std::size_t at) { return std::to_integer<unsigned>(superblock[at]); };
    unsigned state = byte(58) | byte(59) << 8;
    bool has_journal = (byte(92) & 4) != 0;     // s_feature_compat
    bool needs_recovery = (byte(96) & 4) != 0;  // s_feature_incompat
    if ((state & 2) != 0) return FilesystemState::kErrors;
    if (needs_recovery) return FilesystemState::kJournal;
    if ((state & 1) == 0) return has_journal ? FilesystemState::kJournal : FilesystemState::kUnclean;
    return FilesystemState::kClean;
  }
  if (volume.type == "xfs") {
    auto superblock = read(0);
    auto byte = [&superblock](std::size_t at) { return std::to_integer<unsigned>(superblock[at]); };
    bool version5 = (byte(101) & 15) == 5;
    // sb_features_incompat, big-endian at 216; 16 is NEEDSREPAIR.
    if (version5 && (byte(219) & 16) != 0) return FilesystemState::kErrors;
  }
  return FilesystemState::kClean;
}

void require_sound(const Volume& volume) {
  switch (read_filesystem_state(volume)) {
    case FilesystemState::kClean:
    case FilesystemState::kJournal:
      return;
    case FilesystemState::kUnclean:
      throw os::Error(os::ErrorKind::kInvalid, volume.name + " (" + volume.type + ")",
                      "the file system was in use when it was exported and has no journal to make it whole",
                      "Shut the source machine down and export it again.");
    case FilesystemState::kErrors:
      throw os::Error(os::ErrorKind::kInvalid, volume.name + " (" + volume.type + ")",
                      "the file system is marked as damaged",
                      "Check it in the source machine (fsck), shut that machine down and export it again.");
  }
}

void check_filesystems(std::vector<const Volume*> volumes) {
  while (!volumes.empty()) {
    // The programs mostly wait for the disks, not for each other. But only one of a kind at a time:
    // xfs_repair takes most of the memory for itself.
    std::set<std::string> types;
    std::vector<std::pair<const Volume*, os::Process>> running;
    std::vector<const Volume*> later;
    for (const Volume* volume : volumes) {
      std::vector<std::string> command = check_command(*volume);
      if (command.empty() || os::find_program(command.front()).empty()) continue;
      if (types.insert(command.front()).second)
        running.emplace_back(volume, os::Process::start({.arguments = command}));
      else
        later.push_back(volume);
    }
    for (auto& [volume, process] : running) require_success(*volume, process);
    volumes = std::move(later);
  }
}

}  // namespace hyper2kvm::guest
