// The parts of a Linux guest that tests share: modules with their indexes, and images made from them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/unit/guest/image.h"
#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {

struct TestModule {
  std::string path;                // below the module directory
  std::vector<std::string> needs;  // paths
  std::string alias;
};

// Enough of a kernel's modules for VMware's hardware and for virtio.
inline std::vector<TestModule> usual_modules() {
  return {
      {"kernel/drivers/scsi/scsi_common.ko", {}, ""},
      {"kernel/drivers/scsi/scsi_mod.ko", {"kernel/drivers/scsi/scsi_common.ko"}, ""},
      {"kernel/drivers/scsi/sd_mod.ko",
       {"kernel/drivers/scsi/scsi_mod.ko", "kernel/drivers/scsi/scsi_common.ko"},
       "scsi:t-0x00*"},
      {"kernel/drivers/scsi/vmw_pvscsi.ko",
       {"kernel/drivers/scsi/scsi_mod.ko", "kernel/drivers/scsi/scsi_common.ko"},
       "pci:v000015ADd000007C0sv*sd*bc*sc*i*"},
      {"kernel/drivers/virtio/virtio.ko", {}, ""},
      {"kernel/drivers/virtio/virtio_ring.ko", {}, ""},
      {"kernel/drivers/virtio/virtio_pci.ko",
       {"kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko"},
       "pci:v00001AF4d*sv*sd*bc*sc*i*"},
      {"kernel/drivers/block/virtio_blk.ko",
       {"kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko"},
       "virtio:d00000002v*"},
      {"kernel/drivers/scsi/virtio_scsi.ko",
       {"kernel/drivers/scsi/scsi_mod.ko", "kernel/drivers/scsi/scsi_common.ko",
        "kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko"},
       "virtio:d00000008v*"},
      {"kernel/drivers/net/virtio_net.ko",
       {"kernel/drivers/virtio/virtio_ring.ko", "kernel/drivers/virtio/virtio.ko"},
       "virtio:d00000001v*"},
  };
}

inline std::string module_base(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  return name.substr(0, name.find(".ko"));
}

inline std::string module_bytes(const std::string& path) {
  return "\x7f"
         "ELF of " +
         module_base(path) + "\n";
}

// Writes a module directory with text indexes, as depmod would. suffix is ".xz", ".zst", ".gz" or "".
inline void add_modules(Tree& tree, const std::string& directory, const std::vector<TestModule>& modules,
                        const std::string& suffix = "",
                        const std::string& builtin = "kernel/fs/ext4/ext4.ko\n") {
  std::string dep, alias = "# Aliases extracted from modules themselves.\n";
  for (const TestModule& module : modules) {
    std::string bytes = module_bytes(module.path);
    if (suffix == ".xz") bytes = filter({"xz", "--check=crc32", "-c"}, bytes);
    if (suffix == ".zst") bytes = filter({"zstd", "-q", "-c"}, bytes);
    if (suffix == ".gz") bytes = filter({"gzip", "-c"}, bytes);
    tree.file(directory + "/" + module.path + suffix, bytes);
    dep += module.path + suffix + ":";
    for (const std::string& need : module.needs) dep += " " + need + suffix;
    dep += "\n";
    if (!module.alias.empty()) alias += "alias " + module.alias + " " + module_base(module.path) + "\n";
  }
  tree.file(directory + "/modules.dep", dep)
      .file(directory + "/modules.alias", alias)
      .file(directory + "/modules.softdep", "# Soft dependencies extracted from modules themselves.\n")
      .file(directory + "/modules.builtin", builtin);
}

// Those whose names are given, of a list.
inline std::vector<TestModule> only(const std::vector<TestModule>& modules,
                                    const std::vector<std::string>& names) {
  std::vector<TestModule> result;
  for (const TestModule& module : modules)
    if (std::find(names.begin(), names.end(), module_base(module.path)) != names.end())
      result.push_back(module);
  return result;
}

// An image of initramfs-tools as a guest of VMware's has it: its own drivers, no virtio.
inline std::string vmware_image(const std::string& version) {
  Tree image;
  image.directory("/usr/lib").link("/lib", "usr/lib");
  add_modules(image, "/usr/lib/modules/" + version,
              only(usual_modules(), {"scsi_common", "scsi_mod", "sd_mod", "vmw_pvscsi"}));
  image.file("/conf/modules", "vmw_pvscsi\nsd_mod\n")
      .file("/conf/initramfs.conf", "MODULES=list\n")
      .file("/scripts/functions", "#!/bin/sh\n")
      .file("/init", "#!/bin/sh\n", 0755)
      .file("/usr/lib/systemd/systemd-udevd", "udevd", 0755);
  return pack(image.top());
}

}  // namespace hyper2kvm::guest
