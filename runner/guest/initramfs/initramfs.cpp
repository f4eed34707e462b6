#include "runner/guest/initramfs/initramfs.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "runner/guest/initramfs/cpio.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kMostEntries = 200000;
constexpr std::uint64_t kUnpackedLimit = std::uint64_t{4} << 30;
constexpr std::size_t kChunk = std::size_t{256} << 10;
// The disk's side of the appliance unpacks an export's grains on a processor of its own meanwhile.
constexpr std::uint64_t kReadAhead = std::uint64_t{4} << 20;
constexpr std::size_t kMostLinks = 40;

// The files whose text decides what a segment must hold.
std::size_t wanted_bytes(const CpioEntry& entry) {
  constexpr std::size_t kText = std::size_t{1} << 20;
  const std::string& name = entry.name;
  if (!S_ISREG(entry.mode)) return 0;
  for (std::string_view prefix : {"conf/", "etc/cmdline.d/", "etc/conf.d/", "etc/modules-load.d/", "config/",
                                  "boot/", "etc/systemd/network/", "etc/udev/rules.d/"})
    if (name.starts_with(prefix)) return std::min<std::size_t>(kText, static_cast<std::size_t>(entry.size));
  for (std::string_view whole : {"config", "etc/modules", "etc/crypttab", "etc/fstab", "etc/initrd-release",
                                 "init", "linuxrc", "mkinitrd.config"})
    if (name == whole) return std::min<std::size_t>(kText, static_cast<std::size_t>(entry.size));
  return 0;
}

}  // namespace

std::string module_name(std::string_view path) {
  std::string_view name = path.substr(path.rfind('/') + 1);
  for (std::string_view packed : {".gz", ".xz", ".zst"})
    if (name.ends_with(packed)) name.remove_suffix(packed.size());
  if (name.ends_with(".ko"))
    name.remove_suffix(3);
  else
    return "";
  std::string result(name);
  std::replace(result.begin(), result.end(), '-', '_');
  return result;
}

std::string Initramfs::resolve(std::string_view path) const {
  std::vector<std::string> ahead;
  auto push = [&ahead](std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
      std::size_t end = std::min(text.find('/'), text.size());
      if (end > 0) parts.emplace_back(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    ahead.insert(ahead.end(), parts.rbegin(), parts.rend());
  };
  push(path);
  std::string here;
  std::size_t links = 0;
  while (!ahead.empty()) {
    std::string part = std::move(ahead.back());
    ahead.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      std::size_t slash = here.rfind('/');
      here.resize(slash == std::string::npos ? 0 : slash);
      continue;
    }
    std::string next = here.empty() ? part : here + "/" + part;
    auto found = entries.find(next);
    if (found != entries.end() && S_ISLNK(found->second.mode)) {
      if (++links > kMostLinks || ahead.size() > 1000) return "";
      if (found->second.content.starts_with('/')) here.clear();
      push(found->second.content);
      continue;
    }
    here = std::move(next);
  }
  return here;
}

bool Initramfs::has(std::string_view path) const {
  std::string real = resolve(path);
  return !real.empty() && entries.contains(real);
}

const std::string* Initramfs::text(std::string_view path) const {
  auto found = entries.find(resolve(path));
  if (found == entries.end() || !S_ISREG(found->second.mode)) return nullptr;
  if (found->second.content.size() != found->second.size) return nullptr;
  return &found->second.content;
}

std::string Initramfs::module_directory(std::string_view kernel_version) const {
  std::string version(kernel_version);
  for (const char* top : {"lib/modules/", "usr/lib/modules/"})
    if (has(top + version)) return resolve(top + version);
  return resolve("lib/modules") + "/" + version;
}

std::map<std::string, std::string> Initramfs::modules(std::string_view kernel_version) const {
  std::map<std::string, std::string> result;
  std::string prefix = module_directory(kernel_version) + "/";
  for (auto entry = entries.lower_bound(prefix); entry != entries.end() && entry->first.starts_with(prefix);
       ++entry) {
    std::string name = module_name(entry->first);
    if (!name.empty()) result.emplace(std::move(name), entry->first.substr(prefix.size()));
  }
  return result;
}

