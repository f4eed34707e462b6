// What must be true before the guest is let go: its default kernel is there, drives virtio from the first
// moment, is told a root that exists, and finds what fstab and crypttab make it wait for.
//
// Each of these is a boot fact, which the report lists whether it holds or not (docs/report.md): so all are
// looked up before the first one that is an error ends the repair.
#include <algorithm>
#include <optional>

#include "runner/guest/repair/repair.h"
#include "runner/guest/storage/device_name.h"
#include "runner/guest/system/fstab.h"
#include "runner/guest/system/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

// A guest may have fstabs of any length; a report is for reading.
constexpr std::size_t kMostFacts = 200;

[[noreturn]] void refuse(const std::string& problem, const std::string& advice) {
  throw os::Error(os::ErrorKind::kInvalid, "The guest", problem, advice);
}

void add_fact(Repair& repair, const std::string& name, const std::string& subject, bool holds,
              const std::string& detail) {
  if (repair.boot_facts.size() < kMostFacts)
    repair.boot_facts.push_back({.name = name, .subject = subject, .holds = holds, .detail = detail});
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// The place in Repair::repaired_kernels, which is that in Repair::kernels.
std::size_t default_kernel(const Repair& repair) {
  auto found = std::find_if(repair.repaired_kernels.begin(), repair.repaired_kernels.end(),
                            [](const Kernel& kernel) { return kernel.is_default; });
  return found == repair.repaired_kernels.end()
             ? 0
             : static_cast<std::size_t>(found - repair.repaired_kernels.begin());
}

void check_files(Repair& repair, std::size_t chosen) {
  const Kernel& kernel = repair.repaired_kernels[chosen];
  NodeStatus image = repair.root.status(kernel.image);
  bool has_image = image.kind == NodeKind::kFile && image.size > 0;
  add_fact(repair, "kernel", kernel.image, has_image,
           !has_image               ? "is not in the guest, or empty"
           : kernel.version.empty() ? "version not known"
                                    : kernel.version);
  std::vector<std::string> missing;
  if (!has_image) missing.push_back(kernel.image);
  for (const std::string& path : repair.kernels[chosen].initramfs) {
    NodeStatus status = repair.root.status(path);
    bool holds = status.kind == NodeKind::kFile && status.size > 0;
    add_fact(repair, "initramfs", path, holds,
             holds ? std::to_string(status.size) + " bytes" : "is not in the guest, or empty");
    if (!holds) missing.push_back(path);
  }
  // One image that is there may do without another, such as a microcode's.
  if (repair.kernels[chosen].initramfs.empty())
    for (const std::string& path : repair.kernels[chosen].unusable) {
      add_fact(repair, "initramfs", path, false, "is not in the guest, or no regular file");
      missing.push_back(path);
    }
  if (!missing.empty())
    refuse(
        "its boot loader's default entry needs " + joined(missing) + ", which is not there, empty or no file",
        "Install the kernel again in the source machine and export it again.");
}

void check_kernels(Repair& repair) {
  if (repair.repaired_kernels.empty()) {
    add_fact(repair, "kernel", "/boot", false, "no kernel was found");
    refuse("no kernel was found in it",
           "Install a kernel and a boot loader in the source machine and export it again.");
  }
  std::size_t place = default_kernel(repair);
  const Kernel& chosen = repair.repaired_kernels[place];
  std::string name = chosen.version.empty() ? chosen.image : chosen.version;
  add_fact(repair, "virtio", name, chosen.virtio_ready,
           chosen.virtio_ready ? "virtio_pci and virtio_blk are built in or in the initramfs"
                               : "lacks " + joined(chosen.missing_drivers));
  check_files(repair, place);
  if (!chosen.virtio_ready) {
    if (!repair.request.fix.regen_initramfs) {
      repair.root.warn(
          "Kernel " + name + " lacks " + joined(chosen.missing_drivers) +
          " in its initramfs, and pipeline.fix.regen_initramfs is off: the guest may not find its disks.");
      return;
    }
    refuse("its kernel " + name + " has no virtio drivers (" + joined(chosen.missing_drivers) + ")",
           "Install a kernel with virtio_pci and virtio_blk in the source machine, make it the default and "
           "export the "
           "machine again.");
  }
  for (const std::string& driver : chosen.missing_drivers)
    if (driver == "virtio_net")
      repair.root.warn("Kernel " + name +
                       " has no virtio_net: give the machine another model of network card.");
  for (std::size_t index = 0; index < repair.repaired_kernels.size(); ++index) {
    const Kernel& kernel = repair.repaired_kernels[index];
    if (!kernel.virtio_ready && index != place && repair.kernels[index].in_menu)
      repair.root.warn("Kernel " + (kernel.version.empty() ? kernel.image : kernel.version) +
                       " of the boot menu cannot drive virtio disks.");
  }
}

// What a name of a device comes to when the guest starts on virtio.
struct Looked {
  enum class Answer { kFound, kMissing, kNoDisk } answer = Answer::kNoDisk;
  bool by_attachment = false;  // a name that the new machine does not have, or has for another disk
  std::string detail;
};

// Names that say which group of what kind a volume is in, as LVM's "/dev/group/volume".
bool is_volume_path(std::string_view name) {
  constexpr std::string_view kDev = "/dev/";
  if (!name.starts_with(kDev)) return false;
  std::string_view rest = name.substr(kDev.size());
  std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos || slash + 1 == rest.size()) return false;
  std::string_view directory = rest.substr(0, slash);
  return directory != "disk" && directory != "shm" && directory != "pts" && directory != "mapper" &&
         directory != "md" && rest.find('/', slash + 1) == std::string_view::npos;
}

