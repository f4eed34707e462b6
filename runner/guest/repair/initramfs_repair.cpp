// Each kernel's initramfs gets a segment with what it lacks, and the generator is told to keep it so.
#include <algorithm>

#include "runner/guest/initramfs/load_list.h"
#include "runner/guest/initramfs/module_tree.h"
#include "runner/guest/initramfs/segment.h"
#include "runner/guest/repair/device_renamer.h"
#include "runner/guest/repair/generator_configuration.h"
#include "runner/guest/repair/repair.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

// Settings in the image that make the boot wait for a disk of the old machine: those of initramfs-tools, and
// command lines that dracut has put there.
void add_renamed_devices(Repair& repair, const InstalledKernel& kernel, const Initramfs& image,
                         std::map<std::string, std::string>& files) {
  for (const auto& [path, entry] : image.entries) {
    bool settings =
        path.starts_with("conf/conf.d/") || path == "conf/initramfs.conf" || path == "conf/param.conf";
    bool command_line = path.starts_with("etc/cmdline.d/");
    const std::string* text = settings || command_line ? image.text(path) : nullptr;
    if (text == nullptr) continue;
    std::string renamed =
        settings ? rename_resume_setting(*text, repair.storage)
                 : rename_devices(*text, device_renamer(repair, kernel.initramfs.back() + ": " + path, true));
    if (renamed != *text) files[path] = renamed;
  }
}

// The same settings where the next image is made from them.
void rename_resume_of_generator(Repair& repair) {
  const std::string directory = "/etc/initramfs-tools/conf.d";
  std::vector<std::string> paths = {"/etc/initramfs-tools/initramfs.conf"};
  for (const std::string& name : repair.root.list(directory)) paths.push_back(directory + "/" + name);
  for (const std::string& path : paths)
    if (repair.root.is_file(path))
      if (std::optional<std::string> text = repair.root.read_if_sane(path, 65536))
        repair.root.write(path, rename_resume_setting(*text, repair.storage),
                          "The device to resume from is named by what is on it.");
}

Kernel describe(const InstalledKernel& kernel) {
  Kernel result;
  result.version = kernel.version;
  result.image = kernel.image;
  result.initramfs = kernel.initramfs.empty() ? "" : kernel.initramfs.back();
  result.is_default = kernel.is_default;
  return result;
}

void check_space(const Repair& repair, const std::string& path, std::size_t needed) {
  std::uint64_t free = repair.root.free_space(path);
  if (free < needed)
    throw os::Error(os::ErrorKind::kInvalid, path + " in the guest",
                    "needs " + std::to_string((needed >> 10) + 1) +
                        " KiB more for the virtio drivers and its file "
                        "system has " +
                        std::to_string(free >> 10) + " KiB left",
                    "Free some space there in the source machine and export it again.");
}

// What was found about one kernel.
struct Examined {
  Kernel described;
  std::optional<ModuleTree> tree;
  std::optional<Initramfs> image;
  DriverState state;
};

Examined examine(Repair& repair, const InstalledKernel& kernel) {
  Examined examined;
  examined.described = describe(kernel);
  // A kernel that no entry of the menu starts is not worth unpacking its image.
  if (!repair.menu.entries.empty() && !kernel.in_menu) return examined;
  try {
    examined.tree = ModuleTree::load(repair.root, kernel.version);
    if (!kernel.initramfs.empty())
      if (auto file = repair.root.open(kernel.initramfs.back())) examined.image = read_initramfs(*file);
  } catch (const os::Error& error) {
    // An old entry's broken image does not keep the guest from starting.
    if (kernel.is_default || repair.kernels.size() == 1) throw;
    repair.root.warn(error.sentence());
    examined.tree.reset();
  }
  if (!examined.tree) {
    examined.described.missing_drivers = {"virtio_pci", "virtio_blk"};
    return examined;
  }
  examined.state = driver_state(*examined.tree, examined.image ? &*examined.image : nullptr);
  examined.described.virtio_ready = examined.state.ready;
  examined.described.missing_drivers = examined.state.missing;
  if (examined.image && repair.inspection.initramfs_generator.empty())
    repair.inspection.initramfs_generator = image_generator(*examined.image);
  return examined;
}

// The image with its segment, as one change. Returns true where something was added.
bool add_segment(Repair& repair, const InstalledKernel& kernel, const Examined& examined) {
  const Initramfs& image = *examined.image;
  std::map<std::string, std::string> files;
  // Names are given where the driver is loaded, which may be in the image.
  if (image.has_file_named("systemd-udevd") || image.has_file_named("udevd") ||
      image.has_file_named("udevadm"))
    files = repair.image_files;
  add_renamed_devices(repair, kernel, image, files);
  Segment segment = make_segment(repair.root, image, *examined.tree, files);
  if (segment.bytes.empty()) return false;
  check_space(repair, kernel.initramfs.back(), segment.bytes.size());
  repair.root.append(kernel.initramfs.back(), segment.bytes,
                     examined.state.missing.empty() ? "The image gets the changed configuration too."
                                                    : "The image was made for the old hypervisor's hardware.",
                     segment.summary);
  return true;
}

}  // namespace

void inspect_kernels(Repair& repair) {
  repair.inspection.kernels.clear();
  for (const InstalledKernel& kernel : repair.kernels)
    repair.inspection.kernels.push_back(examine(repair, kernel).described);
}

void repair_initramfs(Repair& repair) {
  repair.inspection.kernels.clear();
  repair.repaired_kernels.clear();
  std::set<std::string> done;  // images that several entries share
  bool any_missing = false;
  for (const InstalledKernel& kernel : repair.kernels) {
    Examined examined = examine(repair, kernel);
    Kernel& described = examined.described;
    repair.inspection.kernels.push_back(described);
    any_missing = any_missing || !examined.state.missing.empty();
    if (examined.tree && examined.image && repair.request.fix.regen_initramfs &&
        done.insert(repair.root.resolve(kernel.initramfs.back())).second &&
        add_segment(repair, kernel, examined)) {
      described.virtio_ready = examined.state.capable;
      described.missing_drivers = examined.state.unavailable;
    }
    repair.repaired_kernels.push_back(described);
  }
  if (!repair.request.fix.regen_initramfs) return;
  if (any_missing) configure_generator(repair);
  rename_resume_of_generator(repair);
}

}  // namespace hyper2kvm::guest
