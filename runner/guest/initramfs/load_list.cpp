#include "runner/guest/initramfs/load_list.h"

namespace hyper2kvm::guest {
namespace {

std::string with_newline(std::string text) {
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

std::string text_of(const Initramfs& image, const char* path) {
  const std::string* text = image.text(path);
  return text == nullptr ? "" : with_newline(*text);
}

std::string join(const std::vector<std::string>& names, const char* separator) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : separator) + name;
  return text;
}

}  // namespace

std::string image_generator(const Initramfs& image) {
  if (image.has("scripts/functions") && image.has("conf/initramfs.conf")) return "initramfs-tools";
  for (const char* sign :
       {"usr/lib/dracut", "lib/dracut", "usr/lib/dracut-lib.sh", "lib/dracut-lib.sh", "dracut-state.sh"})
    if (image.has(sign)) return "dracut";
  if (image.has("init_functions") && image.has("config")) return "mkinitcpio";
  if (image.has("mkinitrd.config") || image.has("run_all.sh")) return "mkinitrd";
  if (image.has("usr/share/mkinitfs") || image.has("etc/mkinitfs") || image.has_file_named("nlplug-findfs"))
    return "mkinitfs";
  return "";
}

std::map<std::string, std::string> load_lists(const Initramfs& image,
                                              const std::vector<std::string>& drivers) {
  std::map<std::string, std::string> files;
  std::string generator = image_generator(image);
  if (generator == "initramfs-tools") {
    files["conf/modules"] = text_of(image, "conf/modules") + join(drivers, "\n") + "\n";
  } else if (generator == "dracut") {
    files["etc/cmdline.d/90-hyper2kvm.conf"] = "rd.driver.pre=" + join(drivers, ",") + "\n";
  } else if (generator == "mkinitcpio") {
    // Read by a shell: the last assignment holds.
    files["config"] = text_of(image, "config") + "MODULES=\"${MODULES} " + join(drivers, " ") + "\"\n";
  }
  if (image.has("usr/lib/systemd/systemd") || image.has("lib/systemd/systemd"))
    files["etc/modules-load.d/hyper2kvm.conf"] = join(drivers, "\n") + "\n";
  return files;
}

}  // namespace hyper2kvm::guest
