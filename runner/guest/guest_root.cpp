#include "runner/guest/guest_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "runner/guest/text_diff.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr int kMostLinks = 40;
constexpr std::size_t kMostEntries = 65536;
constexpr std::size_t kLongestPath = 4096;

NodeStatus to_status(const struct stat& status) {
  NodeStatus result;
  if (S_ISREG(status.st_mode))
    result.kind = NodeKind::kFile;
  else if (S_ISDIR(status.st_mode))
    result.kind = NodeKind::kDirectory;
  else if (S_ISLNK(status.st_mode))
    result.kind = NodeKind::kSymlink;
  else
    result.kind = NodeKind::kOther;
  result.size = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
  result.mode = status.st_mode & 07777;
  result.uid = status.st_uid;
  result.gid = status.st_gid;
  return result;
}

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) parts.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

std::string parent_of(const std::string& canonical) {
  std::size_t slash = canonical.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : canonical.substr(0, slash);
}

}  // namespace

std::size_t GuestFile::read_at(std::uint64_t offset, std::span<std::byte> buffer) const {
  std::size_t done = 0;
  if (offset < base_size_) {
    std::size_t wanted =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), base_size_ - offset));
    done = base_.read_at(offset, buffer.first(wanted));
    if (done < wanted) return done;
  }
  std::uint64_t in_tail = offset + done - base_size_;
  if (done < buffer.size() && in_tail < tail_.size()) {
    std::size_t count = std::min<std::size_t>(buffer.size() - done, tail_.size() - in_tail);
    std::memcpy(buffer.data() + done, tail_.data() + in_tail, count);
    done += count;
  }
  return done;
}

void GuestFile::expect_read(std::uint64_t offset, std::uint64_t length) const {
  if (offset >= base_size_) return;
  // A file system that cannot take advice reads as well without.
  (void)::posix_fadvise(base_.fd(), static_cast<off_t>(offset),
                        static_cast<off_t>(std::min(length, base_size_ - offset)), POSIX_FADV_WILLNEED);
}

GuestRoot::GuestRoot(const std::filesystem::path& directory, bool backup) : backup_(backup) {
  root_.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root_) throw os::system_error(errno, "open the guest's root", directory.string());
}

os::Error GuestRoot::error(int errno_value, std::string_view operation, std::string_view canonical) const {
  std::string advice;
  if (errno_value == EUCLEAN || errno_value == EIO)
    advice = "The guest's file system is damaged: check it in the source machine (fsck) and export it again.";
  if (errno_value == ENOSPC)
    advice = "The guest's file system is full: free some space in the source machine and export it again.";
  return os::system_error(errno_value, operation, std::string(canonical) + " in the guest", advice);
}

os::UniqueFd GuestRoot::open_at(std::string_view canonical, std::uint64_t flags, int& error) const {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  std::string path(canonical);
  os::UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof how)));
  error = fd ? 0 : errno;
  return fd;
}

// The state of a path whose directories are no links; the last component is not followed.
NodeStatus GuestRoot::look(const std::string& canonical) const {
  if (auto found = changes_.find(canonical); found != changes_.end()) {
    const Change& changed = found->second;
    NodeStatus status;
    status.kind = changed.kind;
    status.mode = changed.before.kind == NodeKind::kFile ? changed.before.mode : changed.options.mode;
    status.uid = changed.before.kind == NodeKind::kFile ? changed.before.uid : changed.options.uid;
    status.gid = changed.before.kind == NodeKind::kFile ? changed.before.gid : changed.options.gid;
    status.size = changed.content.size() + (changed.appended ? changed.before.size : 0);
    return status;
  }
  int failure = 0;
  os::UniqueFd fd = open_at(canonical, O_PATH | O_NOFOLLOW, failure);
  if (!fd) {
    if (failure == ENOENT || failure == ENOTDIR) return {};
    throw error(failure, "look at", canonical);
  }
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw error(errno, "look at", canonical);
  return to_status(status);
}

std::string GuestRoot::link_target(const std::string& canonical) const {
  if (auto found = changes_.find(canonical); found != changes_.end()) return found->second.target;
  int failure = 0;
  os::UniqueFd fd = open_at(canonical, O_PATH | O_NOFOLLOW, failure);
  if (!fd) throw error(failure, "read the link", canonical);
  char buffer[kLongestPath];
  ssize_t length = ::readlinkat(fd.get(), "", buffer, sizeof buffer);
  if (length < 0) throw error(errno, "read the link", canonical);
  return std::string(buffer, static_cast<std::size_t>(length));
}

