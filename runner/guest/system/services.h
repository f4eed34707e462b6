// Switching the guest's services on and off as its own tools would: links of systemd units, of System V run
// levels and of OpenRC, overrides of upstart. Throws os::Error.
#pragma once

#include <string>
#include <string_view>

#include "runner/guest/guest_root.h"

namespace hyper2kvm::guest {

// name is a unit with or without its suffix ("sshd", "sshd.service", "fstrim.timer", "getty@tty1.service"),
// or the name of a script in /etc/init.d. True where the guest has such a service.
bool has_service(const GuestRoot& root, std::string_view name);
// Does nothing where it has none, or where the unit does not say how it is enabled.
void enable_service(GuestRoot& root, std::string_view name, std::string_view reason);
// Takes the links away that start it.
void disable_service(GuestRoot& root, std::string_view name, std::string_view reason);
// Also keeps systemd from starting it for another unit's sake.
void mask_service(GuestRoot& root, std::string_view name, std::string_view reason);

}  // namespace hyper2kvm::guest
