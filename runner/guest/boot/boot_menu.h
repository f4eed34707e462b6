// What the guest's boot loader can start, whichever loader it is, as its configuration says.
//
// Configuration is read and edited as text, never regenerated: no program of the guest is run, and what an
// admin wrote by hand stays. Throws os::Error.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/guest/guest_root.h"

namespace hyper2kvm::guest {

struct BootEntry {
  std::string title, id;
  std::string position;                // what the loader's configuration calls it as its default
  std::string kernel;                  // path in the guest, as found there
  std::vector<std::string> initramfs;  // paths in the guest
  std::vector<std::string> unusable;   // those that the loader is told to load and that are no files
  std::string options;                 // the kernel's command line
  std::string file;                    // the configuration file that it comes from
  bool is_default = false;
};

struct BootMenu {
  std::string loader;              // grub2, grub-legacy, extlinux, systemd-boot; "" none
  std::vector<BootEntry> entries;  // in the menu's order; those whose kernel is not there are left out
  std::vector<std::string> files;  // every file that holds kernel command lines

  const BootEntry* default_entry() const;
};

BootMenu read_boot_menu(GuestRoot& root);

// The guest's path of a file that a loader names: loaders count from the file system that holds the file,
// which may be /boot, the ESP, or a subvolume. beside: the configuration file, of a loader that counts from
// that file's directory where a path is not absolute; it is looked for there first. nullopt where there is no
// such file.
std::optional<std::string> find_boot_file(const GuestRoot& root, std::string_view loader_path,
                                          std::string_view beside = {});

// Adds what the loader calls loader_path to the entry: to its images, or to what it cannot load.
void add_initramfs(const GuestRoot& root, std::string_view loader_path, BootEntry& entry,
                   std::string_view beside = {});

// Replaces device names in root=, resume= and the like in one line of configuration. rename gets the
// parameter's name and the device and returns the new value, or "" to leave it, or kNoResume, which takes the
// place of the whole parameter.
inline constexpr std::string_view kNoResume = "noresume";
using RenameDevice = std::function<std::string(std::string_view parameter, std::string_view device)>;
std::string rename_devices(std::string_view line, const RenameDevice& rename);

// Readers of the single kinds; each returns an empty menu where its loader's files are not there.
BootMenu read_grub2(GuestRoot& root);
BootMenu read_grub_legacy(GuestRoot& root);
BootMenu read_extlinux(GuestRoot& root);
BootMenu read_systemd_boot(GuestRoot& root);
// Boot Loader Specification entries of a directory, newest first. variables are grub's.
std::vector<BootEntry> read_loader_entries(GuestRoot& root, const std::string& directory,
                                           const std::function<std::string(std::string_view)>& expand);

}  // namespace hyper2kvm::guest