// True where path holds no link that would be followed, neither on the disk nor in the changes: most paths,
// told in one call.
bool GuestRoot::is_plain(std::string_view path, bool follow_last) const {
  if (!path.starts_with('/') || path.size() < 2 || path.ends_with('/')) return false;
  for (std::string_view oddity : {"//", "/./", "/../"})
    if (path.find(oddity) != std::string_view::npos) return false;
  if (path.ends_with("/.") || path.ends_with("/..")) return false;
  for (std::size_t end = 1; end != std::string_view::npos && !changes_.empty();) {
    end = path.find('/', end + 1);
    if (changes_.contains(std::string(path.substr(0, end)))) return false;
  }
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  std::string name(path);
  os::UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root_.get(), name.c_str(), &how, sizeof how)));
  if (!fd || !follow_last) return static_cast<bool>(fd);
  struct stat status;
  return ::fstat(fd.get(), &status) == 0 && !S_ISLNK(status.st_mode);
}

std::string GuestRoot::resolve(std::string_view path, bool follow_last) const {
  if (path.size() >= kLongestPath || path.find('\0') != std::string_view::npos)
    throw os::Error(os::ErrorKind::kInvalid, std::string(path.substr(0, 80)) + " in the guest",
                    "is no path: it is too long or holds a zero byte");
  if (is_plain(path, follow_last)) return std::string(path);
  std::vector<std::string> ahead = components(path);
  std::reverse(ahead.begin(), ahead.end());
  std::string here;
  int links = 0;
  while (!ahead.empty()) {
    std::string part = std::move(ahead.back());
    ahead.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      here = here.empty() || here.rfind('/') == 0 ? "" : here.substr(0, here.rfind('/'));
      continue;
    }
    std::string next = here + "/" + part;
    bool follow = follow_last || !ahead.empty();
    if (follow && look(next).kind == NodeKind::kSymlink) {
      if (++links > kMostLinks) throw error(ELOOP, "follow the links of", path);
      std::string target = link_target(next);
      if (target.starts_with('/')) here.clear();
      std::vector<std::string> parts = components(target);
      ahead.insert(ahead.end(), parts.rbegin(), parts.rend());
      if (ahead.size() > kLongestPath) throw error(ELOOP, "follow the links of", path);
      continue;
    }
    here = std::move(next);
    if (here.size() >= kLongestPath) throw error(ENAMETOOLONG, "follow the links of", path);
  }
  return here.empty() ? "/" : here;
}

NodeStatus GuestRoot::status(std::string_view path) const { return look(resolve(path)); }
NodeStatus GuestRoot::link_status(std::string_view path) const { return look(resolve(path, false)); }

std::string GuestRoot::read_base(const std::string& canonical, std::size_t limit) const {
  int failure = 0;
  os::UniqueFd fd = open_at(canonical, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, failure);
  if (!fd) throw error(failure, "open", canonical);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw error(errno, "look at", canonical);
  if (!S_ISREG(status.st_mode))
    throw os::Error(os::ErrorKind::kInvalid, canonical + " in the guest", "changed while it was read");
  std::string text;
  std::size_t expected = static_cast<std::size_t>(status.st_size);
  while (true) {
    std::size_t before = text.size();
    // One byte more than expected, so that the end is seen without another round.
    std::size_t step = before == 0 ? std::min(expected + 1, limit + 1) : std::size_t{65536};
    text.resize(before + step);
    ssize_t got = ::read(fd.get(), text.data() + before, step);
    if (got < 0 && errno == EINTR) got = 0, step = 0;
    if (got < 0) throw error(errno, "read", canonical);
    text.resize(before + static_cast<std::size_t>(got));
    if (text.size() > limit)
      throw os::Error(os::ErrorKind::kInvalid, canonical + " in the guest",
                      "is longer than " + std::to_string(limit) + " bytes",
                      "It cannot be what its name says: correct it in the source machine.");
    if (got == 0 && step != 0) return text;
  }
}

std::optional<std::string> GuestRoot::read(std::string_view path, std::size_t limit) const {
  std::string canonical = resolve(path);
  NodeStatus status = look(canonical);
  if (status.kind == NodeKind::kAbsent) return std::nullopt;
  if (status.kind != NodeKind::kFile)
    throw os::Error(
        os::ErrorKind::kInvalid, std::string(path) + " in the guest",
        status.kind == NodeKind::kDirectory ? "is a directory where a file should be" : "is no regular file",
        "Correct it in the source machine and export it again.");
  if (status.size > limit)
    throw os::Error(os::ErrorKind::kInvalid, std::string(path) + " in the guest",
                    "is longer than " + std::to_string(limit) + " bytes",
                    "It cannot be what its name says: correct it in the source machine.");
  auto found = changes_.find(canonical);
  if (found == changes_.end()) return read_base(canonical, limit);
  if (found->second.appended) return read_base(canonical, limit) + found->second.content;
  return found->second.content;
}

