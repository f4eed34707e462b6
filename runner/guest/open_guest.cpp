#include "runner/guest/open_guest.h"

#include <algorithm>

#include "runner/guest/storage/device_name.h"
#include "runner/guest/system/fstab.h"
#include "runner/guest/system/identity.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kSubject[] = "The guest";

struct Candidate {
  std::string volume;
  std::string options;  // subvol=...
  std::string name;     // as Inspection::roots shows it
};

os::Error nothing_found(const Storage& storage) {
  bool encrypted = false;
  bool windows = false;
  for (const Volume& volume : storage.volumes) {
    encrypted = encrypted || volume.type == "crypto_LUKS";
    windows = windows || volume.type == "ntfs" || volume.type == "BitLocker";
  }
  if (encrypted)
    return os::Error(os::ErrorKind::kInvalid, kSubject, "its disk is encrypted (LUKS) and no key opens it",
                     "Give the passphrase or key file of the volume.");
  if (windows)
    return os::Error(
        os::ErrorKind::kInvalid, kSubject, "is a Windows machine, which cannot be repaired yet",
        "Set pipeline.fix.enabled to false to copy it as it is, and install the virtio drivers in "
        "the source machine beforehand.");
  return os::Error(os::ErrorKind::kInvalid, kSubject, "no operating system was found on its disks",
                   "Check that every disk of the machine is listed, in order, or set pipeline.fix.enabled to "
                   "false to copy them as they are.");
}

// What a repair or the guest's own configuration may need to see.
bool is_wanted(const std::string& mount_point) {
  for (const char* prefix : {"/boot", "/efi", "/usr", "/var", "/home", "/root", "/opt", "/srv"})
    if (mount_point == prefix || mount_point.starts_with(std::string(prefix) + "/")) return true;
  return false;
}

bool is_vital(const std::string& mount_point) {
  for (const char* prefix : {"/boot", "/efi", "/usr", "/var"})
    if (mount_point == prefix || mount_point.starts_with(std::string(prefix) + "/")) return true;
  return false;
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

}  // namespace

void OpenGuest::progress(const std::string& what) const {
  if (environment_.progress) environment_.progress(what);
}

OpenGuest::OpenGuest(const Request& request, const Environment& environment, Inspection& inspection)
    : environment_(environment) {
  progress("reading the disks");
  storage_ = read_storage(environment.disk_devices);
  for (const Volume& volume : storage_.volumes) inspection.partitions.push_back(to_partition(volume));
  choose_root(request, inspection);
  mount_all(request, inspection);
}

void OpenGuest::choose_root(const Request& request, Inspection& inspection) {
  progress("looking for the operating system");
  std::vector<Candidate> candidates;
  std::string failed;
  for (const Volume& volume : storage_.volumes) {
    if (!is_linux_filesystem(volume.type)) continue;
    try {
      Mount mount = Mount::make(volume, environment_.workspace / "candidate", MountAccess::kReadOnly, "",
                                environment_.load_module);
      if (looks_like_linux(GuestRoot(mount.directory())))
        candidates.push_back({volume.name, "", volume.name});
    } catch (const os::Error& error) {
      // One damaged file system beside a good root is a matter of mounting it, later; alone it is the reason.
      failed = error.sentence();
    }
  }
  for (const Candidate& candidate : candidates) inspection.roots.push_back(candidate.name);
  if (candidates.empty() && !failed.empty()) throw os::Error(os::ErrorKind::kInvalid, "", failed);
  if (candidates.empty()) throw nothing_found(storage_);
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
                    "Choose the one to repair.");
  }
  if (chosen == nullptr) chosen = &candidates.front();
  root_name_ = chosen->volume;
  root_options_ = chosen->options;
  inspection.root_device = chosen->name;
}

void OpenGuest::mount_all(const Request& request, Inspection& inspection) {
  MountAccess access = request.mode == Mode::kRepair ? MountAccess::kReadWrite : MountAccess::kReadOnly;
  std::filesystem::path top = environment_.workspace / "guest";
  progress("mounting " + root_name_);
  mounts_.push_back(
      Mount::make(*storage_.find(root_name_), top, access, root_options_, environment_.load_module));
  auto note = [&inspection](const std::string& volume, const std::string& mount_point) {
    for (Partition& partition : inspection.partitions)
      if (partition.device == volume) partition.mount_point = mount_point;
  };
  note(root_name_, "/");
  root_ = std::make_unique<GuestRoot>(top, request.fix.backup);
  std::optional<std::string> text = root_->read("/etc/fstab");
  if (!text) return;
  Table table = Table::parse(*text);
  std::vector<const TableLine*> lines;
  for (const TableLine& line : table.lines)
    if (line.fields.size() >= 3 && line.field(kFstabMountPoint).starts_with('/')) lines.push_back(&line);
  // Parents before what is mounted in them.
  std::stable_sort(lines.begin(), lines.end(), [](const TableLine* a, const TableLine* b) {
    return a->field(kFstabMountPoint).size() < b->field(kFstabMountPoint).size();
  });
  for (const TableLine* line : lines) {
    const std::string& mount_point = line->field(kFstabMountPoint);
    ResolvedDevice device = resolve_device(line->field(kFstabDevice), line->field(kFstabType), storage_);
    if (device.volume == nullptr) continue;
    note(device.volume->name, mount_point);
    if (mount_point == "/" || !is_wanted(mount_point)) continue;
    if (!is_linux_filesystem(device.volume->type) && device.volume->type != "vfat") continue;
    // The mount point is a name of the guest: it is resolved below the root like every other.
    if (!root_->is_directory(mount_point)) continue;
    try {
      progress("mounting " + device.volume->name);
      mounts_.push_back(Mount::make(*device.volume, top / root_->resolve(mount_point).substr(1), access,
                                    subvolume_option(*line), environment_.load_module));
    } catch (const os::Error& error) {
      if (is_vital(mount_point) && !line->has_option(kFstabOptions, "nofail")) throw;
      root_->warn(error.sentence());
    }
  }
}

void OpenGuest::close(bool trim) {
  root_.reset();
  if (trim) {
    progress("trimming");
    for (const Mount& mount : mounts_) mount.trim();
  }
  progress("closing the disks");
  while (!mounts_.empty()) {
    mounts_.back().unmount();
    mounts_.pop_back();
  }
}

}  // namespace hyper2kvm::guest
