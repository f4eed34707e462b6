#include "runner/image/ova_archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "runner/image/edge.h"
#include "runner/os/file.h"

namespace hyper2kvm::image {
namespace {

// An OVA holds a descriptor, a manifest, a certificate and some disks.
constexpr std::size_t kMostMembers = 4096;
constexpr std::size_t kReadSize = 64 * 1024;

struct FreeArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& problem,
                         const std::string& advice = "The archive is damaged: export or copy it again.") {
  throw os::Error(os::ErrorKind::kInvalid, path.string(), problem, advice);
}

std::string in_quotes(const std::string& name) { return "\"" + name.substr(0, 200) + "\""; }

// The name to look a member up by; throws for one that tries to leave the archive.
std::string plain_name(const std::filesystem::path& path, const char* written) {
  if (written == nullptr || *written == '\0') refuse(path, "has a member without a usable name");
  std::string name = written;
  while (name.rfind("./", 0) == 0) name.erase(0, 2);
  for (unsigned char character : name)
    if (character < 0x20 || character == 0x7f)
      refuse(path, "has a member with control characters in its name");
  if (name.empty() || name == ".") return "";
  bool upward = name[0] == '/';
  for (const std::filesystem::path& part : std::filesystem::path(name)) upward = upward || part == "..";
  if (upward || name.find('\\') != std::string::npos)
    refuse(path, "has the member " + in_quotes(name) + ", whose name leads out of the archive",
           "Do not trust this archive: a machine's export holds plain file names.");
  return name;
}

}  // namespace

ArchiveMembers list_archive(const std::filesystem::path& path) {
  return at_edge(path.string(), [&] {
    const os::File file = os::File::open(path, os::File::Mode::kRead);
    const std::uint64_t size = file.size();
    std::unique_ptr<archive, FreeArchive> reader(archive_read_new());
    if (!reader) throw std::bad_alloc();
    // Tar alone, and nothing that would have to be decompressed: the data are read in place.
    archive_read_support_format_tar(reader.get());
    if (archive_read_open_fd(reader.get(), file.fd(), kReadSize) != ARCHIVE_OK)
      refuse(path, "is no OVA: it is no tar archive", "Name an OVA, an OVF, a manifest or a disk image.");
    ArchiveMembers members;
    while (true) {
      archive_entry* entry = nullptr;
      int result = archive_read_next_header(reader.get(), &entry);
      if (result == ARCHIVE_EOF) break;
      if (result < ARCHIVE_WARN) {
        const char* why = archive_error_string(reader.get());
        refuse(path, std::string("cannot be read as an OVA") +
                         (why != nullptr ? ": " + std::string(why).substr(0, 200) : std::string()));
      }
      // The first fails for names outside ASCII where the locale has no such letters.
      const char* written = archive_entry_pathname(entry);
      if (written == nullptr) written = archive_entry_pathname_utf8(entry);
      std::string name = plain_name(path, written);
      if (archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) == AE_IFLNK)
        refuse(path, "has the member " + in_quotes(name) + ", which is a link",
               "Do not trust this archive: a machine's export holds plain files.");
      if (archive_entry_filetype(entry) == AE_IFDIR) continue;
      if (archive_entry_filetype(entry) != AE_IFREG || name.empty() || archive_entry_sparse_count(entry) != 0)
        refuse(path, "has the member " + in_quotes(name) + ", which is no plain file",
               "Do not trust this archive: a machine's export holds plain files.");
      // What was consumed so far is all up to this member's first byte.
      const la_int64_t position = archive_filter_bytes(reader.get(), 0);
      const la_int64_t length = archive_entry_size(entry);
      if (position < 0 || length < 0 || !archive_entry_size_is_set(entry))
        refuse(path, "does not say how long its member " + in_quotes(name) + " is");
      const std::uint64_t offset = static_cast<std::uint64_t>(position);
      if (offset > size || static_cast<std::uint64_t>(length) > size - offset)
        refuse(path, "ends inside its member " + in_quotes(name),
               "The archive is truncated: export or copy it again.");
      if (members.size() == kMostMembers)
        refuse(path, "has more than " + std::to_string(kMostMembers) + " members");
      ImageLocation location{path, offset, static_cast<std::uint64_t>(length),
                             name + " in " + path.filename().string()};
      if (!members.emplace(name, std::move(location)).second)
        refuse(path, "has the member " + in_quotes(name) + " more than once",
               "Do not trust this archive: a machine's export holds each file once.");
    }
    if (members.empty()) refuse(path, "is an archive without members");
    return members;
  });
}

}  // namespace hyper2kvm::image
