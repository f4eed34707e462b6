#include "runner/guest/storage/activation.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "runner/guest/storage/device_mapper.h"
#include "runner/guest/storage/lvm_metadata.h"
#include "runner/guest/storage/raid_array.h"
#include "runner/guest/storage/signature.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::chrono::minutes kLimit{2};

std::string run(std::vector<std::string> arguments, std::vector<std::pair<int, int>> descriptors = {}) {
  // LVM without a directory of its own: there is none, and none can be made on the appliance's root.
  return os::run_program({.arguments = std::move(arguments),
                          .descriptors = std::move(descriptors),
                          .environment = {{"MDADM_NO_UDEV", "1"},
                                          {"DM_DISABLE_UDEV", "1"},
                                          {"LVM_SYSTEM_DIR", ""},
                                          {"LC_ALL", "C"}}},
                         {}, kLimit);
}

// Only the driver that the member's array takes: that of levels 4 to 6 costs the appliance another start.
std::string array_module(const Volume& member) {
  os::File device = os::File::open(member.node, os::File::Mode::kRead);
  std::optional<std::string> module = raid_module(
      [&device](std::uint64_t offset, std::span<std::byte> buffer) { return device.read_at(offset, buffer); },
      device.size());
  if (module) return *module;
  // mdadm knows odd ones too.
  std::string description = run({"mdadm", "--examine", "--export", member.node});
  std::size_t at = description.find("MD_LEVEL=");
  std::string level = at == std::string::npos ? "" : description.substr(at + 9);
  level.resize(std::min(level.find('\n'), level.size()));
  for (const char* known : {"raid0", "raid1", "raid10", "linear"})
    if (level == known) return known;
  return "raid456";
}

// The names of the mapped devices that there are, with their nodes: without udev there are only the kernel's
// own, /dev/dm-N.
std::map<std::string, std::string> mapped_devices() {
  std::map<std::string, std::string> devices;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/block", ignored)) {
    std::ifstream file(entry.path() / "dm/name");
    std::string name;
    if (std::getline(file, name)) devices[name] = "/dev/" + entry.path().filename().string();
  }
  return devices;
}

std::string mapper_name(const std::string& group, const std::string& volume) {
  // One dash separates, so the names' own are doubled.
  auto doubled = [](const std::string& text) {
    std::string result;
    for (char c : text) result += c == '-' ? "--" : std::string(1, c);
    return result;
  };
  return doubled(group) + "-" + doubled(volume);
}

// Thin pools, mirrors, snapshots: LVM's own program knows how. A snapshot's two halves look like plain
// volumes, and a hidden one tells that they belong together.
bool needs_lvm(const LvmGroup& group) {
  return std::any_of(
      group.logical_volumes.begin(), group.logical_volumes.end(), [](const LvmLogicalVolume& volume) {
        return (volume.visible && !volume.is_simple()) ||
               std::any_of(volume.segments.begin(), volume.segments.end(),
                           [](const LvmSegment& segment) { return segment.type == "snapshot"; });
      });
}

struct GroupMembers {
  LvmGroup group;
  std::map<std::string, const Volume*> members;  // by the id of the physical volume
};

}  // namespace

void ActivatedVolumes::load(const char* module) const {
  if (environment_.load_module) environment_.load_module(module);
}

void ActivatedVolumes::add(Storage& storage, Volume volume) {
  os::File device = os::File::open(volume.node, os::File::Mode::kRead);
  volume.size = device.size();
  if (auto signature = read_signature(device.fd(), 0, volume.size, volume.name)) {
    volume.type = signature->type;
    volume.label = signature->label;
    volume.uuid = signature->uuid;
  }
  storage.volumes.push_back(std::move(volume));
}

void ActivatedVolumes::activate(Storage& storage, const std::vector<VolumeKey>& keys, bool read_only,
                                std::vector<std::string>& warnings) {
  bool more = true;
  for (int layer = 0; more && layer < 8; ++layer) {
    more = open_arrays(storage, read_only, warnings);
    more = open_encrypted(storage, keys, read_only, warnings) || more;
    more = open_groups(storage, read_only, warnings) || more;
  }
}

