#include "runner/guest/repair/repair.h"

namespace hyper2kvm::guest {

void run_repair(Repair& repair) {
  repair_fstab(repair);
  repair_boot_loader(repair);
  repair_firmware_path(repair);
  repair_network(repair);
  repair_hypervisor_tools(repair);
  repair_guest_agent(repair);
  apply_configuration(repair);
  // After everything that puts files into the images.
  repair_initramfs(repair);
  repair_default_kernel(repair);
  check_bootable(repair);
}

}  // namespace hyper2kvm::guest
