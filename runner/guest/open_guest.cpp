#include "runner/guest/open_guest.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "runner/guest/storage/device_name.h"
#include "runner/guest/storage/filesystem_state.h"
#include "runner/guest/system/fstab.h"
#include "runner/guest/system/identity.h"
#include "runner/guest/system/text.h"
#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kSubject[] = "The guest";
constexpr std::size_t kMostSubvolumes = 50;

[[noreturn]] void refuse_hibernated(const std::string& place) {
  throw os::Error(os::ErrorKind::kInvalid, kSubject, "is hibernated (its memory is in " + place + ")",
                  "Start the source machine, shut it down and export it again.");
}

void refuse_hibernated(const Storage& storage) {
  for (const Volume& volume : storage.volumes)
    if (volume.type == "swsuspend") refuse_hibernated(volume.name);
}

// Swap may be a file, in which the kernel leaves the same signature: at the end of the first page, whose size
// is the processor's.
bool holds_memory(const GuestRoot& root, const std::string& path) {
  std::optional<GuestFile> file = root.is_file(path) ? root.open(path) : std::nullopt;
  if (!file) return false;
  for (std::uint64_t page : {4096u, 16384u, 65536u}) {
    std::array<std::byte, 10> bytes{};
    if (file->size() < page || file->read_at(page - bytes.size(), bytes) != bytes.size()) continue;
    std::string_view signature(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (std::string_view known : {"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001"})
      if (signature.starts_with(known)) return true;
  }
  return false;
}

bool is_below(const std::string& mount_point, std::initializer_list<const char*> tops) {
  return std::any_of(tops.begin(), tops.end(), [&mount_point](const char* top) {
    return mount_point == top || mount_point.starts_with(std::string(top) + "/");
  });
}

// What the system itself lives in, and so must be there.
bool is_vital(const std::string& mount_point) {
  return is_below(mount_point, {"/boot", "/efi", "/usr", "/var"});
}

std::string subvolume_option(const TableLine& line) {
  std::string_view options = line.field(kFstabOptions);
  while (!options.empty()) {
    std::size_t comma = std::min(options.find(','), options.size());
    std::string_view option = options.substr(0, comma);
    if (option.starts_with("subvol=") || option.starts_with("subvolid=")) return std::string(option);
    options.remove_prefix(std::min(comma + 1, options.size()));
  }
  return "";
}

std::string hexadecimal(std::string_view text) {
  std::string digits;
  for (char c : lower(text))
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) digits += c;
  return digits;
}

}  // namespace

void OpenGuest::progress(const std::string& what) const {
  if (environment_.progress) environment_.progress(what);
}

OpenGuest::OpenGuest(const Request& request, const Environment& environment, Inspection& inspection)
    : environment_(environment), activated_(environment) {
  progress("reading the disks");
  storage_ = read_storage(environment.disk_devices);
  bool read_only = request.mode != Mode::kRepair;
  auto note = [this, &inspection] {
    inspection.partitions.clear();
    for (const Volume& volume : storage_.volumes) inspection.partitions.push_back(to_partition(volume));
  };
  note();
  activated_.activate(storage_, request.keys, read_only, warnings_);
  note();
  if (request.mode != Mode::kInspect) refuse_hibernated(storage_);
  try {
    choose_root(request, inspection);
  } catch (const os::Error& error) {
    if (request.mode != Mode::kInspect) throw;
    warnings_.push_back(error.sentence());
    return;
  }
  mount_all(request, inspection);
}

// Mounted read-only by ntfs-3g, where the appliance has it; a volume that cannot be looked into is taken for
// Windows, which alone uses its format.
bool OpenGuest::holds_windows(const Volume& volume) const {
  if (volume.type == "BitLocker") return true;
  if (volume.type != "ntfs") return false;
  if (volume.node.empty() || os::find_program("ntfs-3g").empty()) return true;
  std::filesystem::path place = environment_.workspace / "candidate";
  try {
    if (environment_.load_module) environment_.load_module("fuse");
    os::make_directories(place);
    os::run_program({.arguments = {"ntfs-3g", "-o", "ro,nodev,nosuid,noexec", volume.node, place}}, {},
                    std::chrono::minutes(1));
  } catch (const os::Error&) {
    return true;
  }
  bool found = false;
  try {
    GuestRoot root(place);
    for (const std::string& name : root.list("/"))
      found = found || (lower(name) == "windows" && root.is_directory("/" + name));
  } catch (const os::Error&) {
    found = true;
  }
  ::umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  return found;
}

