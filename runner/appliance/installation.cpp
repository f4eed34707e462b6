// Where the kernel and the root image are: $HYPER2KVM_APPLIANCE, else beside the running program in a build
// tree or an installation, else where the installation was configured to be.
#include <cstdlib>
#include <system_error>
#include <vector>

#include "runner/appliance/appliance.h"
#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::appliance {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImage = "appliance-root.img";
constexpr const char* kKernel = "linux.uml";

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

std::vector<fs::path> usual_directories() {
  std::vector<fs::path> directories;
  std::error_code failed;
  fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (!failed) {
    fs::path directory = program.parent_path();
    directories.push_back(directory.parent_path() / "libexec" / "hyper2kvm");
    // A build tree: the program is a few folders below its top.
    for (int level = 0; level < 4 && directory.has_relative_path(); ++level) {
      directories.push_back(directory / "runner" / "appliance");
      directory = directory.parent_path();
    }
  }
  directories.push_back(HYPER2KVM_LIBEXECDIR);
  return directories;
}

}  // namespace

Installation find_installation() {
  Installation found;
  std::vector<fs::path> directories;
  const char* named = std::getenv("HYPER2KVM_APPLIANCE");
  bool is_named = named != nullptr && *named != '\0';
  if (is_named)
    directories.push_back(named);
  else
    directories = usual_directories();
  for (const fs::path& directory : directories) {
    if (!is_file(directory / kImage)) continue;
    found.root_image = fs::absolute(directory / kImage);
    if (is_file(directory / kKernel)) found.kernel = fs::absolute(directory / kKernel);
    break;
  }
  if (found.root_image.empty())
    throw os::Error(os::ErrorKind::kInvalid, kImage,
                    is_named ? "is not in " + std::string(named) + ", which HYPER2KVM_APPLIANCE names"
                             : "the appliance's root image is not installed",
                    is_named
                        ? "Correct the variable, or take it away to use the installed one."
                        : "Install hyper2kvm whole, or name the image's directory in HYPER2KVM_APPLIANCE.");
  if (found.kernel.empty()) found.kernel = os::find_program(kKernel);
  if (found.kernel.empty())
    throw os::Error(os::ErrorKind::kInvalid, kKernel, "the appliance's kernel is not installed",
                    "Install the package user-mode-linux.");
  return found;
}

}  // namespace hyper2kvm::appliance
