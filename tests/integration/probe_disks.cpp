#include "tests/integration/probe_disks.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "runner/appliance/agent/machine.h"
#include "runner/appliance/agent/modules.h"
#include "runner/guest/open_guest.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;

bool cut_power = false;

[[noreturn]] void fail(const std::string& what) { throw os::system_error(errno, "lay out", what); }

void write_all(int file, const char* data, std::size_t size) {
  while (size > 0) {
    ssize_t put = ::write(file, data, size);
    if (put <= 0) fail("what is written");
    data += put;
    size -= static_cast<std::size_t>(put);
  }
}

void write_file(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) fail(path);
  write_all(file, text.data(), text.size());
  if (::fsync(file) != 0) fail(path);
  ::close(file);
}

void copy_device(const std::string& from, const std::string& to) {
  int source = ::open(from.c_str(), O_RDONLY | O_CLOEXEC);
  int target = ::open(to.c_str(), O_WRONLY | O_CLOEXEC);
  if (source < 0) fail(from);
  if (target < 0) fail(to);
  std::vector<char> bytes(1 << 20);
  for (off_t at = 0;; at += static_cast<off_t>(bytes.size())) {
    ssize_t got = ::pread(source, bytes.data(), bytes.size(), at);
    if (got < 0) fail(from);
    if (got == 0) break;
    // The target is new: zeros are there already.
    if (std::all_of(bytes.begin(), bytes.begin() + got, [](char c) { return c == 0; })) continue;
    if (::pwrite(target, bytes.data(), static_cast<std::size_t>(got), at) != got) fail(to);
  }
  if (::fsync(target) != 0) fail(to);
  ::close(source);
  ::close(target);
}

void make_mount(const std::string& device, const std::string& type, const std::string& directory) {
  fs::create_directories(directory);
  if (type == "ntfs") {
    appliance::agent::load_module("fuse");
    os::run_program({.arguments = {"ntfs-3g", device, directory}});
  } else if (::mount(device.c_str(), directory.c_str(), type.c_str(), 0, "") != 0) {
    fail(device);
  }
}

void run_command(const std::vector<std::string>& words) {
  const std::string& name = words.at(0);
  if (name == "load") {
    appliance::agent::load_module(words.at(1));
  } else if (name == "write") {
    std::string text;
    for (std::size_t i = 2; i < words.size(); ++i) text += (i == 2 ? "" : " ") + words[i];
    write_file(words.at(1), text + "\n");
  } else if (name == "directory") {
    fs::create_directories(words.at(1));
  } else if (name == "label") {
    const std::string& value = words.at(3);
    if (::setxattr(words.at(1).c_str(), words.at(2).c_str(), value.data(), value.size(), 0) != 0)
      fail(words.at(1));
  } else if (name == "mount") {
    make_mount(words.at(1), words.at(2), words.at(3));
  } else if (name == "unmount") {
    if (::umount(words.at(1).c_str()) != 0) fail(words.at(1));
  } else if (name == "copy-device") {
    copy_device(words.at(1), words.at(2));
  } else if (name == "copy-tree") {
    fs::copy(words.at(1), words.at(2), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  } else if (name == "cut-power") {
    cut_power = true;
  } else {
    os::run_program(
        {.arguments = words,
         .environment = {{"DM_DISABLE_UDEV", "1"}, {"LVM_SYSTEM_DIR", "/run/lvm"}, {"LC_ALL", "C"}}},
        {}, std::chrono::minutes(2));
  }
}

std::vector<std::string> words_of(const std::string& line, const std::vector<std::string>& disks) {
  std::vector<std::string> words;
  std::istringstream text(line);
  for (std::string word; std::getline(text, word, ' ');) {
    // "@01" is the first disk's first partition.
    if (word.size() >= 2 && word[0] == '@')
      word = disks.at(static_cast<std::size_t>(word[1] - '0')) + word.substr(2);
    words.push_back(word);
  }
  return words;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (unsigned char c : text) {
    char code[5];
    std::snprintf(code, sizeof code, "\\x%02x", c);
    result += c <= ' ' || c >= 0x7f || c == '\\' ? std::string(code) : std::string(1, static_cast<char>(c));
  }
  return result;
}

// FNV-1a: whoever changes a file here does not try to hide it.
std::uint64_t hash_of(const std::string& path) {
  int file = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (file < 0) fail(path);
  static std::vector<unsigned char> bytes(1 << 20);
  std::uint64_t hash = 14695981039346656037u;
  ssize_t got = 0;
  while ((got = ::read(file, bytes.data(), bytes.size())) > 0)
    for (ssize_t i = 0; i < got; ++i) hash = (hash ^ bytes[static_cast<std::size_t>(i)]) * 1099511628211u;
  if (got < 0) fail(path);
  ::close(file);
  return hash;
}

std::string attributes_of(const std::string& path) {
  char names[65536];
  ssize_t length = ::llistxattr(path.c_str(), names, sizeof names);
  std::vector<std::string> attributes;
  for (ssize_t at = 0; at < length; at += static_cast<ssize_t>(std::string(names + at).size()) + 1) {
    char value[65536];
    ssize_t size = ::lgetxattr(path.c_str(), names + at, value, sizeof value);
    attributes.push_back(escaped(std::string(names + at) + "=" +
                                 std::string(value, static_cast<std::size_t>(std::max<ssize_t>(size, 0)))));
  }
  std::sort(attributes.begin(), attributes.end());
  std::string text;
  for (const std::string& attribute : attributes) text += (text.empty() ? "" : ",") + attribute;
  return text.empty() ? "-" : text;
}

// path, kind, mode, uid, gid, size, time, attributes, content
void describe(const std::string& path, const std::string& name, std::string& out) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) fail(path);
  std::string content = "-";
  std::string kind = "other";
  std::string size = std::to_string(status.st_size);
  if (S_ISREG(status.st_mode)) {
    kind = "file";
    content = std::to_string(hash_of(path));
  } else if (S_ISDIR(status.st_mode)) {
    kind = "directory";
    size = "-";
  } else if (S_ISLNK(status.st_mode)) {
    kind = "link";
    content = escaped(fs::read_symlink(path).string());
  } else {
    content = std::to_string(status.st_mode & S_IFMT) + ":" + std::to_string(status.st_rdev);
  }
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(status.st_mode) & 07777u);
  out += escaped(name) + " " + kind + " " + mode + " " + std::to_string(status.st_uid) + " " +
         std::to_string(status.st_gid) + " " + size + " " + std::to_string(status.st_mtim.tv_sec) + "." +
         std::to_string(status.st_mtim.tv_nsec) + " " + attributes_of(path) + " " + content + "\n";
}