os::Error OpenGuest::nothing_found(Inspection& inspection) const {
  bool encrypted = false;
  bool windows = false;
  bool members = false;
  for (const Volume& volume : storage_.volumes) {
    bool opened =
        std::any_of(storage_.volumes.begin(), storage_.volumes.end(), [&volume](const Volume& other) {
          return !volume.uuid.empty() && other.encrypted_uuid == volume.uuid;
        });
    encrypted = encrypted || (volume.type == "crypto_LUKS" && !opened);
    windows = windows || holds_windows(volume);
    members = members || volume.type == "LVM2_member" || volume.type == "linux_raid_member";
  }
  inspection.os_type = windows ? "windows" : "unknown";
  if (encrypted)
    return os::Error(os::ErrorKind::kInvalid, kSubject,
                     "its disk is encrypted (LUKS) and no key was given for it",
                     "Give the passphrase or key file of the volume.");
  if (windows)
    return os::Error(
        os::ErrorKind::kInvalid, kSubject, "is a Windows machine, which cannot be repaired yet",
        "Set pipeline.fix.enabled to false to copy it as it is, and install the virtio drivers in "
        "the source machine beforehand.");
  if (members) {
    std::string problem =
        "no operating system was found on its disks; they are part of a volume group or RAID array";
    // What could not be opened is the likely reason.
    if (!warnings_.empty()) problem += ". " + warnings_.front();
    if (problem.ends_with('.')) problem.pop_back();
    return os::Error(os::ErrorKind::kInvalid, kSubject, problem,
                     "Check that every disk of the machine is listed, in order.");
  }
  return os::Error(os::ErrorKind::kInvalid, kSubject, "no operating system was found on its disks",
                   "Check that every disk of the machine is listed, in order, or set pipeline.fix.enabled to "
                   "false to copy them as they are.");
}

void OpenGuest::find_candidates(std::vector<Candidate>& candidates, std::string& failure) {
  std::filesystem::path place = environment_.workspace / "candidate";
  for (const Volume& volume : storage_.volumes) {
    if (!is_linux_filesystem(volume.type)) continue;
    try {
      Mount mount = Mount::make(volume, place, MountAccess::kReadOnly, "", environment_.load_module);
      if (looks_like_linux(GuestRoot(place))) {
        candidates.push_back({volume.name, "", volume.name});
        continue;
      }
      if (volume.type != "btrfs") continue;
      // Distributions keep the root in a subvolume below the top: "@", "root", "@rootfs". What is mounted
      // without being asked for may be another one.
      mount.unmount();
      Mount top = Mount::make(volume, place, MountAccess::kReadOnly, "subvolid=5", environment_.load_module);
      std::size_t looked_at = 0;
      for (const std::string& name : GuestRoot(place).list("/")) {
        if (++looked_at > kMostSubvolumes) break;
        if (GuestRoot(place).link_status("/" + name).kind != NodeKind::kDirectory ||
            name.find(',') != std::string::npos)
          continue;
        if (looks_like_linux(GuestRoot(place / name)))
          candidates.push_back({volume.name, "subvol=" + name, volume.name + ":" + name});
      }
    } catch (const os::Error& error) {
      // One damaged file system beside a good root is a matter of mounting it, later; alone it is the reason.
      failure = error.sentence();
    }
  }
}

