// What kind of system a root directory holds: distribution, architecture, init system, network configuration,
// package manager, tools of hypervisors. Read from its files; nothing is run. Throws os::Error.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "runner/guest/guest_root.h"
#include "runner/guest/protocol.h"

namespace hyper2kvm::guest {

// True where a Linux distribution lives: a release file or an fstab, and programs, and a C library's or
// loader's directory.
bool looks_like_linux(const GuestRoot& root);

// Fills the fields of Inspection that files tell: distribution to package_manager, selinux, guest_agent.
void identify(GuestRoot& root, Inspection& inspection);

// KEY=VALUE lines as shells and systemd read them (os-release, /etc/default/*): quotes and backslashes
// undone, the last value of a key wins. Nothing is expanded.
std::map<std::string, std::string> parse_assignments(std::string_view text);

}  // namespace hyper2kvm::guest
