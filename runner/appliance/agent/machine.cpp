#include "runner/appliance/agent/machine.h"

#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string_view>

#include "runner/appliance/agent/modules.h"
#include "runner/os/error.h"

namespace hyper2kvm::appliance::agent {
namespace {

void mount_at(const char* type, const char* where, unsigned long flags, const char* data) {
  if (::mount(type, where, type, flags, data) != 0 && errno != EBUSY)
    throw os::system_error(errno, std::string("mount ") + type + " on", where);
}

}  // namespace

void set_up_machine() {
  mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  mount_at("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "");
  // Bounded, so that a file of the guest that is copied there fails instead of filling the memory.
  for (const char* where : {"/run", "/tmp"})
    mount_at("tmpfs", where, MS_NOSUID | MS_NODEV, "size=50%,mode=0755");
  ::setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
  ::setenv("HOME", "/tmp", 1);
  ::setenv("LC_ALL", "C.UTF-8", 1);
  // No udev runs here: device-mapper makes its nodes itself and waits for nobody.
  ::setenv("DM_DISABLE_UDEV", "1", 1);
}

std::vector<std::string> order_disks(const std::vector<std::string>& sysfs_paths) {
  constexpr std::string_view kMark = "/virtio-uml.";
  std::map<unsigned, std::string> by_number;
  for (const std::string& path : sysfs_paths) {
    std::size_t mark = path.find(kMark);
    if (mark == std::string::npos) continue;
    const char* begin = path.data() + mark + kMark.size();
    unsigned number = 0;
    auto [end, failed] = std::from_chars(begin, path.data() + path.size(), number);
    if (failed != std::errc() || end == begin) continue;
    by_number[number] = "/dev/" + path.substr(path.rfind('/') + 1);
  }
  std::vector<std::string> disks;
  for (const auto& [number, device] : by_number) {
    if (number != disks.size())
      throw os::Error(os::ErrorKind::kSystem, "disk" + std::to_string(disks.size()),
                      "the appliance did not get this disk");
    disks.push_back(device);
  }
  return disks;
}

std::vector<std::string> find_disks() {
  load_module("virtio_blk");
  std::vector<std::string> paths;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/block", failed)) {
    std::filesystem::path target = std::filesystem::canonical(entry.path(), failed);
    if (!failed) paths.push_back(target.string());
  }
  return order_disks(paths);
}

void power_off() {
  ::sync();
  ::reboot(RB_POWER_OFF);
  ::_exit(1);
}

}  // namespace hyper2kvm::appliance::agent
