#include "tests/fuzz/fuzz_input.h"

#include <sys/mman.h>
#include <unistd.h>

namespace hyper2kvm::fuzz {

MemoryFile::MemoryFile(std::span<const std::byte> bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
  if (!fd_) __builtin_trap();
  os::File file(os::UniqueFd(fd_.release()), "fuzz");
  file.write_at(0, bytes);
  // The descriptor is ours again.
  fd_.reset(::dup(file.fd()));
}

std::filesystem::path MemoryFile::path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

}  // namespace hyper2kvm::fuzz
