#include "runner/guest/storage/device_name.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace hyper2kvm::guest {
namespace {

// A short decimal number at the start of text; nullopt where there is none. Takes it off.
std::optional<int> take_number(std::string_view& text) {
  int number = 0;
  auto [end, failure] =
      std::from_chars(text.data(), text.data() + std::min<std::size_t>(text.size(), 6), number);
  if (failure != std::errc() || number < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// a is 0, z is 25, aa is 26.
std::optional<int> take_letters(std::string_view& text) {
  int number = 0;
  std::size_t count = 0;
  while (count < text.size() && text[count] >= 'a' && text[count] <= 'z') {
    if (count == 3) return std::nullopt;
    number = number * 26 + (text[count] - 'a' + 1);
    ++count;
  }
  if (count == 0) return std::nullopt;
  text.remove_prefix(count);
  return number - 1;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// What follows the disk's name: nothing, or separator and a partition number.
bool take_partition(std::string_view text, std::string_view separator, int& partition) {
  if (text.empty()) return true;
  if (!take_prefix(text, separator)) return false;
  std::optional<int> number = take_number(text);
  if (!number || *number == 0 || !text.empty()) return false;
  partition = *number;
  return true;
}

DeviceName parse_kernel_name(std::string_view name) {
  DeviceName result;
  std::string_view rest = name;
  for (std::string_view prefix : {"xvd", "sd", "hd", "vd"}) {
    rest = name;
    if (!take_prefix(rest, prefix)) continue;
    std::optional<int> disk = take_letters(rest);
    if (disk && take_partition(rest, "", result.partition)) {
      result.kind = NameKind::kKernel;
      result.disk = *disk;
      return result;
    }
  }
  rest = name;
  if (take_prefix(rest, "nvme")) {
    std::optional<int> controller = take_number(rest);
    if (controller && take_prefix(rest, "n")) {
      std::optional<int> space = take_number(rest);
      if (space && *space >= 1 && take_partition(rest, "p", result.partition)) {
        result.kind = NameKind::kKernel;
        // Hypervisors give one controller several namespaces, or each disk a controller.
        result.disk = *controller + *space - 1;
        return result;
      }
    }
  }
  rest = name;
  if (take_prefix(rest, "mmcblk")) {
    std::optional<int> disk = take_number(rest);
    if (disk && take_partition(rest, "p", result.partition)) {
      result.kind = NameKind::kKernel;
      result.disk = *disk;
      return result;
    }
  }
  rest = name;
  if (take_prefix(rest, "cciss/c")) {
    std::optional<int> controller = take_number(rest);
    if (controller && take_prefix(rest, "d")) {
      std::optional<int> disk = take_number(rest);
      if (disk && take_partition(rest, "p", result.partition)) {
        result.kind = NameKind::kKernel;
        result.disk = *disk;
        return result;
      }
    }
  }
  return {};
}

// "pci-0000:03:00.0-scsi-0:0:1:0-part2", "pci-0000:00:07.1-ide-0:1-part1", "pci-0000:02:05.0-ata-2-part1"
DeviceName parse_by_path(std::string_view name) {
  DeviceName result;
  result.kind = NameKind::kByPath;
  std::size_t part = name.rfind("-part");
  if (part != std::string_view::npos) {
    std::string_view rest = name.substr(part + 5);
    std::optional<int> number = take_number(rest);
    if (!number || !rest.empty()) return {};
    result.partition = *number;
    name = name.substr(0, part);
  }
  if (std::size_t scsi = name.rfind("-scsi-"); scsi != std::string_view::npos) {
    // host:channel:target:lun, as udev writes it for a controller of its own: 0:0:TARGET:LUN
    std::string_view rest = name.substr(scsi + 6);
    int numbers[4] = {};
    for (int index = 0; index < 4; ++index) {
      if (index > 0 && !take_prefix(rest, ":")) return result;
      std::optional<int> number = take_number(rest);
      if (!number) return result;
      numbers[index] = *number;
    }
    // Number 7 is the controller itself.
    result.disk = numbers[2] + numbers[3] - (numbers[2] > 7 ? 1 : 0);
  } else if (std::size_t ata = name.rfind("-ata-"); ata != std::string_view::npos) {
    std::string_view rest = name.substr(ata + 5);
    if (std::optional<int> port = take_number(rest); port && *port >= 1) result.disk = *port - 1;
  } else if (std::size_t nvme = name.rfind("-nvme-"); nvme != std::string_view::npos) {
    std::string_view rest = name.substr(nvme + 6);
    if (std::optional<int> space = take_number(rest); space && *space >= 1) result.disk = *space - 1;
  }
  return result;
}

DeviceName parse_by_id(std::string_view name) {
  // Names of what is on the device, in the same directory.
  for (std::string_view stable : {"dm-", "lvm-pv-uuid-", "md-"})
    if (name.starts_with(stable)) return {NameKind::kStable, -1, 0};
  DeviceName result;
  result.kind = NameKind::kById;
  if (std::size_t part = name.rfind("-part"); part != std::string_view::npos) {
    std::string_view rest = name.substr(part + 5);
    std::optional<int> number = take_number(rest);
    if (number && rest.empty()) result.partition = *number;
  }
  return result;
}

bool same_type(std::string_view configured, std::string_view found) {
  if (configured.empty() || configured == "auto" || configured == "none") return true;
  if (configured == found) return true;
  if (configured == "swap") return found == "swap" || found == "swsuspend";
  if (configured == "msdos") return found == "vfat";
  // An ext3 entry may name what grew to ext4, and the other way round.
  return configured.starts_with("ext") && found.starts_with("ext");
}

const Volume* only_fitting(int partition, std::string_view type, const Storage& storage) {
  const Volume* only = nullptr;
  for (const Volume& volume : storage.volumes) {
    if (volume.disk < 0 || volume.partition != partition || volume.type.empty() ||
        !same_type(type, volume.type))
      continue;
    if (only != nullptr) return nullptr;
    only = &volume;
  }
  return only;
}

const Volume* find_mapped(std::string_view path, const Storage& storage) {
  for (const Volume& volume : storage.volumes) {
    if (std::find(volume.aliases.begin(), volume.aliases.end(), path) != volume.aliases.end()) return &volume;
    if (volume.disk >= 0) continue;
    if (path == "/dev/" + volume.name || path == volume.node) return &volume;
    // /dev/mapper/ doubles each dash of a group's or volume's own name.
    std::string mapper = "/dev/mapper/";
    for (char c : volume.name) {
      if (c == '/')
        mapper += '-';
      else if (c == '-')
        mapper += "--";
      else
        mapper += c;
    }
    if (path == mapper) return &volume;
  }
  return nullptr;
}

}  // namespace

DeviceName parse_device_name(std::string_view name) {
  for (std::string_view tag : {"UUID=", "LABEL=", "PARTUUID=", "PARTLABEL="})
    if (name.starts_with(tag)) return {NameKind::kStable, -1, 0};
  if (!take_prefix(name, "/dev/")) return {};
  for (std::string_view stable :
       {"disk/by-uuid/", "disk/by-label/", "disk/by-partuuid/", "disk/by-partlabel/", "mapper/", "md", "dm-"})
    if (name.starts_with(stable)) return {NameKind::kStable, -1, 0};
  if (take_prefix(name, "disk/by-path/")) return parse_by_path(name);
  if (take_prefix(name, "disk/by-id/")) return parse_by_id(name);
  return parse_kernel_name(name);
}

ResolvedDevice resolve_device(std::string_view name, std::string_view filesystem_type,
                              const Storage& storage) {
  ResolvedDevice result;
  result.name = parse_device_name(name);
  switch (result.name.kind) {
    case NameKind::kOther:
      // "/dev/vg/lv" looks like nothing in particular.
      if (name.starts_with("/dev/")) result.volume = find_mapped(name, storage);
      if (result.volume != nullptr) result.name.kind = NameKind::kStable;
      break;
    case NameKind::kStable: {
      std::string tag(name);
      struct Directory {
        std::string_view path;
        const char* key;
      };
      for (Directory directory :
           {Directory{"/dev/disk/by-uuid/", "UUID="}, Directory{"/dev/disk/by-label/", "LABEL="},
            Directory{"/dev/disk/by-partuuid/", "PARTUUID="},
            Directory{"/dev/disk/by-partlabel/", "PARTLABEL="}})
        if (name.starts_with(directory.path))
          tag = directory.key + std::string(name.substr(directory.path.size()));
      result.volume = tag.starts_with("/dev/") ? find_mapped(tag, storage) : storage.find_tag(tag);
      break;
    }
    case NameKind::kKernel:
    case NameKind::kByPath:
    case NameKind::kById: {
      const Volume* named =
          result.name.disk >= 0 ? storage.find_partition(result.name.disk, result.name.partition) : nullptr;
      if (named != nullptr && !named->type.empty() && same_type(filesystem_type, named->type))
        result.volume = named;
      else
        result.volume = only_fitting(result.name.partition, filesystem_type, storage);
      break;
    }
  }
  return result;
}

std::string stable_name(const Volume& volume) {
  if (!volume.uuid.empty()) return "UUID=" + volume.uuid;
  if (!volume.part_uuid.empty()) return "PARTUUID=" + volume.part_uuid;
  if (!volume.label.empty()) return "LABEL=" + volume.label;
  return "";
}

std::string stable_path(const Volume& volume) {
  if (!volume.uuid.empty()) return "/dev/disk/by-uuid/" + volume.uuid;
  if (!volume.part_uuid.empty()) return "/dev/disk/by-partuuid/" + volume.part_uuid;
  return "";
}

}  // namespace hyper2kvm::guest
