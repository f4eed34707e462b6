#include "runner/guest/repair/generator_configuration.h"

#include <algorithm>

#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr const char* kDrivers[] = {"virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net"};
constexpr char kReason[] = "The next initramfs holds the virtio drivers too.";

std::string drivers() {
  std::string list;
  for (const char* driver : kDrivers) list += (list.empty() ? "" : " ") + std::string(driver);
  return list;
}

void configure_initramfs_tools(Repair& repair) {
  std::string text = repair.root.read_if_sane("/etc/initramfs-tools/modules").value_or("");
  if (!text.empty() && text.back() != '\n') text += '\n';
  std::vector<std::string> present;
  for (std::string_view line : lines_of(text))
    if (auto words = words_of(line); !words.empty()) present.emplace_back(words[0]);
  for (const char* driver : kDrivers)
    if (std::find(present.begin(), present.end(), driver) == present.end())
      text += std::string(driver) + "\n";
  repair.root.write("/etc/initramfs-tools/modules", text, kReason);
}

void configure_dracut(Repair& repair) {
  repair.root.write("/etc/dracut.conf.d/90-hyper2kvm.conf", "add_drivers+=\" " + drivers() + " \"\n",
                    kReason);
}

// MODULES=(a b) or MODULES="a b".
void configure_mkinitcpio(Repair& repair) {
  std::optional<std::string> text = repair.root.read_if_sane("/etc/mkinitcpio.conf");
  if (!text) return;
  std::string result;
  for (std::string_view line : lines_of(*text)) {
    std::string out(line);
    if (trim(line).starts_with("MODULES=")) {
      std::size_t close = out.find_last_of(")\"'");
      std::size_t open = out.find_first_of("(\"'");
      if (open != std::string::npos && close > open) {
        std::vector<std::string> missing;
        std::string inside = out.substr(open + 1, close - open - 1);
        for (const char* driver : kDrivers) {
          auto words = words_of(inside);
          if (std::find(words.begin(), words.end(), driver) == words.end()) missing.emplace_back(driver);
        }
        std::string added;
        for (const std::string& driver : missing)
          added += (added.empty() && trim(inside).empty() ? "" : " ") + driver;
        out.insert(close, added);
      }
    }
    result += out + "\n";
  }
  repair.root.write("/etc/mkinitcpio.conf", result, kReason);
}

// INITRD_MODULES="..." of SUSE's mkinitrd.
void configure_mkinitrd(Repair& repair) {
  std::optional<std::string> text = repair.root.read_if_sane("/etc/sysconfig/kernel");
  if (!text) return;
  std::string result;
  for (std::string_view line : lines_of(*text)) {
    std::string out(line);
    if (line.starts_with("INITRD_MODULES=\"") && line.ends_with('"') &&
        line.find("virtio_blk") == std::string_view::npos)
      out.insert(out.size() - 1, (out.size() > 17 ? " " : "") + drivers());
    result += out + "\n";
  }
  repair.root.write("/etc/sysconfig/kernel", result, kReason);
}

void configure_mkinitfs(Repair& repair) {
  std::optional<std::string> text = repair.root.read_if_sane("/etc/mkinitfs/mkinitfs.conf");
  if (!text || !repair.root.is_file("/etc/mkinitfs/features.d/virtio.modules")) return;
  std::string result;
  for (std::string_view line : lines_of(*text)) {
    std::string out(line);
    if (line.starts_with("features=\"") && line.ends_with('"') &&
        line.find("virtio") == std::string_view::npos)
      out.insert(out.size() - 1, " virtio");
    result += out + "\n";
  }
  repair.root.write("/etc/mkinitfs/mkinitfs.conf", result, kReason);
}

}  // namespace

void configure_generator(Repair& repair) {
  // By what is installed, not by the distribution's name; a guest may have more than one.
  if (repair.root.is_directory("/etc/initramfs-tools")) configure_initramfs_tools(repair);
  if (repair.root.is_directory("/etc/dracut.conf.d")) configure_dracut(repair);
  if (repair.root.is_file("/etc/mkinitcpio.conf")) configure_mkinitcpio(repair);
  if (!repair.root.is_directory("/etc/dracut.conf.d")) configure_mkinitrd(repair);
  if (repair.root.is_directory("/etc/mkinitfs")) configure_mkinitfs(repair);
}

}  // namespace hyper2kvm::guest
