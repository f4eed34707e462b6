// The header of a qcow2 file that somebody else has made, every number checked before it is believed.
//
// Source: docs/interop/qcow2.txt of QEMU 7.2, sections "Header" and "Header extensions".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runner/image/located_file.h"

namespace hyper2kvm::image {

// How much of a file's beginning parse_qcow2_header wants to see, where there is so much.
constexpr std::size_t kQcow2HeaderWindow = 64 * 1024;

struct Qcow2Header {
  std::uint32_t version = 0;
  std::uint32_t cluster_bits = 0;
  std::uint64_t virtual_size = 0;
  std::uint32_t l1_size = 0;  // entries
  std::uint64_t l1_offset = 0;
  std::uint32_t snapshots = 0;
  bool zstd = false;
  bool extended_l2 = false;
  bool dirty = false;
  std::string backing_file;    // as written; empty: none
  std::string backing_format;  // as written; empty: none
  bool has_data_file = false;
  std::string data_file;  // as written; may be empty though there is one
};

bool has_qcow2_magic(std::span<const std::byte> bytes);
// window: the first bytes of the file, kQcow2HeaderWindow or all of it. length: of the file. Throws os::Error
// (kInvalid) for what is damaged, encrypted, marked as corrupt, or needs a feature that is not known.
Qcow2Header parse_qcow2_header(std::span<const std::byte> window, std::uint64_t length,
                               const std::string& name);
// The same of a file.
Qcow2Header read_qcow2_header(const LocatedFile& file);

}  // namespace hyper2kvm::image
