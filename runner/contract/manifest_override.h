// What whoever starts a job says over the manifest's own words, without a manifest of their own to edit.
#pragma once

#include <string_view>

#include "runner/contract/manifest.h"

namespace hyper2kvm::contract {

// patch: a JSON object with the keys "vm", "pipeline" and "libvirt" of a manifest, or some of them, as a
// merge patch (RFC 7396): what it names replaces what the manifest says or defaults to, null takes it back to
// the default, the rest stays. Unknown keys become warnings. Throws os::Error (kUsage) for what is no such
// object, kInvalid for a value that is not allowed; then parsed is as it was.
void override_manifest(ParsedManifest& parsed, std::string_view patch);

}  // namespace hyper2kvm::contract
