// The boot loader's configuration, edited as text.
//
// In every file with kernel command lines, and in those from which such files are made again, names of
// devices that depend on the hypervisor become names of what is on them. The rest of each line stays.
#include <algorithm>

#include "runner/guest/boot/grub_environment.h"
#include "runner/guest/repair/device_renamer.h"
#include "runner/guest/repair/repair.h"
#include "runner/guest/storage/device_name.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kReason[] = "The kernel's root and resume devices are named by what is on them.";

// Where the command line of kernels yet to be installed comes from.
constexpr const char* kSources[] = {
    "/etc/default/grub",         "/etc/kernel/cmdline", "/etc/default/extlinux", "/etc/update-extlinux.conf",
    "/etc/sysconfig/bootloader", "/etc/zipl.conf",      "/etc/default/u-boot"};

bool is_comment(std::string_view line) { return trim(line).starts_with('#'); }

void rename_in_file(Repair& repair, const std::string& file, bool has_initramfs) {
  std::optional<std::string> text = repair.root.read_if_sane(file);
  if (!text) return;
  std::string result;
  RenameDevice rename = device_renamer(repair, file, has_initramfs);
  std::string_view rest = *text;
  while (!rest.empty()) {
    std::size_t end = rest.find('\n');
    end = end == std::string_view::npos ? rest.size() : end + 1;
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end);
    // Debian's update-grub for GRUB legacy keeps its settings in comments: "# kopt=root=/dev/sda1 ro".
    bool setting = trim(line).starts_with("# kopt=") || trim(line).starts_with("# xenkopt=");
    result += is_comment(line) && !setting ? std::string(line) : rename_devices(line, rename);
  }
  repair.root.write(file, result, kReason);
}

// Red Hat's keep the command line of all entries in the environment block.
void repair_environment(Repair& repair, const std::string& file) {
  std::optional<std::string> text = repair.root.read_if_sane(file, 65536);
  if (!text) return;
  RenameDevice rename = device_renamer(repair, file, true);
  std::optional<std::string> result =
      edit_grub_environment(*text, [&rename](std::string_view name, std::string_view value) {
        return name == "kernelopts" ? rename_devices(value, rename) : std::string(value);
      });
  if (result) repair.root.write(file, *result, kReason);
}

// grub-mkconfig writes root=/dev/... when it was told not to use UUIDs, and so undoes the repair.
void allow_uuids(Repair& repair) {
  std::optional<std::string> text = repair.root.read_if_sane("/etc/default/grub");
  if (!text) return;
  std::string result;
  bool changed = false;
  for (std::string_view line : lines_of(*text)) {
    std::string_view bare = trim(line);
    bool forbids =
        bare.starts_with("GRUB_DISABLE_LINUX_UUID=") && bare.find("true") != std::string_view::npos;
    result += forbids ? "GRUB_DISABLE_LINUX_UUID=false" : std::string(line);
    result += '\n';
    changed = changed || forbids;
  }
  if (changed)
    repair.root.write("/etc/default/grub", result,
                      "The configuration that is made next names the root by its UUID too.");
}

// "(hd0) /dev/sda": what grub-install believes the firmware's disks are.
void repair_device_map(Repair& repair, const std::string& file) {
  std::optional<std::string> text = repair.root.read_if_sane(file, 65536);
  if (!text) return;
  std::string result;
  for (std::string_view line : lines_of(*text)) {
    std::vector<std::string_view> words = words_of(line);
    std::string out(line);
    if (words.size() == 2 && words[0].starts_with("(hd")) {
      DeviceName name = parse_device_name(words[1]);
      int disk = name.disk;
      if (name.kind == NameKind::kById && repair.request.disk_count == 1) disk = 0;
      bool whole = name.partition == 0 && name.kind != NameKind::kOther && name.kind != NameKind::kStable;
      if (whole && disk >= 0 && disk < 26 && !words[1].starts_with("/dev/vd"))
        out = std::string(words[0]) + "\t/dev/vd" + static_cast<char>('a' + disk);
    }
    result += out + "\n";
  }
  repair.root.write(file, result, "The disks are virtio disks now.");
}

}  // namespace

void repair_boot_loader(Repair& repair) {
  if (!repair.request.fix.update_grub) return;
  for (const std::string& file : repair.menu.files) {
    bool has_initramfs = true;
    for (const BootEntry& entry : repair.menu.entries)
      if (entry.file == file && entry.initramfs.empty()) has_initramfs = false;
    // A file with several entries has one kind of name; where any entry has an initramfs, most do.
    for (const BootEntry& entry : repair.menu.entries)
      if (entry.file == file && entry.is_default) has_initramfs = !entry.initramfs.empty();
    rename_in_file(repair, file, has_initramfs);
  }
  for (const char* file : kSources) rename_in_file(repair, file, true);
  if (repair.menu.loader == "grub2") {
    for (const std::string& file : repair.menu.files)
      if (file.ends_with("/grub.cfg"))
        repair_environment(repair, file.substr(0, file.size() - 8) + "grubenv");
    allow_uuids(repair);
  }
  for (const char* map : {"/boot/grub/device.map", "/boot/grub2/device.map"}) repair_device_map(repair, map);
}

}  // namespace hyper2kvm::guest
