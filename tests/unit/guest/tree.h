// A guest's root directory for a test, made file by file.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "runner/guest/guest_root.h"
#include "runner/os/file.h"

namespace hyper2kvm::guest {

class Tree {
 public:
  Tree() : directory_("guest-tree") {}
  std::filesystem::path path(const std::string& name) const { return directory_.path() / name.substr(1); }
  const std::filesystem::path& top() const { return directory_.path(); }

  Tree& file(const std::string& name, const std::string& text, mode_t mode = 0644) {
    std::filesystem::create_directories(path(name).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
    ::chmod(path(name).c_str(), mode);
    return *this;
  }
  Tree& directory(const std::string& name) {
    std::filesystem::create_directories(path(name));
    return *this;
  }
  Tree& link(const std::string& name, const std::string& target) {
    std::filesystem::create_directories(path(name).parent_path());
    std::filesystem::create_symlink(target, path(name));
    return *this;
  }
  std::string read(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
  bool exists(const std::string& name) const {
    return std::filesystem::symlink_status(path(name)).type() != std::filesystem::file_type::not_found;
  }

 private:
  os::TemporaryDirectory directory_;
};

inline const Edit* edit_of(const std::vector<Edit>& edits, const std::string& path) {
  for (const Edit& edit : edits)
    if (edit.path == path) return &edit;
  return nullptr;
}

// The sentence of the os::Error that work throws; "" where it throws none.
template <typename Work>
std::string error_of(Work work) {
  try {
    work();
  } catch (const os::Error& error) {
    return error.sentence();
  }
  return "";
}

}  // namespace hyper2kvm::guest