std::optional<std::string> GuestRoot::read_if_sane(std::string_view path, std::size_t limit) {
  try {
    return read(path, limit);
  } catch (const os::Error& failure) {
    warn(failure.sentence());
    return std::nullopt;
  }
}

std::optional<std::string> GuestRoot::read_link(std::string_view path) const {
  std::string canonical = resolve(path, false);
  if (look(canonical).kind != NodeKind::kSymlink) return std::nullopt;
  return link_target(canonical);
}

std::vector<std::string> GuestRoot::list(std::string_view path) const {
  std::string canonical = resolve(path);
  if (look(canonical).kind != NodeKind::kDirectory) return {};
  std::set<std::string> names;
  int failure = 0;
  os::UniqueFd fd = open_at(canonical, O_RDONLY | O_DIRECTORY, failure);
  if (fd) {
    DIR* directory = ::fdopendir(fd.get());
    if (directory == nullptr) throw error(errno, "list", canonical);
    fd.release();
    errno = 0;
    while (dirent* entry = ::readdir(directory)) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace(name);
      if (names.size() > kMostEntries) {
        ::closedir(directory);
        throw os::Error(os::ErrorKind::kInvalid, canonical + " in the guest",
                        "holds more than " + std::to_string(kMostEntries) + " entries");
      }
      errno = 0;
    }
    int ended = errno;
    ::closedir(directory);
    if (ended != 0) throw error(ended, "list", canonical);
  } else if (failure != ENOENT) {
    throw error(failure, "list", canonical);
  }
  std::string prefix = canonical == "/" ? "/" : canonical + "/";
  for (auto found = changes_.lower_bound(prefix); found != changes_.end() && found->first.starts_with(prefix);
       ++found) {
    std::string name = found->first.substr(prefix.size());
    if (name.empty() || name.find('/') != std::string::npos) continue;
    if (found->second.kind == NodeKind::kAbsent)
      names.erase(name);
    else
      names.insert(name);
  }
  return {names.begin(), names.end()};
}

std::optional<GuestFile> GuestRoot::open(std::string_view path) const {
  std::string canonical = resolve(path);
  NodeStatus status = look(canonical);
  if (status.kind == NodeKind::kAbsent) return std::nullopt;
  if (status.kind != NodeKind::kFile)
    throw os::Error(os::ErrorKind::kInvalid, std::string(path) + " in the guest", "is no regular file",
                    "Correct it in the source machine and export it again.");
  GuestFile file;
  file.path_ = canonical;
  auto found = changes_.find(canonical);
  if (found != changes_.end()) file.tail_ = found->second.content;
  if (found == changes_.end() || found->second.appended) {
    int failure = 0;
    os::UniqueFd fd = open_at(canonical, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, failure);
    if (!fd) throw error(failure, "open", canonical);
    struct stat now;
    if (::fstat(fd.get(), &now) != 0) throw error(errno, "look at", canonical);
    if (!S_ISREG(now.st_mode))
      throw os::Error(os::ErrorKind::kInvalid, canonical + " in the guest", "changed while it was read");
    file.base_size_ = static_cast<std::uint64_t>(now.st_size);
    file.base_ = os::File(std::move(fd), canonical + " in the guest");
  }
  return file;
}

std::uint64_t GuestRoot::free_space(std::string_view path) const {
  std::string canonical = resolve(path);
  int failure = 0;
  while (true) {
    os::UniqueFd fd = open_at(canonical, O_PATH | O_NOFOLLOW, failure);
    if (!fd && failure == ENOENT && canonical != "/") {
      canonical = parent_of(canonical);
      continue;
    }
    if (!fd) throw error(failure, "look at", canonical);
    struct statvfs space;
    if (::fstatvfs(fd.get(), &space) != 0) throw error(errno, "find the free space of", canonical);
    return static_cast<std::uint64_t>(space.f_bfree) * space.f_frsize;
  }
}

GuestRoot::Change& GuestRoot::change(const std::string& canonical, std::string_view reason) {
  auto found = changes_.find(canonical);
  if (found == changes_.end()) {
    Change fresh;
    fresh.order = changes_.size();
    fresh.before = look(canonical);
    if (fresh.before.kind == NodeKind::kSymlink) fresh.before_target = link_target(canonical);
    found = changes_.emplace(canonical, std::move(fresh)).first;
  }
  Change& changed = found->second;
  if (changed.reason.find(reason) == std::string::npos) {
    if (!changed.reason.empty()) changed.reason += " ";
    changed.reason += reason;
  }
  return changed;
}

