// UEFI: the fallback path.
//
// An installed system's boot loader is found by an entry in the firmware's memory, which does not travel with
// the disks. Without entries the firmware starts \EFI\BOOT\BOOTX64.EFI (UEFI specification, 3.5.1.1), which
// Debian, for one, does not install. The guest's own loader is copied there, with what it loads from beside
// itself: the shim and the GRUB behind it.
#include "runner/guest/repair/repair.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kLoaderLimit = std::size_t{16} << 20;
constexpr char kReason[] =
    "The new machine's firmware has no boot entry for the guest and looks for the loader here.";

// The ESP is a FAT: names differ in case only by accident.
std::string find_entry(const GuestRoot& root, const std::string& directory, std::string_view name) {
  for (const std::string& entry : root.list(directory))
    if (lower(entry) == lower(name)) return directory + "/" + entry;
  return "";
}

void copy(Repair& repair, const std::string& from, const std::string& to) {
  std::optional<std::string> bytes = repair.root.read(from, kLoaderLimit);
  if (!bytes) return;
  repair.root.write(to, *bytes, kReason, {.mode = 0755, .binary = true, .summary = "copy of " + from});
}

}  // namespace

void repair_firmware_path(Repair& repair) {
  if (!repair.request.fix.update_grub || repair.inspection.firmware != "uefi") return;
  struct Architecture {
    const char* name;
    const char* fallback;
    const char* suffix;
  };
  const Architecture* architecture = nullptr;
  static constexpr Architecture kArchitectures[] = {{"x86_64", "BOOTX64.EFI", "x64.efi"},
                                                    {"i686", "BOOTIA32.EFI", "ia32.efi"},
                                                    {"aarch64", "BOOTAA64.EFI", "aa64.efi"}};
  for (const Architecture& known : kArchitectures)
    if (repair.inspection.architecture == known.name) architecture = &known;
  if (architecture == nullptr) return;
  for (const std::string place : {"/boot/efi", "/efi", "/boot"}) {
    std::string efi = find_entry(repair.root, place, "EFI");
    if (efi.empty()) continue;
    std::string fallback = find_entry(repair.root, efi, "BOOT");
    if (!fallback.empty() && !find_entry(repair.root, fallback, architecture->fallback).empty()) return;
    if (fallback.empty()) fallback = efi + "/BOOT";
    std::string suffix = architecture->suffix;
    for (const std::string& vendor : repair.root.list(efi)) {
      std::string directory = efi + "/" + vendor;
      if (!repair.root.is_directory(directory) || lower(vendor) == "boot") continue;
      std::string shim = find_entry(repair.root, directory, "shim" + suffix);
      std::string grub = find_entry(repair.root, directory, "grub" + suffix);
      std::string systemd_boot = find_entry(repair.root, directory, "systemd-boot" + suffix);
      std::string first = !shim.empty() ? shim : !grub.empty() ? grub : systemd_boot;
      if (first.empty()) continue;
      copy(repair, first, fallback + "/" + architecture->fallback);
      if (!shim.empty()) {
        // The shim starts its neighbour of this name.
        if (!grub.empty()) copy(repair, grub, fallback + "/grub" + suffix);
        if (std::string manager = find_entry(repair.root, directory, "mm" + suffix); !manager.empty())
          copy(repair, manager, fallback + "/mm" + suffix);
      }
      return;
    }
    repair.root.warn(
        "The EFI system partition holds no boot loader that we know; the firmware of the new machine may "
        "not find one.");
    return;
  }
}

}  // namespace hyper2kvm::guest
