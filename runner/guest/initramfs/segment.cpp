#include "runner/guest/initramfs/segment.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "runner/guest/initramfs/cpio.h"
#include "runner/guest/initramfs/load_list.h"
#include "runner/guest/initramfs/lz4_legacy.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

// In the order in which they are to be loaded. sd_mod makes disks of what virtio_scsi finds.
constexpr const char* kDrivers[] = {"virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_net"};

bool is_vital(std::string_view driver) { return driver == "virtio_pci" || driver == "virtio_blk"; }

// True where the image holds the driver and everything that it needs.
bool is_inside(const std::vector<std::string>& closure, const std::map<std::string, std::string>& present) {
  return std::all_of(closure.begin(), closure.end(),
                     [&present](const std::string& name) { return present.contains(name); });
}

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string human_size(std::size_t bytes) {
  char text[32];
  if (bytes < 1 << 20)
    std::snprintf(text, sizeof text, "%.1f KiB", static_cast<double>(bytes) / 1024);
  else
    std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

}  // namespace

DriverState driver_state(const ModuleTree& tree, const Initramfs* image) {
  DriverState state;
  std::map<std::string, std::string> present;
  if (image != nullptr) present = image->modules(tree.version());
  state.ready = true;
  state.capable = true;
  for (const char* driver : kDrivers) {
    std::optional<std::vector<std::string>> closure = tree.closure(driver);
    bool inside = closure ? is_inside(*closure, present) : present.contains(driver);
    if (inside) continue;
    state.missing.emplace_back(driver);
    if (!closure) state.unavailable.emplace_back(driver);
    if (is_vital(driver)) {
      state.ready = false;
      state.capable = state.capable && closure && image != nullptr;
    }
  }
  return state;
}

Segment make_segment(const GuestRoot& root, const Initramfs& image, const ModuleTree& tree,
                     const std::map<std::string, std::string>& extra_files) {
  std::map<std::string, std::string> present = image.modules(tree.version());
  std::map<std::string, std::string> united = present;
  std::vector<std::string> added_modules;
  std::vector<std::string> added_drivers;
  for (const std::string& driver : driver_state(tree, &image).missing) {
    std::optional<std::vector<std::string>> closure = tree.closure(driver);
    if (!closure) continue;
    added_drivers.push_back(driver);
    for (const std::string& name : *closure) {
      if (united.contains(name)) continue;
      std::string path = tree.dependencies().find(name)->second.path;
      // Unpacked, because not every image's modprobe can unpack.
      for (std::string_view packed : {".gz", ".xz", ".zst"})
        if (path.ends_with(packed)) path.resize(path.size() - packed.size());
      united.emplace(name, path);
      added_modules.push_back(name);
    }
  }

  std::map<std::string, std::string> files;
  std::string directory = image.module_directory(tree.version()) + "/";
  if (!added_drivers.empty()) {
    for (const std::string& name : added_modules)
      files[directory + united[name]] = tree.read_module(root, name);
    for (auto& [name, content] :
         make_indexes(united, tree.dependencies(), tree.read_index(root, "modules.alias"),
                      tree.read_index(root, "modules.softdep")))
      files[directory + name] = std::move(content);
    // An image without any modules lacks what modprobe wants to know of the kernel itself.
    for (const char* name : {"modules.builtin", "modules.builtin.bin", "modules.builtin.modinfo",
                             "modules.builtin.alias.bin", "modules.order"})
      if (!image.has(directory + name))
        if (std::string content = tree.read_index(root, name); !content.empty())
          files[directory + name] = std::move(content);
    for (auto& [path, content] : load_lists(image, added_drivers)) files[path] = std::move(content);
  }
  for (const auto& [path, content] : extra_files) {
    std::string where = image.resolve(path);
    if (where.empty()) where = path;
    const std::string* old = image.text(where);
    if (old == nullptr || *old != content) files[where] = content;
  }
  Segment segment;
  if (files.empty()) return segment;

  CpioWriter writer;
  std::set<std::string> known = image.directories();
  for (const auto& [path, content] : files) {
    writer.add_directories_above(path, known);
    writer.add_file(path, content);
  }
  std::string archive = writer.finish();
  if (!image.segments.empty() && image.segments.back() == Compression::kLz4) {
    // The kernel's lz4 code does not see where its data ends before a plain archive, but reads one stream
    // after another as one.
    segment.bytes = compress_lz4_legacy(archive);
  } else {
    segment.bytes = std::string((4 - image.size % 4) % 4, '\0') + archive;
  }
  segment.summary = human_size(segment.bytes.size()) + " segment";
  if (!added_drivers.empty()) segment.summary += " with " + join(added_drivers);
  std::vector<std::string> others;
  for (const auto& [path, content] : extra_files)
    if (files.contains(path)) others.push_back(path);
  if (!others.empty()) segment.summary += (added_drivers.empty() ? " with " : " and ") + join(others);
  segment.summary += "; the image was " + std::to_string(image.size) + " bytes long before";
  return segment;
}

}  // namespace hyper2kvm::guest
