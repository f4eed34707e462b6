// How the User-mode Linux kernel is started: its command line, and where its memory lies.
//
// Its command line is split at spaces and ubd's argument at commas and colons, so nothing of the host's names
// is ever written into it: the kernel runs in a directory of its own and finds its root image and the disks'
// sockets there under plain names. Source: Linux 6.1, Documentation/virt/uml and arch/um.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hyper2kvm::appliance {

// Names in the kernel's working directory.
inline constexpr const char* kRootImageName = "root.img";
std::string socket_name(std::size_t disk);

struct KernelOptions {
  std::string program;  // linux.uml
  std::uint64_t memory_bytes = 0;
  std::size_t disks = 0;
  int request_descriptor = 0;  // the kernel's own numbers
  int answer_descriptor = 0;
  // RAID 6 needs functions whose choice the kernel times for 0.8 s of its start; without this it does not,
  // and must not touch RAID 6.
  bool with_raid6 = false;
};
std::vector<std::string> kernel_arguments(const KernelOptions& options);

// The word of the kernel's command line that tells the agent that RAID 6 must not be touched.
inline constexpr const char* kWithoutRaid6 = "raid6_select_algo";

// Where the memory of the machine inside may lie: a file in a directory that takes executable mappings and
// has room for it. A tmpfs is preferred, because what lies on a disk is written to it.
struct MemoryPlace {
  std::filesystem::path directory;
  bool usable = false;
  bool is_tmpfs = false;
  std::string problem;  // why it is not usable, without the directory's name
};
MemoryPlace examine_memory_place(const std::filesystem::path& directory, std::uint64_t memory_bytes);
// $TMPDIR, /dev/shm, /tmp: the first usable tmpfs, else the first usable. Throws os::Error (kSystem) that
// says what is wrong with each.
std::filesystem::path choose_memory_directory(std::uint64_t memory_bytes);
// The same over places that were examined already.
std::filesystem::path choose_memory_directory(const std::vector<MemoryPlace>& places,
                                              std::uint64_t memory_bytes);

}  // namespace hyper2kvm::appliance