std::set<std::string> Initramfs::directories() const {
  std::set<std::string> result;
  for (const auto& [name, entry] : entries)
    if (S_ISDIR(entry.mode)) result.insert(name);
  return result;
}

bool Initramfs::has_file_named(std::string_view name) const {
  for (const auto& [path, entry] : entries)
    if (path.ends_with(name) && (path.size() == name.size() || path[path.size() - name.size() - 1] == '/'))
      return true;
  return false;
}

Initramfs read_initramfs(const GuestFile& file) {
  Initramfs image;
  image.size = file.size();
  const std::string name = file.path() + " in the guest";
  std::uint64_t expected = 0;  // up to where the disk was told to read
  auto read = [&file, &expected](std::uint64_t offset, std::span<std::byte> buffer) {
    const std::uint64_t wanted = offset + buffer.size() + kReadAhead;
    if (wanted > expected + kReadAhead / 2) {
      file.expect_read(std::max(offset, expected), wanted - std::max(offset, expected));
      expected = wanted;
    }
    return file.read_at(offset, buffer);
  };
  std::uint64_t unpacked = 0;
  auto take_entry = [&image, &name](CpioEntry entry) {
    if (image.entries.size() >= kMostEntries)
      throw os::Error(os::ErrorKind::kInvalid, name, "holds more files than an initramfs can");
    InitramfsEntry& slot = image.entries[entry.name];
    // A hard link's content comes with one of its names only; the others are empty.
    if (entry.size == 0 && entry.link_count > 1 && slot.size > 0) return;
    slot = {entry.mode, entry.size, std::move(entry.content)};
  };
  std::vector<std::byte> chunk(kChunk);
  std::uint64_t offset = 0;
  while (offset < file.size()) {
    // Archives are told apart by zeros; a plain one begins at a multiple of four.
    std::size_t got = read(offset, chunk);
    if (got == 0) break;
    std::size_t zeros = 0;
    while (zeros < got && chunk[zeros] == std::byte{0}) ++zeros;
    if (zeros > 0) {
      offset += zeros;
      continue;
    }
    std::string_view beginning(reinterpret_cast<const char*>(chunk.data()), std::min<std::size_t>(got, 16));
    CpioReader reader(name, wanted_bytes, take_entry);
    if (beginning.starts_with("070701") || beginning.starts_with("070702")) {
      if (offset % 4 != 0)
        throw os::Error(os::ErrorKind::kInvalid, name, "is damaged: an archive in it is not aligned",
                        "Make it again in the source machine and export that.");
      image.segments.push_back(Compression::kNone);
      while (!reader.saw_trailer()) {
        got = read(offset, chunk);
        // An archive may lack its trailer at the end of the file: the kernel takes it.
        if (got == 0) break;
        offset += reader.feed(std::span<const std::byte>(chunk).first(got));
        unpacked += got;
      }
      continue;
    }
    Compression compression = detect_compression(beginning);
    if (compression == Compression::kNone) {
      if (!image.segments.empty()) break;  // what follows the last archive is not the kernel's concern
      throw os::Error(
          os::ErrorKind::kInvalid, name, "is no initramfs that we know",
          "Make it again in the source machine (update-initramfs, dracut or the like) and export that.");
    }
    image.segments.push_back(compression);
    offset = decompress_stream(
        compression, read, offset,
        [&reader](std::span<const std::byte> piece) {
          while (!piece.empty()) {
            if (reader.saw_trailer()) {
              // Zeros up to the next archive in the same stream, or to its end.
              std::size_t skip = 0;
              while (skip < piece.size() && piece[skip] == std::byte{0}) ++skip;
              piece = piece.subspan(skip);
              if (piece.empty()) break;
              reader.begin_next();
            }
            piece = piece.subspan(reader.feed(piece));
          }
          return true;
        },
        kUnpackedLimit - unpacked, name);
  }
  if (image.segments.empty())
    throw os::Error(
        os::ErrorKind::kInvalid, name, "is empty",
        "Make it again in the source machine (update-initramfs, dracut or the like) and export that.");
  return image;
}

}  // namespace hyper2kvm::guest
