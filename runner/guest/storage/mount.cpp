#include "runner/guest/storage/mount.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <utility>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::guest {
namespace {

// What keeps each file system from writing its journal back when it is mounted to be looked at.
std::string read_only_option(const std::string& type) {
  if (type == "ext3" || type == "ext4") return "noload";
  if (type == "xfs") return "norecovery";
  if (type == "btrfs") return "rescue=nologreplay";
  if (type == "reiserfs") return "nolog";
  return "";
}

std::string join(const std::string& a, const std::string& b) {
  return a.empty() ? b : b.empty() ? a : a + "," + b;
}

os::Error mount_error(int errno_value, const Volume& volume) {
  std::string subject = volume.name + " (" + volume.type + ")";
  if (errno_value == EUCLEAN || errno_value == EINVAL || errno_value == EIO || errno_value == EBADMSG)
    return os::Error(
        os::ErrorKind::kInvalid, subject, "the file system is damaged or not one that can be opened",
        "Check it in the source machine (fsck), shut that machine down and export it again.", errno_value);
  return os::system_error(errno_value, "mount", subject);
}

}  // namespace

bool is_linux_filesystem(const std::string& type) {
  for (const char* known : {"ext2", "ext3", "ext4", "xfs", "btrfs", "jfs", "reiserfs"})
    if (type == known) return true;
  return false;
}

Mount Mount::make(const Volume& volume, const std::filesystem::path& directory, MountAccess access,
                  const std::string& data, const std::function<void(const std::string&)>& load_module) {
  if (volume.node.empty())
    throw os::Error(os::ErrorKind::kInvalid, volume.name, "could not be made available to be mounted",
                    "Its partition table may be damaged: check the disk in the source machine.");
  std::string type = volume.type;
  if (type == "vfat" && load_module) {
    load_module("vfat");
    load_module("nls_cp437");
    load_module("nls_ascii");
    load_module("nls_iso8859-1");
  }
  os::make_directories(directory);
  unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME;
  std::string options = data;
  if (type == "vfat") options = join(options, "iocharset=iso8859-1,shortname=mixed");
  if (access == MountAccess::kReadOnly) {
    flags |= MS_RDONLY;
    options = join(options, read_only_option(type));
  }
  Mount mount;
  mount.directory_ = directory;
  mount.volume_ = volume.name;
  // ext4's code serves all three generations.
  const char* driver = type == "ext2" || type == "ext3" ? "ext4" : type.c_str();
  if (::mount(volume.node.c_str(), directory.c_str(), driver, flags, options.c_str()) != 0)
    throw mount_error(errno, volume);
  mount.mounted_ = true;
  return mount;
}

Mount::Mount(Mount&& other) noexcept
    : directory_(std::move(other.directory_)),
      volume_(std::move(other.volume_)),
      mounted_(std::exchange(other.mounted_, false)) {}

Mount::~Mount() {
  if (mounted_ && ::umount2(directory_.c_str(), UMOUNT_NOFOLLOW) != 0)
    ::umount2(directory_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

std::uint64_t Mount::trim() const {
  os::UniqueFd fd(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return 0;
  fstrim_range range{};
  range.len = std::numeric_limits<std::uint64_t>::max();
  if (::ioctl(fd.get(), FITRIM, &range) != 0) return 0;
  return range.len;
}

void Mount::unmount() {
  if (!std::exchange(mounted_, false)) return;
  if (::umount2(directory_.c_str(), UMOUNT_NOFOLLOW) != 0) {
    int reason = errno;
    ::umount2(directory_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    throw os::system_error(reason, "unmount", volume_);
  }
}

}  // namespace hyper2kvm::guest