Looked look(const Repair& repair, const std::string& name, const std::string& type) {
  ResolvedDevice device = resolve_device(name, type, repair.storage);
  Looked looked;
  looked.by_attachment = (device.name.kind == NameKind::kKernel && !name.starts_with("/dev/vd")) ||
                         device.name.kind == NameKind::kByPath || device.name.kind == NameKind::kById;
  if (device.volume != nullptr) {
    looked.answer = Looked::Answer::kFound;
    looked.detail = device.volume->name;
    if (!device.volume->type.empty()) looked.detail += " (" + device.volume->type + ")";
    if (looked.by_attachment) looked.detail += ", by a name that depends on how the disk is attached";
    return looked;
  }
  looked.detail = "on none of the machine's disks";
  bool assembled = name.starts_with("/dev/md") || name.starts_with("/dev/dm-");
  if (assembled) {
    // Which number an array or a mapping gets is decided when the guest starts.
    bool any = std::any_of(repair.storage.volumes.begin(), repair.storage.volumes.end(),
                           [](const Volume& volume) { return volume.disk < 0; });
    looked.answer = any ? Looked::Answer::kNoDisk : Looked::Answer::kMissing;
  } else if (device.name.kind != NameKind::kOther || is_volume_path(name)) {
    looked.answer = Looked::Answer::kMissing;
  }
  return looked;
}

// The value of the last root= of a command line.
std::string root_of(std::string_view options) {
  std::string root;
  for (std::string_view word : words_of(options))
    if (word.starts_with("root=")) root = word.substr(5);
  if (root.size() >= 2 && (root.front() == '"' || root.front() == '\''))
    root = root.substr(1, root.size() - 2);
  return root;
}