bool ActivatedVolumes::open_arrays(Storage& storage, bool read_only, std::vector<std::string>& warnings) {
  std::map<std::string, std::vector<const Volume*>> arrays;
  for (const Volume& volume : storage.volumes)
    if (volume.type == "linux_raid_member" && !volume.node.empty() && !volume.uuid.empty() &&
        std::find(seen_.begin(), seen_.end(), volume.name) == seen_.end())
      arrays[volume.uuid].push_back(&volume);
  std::vector<Volume> found;
  for (const auto& [uuid, members] : arrays) {
    for (const Volume* member : members) seen_.push_back(member->name);
    int number = 0;
    while (std::filesystem::exists("/sys/class/block/md" + std::to_string(number))) ++number;
    std::string node = "/dev/md" + std::to_string(number);
    std::vector<std::string> arguments = {"mdadm", "--assemble", "--run", node};
    if (read_only) arguments.insert(arguments.begin() + 2, "--readonly");
    for (const Volume* member : members) arguments.push_back(member->node);
    try {
      load(array_module(*members.front()).c_str());
      run(arguments);
      take_down_.push_back([node] { stop_raid_array(node); });
      Volume volume;
      volume.name = "md" + std::to_string(number);
      volume.node = node;
      volume.array_uuid = uuid;
      found.push_back(std::move(volume));
    } catch (const os::Error& error) {
      warnings.push_back("The RAID array of " + members.front()->name +
                         " could not be assembled: " + error.sentence());
    }
  }
  for (Volume& volume : found) add(storage, std::move(volume));
  return !found.empty();
}

bool ActivatedVolumes::open_encrypted(Storage& storage, const std::vector<VolumeKey>& keys, bool read_only,
                                      std::vector<std::string>& warnings) {
  std::vector<Volume> found;
  for (const Volume& volume : storage.volumes) {
    if (volume.type != "crypto_LUKS" || volume.node.empty() ||
        std::find(seen_.begin(), seen_.end(), volume.name) != seen_.end())
      continue;
    seen_.push_back(volume.name);
    bool any_key = false;
    std::string reason;
    for (const VolumeKey& key : keys) {
      if (!key.device.empty() && key.device != volume.uuid) continue;
      if (!any_key)
        for (const char* module : {"dm-mod", "dm-crypt", "xts", "ecb", "cbc", "essiv", "sha512_generic",
                                   "algif_skcipher", "af_alg"})
          load(module);
      any_key = true;
      // The key reaches the program as its standard input, from memory: never on a command line, never in a
      // file.
      os::UniqueFd secret(::memfd_create("key", MFD_CLOEXEC));
      if (!secret) throw os::system_error(errno, "hold the key of", volume.name);
      os::File file(std::move(secret), "the key of " + volume.name);
      file.write_at(0, std::as_bytes(std::span(key.secret.data(), key.secret.size())));
      std::string name = "luks-" + volume.uuid;
      std::vector<std::string> arguments = {
          "cryptsetup", "open", "--type", "luks", "--disable-locks", "--disable-keyring", "--key-file=-"};
      if (read_only) arguments.push_back("--readonly");
      arguments.push_back(volume.node);
      arguments.push_back(name);
      try {
        run(arguments, {{file.fd(), 0}});
      } catch (const os::Error& error) {
        reason = error.sentence();
        continue;
      }
      take_down_.push_back([name] { remove_mapped_device(name); });
      Volume opened;
      opened.name = name;
      opened.node = mapped_devices()[name];
      opened.encrypted_uuid = volume.uuid;
      found.push_back(std::move(opened));
      reason.clear();
      break;
    }
    if (any_key && !reason.empty())
      throw os::Error(os::ErrorKind::kInvalid, volume.name + " (LUKS " + volume.uuid + ")",
                      "none of the given keys opens it: " + reason, "Check the passphrase or key file.");
    if (!any_key)
      warnings.push_back(volume.name + " is encrypted (LUKS " + volume.uuid +
                         ") and no key was given for it.");
  }
  for (Volume& volume : found) add(storage, std::move(volume));
  return !found.empty();
}

