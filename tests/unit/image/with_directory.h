// Tests that write files, each into a directory of its own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "runner/os/file.h"

namespace hyper2kvm::image::testing {

class WithDirectory : public ::testing::Test {
 protected:
  std::filesystem::path at(const std::string& name) const { return directory.path() / name; }
  os::TemporaryDirectory directory{"image-test"};
};

}  // namespace hyper2kvm::image::testing
