// Initramfs images for tests, packed by the programs that distributions pack them with.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {

// The newc archive that cpio(1) makes of all that is in a directory.
inline std::string pack(const std::filesystem::path& directory) {
  os::TemporaryDirectory scratch("guest-image");
  std::string names;
  std::vector<std::string> sorted;
  auto walk = [&sorted, &directory](auto& self, const std::string& below) -> void {
    for (const auto& entry : std::filesystem::directory_iterator(directory / below)) {
      std::string name = below + (below.empty() ? "" : "/") + entry.path().filename().string();
      sorted.push_back(name);
      if (std::filesystem::symlink_status(entry.path()).type() == std::filesystem::file_type::directory)
        self(self, name);
    }
  };
  walk(walk, "");
  std::sort(sorted.begin(), sorted.end());
  for (const std::string& name : sorted) names += name + '\n';
  os::write_text_atomically(scratch.path() / "names", names);
  os::File list = os::File::open(scratch.path() / "names", os::File::Mode::kRead);
  os::run_program({.arguments = {"cpio", "--quiet", "-o", "-H", "newc", "-F", scratch.path() / "archive"},
                   .descriptors = {{list.fd(), 0}},
                   .working_directory = directory});
  return os::read_text(scratch.path() / "archive", std::size_t{1} << 30);
}

// What a program prints that is fed text.
inline std::string filter(std::vector<std::string> arguments, const std::string& text) {
  os::TemporaryDirectory scratch("guest-filter");
  os::write_text_atomically(scratch.path() / "in", text);
  os::File in = os::File::open(scratch.path() / "in", os::File::Mode::kRead);
  return os::run_program({.arguments = std::move(arguments), .descriptors = {{in.fd(), 0}}}, {},
                         std::chrono::minutes(1), std::size_t{1} << 30);
}

// Unpacks an archive over a directory as the kernel does.
inline void unpack(const std::string& archive, const std::filesystem::path& directory) {
  os::TemporaryDirectory scratch("guest-unpack");
  os::write_text_atomically(scratch.path() / "in", archive);
  os::File in = os::File::open(scratch.path() / "in", os::File::Mode::kRead);
  os::run_program({.arguments = {"cpio", "--quiet", "-i", "-d", "-u", "-m"},
                   .descriptors = {{in.fd(), 0}},
                   .working_directory = directory});
}

}  // namespace hyper2kvm::guest