bool ActivatedVolumes::open_groups(Storage& storage, bool read_only, std::vector<std::string>& warnings) {
  std::map<std::string, GroupMembers> groups;  // by the group's id
  std::map<std::string, const Volume*> members;
  bool any = false;
  for (const Volume& volume : storage.volumes) {
    if (volume.type != "LVM2_member" || volume.node.empty()) continue;
    bool fresh = std::find(seen_.begin(), seen_.end(), volume.name) == seen_.end();
    any = any || fresh;
    os::File device = os::File::open(volume.node, os::File::Mode::kRead);
    try {
      LvmMember member =
          read_lvm_member([&device](std::uint64_t offset,
                                    std::span<std::byte> buffer) { return device.read_at(offset, buffer); },
                          device.size(), volume.name);
      members[member.id] = &volume;
      if (!member.group) continue;
      GroupMembers& group = groups[member.group->id];
      if (group.group.name.empty() || group.group.sequence < member.group->sequence)
        group.group = *member.group;
    } catch (const os::Error& error) {
      if (fresh) warnings.push_back(error.sentence());
      seen_.push_back(volume.name);
    }
  }
  if (!any) return false;
  std::vector<Volume> found;
  for (auto& [id, group] : groups) {
    std::string key = "group " + id;
    if (std::find(seen_.begin(), seen_.end(), key) != seen_.end()) continue;
    bool whole = std::all_of(group.group.physical_volumes.begin(), group.group.physical_volumes.end(),
                             [&members](const auto& entry) { return members.contains(entry.second.id); });
    // A member may appear with a layer that is opened later.
    if (!whole) continue;
    seen_.push_back(key);
    for (const auto& [name, member] : group.group.physical_volumes) seen_.push_back(members[member.id]->name);
    load("dm-mod");
    if (needs_lvm(group.group)) {
      open_with_lvm(group.group, found, warnings);
      continue;
    }
    for (const LvmLogicalVolume& volume : group.group.logical_volumes) {
      if (!volume.visible) continue;
      std::vector<std::string> table = lvm_table(group.group, volume, [&members](const std::string& member) {
        return device_number(members[member]->node);
      });
      std::string name = mapper_name(group.group.name, volume.name);
      Volume opened;
      opened.name = group.group.name + "/" + volume.name;
      opened.node = create_mapped_device(name, table, read_only);
      take_down_.push_back([name] { remove_mapped_device(name); });
      found.push_back(std::move(opened));
    }
  }
  for (Volume& volume : found) add(storage, std::move(volume));
  return !found.empty();
}

// Every volume of the group: LVM does not share it with devices that it has not made itself.
void ActivatedVolumes::open_with_lvm(const LvmGroup& group, std::vector<Volume>& found,
                                     std::vector<std::string>& warnings) {
  for (const std::string& module : lvm_modules(group)) load(module.c_str());
  const std::map<std::string, std::string> before = mapped_devices();
  try {
    run({"lvm", "vgchange", "-ay", "--noudevsync", "--config",
         "devices{scan=\"/dev\" use_devicesfile=0} backup{backup=0 archive=0} "
         "global{thin_check_executable=\"\" cache_check_executable=\"\" locking_dir=\"/run\"} "
         "activation{udev_sync=0 udev_rules=0 monitoring=0}",
         group.name});
  } catch (const os::Error& error) {
    warnings.push_back("Some volumes of the group " + group.name +
                       " could not be opened: " + error.sentence());
  }
  const std::map<std::string, std::string> after = mapped_devices();
  // What was made first is what the others lie on, and goes last. Asking LVM to take them away would take
  // longer than all else that is done at the end.
  std::map<unsigned long, std::string> made;
  for (const auto& [name, node] : after)
    if (!before.contains(name)) made[std::stoul(node.substr(node.find_last_of('-') + 1))] = name;
  for (const auto& [number, name] : made) take_down_.push_back([name = name] { remove_mapped_device(name); });
  for (const LvmLogicalVolume& volume : group.logical_volumes) {
    if (!volume.visible) continue;
    auto node = after.find(mapper_name(group.name, volume.name));
    if (node == after.end()) continue;
    Volume opened;
    opened.name = group.name + "/" + volume.name;
    opened.node = node->second;
    found.push_back(std::move(opened));
  }
}

void ActivatedVolumes::release() noexcept {
  while (!take_down_.empty()) {
    try {
      take_down_.back()();
    } catch (const os::Error&) {
      // The machine ends in a moment, and nothing is mounted: what was written is written.
    }
    take_down_.pop_back();
  }
}

}  // namespace hyper2kvm::guest
