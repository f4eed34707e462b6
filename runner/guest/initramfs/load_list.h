// Where each initramfs generator's images list the modules to load before the root file system is looked for.
//
// udev in the image loads drivers by their hardware's name as well; the lists are for images that have none
// and so that nothing depends on the order of events. Sources: initramfs-tools(7) (conf/modules),
// dracut.cmdline(7) (rd.driver.pre, etc/cmdline.d), mkinitcpio(8) (config), modules-load.d(5), mkinitfs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runner/guest/initramfs/initramfs.h"

namespace hyper2kvm::guest {

// "initramfs-tools", "dracut", "mkinitcpio", "mkinitrd", "mkinitfs", or "" where what made the image is not
// known.
std::string image_generator(const Initramfs& image);

// The files of the image that must change so that drivers are loaded: path to whole new text.
std::map<std::string, std::string> load_lists(const Initramfs& image,
                                              const std::vector<std::string>& drivers);

}  // namespace hyper2kvm::guest
