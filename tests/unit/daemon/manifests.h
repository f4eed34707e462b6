// Manifests for the tests of this room.
#pragma once

#include <string>

namespace hyper2kvm::daemon {

inline std::string manifest_text(const std::string& vm_name, const std::string& disk = "/nowhere/disk.raw",
                                 unsigned long bytes = 1048576) {
  return R"({"manifest_version": "1.0", "source": {"provider": "vsphere", "vm_name": ")" + vm_name +
         R"("}, "disks": [{"id": "disk-0", "source_format": "raw", "bytes": )" + std::to_string(bytes) +
         R"(, "local_path": ")" + disk +
         R"("}], "pipeline": {"convert": {"enabled": true, "compress": true}, "validate": {"enabled": true}},)" +
         R"( "output": {"format": "qcow2"}})";
}

}  // namespace hyper2kvm::daemon
