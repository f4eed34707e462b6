#include "runner/os/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "runner/os/error.h"

namespace hyper2kvm::os {
namespace {

std::atomic<FaultHook*> fault_hook{nullptr};

using Operation = FaultHook::Operation;

void may_fail(Operation operation, const char* verb, const std::filesystem::path& path,
              std::uint64_t offset = 0, std::size_t size = 0) {
  FaultHook* hook = fault_hook.load(std::memory_order_acquire);
  if (hook == nullptr) return;
  if (int error = hook->before(operation, path, offset, size); error != 0)
    throw system_error(error, verb, path.string());
}

// One read or write never asks for more than this: the kernel's own limit is just under 2 GiB.
constexpr std::size_t kLargestTransfer = std::size_t{1} << 30;

}  // namespace

void set_fault_hook(FaultHook* hook) { fault_hook.store(hook, std::memory_order_release); }

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) reset(other.release());
  return *this;
}

int UniqueFd::release() noexcept { return std::exchange(fd_, -1); }

void UniqueFd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw system_error(errno, "make a pipe", "hyper2kvm");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

File File::open(const std::filesystem::path& path, Mode mode) {
  may_fail(Operation::kOpen, "open", path);
  int flags = O_CLOEXEC;
  switch (mode) {
    case Mode::kRead:
      flags |= O_RDONLY;
      break;
    case Mode::kReadWrite:
      flags |= O_RDWR;
      break;
    case Mode::kCreate:
      flags |= O_RDWR | O_CREAT | O_EXCL;
      break;
    case Mode::kDevice:
      flags |= O_RDWR | O_EXCL;  // without O_CREAT: a claim on the device
      break;
  }
  // O_NONBLOCK so that a fifo put in place of a disk cannot hang us; it means nothing to a regular file.
  UniqueFd fd(::open(path.c_str(), flags | O_NONBLOCK, 0644));
  if (!fd && errno == EBUSY && mode == Mode::kDevice)
    throw Error(ErrorKind::kInvalid, path.string(),
                "is in use: it is mounted, or another program has claimed it",
                "Unmount it and stop what uses it, or name another device.", EBUSY);
  if (!fd) throw system_error(errno, mode == Mode::kCreate ? "create" : "open", path.string());
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw system_error(errno, "look at", path.string());
  if (mode == Mode::kDevice && !S_ISBLK(status.st_mode))
    throw Error(ErrorKind::kInvalid, path.string(), "is no block device", "Name a block device.");
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
    throw Error(ErrorKind::kInvalid, path.string(), "is neither a file nor a block device",
                "Name a disk image or a block device.");
  return File(std::move(fd), path);
}

std::uint64_t File::size() const {
  struct stat status;
  if (::fstat(fd(), &status) != 0) throw system_error(errno, "look at", path_.string());
  if (S_ISBLK(status.st_mode)) {
    std::uint64_t bytes = 0;
    if (::ioctl(fd(), BLKGETSIZE64, &bytes) != 0)
      throw system_error(errno, "find the size of", path_.string());
    return bytes;
  }
  return static_cast<std::uint64_t>(status.st_size);
}

