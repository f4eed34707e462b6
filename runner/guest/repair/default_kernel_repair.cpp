// The menu's default must be a kernel that drives virtio.
#include "runner/guest/boot/grub_environment.h"
#include "runner/guest/repair/repair.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kReason[] = "The kernel that was the default cannot drive virtio disks.";

// Lines of a file, each passed through change.
void edit_lines(Repair& repair, const std::string& file,
                const std::function<std::string(std::string_view)>& change) {
  std::optional<std::string> text = repair.root.read_if_sane(file);
  if (!text) return;
  std::string result;
  for (std::string_view line : lines_of(*text)) result += change(line) + "\n";
  repair.root.write(file, result, kReason);
}

void set_grub2_default(Repair& repair, const BootEntry& entry) {
  for (const std::string& file : repair.menu.files) {
    if (!file.ends_with("/grub.cfg")) continue;
    std::string environment = file.substr(0, file.size() - 8) + "grubenv";
    if (auto text = repair.root.read_if_sane(environment, 65536))
      if (parse_grub_environment(*text).contains("saved_entry"))
        if (auto result = edit_grub_environment(
                *text, [](std::string_view, std::string_view value) { return std::string(value); },
                {{"saved_entry", entry.position}}))
          repair.root.write(environment, *result, kReason);
    edit_lines(repair, file, [&entry](std::string_view line) {
      std::string_view bare = trim(line);
      if (!bare.starts_with("set default=") || bare.find('$') != std::string_view::npos)
        return std::string(line);
      std::string indentation(line.substr(0, line.find_first_not_of(" \t")));
      return indentation + "set default=\"" + entry.position + "\"";
    });
  }
}

}  // namespace

void repair_default_kernel(Repair& repair) {
  if (!repair.request.fix.update_grub) return;
  auto is_ready = [&repair](const std::string& image) {
    for (const Kernel& kernel : repair.repaired_kernels)
      if (kernel.image == image) return kernel.virtio_ready;
    return false;
  };
  const BootEntry* chosen = repair.menu.default_entry();
  if (chosen == nullptr || is_ready(chosen->kernel)) return;
  const BootEntry* better = nullptr;
  for (const BootEntry& entry : repair.menu.entries)
    if (better == nullptr && is_ready(entry.kernel)) better = &entry;
  if (better == nullptr) return;
  const std::string& loader = repair.menu.loader;
  if (loader == "grub2") {
    set_grub2_default(repair, *better);
  } else if (loader == "grub-legacy") {
    for (const std::string& file : repair.menu.files)
      edit_lines(repair, file, [better](std::string_view line) {
        bool is_default =
            line.starts_with("default=") || line.starts_with("default ") || line.starts_with("default\t");
        return is_default ? "default=" + better->position : std::string(line);
      });
  } else if (loader == "extlinux") {
    for (const std::string& file : repair.menu.files)
      edit_lines(repair, file, [better](std::string_view line) {
        std::string bare = lower(trim(line));
        if (bare == "menu default") return "# " + std::string(line);
        return bare.starts_with("default ") ? "DEFAULT " + better->position : std::string(line);
      });
  } else if (loader == "systemd-boot") {
    for (const char* file :
         {"/boot/efi/loader/loader.conf", "/efi/loader/loader.conf", "/boot/loader/loader.conf"}) {
      std::optional<std::string> text = repair.root.read_if_sane(file, 65536);
      if (!text) continue;
      std::string result;
      for (std::string_view line : lines_of(*text))
        if (!line.starts_with("default")) result += std::string(line) + "\n";
      repair.root.write(file, result + "default " + better->position + "\n", kReason);
    }
  }
  repair.root.warn("The guest now starts " + better->kernel + ": " + chosen->kernel +
                   " cannot drive virtio disks.");
  for (InstalledKernel& kernel : repair.kernels) kernel.is_default = kernel.image == better->kernel;
  for (Kernel& kernel : repair.repaired_kernels) kernel.is_default = kernel.image == better->kernel;
  for (BootEntry& entry : repair.menu.entries) entry.is_default = &entry == better;
}

}  // namespace hyper2kvm::guest
