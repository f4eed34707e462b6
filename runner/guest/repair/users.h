// Users of the manifest's configuration: /etc/passwd, shadow and group, home directories, SSH keys and sudo
// rights.
#pragma once

#include "runner/guest/repair/repair.h"

namespace hyper2kvm::guest {

// Creates the users that are not there and changes those that are. Throws os::Error for names, hashes and
// keys that do not fit the files they are written to.
void apply_users(Repair& repair);

}  // namespace hyper2kvm::guest