GuestRoot::Change& GuestRoot::replace(const std::string& canonical, const NodeStatus& now,
                                      std::string_view reason) {
  if (changes_.contains(canonical)) return change(canonical, reason);
  // Read before anything is noted, as it may fail.
  std::string before_text;
  if (now.kind == NodeKind::kFile && now.size <= kTextLimit) before_text = read_base(canonical, kTextLimit);
  Change& changed = change(canonical, reason);
  changed.before_text = std::move(before_text);
  return changed;
}

void GuestRoot::add_missing_parents(const std::string& canonical, std::string_view reason) {
  std::string parent = parent_of(canonical);
  if (parent == "/") return;
  NodeKind kind = look(parent).kind;
  if (kind == NodeKind::kDirectory) return;
  if (kind != NodeKind::kAbsent)
    throw os::Error(os::ErrorKind::kInvalid, parent + " in the guest", "is no directory",
                    "Correct it in the source machine and export it again.");
  add_missing_parents(parent, reason);
  Change& changed = change(parent, reason);
  changed.kind = NodeKind::kDirectory;
  changed.options.mode = 0755;
}

void GuestRoot::keep_backup(const std::string& canonical, const Change& changed) {
  if (!backup_ || changed.is_backup || changed.before.kind != NodeKind::kFile) return;
  std::string copy = std::string(kBackupDirectory) + canonical;
  if (look(copy).kind != NodeKind::kAbsent) return;
  std::string text = changed.before_text;
  bool secret = changed.options.secret;
  NodeStatus before = changed.before;
  add_missing_parents(copy, "Copies of changed files are kept here.");
  Change& backup = change(copy, "Copy of " + canonical + " as it was.");
  backup.kind = NodeKind::kFile;
  backup.content = std::move(text);
  backup.options = {
      .mode = before.mode, .uid = before.uid, .gid = before.gid, .secret = secret, .action = ""};
  backup.is_backup = true;
  backup.copy_attributes_of = canonical;
  backup.summary = "copy of " + canonical + " as it was";
}

void GuestRoot::write(std::string_view path, std::string_view text, std::string_view reason,
                      const WriteOptions& options) {
  std::string canonical = resolve(path);
  NodeStatus now = look(canonical);
  if (now.kind != NodeKind::kFile && now.kind != NodeKind::kAbsent)
    throw os::Error(os::ErrorKind::kInvalid, std::string(path) + " in the guest",
                    "is no regular file, so it cannot be rewritten",
                    "Correct it in the source machine and export it again.");
  if (now.kind == NodeKind::kFile && read(canonical).value_or("") == text) return;
  add_missing_parents(canonical, reason);
  bool first = !changes_.contains(canonical);
  Change& changed = replace(canonical, now, reason);
  changed.kind = NodeKind::kFile;
  changed.appended = false;
  changed.content = text;
  bool secret = changed.options.secret || options.secret;
  changed.options = options;
  changed.options.secret = secret;
  changed.action = options.action;
  changed.summary = options.summary;
  if (first) keep_backup(canonical, changed);
}

void GuestRoot::append(std::string_view path, std::string_view bytes, std::string_view reason,
                       std::string_view summary) {
  std::string canonical = resolve(path);
  if (look(canonical).kind != NodeKind::kFile)
    throw os::Error(os::ErrorKind::kInvalid, std::string(path) + " in the guest",
                    "is no regular file, so nothing can be added to it",
                    "Correct it in the source machine and export it again.");
  bool first = !changes_.contains(canonical);
  Change& changed = change(canonical, reason);
  if (first) changed.appended = true;
  changed.kind = NodeKind::kFile;
  changed.content += bytes;
  changed.action = "appended";
  if (!changed.summary.empty()) changed.summary += "; ";
  changed.summary += summary;
}

void GuestRoot::make_directory(std::string_view path, std::string_view reason, const WriteOptions& options) {
  std::string canonical = resolve(path);
  if (look(canonical).kind == NodeKind::kDirectory) return;
  add_missing_parents(canonical + "/x", reason);
  if (auto found = changes_.find(canonical); found != changes_.end()) {
    found->second.options = options;
    if (options.mode == 0644) found->second.options.mode = 0755;
  }
}

