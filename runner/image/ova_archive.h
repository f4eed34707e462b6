// The members of an OVA: where each lies in the archive, so that it can be read in place. Nothing is
// unpacked.
//
// Source: POSIX.1 "pax Interchange Format" and ustar, which DSP0243 (section 5.3) asks an OVA to be.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "runner/image/source.h"

namespace hyper2kvm::image {

// By name, without a leading "./".
using ArchiveMembers = std::map<std::string, ImageLocation>;

// Throws os::Error (kInvalid) for links, devices, absolute and upward names, names that come twice, members
// that end behind the end of the file, and what is no tar archive.
ArchiveMembers list_archive(const std::filesystem::path& path);

}  // namespace hyper2kvm::image
