#include "runner/guest/storage/storage.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <system_error>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::guest {
namespace {

// The kernel's partition devices of a disk, by number. None for an image file, which has no kernel's view.
std::map<int, std::filesystem::path> partition_nodes(const std::filesystem::path& disk) {
  std::map<int, std::filesystem::path> nodes;
  std::error_code ignored;
  std::filesystem::directory_iterator entries("/sys/class/block/" + disk.filename().string(), ignored);
  if (ignored) return nodes;
  for (const auto& entry : entries) {
    std::ifstream number_file(entry.path() / "partition");
    int number = 0;
    if (number_file >> number) nodes[number] = disk.parent_path() / entry.path().filename();
  }
  return nodes;
}

void take(Volume& volume, int fd) {
  std::optional<Signature> signature = read_signature(fd, volume.offset, volume.size, volume.name);
  if (!signature) return;
  volume.type = signature->type;
  volume.label = signature->label;
  volume.uuid = signature->uuid;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

const Volume* Storage::find(std::string_view name) const {
  for (const Volume& volume : volumes)
    if (volume.name == name) return &volume;
  return nullptr;
}

const Volume* Storage::find_partition(int disk, int partition) const {
  for (const Volume& volume : volumes)
    if (volume.disk == disk && volume.partition == partition) return &volume;
  return nullptr;
}

const Volume* Storage::find_tag(std::string_view tag) const {
  std::size_t equals = tag.find('=');
  if (equals == std::string_view::npos) return nullptr;
  std::string_view key = tag.substr(0, equals);
  std::string_view value = tag.substr(equals + 1);
  if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front())
    value = value.substr(1, value.size() - 2);
  if (value.empty()) return nullptr;
  const Volume* only = nullptr;
  for (const Volume& volume : volumes) {
    bool matches = (key == "UUID" && equal_ignoring_case(volume.uuid, value)) ||
                   (key == "LABEL" && volume.label == value) ||
                   (key == "PARTUUID" && equal_ignoring_case(volume.part_uuid, value));
    if (!matches) continue;
    if (only != nullptr) return nullptr;
    only = &volume;
  }
  return only;
}

Storage read_storage(const std::vector<std::string>& disk_devices) {
  Storage storage;
  for (std::size_t index = 0; index < disk_devices.size(); ++index) {
    const std::string& device = disk_devices[index];
    std::string name = "disk" + std::to_string(index);
    os::File disk = os::File::open(device, os::File::Mode::kRead);
    PartitionTable table = read_partition_table(disk.fd(), name);
    storage.table_types.push_back(table.type);
    if (table.entries.empty()) {
      Volume whole;
      whole.name = name;
      whole.node = device;
      whole.disk = static_cast<int>(index);
      whole.size = disk.size();
      take(whole, disk.fd());
      storage.volumes.push_back(std::move(whole));
      continue;
    }
    std::map<int, std::filesystem::path> nodes = partition_nodes(device);
    for (const TableEntry& entry : table.entries) {
      Volume volume;
      volume.name = name + "p" + std::to_string(entry.number);
      if (auto found = nodes.find(entry.number); found != nodes.end()) volume.node = found->second;
      volume.disk = static_cast<int>(index);
      volume.partition = entry.number;
      volume.offset = entry.offset;
      volume.size = entry.size;
      volume.part_uuid = entry.uuid;
      volume.part_type = entry.type;
      if (entry.offset < disk.size()) {
        volume.size = std::min(volume.size, disk.size() - entry.offset);
        take(volume, disk.fd());
      }
      storage.volumes.push_back(std::move(volume));
    }
  }
  return storage;
}

Partition to_partition(const Volume& volume) {
  return {.device = volume.name,
          .offset = volume.offset,
          .size = volume.size,
          .type = volume.type,
          .label = volume.label,
          .uuid = volume.uuid,
          .part_uuid = volume.part_uuid,
          .mount_point = ""};
}

}  // namespace hyper2kvm::guest
