// The names of a machine's results, as hyperexport polls them: OUTPUT_DIR/<vm>.qcow2 and
// OUTPUT_DIR/<vm>.error.
//
// A machine's name comes from a manifest and may be anything. What can be a file name is used as it is,
// blanks and all, because hyperexport looks for exactly that; what cannot be one is changed, and then ends
// with a digest of the original, so that two machines never share a result. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace hyper2kvm::daemon {

struct ResultName {
  std::string name;  // a plain file name of at most 200 bytes, not hidden
  bool changed = false;
};

// An empty name is "vm".
ResultName result_name(std::string_view vm_name);

// A name for a file that we set aside: the printable ASCII of the original, at most 100 bytes.
std::string harmless(std::string_view name);

}  // namespace hyper2kvm::daemon
