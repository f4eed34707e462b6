// GuestRoot::commit's hands: how each kind of change reaches the disk with everything else about the file
// kept.
//
// The directory of a change is opened below the root by its path without links (openat2 refuses what became a
// link since); the entry itself is always named relative to that directory and never followed.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "runner/guest/guest_root.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kLabel[] = "security.selinux";

std::string parent_of(const std::string& canonical) {
  std::size_t slash = canonical.rfind('/');
  return slash == 0 ? "/" : canonical.substr(0, slash);
}

std::string name_of(const std::string& canonical) { return canonical.substr(canonical.rfind('/') + 1); }

std::string temporary_name(const std::string& name) { return ".hyper2kvm-" + name.substr(0, 200) + ".new"; }

// xattr calls do not take O_PATH descriptors, but the name of one under /proc does.
std::string proc_name(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// File systems without owners or attributes (vfat) say so in these ways.
bool has_none(int errno_value) {
  return errno_value == ENOTSUP || errno_value == EPERM || errno_value == ENODATA || errno_value == ENOSYS;
}

}  // namespace

void GuestRoot::label_as_directory(int file, int directory, const std::string& canonical) {
  char label[512];
  ssize_t length = ::getxattr(proc_name(directory).c_str(), kLabel, label, sizeof label);
  if (length <= 0) return;  // no SELinux here
  if (::fsetxattr(file, kLabel, label, static_cast<std::size_t>(length), 0) == 0) return;
  warn(canonical + " in the guest could not be given an SELinux label.");
  relabel_ = true;
}

void GuestRoot::copy_attributes(int from, int to, const std::string& canonical) {
  struct stat status;
  if (::fstat(from, &status) != 0) throw error(errno, "look at", canonical);
  if (::fchown(to, status.st_uid, status.st_gid) != 0 && !has_none(errno))
    throw error(errno, "set the owner of", canonical);
  if (::fchmod(to, status.st_mode & 07777) != 0 && !has_none(errno))
    throw error(errno, "set the mode of", canonical);
  std::vector<char> names(65536);
  ssize_t length = ::flistxattr(from, names.data(), names.size());
  if (length < 0) {
    if (has_none(errno)) return;
    throw error(errno, "list the attributes of", canonical);
  }
  std::vector<char> value(65536);
  for (const char* name = names.data(); name < names.data() + length;
       name += std::string_view(name).size() + 1) {
    ssize_t size = ::fgetxattr(from, name, value.data(), value.size());
    if (size < 0) throw error(errno, std::string("read the attribute ") + name + " of", canonical);
    if (::fsetxattr(to, name, value.data(), static_cast<std::size_t>(size), 0) == 0) continue;
    if (std::string_view(name) == kLabel) {
      warn(canonical + " in the guest could not be given its SELinux label.");
      relabel_ = true;
    } else {
      throw error(errno, std::string("set the attribute ") + name + " of", canonical);
    }
  }
}