void GuestRoot::remove(std::string_view path, std::string_view reason, std::string_view action) {
  std::string canonical = resolve(path, false);
  NodeStatus now = look(canonical);
  if (now.kind == NodeKind::kAbsent) return;
  if (now.kind == NodeKind::kDirectory)
    throw os::Error(os::ErrorKind::kInvalid, std::string(path) + " in the guest",
                    "is a directory where a file should be", "Correct it in the source machine.");
  bool first = !changes_.contains(canonical);
  Change& changed = replace(canonical, now, reason);
  changed.kind = NodeKind::kAbsent;
  changed.appended = false;
  changed.content.clear();
  changed.target.clear();
  changed.action = action;
  if (first) keep_backup(canonical, changed);
}

void GuestRoot::symlink(std::string_view path, std::string_view target, std::string_view reason,
                        std::string_view action) {
  std::string canonical = resolve(path, false);
  NodeStatus now = look(canonical);
  if (now.kind == NodeKind::kSymlink && link_target(canonical) == target) return;
  if (now.kind == NodeKind::kDirectory)
    throw os::Error(os::ErrorKind::kInvalid, std::string(path) + " in the guest",
                    "is a directory where a link should be", "Correct it in the source machine.");
  add_missing_parents(canonical, reason);
  bool first = !changes_.contains(canonical);
  Change& changed = replace(canonical, now, reason);
  changed.kind = NodeKind::kSymlink;
  changed.target = target;
  changed.content.clear();
  changed.appended = false;
  changed.action = action;
  changed.summary = "link to " + std::string(target);
  if (first) keep_backup(canonical, changed);
}

void GuestRoot::warn(std::string warning) {
  if (std::find(warnings_.begin(), warnings_.end(), warning) == warnings_.end())
    warnings_.push_back(std::move(warning));
}

std::vector<Edit> GuestRoot::edits() const {
  std::vector<const std::pair<const std::string, Change>*> ordered;
  for (const auto& entry : changes_) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(),
            [](const auto* a, const auto* b) { return a->second.order < b->second.order; });
  std::vector<Edit> result;
  for (const auto* entry : ordered) {
    const auto& [path, changed] = *entry;
    bool existed = changed.before.kind == NodeKind::kFile;
    bool exists = changed.kind == NodeKind::kFile;
    if (changed.kind == changed.before.kind &&
        (changed.kind == NodeKind::kAbsent ||
         (exists && !changed.appended && changed.before_text == changed.content) ||
         (changed.kind == NodeKind::kSymlink && changed.before_target == changed.target)))
      continue;
    Edit edit;
    edit.path = path;
    edit.reason = changed.reason;
    edit.action = !changed.action.empty()                    ? changed.action
                  : changed.kind == NodeKind::kAbsent        ? "removed"
                  : changed.before.kind == NodeKind::kAbsent ? "created"
                                                             : "changed";
    edit.summary = changed.summary;
    if (changed.kind == NodeKind::kDirectory) edit.summary = "directory";
    if (changed.kind == NodeKind::kAbsent && changed.before.kind == NodeKind::kSymlink)
      edit.summary = "link to " + changed.before_target;
    if (changed.options.secret)
      edit.summary = edit.summary.empty() ? "holds secrets: its content is not shown" : edit.summary;
    else if ((existed || exists) && !changed.appended && !changed.is_backup && !changed.options.binary)
      edit.diff = unified_diff(path, existed ? changed.before_text : "", exists ? changed.content : "",
                               existed, exists);
    result.push_back(std::move(edit));
  }
  return result;
}

void GuestRoot::commit() {
  std::vector<const std::pair<const std::string, Change>*> ordered;
  for (const auto& entry : changes_) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) {
    // Directories before what is in them, copies before what they are copies of.
    int rank_a = a->second.kind == NodeKind::kDirectory ? 0 : a->second.is_backup ? 1 : 2;
    int rank_b = b->second.kind == NodeKind::kDirectory ? 0 : b->second.is_backup ? 1 : 2;
    if (rank_a != rank_b) return rank_a < rank_b;
    return rank_a == 0 ? a->first < b->first : a->second.order < b->second.order;
  });
  for (const auto* entry : ordered) apply(entry->first, entry->second);
  if (relabel_ && look("/.autorelabel").kind == NodeKind::kAbsent) {
    warn(
        "SELinux labels could not be set on new files: the guest relabels itself at its first boot, which "
        "takes a while and one more restart.");
    Change marker;
    marker.order = changes_.size();
    marker.kind = NodeKind::kFile;
    marker.reason = "The guest labels its files again at the next boot.";
    changes_.emplace("/.autorelabel", marker);
    apply("/.autorelabel", marker);
  }
}

}  // namespace hyper2kvm::guest
