// The manifest of a package (.mf): a digest for each file. Parsing only.
//
// Source: DMTF DSP0243, section "Manifest": lines "SHA256(disk.vmdk)= 64 hex digits", SHA-1 in older exports.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace hyper2kvm::image {

constexpr std::size_t kLargestDigests = 1u << 20;

struct FileDigest {
  std::string algorithm;  // SHA1, SHA256, SHA512
  std::string hex;        // lower case
};

// By file name. Throws os::Error (kInvalid) for a line that is none, and for two digests of one file that use
// the same algorithm and differ.
std::multimap<std::string, FileDigest> parse_ovf_digests(std::string_view text, const std::string& name);

}  // namespace hyper2kvm::image
