#include "runner/guest/system/kernels.h"

#include <algorithm>
#include <array>

#include "runner/guest/initramfs/module_tree.h"
#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::string_view kImagePrefixes[] = {"vmlinuz-", "vmlinux-", "linux-",
                                               "kernel-",  "bzImage-", "Image-"};

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// "6.1.0-18-amd64" of "vmlinuz-6.1.0-18-amd64"; "" where the name has no version.
std::string version_of_name(const std::string& path) {
  std::string name = base_name(path);
  for (std::string_view prefix : kImagePrefixes)
    if (name.starts_with(prefix)) {
      std::string version = name.substr(prefix.size());
      for (std::string_view packed : {".gz", ".efi", ".old"})
        if (version.ends_with(packed)) version.resize(version.size() - packed.size());
      return version;
    }
  return "";
}

std::string find_version(const GuestRoot& root, const std::string& image,
                         const std::vector<std::string>& versions) {
  auto known = [&versions](const std::string& version) {
    return std::find(versions.begin(), versions.end(), version) != versions.end();
  };
  // A link without a version (/vmlinuz, Debian's and SUSE's "vmlinuz") leads to a name with one.
  for (const std::string& name : {image, root.resolve(image)})
    if (std::string version = version_of_name(name); known(version)) return version;
  if (std::string version = image_version(root, image); known(version)) return version;
  // kernel-install keeps the version as a directory: /boot/efi/MACHINE/VERSION/linux.
  for (const std::string& version : versions)
    if (image.find("/" + version + "/") != std::string::npos) return version;
  // Arch's images have no version; its module directory says which image it belongs to.
  std::string flavour = version_of_name(image);
  for (const std::string& version : versions)
    for (const char* top : {"/usr/lib/modules/", "/lib/modules/"})
      if (auto name = root.read(top + version + "/pkgbase", 4096); name && trim(*name) == flavour)
        return version;
  // Alpine's end with the image's flavour: vmlinuz-lts and 6.6.30-0-lts.
  if (!flavour.empty())
    for (const std::string& version : versions)
      if (version.ends_with("-" + flavour)) return version;
  return "";
}

std::vector<std::string> find_initramfs(const GuestRoot& root, const std::string& image,
                                        const std::string& version) {
  std::string directory = image.substr(0, image.rfind('/') + 1);
  std::string suffix = version_of_name(image);
  std::vector<std::string> names;
  for (const std::string& tail : {suffix, version}) {
    if (tail.empty()) continue;
    for (const std::string& name : {"initrd.img-" + tail, "initramfs-" + tail + ".img", "initrd-" + tail,
                                    "initramfs-" + tail, "initrd-" + tail + ".img"})
      names.push_back(name);
  }
  names.emplace_back("initrd");
  for (const std::string& name : names) {
    std::string path = directory + name;
    if (name == "initrd" && base_name(image) != "linux") continue;
    if (root.is_file(path)) return {path};
  }
  return {};
}

}  // namespace

std::string image_version(const GuestRoot& root, const std::string& path) {
  std::optional<GuestFile> file = root.open(path);
  if (!file) return "";
  std::array<std::byte, 0x210> header{};
  if (file->read_at(0, header) != header.size()) return "";
  auto byte = [&header](std::size_t at) { return std::to_integer<unsigned>(header[at]); };
  if (byte(0x202) != 'H' || byte(0x203) != 'd' || byte(0x204) != 'r' || byte(0x205) != 'S') return "";
  std::uint64_t offset = (byte(0x20e) | byte(0x20f) << 8) + 0x200;
  std::array<std::byte, 256> text{};
  std::size_t got = file->read_at(offset, text);
  std::string_view line(reinterpret_cast<const char*>(text.data()), got);
  line = line.substr(0, line.find('\0'));
  return std::string(line.substr(0, line.find(' ')));
}

std::vector<InstalledKernel> find_kernels(GuestRoot& root, const BootMenu& menu) {
  std::vector<std::string> versions = module_versions(root);
  std::vector<InstalledKernel> kernels;
  auto find = [&kernels, &root](const std::string& image) -> InstalledKernel* {
    for (InstalledKernel& kernel : kernels)
      if (root.resolve(kernel.image) == root.resolve(image)) return &kernel;
    return nullptr;
  };
  for (const BootEntry& entry : menu.entries) {
    InstalledKernel* kernel = find(entry.kernel);
    if (kernel == nullptr) {
      kernels.push_back({.version = find_version(root, entry.kernel, versions),
                         .image = entry.kernel,
                         .initramfs = entry.initramfs,
                         .unusable = entry.unusable,
                         .in_menu = true,
                         .options = entry.options});
      kernel = &kernels.back();
    }
    if (entry.is_default) {
      kernel->is_default = true;
      kernel->options = entry.options;
      if (!entry.initramfs.empty()) kernel->initramfs = entry.initramfs;
      kernel->unusable = entry.unusable;
    }
  }
  for (const std::string& name : root.list("/boot")) {
    std::string path = "/boot/" + name;
    if (version_of_name(path).empty() || name.ends_with(".old") || name.ends_with(".hmac")) continue;
    if (root.link_status(path).kind != NodeKind::kFile || find(path) != nullptr) continue;
    std::string version = find_version(root, path, versions);
    if (version.empty()) continue;
    kernels.push_back({.version = version, .image = path, .initramfs = find_initramfs(root, path, version)});
  }
  return kernels;
}

}  // namespace hyper2kvm::guest