void check_loader(Repair& repair) {
  BootMenu menu = read_boot_menu(repair.root);
  const BootEntry* entry = menu.default_entry();
  add_fact(repair, "boot_loader", menu.loader.empty() ? "configuration" : menu.loader, entry != nullptr,
           entry == nullptr       ? "none that we know was found"
           : entry->title.empty() ? entry->kernel
                                  : entry->title);
  if (entry == nullptr) {
    repair.root.warn("No boot loader that we know was found in the guest.");
    return;
  }
  std::string root = root_of(entry->options);
  if (root.empty() || root.find('$') != std::string::npos) return;
  Looked looked = look(repair, root, "");
  if (looked.answer == Looked::Answer::kNoDisk) return;
  bool found = looked.answer == Looked::Answer::kFound;
  add_fact(repair, "root", root, found && !looked.by_attachment, looked.detail);
  if (!found && (root.starts_with("UUID=") || root.starts_with("LABEL=") || root.starts_with("PARTUUID=")))
    refuse("its boot loader starts the kernel with root=" + root + ", which is on none of its disks",
           "Check that every disk of the machine is listed, in order.");
  if (looked.by_attachment)
    repair.root.warn("The boot loader starts the kernel with root=" + root +
                     ", a name that depends on how the disk is attached.");
  else if (!found)
    repair.root.warn("The boot loader starts the kernel with root=" + root +
                     ", which is on none of the machine's disks.");
}

// Whether the start of the guest waits for a line with these options.
bool is_needed(const TableLine& line, std::size_t options) {
  for (const char* spared : {"noauto", "nofail", "_netdev", "x-systemd.automount"})
    if (line.has_option(options, spared)) return false;
  return true;
}

void record(Repair& repair, const std::string& name, const std::string& file, const std::string& device,
            const std::string& purpose, const Looked& looked) {
  if (looked.answer == Looked::Answer::kNoDisk) return;
  bool found = looked.answer == Looked::Answer::kFound;
  add_fact(repair, name, device + purpose, found && !looked.by_attachment, looked.detail);
  if (!found)
    repair.root.warn(file + ": " + device + purpose +
                     " is on none of the machine's disks; the guest may wait for it when it starts.");
  else if (looked.by_attachment)
    repair.root.warn(file + ": " + device + purpose +
                     " is named by how its disk is attached; the guest may wait for it when it starts.");
}

// The names below /dev/mapper that the guest makes from crypttab, also those with a key of the moment.
std::vector<std::string> mappings(const Table& crypttab) {
  std::vector<std::string> names;
  for (const TableLine& line : crypttab.lines)
    if (line.fields.size() >= 2) names.push_back("/dev/mapper/" + line.field(0));
  return names;
}

void check_tables(Repair& repair) {
  constexpr std::size_t kName = 0, kDevice = 1, kOptions = 3;
  Table crypttab = Table::parse(repair.root.read_if_sane("/etc/crypttab").value_or(""));
  std::vector<std::string> mapped = mappings(crypttab);
  Table fstab = Table::parse(repair.root.read("/etc/fstab").value_or(""));
  for (const TableLine& line : fstab.lines) {
    if (line.fields.size() < 3 || !is_needed(line, kFstabOptions)) continue;
    const std::string& device = line.field(kFstabDevice);
    std::string purpose = " (" + line.field(kFstabMountPoint) + ")";
    if (line.field(kFstabType) == "swap") purpose = " (swap)";
    Looked looked = look(repair, device, line.field(kFstabType));
    if (looked.answer == Looked::Answer::kMissing &&
        std::find(mapped.begin(), mapped.end(), device) != mapped.end()) {
      looked.answer = Looked::Answer::kFound;
      looked.detail = "made from /etc/crypttab";
    }
    record(repair, "fstab", "/etc/fstab", device, purpose, looked);
  }
  for (const TableLine& line : crypttab.lines) {
    if (line.fields.size() < 2 || (line.fields.size() > kOptions && !is_needed(line, kOptions))) continue;
    record(repair, "crypttab", "/etc/crypttab", line.field(kDevice), " (" + line.field(kName) + ")",
           look(repair, line.field(kDevice), ""));
  }
}

}  // namespace

void check_bootable(Repair& repair) {
  std::optional<os::Error> failure;
  for (void (*check)(Repair&) : {check_loader, check_kernels, check_tables}) {
    try {
      check(repair);
    } catch (const os::Error& error) {
      if (!failure) failure = error;
    }
  }
  if (failure) throw *failure;
}

}  // namespace hyper2kvm::guest
