// Descriptors and files, at the edge of the operating system.
//
// Every call that touches a disk goes through File or the free functions here, so that a test can make the
// N-th read, write, sync or rename fail (see FaultHook). All functions throw os::Error; sizes and offsets are
// bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hyper2kvm::os {

// Owns one descriptor; -1 is none. Not thread-safe, as any value.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() noexcept;
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
// Both ends are close-on-exec.
Pipe make_pipe();

// What a test bends. The hook is asked before each operation and returns 0 to let it pass or an errno to make
// it fail with. For kWrite it may also shorten. Production code never sets one. Calls come from any thread.
class FaultHook {
 public:
  enum class Operation { kOpen, kRead, kWrite, kSync, kRename, kTruncate, kAllocate };
  virtual ~FaultHook() = default;
  virtual int before(Operation operation, const std::filesystem::path& path, std::uint64_t offset,
                     std::size_t size) = 0;
};
// Not owned; nullptr takes it away. Set it before threads start.
void set_fault_hook(FaultHook* hook);

// An open file and the name it is called by in messages. Positioned reads and writes may come from several
// threads at once.
class File {
 public:
  enum class Mode {
    kRead,       // read-only
    kReadWrite,  // an existing file
    kCreate,     // read-write, must not exist (O_EXCL), mode 0644
    kDevice,  // an existing block device that nobody mounts or has claimed, read-write, ours while it is open
  };
  File() = default;
  // Follows symlinks (the user's own paths); refuses what is neither a regular file nor a block device.
  static File open(const std::filesystem::path& path, Mode mode);
  // Takes over an open descriptor.
  File(UniqueFd fd, std::filesystem::path path) : fd_(std::move(fd)), path_(std::move(path)) {}

  int fd() const { return fd_.get(); }
  explicit operator bool() const { return static_cast<bool>(fd_); }
  const std::filesystem::path& path() const { return path_; }
  // Of a regular file or a block device.
  std::uint64_t size() const;

  // Reads up to buffer.size(); fewer only at the end of the file.
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) const;
  // Reads all of it or throws "ends too early".
  void read_exactly_at(std::uint64_t offset, std::span<std::byte> buffer) const;
  void write_at(std::uint64_t offset, std::span<const std::byte> buffer);
  void truncate(std::uint64_t size);
  // Makes a range read as zeroes: gives its space back where the file system can (the size stays as it is),
  // lets a block device do it, and writes zeroes where neither helps. The range must lie inside the file.
  void zero_at(std::uint64_t offset, std::uint64_t length);
  // The next range at or after offset that may hold something else than zeroes; length 0 when there is none.
  // Where the file system keeps no holes that is all the rest.
  struct Range {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };
  Range next_data(std::uint64_t offset) const;
  // fdatasync.
  void sync();
  void close();

 private:
  UniqueFd fd_;
  std::filesystem::path path_;
};

// The whole of a file, refused when it is longer than limit bytes.
std::string read_text(const std::filesystem::path& path, std::size_t limit);
// Replaces or creates path in one step: temporary file beside it, fsync, rename, fsync of the directory.
void write_text_atomically(const std::filesystem::path& path, std::string_view text, unsigned mode = 0644);
// rename(2), then fsync of the target's directory. Replaces an existing target.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);
// renameat2 with RENAME_NOREPLACE, then fsync of the directory; Error with errno EEXIST where the target
// exists.
void rename_no_replace(const std::filesystem::path& from, const std::filesystem::path& to);
void sync_directory(const std::filesystem::path& directory);
// Like mkdir -p.
void make_directories(const std::filesystem::path& directory);
// True if both exist and are the same file (device and inode), or name the same block device.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);
// Bytes that an ordinary user may still write to the file system of this directory.
std::uint64_t free_space(const std::filesystem::path& directory);

// A directory of our own (mode 0700) that is removed with all in it when this goes out of scope.
class TemporaryDirectory {
 public:
  // Made in parent; prefix is for people who find one. An empty parent means $TMPDIR or /tmp.
  explicit TemporaryDirectory(std::string_view prefix, const std::filesystem::path& parent = {});
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace hyper2kvm::os
