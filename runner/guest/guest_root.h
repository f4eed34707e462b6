// The guest's root directory: the only way to its files, for reading and for changing.
//
// Paths are the guest's own, absolute ("/etc/fstab"). Symbolic links are followed inside the root as the
// guest itself would follow them: each step is taken with openat2 and RESOLVE_IN_ROOT, so that no link and no
// ".." leads out of it. Only regular files are read; a fifo or a device where a file should be is an error.
// What is read is bounded.
//
// Changes are kept in memory, over the files, until commit(): later steps of a repair read what earlier ones
// changed, a repair that fails half way has written nothing, and a dry run is a repair without commit. Each
// changed path is one Edit, with the difference between what it was and what it became.
//
// commit() keeps what is not the repair's to change: a rewritten file has its mode, owner, times of nobody,
// ACLs, extended attributes and SELinux label as before (a new file beside it gets them, then takes its
// name); a new file gets the label of its directory, as the kernel would give it. Where a label cannot be
// set, the guest is told to relabel itself (/.autorelabel) and there is a warning.
//
// Works on any directory, so every repair is tested on plain ones. Not thread-safe. Throws os::Error.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runner/guest/protocol.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::guest {

enum class NodeKind { kAbsent, kFile, kDirectory, kSymlink, kOther };

struct NodeStatus {
  NodeKind kind = NodeKind::kAbsent;
  std::uint64_t size = 0;  // bytes, of a file
  mode_t mode = 0;         // permission bits
  uid_t uid = 0;
  gid_t gid = 0;
};

// A file of the guest as it is after the changes so far, for reading in pieces.
class GuestFile {
 public:
  const std::string& path() const { return path_; }
  std::uint64_t size() const { return base_size_ + tail_.size(); }
  // Reads up to buffer.size(); fewer only at the end of the file.
  std::size_t read_at(std::uint64_t offset, std::span<std::byte> buffer) const;
  // Advice: these bytes are read soon, so the disk may begin with them now.
  void expect_read(std::uint64_t offset, std::uint64_t length) const;

 private:
  friend class GuestRoot;
  std::string path_;
  os::File base_;
  std::uint64_t base_size_ = 0;
  std::string tail_;
};

// How a new file is made or a changed one reported.
struct WriteOptions {
  mode_t mode = 0644;   // of a new file
  uid_t uid = 0;        // of a new file
  gid_t gid = 0;        // of a new file
  bool secret = false;  // the report says that it changed, not how
  bool binary = false;  // no diff is made
  std::string summary;  // for what has no diff
  std::string action;   // "" is created or changed
};

class GuestRoot {
 public:
  static constexpr std::size_t kTextLimit = std::size_t{4} << 20;
  // Where copies of changed files go when they are asked for: away from the directories whose every file
  // means something (interfaces.d, modprobe.d).
  static constexpr std::string_view kBackupDirectory = "/var/lib/hyper2kvm/original";

  // directory is a path of the appliance; backup asks for copies of what is changed or removed.
  explicit GuestRoot(const std::filesystem::path& directory, bool backup = false);

  // Follows links. A link to nowhere is kAbsent.
  NodeStatus status(std::string_view path) const;
  // Does not follow the last component.
  NodeStatus link_status(std::string_view path) const;
  bool is_file(std::string_view path) const { return status(path).kind == NodeKind::kFile; }
  bool is_directory(std::string_view path) const { return status(path).kind == NodeKind::kDirectory; }
  // The path without links, as far as it exists; the last component is resolved too if follow_last.
  std::string resolve(std::string_view path, bool follow_last = true) const;
  // nullopt where there is nothing. Throws for what is no regular file or longer than limit.
  std::optional<std::string> read(std::string_view path, std::size_t limit = kTextLimit) const;
  // As read; also nullopt, with a warning, where read throws. For files that a repair can do without.
  std::optional<std::string> read_if_sane(std::string_view path, std::size_t limit = kTextLimit);
  // The target of a link; nullopt for what is no link.
  std::optional<std::string> read_link(std::string_view path) const;
  // Names in a directory, sorted; none where there is no directory. At most 65,536.
  std::vector<std::string> list(std::string_view path) const;
  std::optional<GuestFile> open(std::string_view path) const;
  // Bytes that root may still write to the file system that holds path (its nearest existing parent).
  std::uint64_t free_space(std::string_view path) const;

  // Replaces or creates a text file (and its directories). The file that links lead to is meant. Nothing
  // happens where the text is there already.
  void write(std::string_view path, std::string_view text, std::string_view reason,
             const WriteOptions& options = {});
  // Adds bytes to the end of an existing binary file; written in place.
  void append(std::string_view path, std::string_view bytes, std::string_view reason,
              std::string_view summary);
  void make_directory(std::string_view path, std::string_view reason, const WriteOptions& options = {});
  // Removes a file or a link (never what it leads to); nothing happens where there is none.
  void remove(std::string_view path, std::string_view reason, std::string_view action = "removed");
  // Makes or replaces a symbolic link.
  void symlink(std::string_view path, std::string_view target, std::string_view reason,
               std::string_view action = "created");
  void warn(std::string warning);

  // The changes so far, in the order in which the paths were first touched; changes that cancel out are left
  // out.
  std::vector<Edit> edits() const;
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Writes the changes. After an error part of them is written: the disks must be thrown away.
  void commit();

 private:
  struct Change {
    std::size_t order = 0;
    NodeKind kind = NodeKind::kAbsent;  // what the path becomes
    NodeStatus before;
    std::string content;  // of a file; for an appended one what is added
    bool appended = false;
    std::string target;         // of a link
    std::string before_target;  // where it was a link
    std::string before_text;    // where it was a file that was replaced or removed
    WriteOptions options;
    std::string action, reason, summary;
    bool is_backup = false;
    std::string copy_attributes_of;  // a backup has those of the original
  };

  os::UniqueFd open_at(std::string_view canonical, std::uint64_t flags, int& error) const;
  bool is_plain(std::string_view path, bool follow_last) const;
  NodeStatus look(const std::string& canonical) const;
  std::string link_target(const std::string& canonical) const;
  Change& change(const std::string& canonical, std::string_view reason);
  // The same, of a path that becomes something else: the text that was there is kept. now: as look() says.
  Change& replace(const std::string& canonical, const NodeStatus& now, std::string_view reason);
  void add_missing_parents(const std::string& canonical, std::string_view reason);
  void keep_backup(const std::string& canonical, const Change& changed);
  std::string read_base(const std::string& canonical, std::size_t limit) const;
  void apply(const std::string& canonical, const Change& changed);
  void apply_file(const std::string& canonical, const Change& changed);
  void apply_append(const std::string& canonical, const Change& changed);
  void label_as_directory(int file, int directory, const std::string& canonical);
  void copy_attributes(int from, int to, const std::string& canonical);
  os::Error error(int errno_value, std::string_view operation, std::string_view canonical) const;

  os::UniqueFd root_;
  bool backup_;
  std::map<std::string, Change> changes_;
  std::vector<std::string> warnings_;
  bool relabel_ = false;
};

}  // namespace hyper2kvm::guest
