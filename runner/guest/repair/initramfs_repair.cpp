// Each kernel's initramfs gets a segment with what it lacks, and the generator is told to keep it so.
#include <algorithm>

#include "runner/guest/initramfs/load_list.h"
#include "runner/guest/initramfs/module_tree.h"
#include "runner/guest/initramfs/segment.h"
#include "runner/guest/repair/generator_configuration.h"
#include "runner/guest/repair/repair.h"
#include "runner/guest/storage/device_name.h"
#include "runner/guest/system/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

// RESUME=/dev/sda5 in an image of initramfs-tools makes the boot wait for a disk of that name.
void add_resume(Repair& repair, const Initramfs& image, std::map<std::string, std::string>& files) {
  for (const char* path : {"conf/conf.d/resume", "conf/param.conf", "conf/conf.d/zz-resume-auto"}) {
    const std::string* text = image.text(path);
    if (text == nullptr || !text->starts_with("RESUME=/dev/")) continue;
    std::string device(trim(std::string_view(*text).substr(7)));
    ResolvedDevice resolved = resolve_device(device, "swap", repair.storage);
    if (resolved.name.kind == NameKind::kStable) continue;
    files[path] =
        resolved.volume == nullptr ? "RESUME=none\n" : "RESUME=" + stable_name(*resolved.volume) + "\n";
  }
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
  add_resume(repair, image, files);
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
  if (repair.request.fix.regen_initramfs && any_missing) configure_generator(repair);
}

}  // namespace hyper2kvm::guest