void OpenGuest::choose_root(const Request& request, Inspection& inspection) {
  progress("looking for the operating system");
  std::vector<Candidate> candidates;
  std::string failure;
  find_candidates(candidates, failure);
  for (const Candidate& candidate : candidates) inspection.roots.push_back(candidate.name);
  inspection.os_type = candidates.empty() ? "unknown" : "linux";
  if (candidates.empty() && !failure.empty()) throw os::Error(os::ErrorKind::kInvalid, "", failure);
  if (candidates.empty()) throw nothing_found(inspection);
  const Candidate* chosen = nullptr;
  for (const Candidate& candidate : candidates)
    if (candidate.name == request.root) chosen = &candidate;
  if (chosen == nullptr && (!request.root.empty() || candidates.size() > 1)) {
    std::string list;
    for (const Candidate& candidate : candidates) list += (list.empty() ? "" : ", ") + candidate.name;
    if (!request.root.empty())
      throw os::Error(os::ErrorKind::kInvalid, kSubject, "has no operating system on " + request.root,
                      "Choose one of: " + list + ".");
    throw os::Error(os::ErrorKind::kInvalid, kSubject, "holds several operating systems: " + list,
                    "Name the one to repair as pipeline.fix.root or with --root.");
  }
  if (chosen == nullptr) chosen = &candidates.front();
  root_name_ = chosen->volume;
  root_options_ = chosen->options;
  inspection.root_device = chosen->name;
}

// What the guest itself calls its encrypted volumes and arrays.
void OpenGuest::name_mapped_volumes() {
  for (const TableLine& line : Table::parse(root_->read_if_sane("/etc/crypttab").value_or("")).lines) {
    if (line.fields.size() < 2 || line.field(0).find('/') != std::string::npos) continue;
    ResolvedDevice device = resolve_device(line.field(1), "crypto_LUKS", storage_);
    if (device.volume == nullptr) continue;
    for (Volume& volume : storage_.volumes)
      if (!volume.encrypted_uuid.empty() && volume.encrypted_uuid == device.volume->uuid)
        volume.aliases.push_back("/dev/mapper/" + line.field(0));
  }
  for (const char* file : {"/etc/mdadm/mdadm.conf", "/etc/mdadm.conf"}) {
    std::string text = root_->read_if_sane(file).value_or("");
    for (std::string_view line : lines_of(text)) {
      std::vector<std::string_view> words = words_of(line);
      if (words.size() < 3 || lower(words[0]) != "array") continue;
      for (std::string_view word : words)
        for (Volume& volume : storage_.volumes)
          if (lower(word).starts_with("uuid=") && !volume.array_uuid.empty() &&
              hexadecimal(word.substr(5)) == hexadecimal(volume.array_uuid))
            volume.aliases.emplace_back(words[1]);
    }
  }
}

// Before anything is written to it.
void OpenGuest::require_sound_to_write(const Volume& volume) {
  require_sound(volume);
  if (read_filesystem_state(volume) == FilesystemState::kJournal)
    warnings_.push_back(volume.name +
                        " was in use when it was exported; its journal was replayed. What the machine " +
                        "had not written yet is lost.");
}

void OpenGuest::mount_root(MountAccess access) {
  const Volume& volume = *storage_.find(root_name_);
  if (access == MountAccess::kReadWrite) require_sound_to_write(volume);
  progress("mounting " + root_name_);
  mounts_.push_back(
      Mount::make(volume, environment_.workspace / "guest", access, root_options_, environment_.load_module));
}

