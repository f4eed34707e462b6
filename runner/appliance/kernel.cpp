#include "runner/appliance/kernel.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::appliance {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr const char* kMemoryAdvice =
    "Give hyper2kvm a tmpfs without noexec and name it in TMPDIR (in a pod: an emptyDir with medium Memory).";

std::string quoted_problem(const MemoryPlace& place) {
  return place.directory.string() + " " + place.problem;
}

}  // namespace

std::string socket_name(std::size_t disk) { return "disk" + std::to_string(disk) + ".sock"; }

std::vector<std::string> kernel_arguments(const KernelOptions& options) {
  std::string channels =
      "fd:" + std::to_string(options.request_descriptor) + ",fd:" + std::to_string(options.answer_descriptor);
  // hostfs would show the host's files to whoever is root inside, and mconsole is a control socket for the
  // host's other programs: neither is set up. zswap is of no use without swap and costs time.
  std::string left_out = "init_hostfs,mconsole_init,mmapper_init,init_zswap";
  if (!options.with_raid6) left_out += std::string(",") + kWithoutRaid6;
  std::vector<std::string> arguments = {
      options.program,
      "mem=" + std::to_string(options.memory_bytes / kMiB) + "M",
      std::string("ubd0r=") + kRootImageName,
      "root=/dev/ubda",
      "rootfstype=ext4",
      "ro",
      "init=/init",
      // The console goes out and nothing comes in; no other terminal leads anywhere.
      "con=null",
      "con0=null,fd:1",
      "ssl=null",
      "ssl0=" + channels,
      "uml_dir=.",
      "umid=machine",
      "initcall_blacklist=" + left_out,
      // The legacy terminals take a quarter of a second to register, the measurement of a delay loop that no
      // driver here uses takes a tick or more.
      "pty.legacy_count=0",
      "lpj=10000000",
      // No security module: labels in the guest's file systems are then plain attributes, kept as they are.
      "lsm=",
      "audit=0",
      // A kernel that stumbled over a file system is not to be trusted with another write.
      "oops=panic",
      "noreboot",
      "printk.time=1",
  };
  for (std::size_t disk = 0; disk < options.disks; ++disk)
    arguments.push_back("virtio_uml.device=" + socket_name(disk) + ":2:" + std::to_string(disk));
  return arguments;
}

MemoryPlace examine_memory_place(const std::filesystem::path& directory, std::uint64_t memory_bytes) {
  MemoryPlace place{.directory = directory};
  struct statfs status {};
  if (!directory.is_absolute()) {
    place.problem = "is not an absolute path";
    return place;
  }
  if (::statfs(directory.c_str(), &status) != 0) {
    place.problem = std::string("cannot be used: ") + std::strerror(errno);
    return place;
  }
  place.is_tmpfs = status.f_type == TMPFS_MAGIC;
  std::string name = (directory / "hyper2kvm-memory-XXXXXX").string();
  os::UniqueFd file(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) {
    place.problem = std::string("cannot be written to: ") + std::strerror(errno);
    return place;
  }
  ::unlink(name.c_str());
  if (::ftruncate(file.get(), 4096) != 0) {
    place.problem = std::string("cannot be written to: ") + std::strerror(errno);
    return place;
  }
  void* mapping = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, file.get(), 0);
  if (mapping == MAP_FAILED) {
    place.problem = "is mounted with noexec";
    return place;
  }
  ::munmap(mapping, 4096);
  std::uint64_t space =
      static_cast<std::uint64_t>(status.f_bavail) * static_cast<std::uint64_t>(status.f_bsize);
  // A tmpfs without a size limit reports no blocks at all.
  if (status.f_blocks != 0 && space < memory_bytes) {
    place.problem = "has " + std::to_string(space / kMiB) + " MiB of room and " +
                    std::to_string(memory_bytes / kMiB) + " MiB are needed";
    return place;
  }
  place.usable = true;
  return place;
}

std::filesystem::path choose_memory_directory(const std::vector<MemoryPlace>& places,
                                              std::uint64_t memory_bytes) {
  const MemoryPlace* chosen = nullptr;
  std::string problems;
  for (const MemoryPlace& place : places) {
    if (!place.usable) {
      problems += (problems.empty() ? "" : "; ") + quoted_problem(place);
    } else if (chosen == nullptr || (place.is_tmpfs && !chosen->is_tmpfs)) {
      chosen = &place;
    }
  }
  if (chosen != nullptr) return chosen->directory;
  throw os::Error(os::ErrorKind::kSystem, "appliance",
                  "there is no place for the " + std::to_string(memory_bytes / kMiB) +
                      " MiB of memory of the machine inside: " + problems,
                  kMemoryAdvice);
}

std::filesystem::path choose_memory_directory(std::uint64_t memory_bytes) {
  std::vector<MemoryPlace> places;
  const char* from_environment = std::getenv("TMPDIR");
  if (from_environment != nullptr && *from_environment != '\0')
    places.push_back(examine_memory_place(from_environment, memory_bytes));
  for (const char* directory : {"/dev/shm", "/tmp"})
    places.push_back(examine_memory_place(directory, memory_bytes));
  return choose_memory_directory(places, memory_bytes);
}

}  // namespace hyper2kvm::appliance