std::size_t File::read_at(std::uint64_t offset, std::span<std::byte> buffer) const {
  may_fail(Operation::kRead, "read", path_, offset, buffer.size());
  std::size_t done = 0;
  while (done < buffer.size()) {
    std::size_t wanted = std::min(buffer.size() - done, kLargestTransfer);
    ssize_t got = ::pread(fd(), buffer.data() + done, wanted, static_cast<off_t>(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "read", path_.string());
    }
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void File::read_exactly_at(std::uint64_t offset, std::span<std::byte> buffer) const {
  if (read_at(offset, buffer) != buffer.size())
    throw Error(ErrorKind::kInvalid, path_.string(),
                "ends too early: " + std::to_string(buffer.size()) + " bytes at " + std::to_string(offset) +
                    " are not all there",
                "The file is truncated: export or copy it again.");
}

void File::write_at(std::uint64_t offset, std::span<const std::byte> buffer) {
  may_fail(Operation::kWrite, "write", path_, offset, buffer.size());
  std::size_t done = 0;
  while (done < buffer.size()) {
    std::size_t wanted = std::min(buffer.size() - done, kLargestTransfer);
    ssize_t put = ::pwrite(fd(), buffer.data() + done, wanted, static_cast<off_t>(offset + done));
    if (put < 0) {
      if (errno == EINTR) continue;
      throw system_error(errno, "write", path_.string());
    }
    done += static_cast<std::size_t>(put);
  }
}

void File::truncate(std::uint64_t size) {
  may_fail(Operation::kTruncate, "resize", path_, size);
  if (::ftruncate(fd(), static_cast<off_t>(size)) != 0) throw system_error(errno, "resize", path_.string());
}

void File::zero_at(std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return;
  may_fail(Operation::kAllocate, "free a part of", path_, offset, static_cast<std::size_t>(length));
  // On a block device this asks for zeroes too (BLKDEV_ZERO_NOFALLBACK): EOPNOTSUPP where it has no such
  // command.
  if (::fallocate(fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                  static_cast<off_t>(length)) == 0)
    return;
  if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
    throw system_error(errno, "free a part of", path_.string());
  static const std::array<std::byte, 1u << 20> zeroes{};
  while (length > 0) {
    std::size_t part = static_cast<std::size_t>(std::min<std::uint64_t>(length, zeroes.size()));
    write_at(offset, std::span(zeroes.data(), part));
    offset += part;
    length -= part;
  }
}

File::Range File::next_data(std::uint64_t offset) const {
  std::uint64_t end = size();
  if (offset >= end) return Range{end, 0};
  off_t data = ::lseek(fd(), static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) {
    if (errno == ENXIO) return Range{end, 0};
    return Range{offset, end - offset};  // a block device, or a file system without holes
  }
  off_t hole = ::lseek(fd(), data, SEEK_HOLE);
  std::uint64_t begin = static_cast<std::uint64_t>(data);
  if (hole < 0 || static_cast<std::uint64_t>(hole) <= begin) return Range{begin, end - begin};
  return Range{begin, std::min(static_cast<std::uint64_t>(hole), end) - begin};
}

void File::sync() {
  may_fail(Operation::kSync, "sync", path_);
  if (::fdatasync(fd()) != 0) throw system_error(errno, "sync", path_.string());
}

void File::close() {
  if (!fd_) return;
  // NFS and quotas report a failed write-back here, so it counts.
  if (::close(fd_.release()) != 0 && errno != EINTR) throw system_error(errno, "close", path_.string());
}

std::string read_text(const std::filesystem::path& path, std::size_t limit) {
  File file = File::open(path, File::Mode::kRead);
  std::string text;
  std::size_t chunk = 65536;
  while (true) {
    std::size_t before = text.size();
    text.resize(before + chunk);
    std::size_t got = file.read_at(before, std::as_writable_bytes(std::span(text.data() + before, chunk)));
    text.resize(before + got);
    if (text.size() > limit)
      throw Error(ErrorKind::kInvalid, path.string(), "is longer than " + std::to_string(limit) + " bytes",
                  "It cannot be what it is given for.");
    if (got < chunk) return text;
  }
}

void write_text_atomically(const std::filesystem::path& path, std::string_view text, unsigned mode) {
  static std::atomic<unsigned> counter{0};
  std::filesystem::path temporary = path;
  temporary.replace_filename("." + path.filename().string() + ".tmp-" + std::to_string(::getpid()) + "-" +
                             std::to_string(counter.fetch_add(1)));
  File file = File::open(temporary, File::Mode::kCreate);
  try {
    file.write_at(0, std::as_bytes(std::span(text.data(), text.size())));
    if (::fchmod(file.fd(), mode) != 0) throw system_error(errno, "set the mode of", path.string());
    file.sync();
    file.close();
    rename_durably(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  may_fail(Operation::kRename, "rename", to);
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw system_error(errno, "rename " + from.string() + " to", to.string());
  sync_directory(to.parent_path());
}

void rename_no_replace(const std::filesystem::path& from, const std::filesystem::path& to) {
  may_fail(Operation::kRename, "rename", to);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0)
    throw system_error(errno, "rename " + from.string() + " to", to.string());
  sync_directory(to.parent_path());
}

void sync_directory(const std::filesystem::path& directory) {
  std::filesystem::path name = directory.empty() ? std::filesystem::path(".") : directory;
  may_fail(Operation::kSync, "sync", name);
  UniqueFd fd(::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) throw system_error(errno, "open", name.string());
  // Some network and FUSE file systems cannot sync a directory; there is nothing more that could be done
  // there.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
    throw system_error(errno, "sync", name.string());
}

void make_directories(const std::filesystem::path& directory) {
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  if (code) throw system_error(code.value(), "create the directory", directory.string());
}

bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  struct stat first;
  struct stat second;
  if (::stat(a.c_str(), &first) != 0 || ::stat(b.c_str(), &second) != 0) return false;
  if (S_ISBLK(first.st_mode) && S_ISBLK(second.st_mode)) return first.st_rdev == second.st_rdev;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

std::uint64_t free_space(const std::filesystem::path& directory) {
  struct statvfs status;
  if (::statvfs(directory.c_str(), &status) != 0)
    throw system_error(errno, "find the free space of", directory.string());
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

TemporaryDirectory::TemporaryDirectory(std::string_view prefix, const std::filesystem::path& parent) {
  std::filesystem::path where = parent;
  if (where.empty()) {
    const char* from_environment = std::getenv("TMPDIR");
    where = from_environment != nullptr && *from_environment != '\0' ? from_environment : "/tmp";
  }
  std::string name = (where / (std::string(prefix) + "-XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr)
    throw system_error(errno, "make a temporary directory in", where.string());
  path_ = name;
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::move(other.path_)) {
  other.path_.clear();
}

TemporaryDirectory::~TemporaryDirectory() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace hyper2kvm::os
