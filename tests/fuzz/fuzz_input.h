// What the fuzz targets share: bytes as a file that the parsers can open, and what they may throw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::fuzz {

// A file without a name that holds these bytes; path() is good while it lives.
class MemoryFile {
 public:
  explicit MemoryFile(std::span<const std::byte> bytes);
  std::filesystem::path path() const;

 private:
  os::UniqueFd fd_;
};

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}

// Anything but an os::Error is a finding, and so is one that admits to a bug.
template <typename Work>
void expect_error_or_success(Work&& work) {
  try {
    work();
  } catch (const os::Error& error) {
    if (error.kind() == os::ErrorKind::kInternal || error.sentence().empty()) __builtin_trap();
  }
}

}  // namespace hyper2kvm::fuzz