void OpenGuest::mount_all(const Request& request, Inspection& inspection) {
  MountAccess access = request.mode == Mode::kRepair ? MountAccess::kReadWrite : MountAccess::kReadOnly;
  std::filesystem::path top = environment_.workspace / "guest";
  mount_root(access);
  auto note = [&inspection](const std::string& volume, const std::string& mount_point) {
    for (Partition& partition : inspection.partitions)
      if (partition.device == volume && partition.mount_point.empty()) partition.mount_point = mount_point;
  };
  note(root_name_, "/");
  root_ = std::make_unique<GuestRoot>(top, request.fix.backup);
  name_mapped_volumes();
  std::optional<std::string> text = root_->read("/etc/fstab");
  if (!text) return;
  Table table = Table::parse(*text);
  std::vector<const TableLine*> lines;
  for (const TableLine& line : table.lines) {
    if (line.fields.size() < 3) continue;
    if (line.field(kFstabType) == "swap")
      if (ResolvedDevice device = resolve_device(line.field(kFstabDevice), "swap", storage_);
          device.volume != nullptr)
        note(device.volume->name, "swap");
    if (line.field(kFstabMountPoint).starts_with('/')) lines.push_back(&line);
  }
  // Parents before what is mounted in them.
  std::stable_sort(lines.begin(), lines.end(), [](const TableLine* a, const TableLine* b) {
    return a->field(kFstabMountPoint).size() < b->field(kFstabMountPoint).size();
  });
  for (const TableLine* line : lines) {
    const std::string& mount_point = line->field(kFstabMountPoint);
    ResolvedDevice device = resolve_device(line->field(kFstabDevice), line->field(kFstabType), storage_);
    bool vital = is_vital(mount_point) && !line->has_option(kFstabOptions, "nofail");
    if (device.volume == nullptr) {
      if (vital && device.name.kind != NameKind::kOther)
        root_->warn(mount_point + " of the guest is on " + line->field(kFstabDevice) +
                    ", which is on none of the machine's disks.");
      continue;
    }
    note(device.volume->name, mount_point);
    if (mount_point == "/" || line->has_option(kFstabOptions, "bind")) continue;
    if (!is_linux_filesystem(device.volume->type) && device.volume->type != "vfat") continue;
    // Data volumes are mounted for their free blocks alone, and only where nothing is risked.
    if (!vital && (request.mode == Mode::kInspect || line->has_option(kFstabOptions, "noauto"))) continue;
    // The mount point is a name of the guest: it is resolved below the root like every other.
    if (!root_->is_directory(mount_point)) continue;
    try {
      if (access == MountAccess::kReadWrite) require_sound_to_write(*device.volume);
      progress("mounting " + device.volume->name);
      mounts_.push_back(Mount::make(*device.volume, top / root_->resolve(mount_point).substr(1), access,
                                    subvolume_option(*line), environment_.load_module));
    } catch (const os::Error& error) {
      if (vital) throw;
      root_->warn(error.sentence());
    }
  }
  if (request.mode != Mode::kInspect)
    for (const TableLine& line : table.lines)
      if (line.fields.size() >= 3 && line.field(kFstabType) == "swap" &&
          line.field(kFstabDevice).starts_with('/') && !line.field(kFstabDevice).starts_with("/dev/") &&
          holds_memory(*root_, line.field(kFstabDevice)))
        refuse_hibernated(line.field(kFstabDevice));
  for (const std::string& warning : warnings_) root_->warn(warning);
}

// While it is mounted, ext4 keeps up to 2 MiB of its free blocks back for the next small file, and does not
// trim them: it is mounted once more, when it has let go of them.
void OpenGuest::trim_fresh(const Volume& volume) const {
  try {
    Mount mount = Mount::make(volume, environment_.workspace / "trimmed", MountAccess::kReadWrite, "",
                              environment_.load_module);
    mount.trim();
    mount.unmount();
  } catch (const os::Error&) {
    // A file system that does not open any more is for the check to tell about, which comes next.
  }
}

void OpenGuest::close(Mode mode) {
  bool repaired = mode == Mode::kRepair;
  root_.reset();
  auto is_ext = [](const Volume& volume) { return volume.type.starts_with("ext"); };
  std::vector<std::string> written;
  for (const Mount& mount : mounts_)
    if (std::find(written.begin(), written.end(), mount.volume_name()) == written.end()) {
      written.push_back(mount.volume_name());
      if (!repaired || is_ext(*storage_.find(mount.volume_name()))) continue;
      progress("trimming " + mount.volume_name());
      mount.trim();
    }
  progress("closing the disks");
  while (!mounts_.empty()) {
    mounts_.back().unmount();
    mounts_.pop_back();
  }
  for (const std::string& name : written) {
    if (!repaired || !is_ext(*storage_.find(name))) continue;
    progress("trimming " + name);
    trim_fresh(*storage_.find(name));
  }
  if (mode != Mode::kInspect) {
    progress("checking the file systems");
    std::vector<const Volume*> checked;
    for (const std::string& name : written) {
      const Volume& volume = *storage_.find(name);
      FilesystemState state = read_filesystem_state(volume);
      if (state != FilesystemState::kClean) require_sound(volume);
      // A rehearsal replays no journal, and what is still in it looks like damage.
      if (repaired || state == FilesystemState::kClean) checked.push_back(&volume);
    }
    check_filesystems(std::move(checked));
  }
  activated_.release();
}

}  // namespace hyper2kvm::guest