void GuestRoot::apply(const std::string& canonical, const Change& changed) {
  if (canonical == "/") return;
  std::string name = name_of(canonical);
  int failure = 0;
  os::UniqueFd directory = open_at(parent_of(canonical), O_PATH | O_DIRECTORY | O_NOFOLLOW, failure);
  if (!directory) {
    if (changed.kind == NodeKind::kAbsent && failure == ENOENT) return;
    throw error(failure, "open the directory of", canonical);
  }
  switch (changed.kind) {
    case NodeKind::kAbsent:
      if (::unlinkat(directory.get(), name.c_str(), 0) != 0 && errno != ENOENT)
        throw error(errno, "remove", canonical);
      break;
    case NodeKind::kDirectory: {
      if (::mkdirat(directory.get(), name.c_str(), 0700) != 0) {
        if (errno == EEXIST) break;
        throw error(errno, "make the directory", canonical);
      }
      os::UniqueFd made(
          ::openat(directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!made) throw error(errno, "open", canonical);
      if (::fchown(made.get(), changed.options.uid, changed.options.gid) != 0 && !has_none(errno))
        throw error(errno, "set the owner of", canonical);
      if (::fchmod(made.get(), changed.options.mode) != 0 && !has_none(errno))
        throw error(errno, "set the mode of", canonical);
      label_as_directory(made.get(), directory.get(), canonical);
      break;
    }
    case NodeKind::kSymlink: {
      std::string temporary = temporary_name(name);
      ::unlinkat(directory.get(), temporary.c_str(), 0);
      if (::symlinkat(changed.target.c_str(), directory.get(), temporary.c_str()) != 0)
        throw error(errno, "make the link", canonical);
      char label[512];
      ssize_t length = ::getxattr(proc_name(directory.get()).c_str(), kLabel, label, sizeof label);
      std::string where = proc_name(directory.get()) + "/" + temporary;
      if (length > 0 && ::lsetxattr(where.c_str(), kLabel, label, static_cast<std::size_t>(length), 0) != 0)
        relabel_ = true;
      if (::renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()) != 0) {
        int reason = errno;
        ::unlinkat(directory.get(), temporary.c_str(), 0);
        throw error(reason, "make the link", canonical);
      }
      break;
    }
    case NodeKind::kFile:
      if (changed.appended)
        apply_append(canonical, changed);
      else
        apply_file(canonical, changed);
      break;
    case NodeKind::kOther:
      break;
  }
}

void GuestRoot::apply_file(const std::string& canonical, const Change& changed) {
  std::string name = name_of(canonical);
  int failure = 0;
  os::UniqueFd directory = open_at(parent_of(canonical), O_PATH | O_DIRECTORY | O_NOFOLLOW, failure);
  if (!directory) throw error(failure, "open the directory of", canonical);
  std::string temporary = temporary_name(name);
  ::unlinkat(directory.get(), temporary.c_str(), 0);
  os::UniqueFd fresh(::openat(directory.get(), temporary.c_str(),
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fresh) throw error(errno, "create", canonical);
  try {
    std::size_t done = 0;
    while (done < changed.content.size()) {
      ssize_t put = ::write(fresh.get(), changed.content.data() + done, changed.content.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) throw error(errno, "write", canonical);
      done += static_cast<std::size_t>(put);
    }
    std::string like = changed.before.kind == NodeKind::kFile ? canonical : changed.copy_attributes_of;
    if (!like.empty()) {
      os::UniqueFd old = open_at(like, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, failure);
      if (!old) throw error(failure, "open", like);
      copy_attributes(old.get(), fresh.get(), canonical);
    } else {
      if (::fchown(fresh.get(), changed.options.uid, changed.options.gid) != 0 && !has_none(errno))
        throw error(errno, "set the owner of", canonical);
      if (::fchmod(fresh.get(), changed.options.mode) != 0 && !has_none(errno))
        throw error(errno, "set the mode of", canonical);
      label_as_directory(fresh.get(), directory.get(), canonical);
    }
    if (::renameat(directory.get(), temporary.c_str(), directory.get(), name.c_str()) != 0)
      throw error(errno, "replace", canonical);
  } catch (...) {
    ::unlinkat(directory.get(), temporary.c_str(), 0);
    throw;
  }
}

void GuestRoot::apply_append(const std::string& canonical, const Change& changed) {
  int failure = 0;
  os::UniqueFd fd = open_at(canonical, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, failure);
  if (!fd) throw error(failure, "open", canonical);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw error(errno, "look at", canonical);
  if (!S_ISREG(status.st_mode) || static_cast<std::uint64_t>(status.st_size) != changed.before.size)
    throw os::Error(os::ErrorKind::kInvalid, canonical + " in the guest", "changed while it was repaired");
  std::size_t done = 0;
  while (done < changed.content.size()) {
    ssize_t put = ::pwrite(fd.get(), changed.content.data() + done, changed.content.size() - done,
                           status.st_size + static_cast<off_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw error(errno, "add to", canonical);
    done += static_cast<std::size_t>(put);
  }
}

}  // namespace hyper2kvm::guest
