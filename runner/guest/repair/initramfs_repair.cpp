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

}  // namespace

void inspect_kernels(Repair& repair) {
  repair.inspection.kernels.clear();
  for (const InstalledKernel& kernel : repair.kernels) {
    Kernel described = describe(kernel);
    std::optional<ModuleTree> tree = ModuleTree::load(repair.root, kernel.version);
    if (!tree) {
      described.missing_drivers = {"virtio_pci", "virtio_blk"};
      repair.inspection.kernels.push_back(described);
      continue;
    }
    std::optional<Initramfs> image;
    if (!kernel.initramfs.empty())
      if (auto file = repair.root.open(kernel.initramfs.back())) image = read_initramfs(*file);
    DriverState state = driver_state(*tree, image ? &*image : nullptr);
    described.virtio_ready = state.ready;
    described.missing_drivers = state.missing;
    if (image && repair.inspection.initramfs_generator.empty())
      repair.inspection.initramfs_generator = image_generator(*image);
    repair.inspection.kernels.push_back(described);
  }
}

void repair_initramfs(Repair& repair) {
  repair.inspection.kernels.clear();
  std::set<std::string> done;  // images that several entries share
  bool any_missing = false;
  for (const InstalledKernel& kernel : repair.kernels) {
    Kernel described = describe(kernel);
    auto report = [&repair, &described] { repair.inspection.kernels.push_back(described); };
    std::optional<ModuleTree> tree = ModuleTree::load(repair.root, kernel.version);
    if (!tree) {
      described.missing_drivers = {"virtio_pci", "virtio_blk"};
      report();
      continue;
    }
    std::optional<Initramfs> image;
    if (!kernel.initramfs.empty())
      if (auto file = repair.root.open(kernel.initramfs.back())) image = read_initramfs(*file);
    DriverState state = driver_state(*tree, image ? &*image : nullptr);
    if (image && repair.inspection.initramfs_generator.empty())
      repair.inspection.initramfs_generator = image_generator(*image);
    described.virtio_ready = state.ready;
    described.missing_drivers = state.missing;
    any_missing = any_missing || !state.missing.empty();
    if (image && repair.request.fix.regen_initramfs &&
        done.insert(repair.root.resolve(kernel.initramfs.back())).second) {
      std::map<std::string, std::string> files;
      // Names are given where the driver is loaded, which may be in the image.
      if (image->has_file_named("systemd-udevd") || image->has_file_named("udevd") ||
          image->has_file_named("udevadm"))
        files = repair.image_files;
      add_resume(repair, *image, files);
      Segment segment = make_segment(repair.root, *image, *tree, files);
      if (!segment.bytes.empty()) {
        check_space(repair, kernel.initramfs.back(), segment.bytes.size());
        repair.root.append(kernel.initramfs.back(), segment.bytes,
                           state.missing.empty() ? "The image gets the changed configuration too."
                                                 : "The image was made for the old hypervisor's hardware.",
                           segment.summary);
        if (state.capable) described.virtio_ready = true;
        described.missing_drivers = state.unavailable;
      }
    }
    report();
  }
  if (repair.request.fix.regen_initramfs && any_missing) configure_generator(repair);
}

}  // namespace hyper2kvm::guest