void walk(const std::string& directory, const std::string& name, std::vector<std::string>& lines) {
  std::vector<std::string> entries;
  DIR* open = ::opendir(directory.c_str());
  if (open == nullptr) fail(directory);
  while (const dirent* entry = ::readdir(open)) {
    std::string found = entry->d_name;
    if (found != "." && found != "..") entries.push_back(found);
  }
  ::closedir(open);
  for (const std::string& entry : entries) {
    std::string line;
    describe(directory + "/" + entry, name + "/" + entry, line);
    bool is_directory = line.find(" directory ") != std::string::npos;
    lines.push_back(std::move(line));
    if (is_directory) walk(directory + "/" + entry, name + "/" + entry, lines);
  }
}

}  // namespace

void lay_out(const std::string& commands) {
  std::vector<std::string> disks = appliance::agent::find_disks();
  std::istringstream text(commands);
  for (std::string line; std::getline(text, line);) {
    if (line.empty()) continue;
    try {
      run_command(words_of(line, disks));
    } catch (const std::exception& error) {
      throw os::Error(os::ErrorKind::kSystem, line, error.what());
    }
  }
}

void cut_power_if_told() {
  if (cut_power) ::reboot(RB_POWER_OFF);
}

std::map<std::string, std::string> list_files(const guest::Request& request) {
  guest::Environment environment;
  environment.disk_devices = appliance::agent::find_disks();
  environment.load_module = [](const std::string& name) { appliance::agent::load_module(name); };
  guest::Inspection inspection;
  guest::Request opened = request;
  opened.root.clear();
  opened.mode = guest::Mode::kInspect;
  guest::OpenGuest guest(opened, environment, inspection);
  if (!guest.has_root())
    throw os::Error(os::ErrorKind::kInvalid, "the guest",
                    guest.warnings().empty() ? "no root" : guest.warnings()[0]);
  std::vector<std::string> lines;
  walk((environment.workspace / "guest").string(), "", lines);
  guest.close(guest::Mode::kInspect);
  std::map<std::string, std::string> pieces;
  std::string piece;
  auto keep = [&] {
    pieces[std::to_string(pieces.size() + 10)] = std::move(piece);
    piece.clear();
  };
  for (const std::string& line : lines) {
    if (piece.size() + line.size() > 900'000) keep();
    piece += line;
  }
  keep();
  return pieces;
}

}  // namespace hyper2kvm::integration
