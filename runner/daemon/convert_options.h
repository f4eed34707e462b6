// QEMU_CONVERT_OPTIONS: the options of `qemu-img convert` that an instance's jobs take as their defaults.
//
// No qemu-img is run with them: they are understood and said again to the engine. What the engine cannot do
// is an error when the daemon starts, never silence. Source: qemu-img(1), convert.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runner/contract/manifest.h"

namespace hyper2kvm::daemon {

struct ConvertOptions {
  std::optional<contract::OutputFormat> format;      // -O
  bool compress = false;                             // -c
  std::optional<contract::Compression> compression;  // -o compression_type=
  bool progress = false;                             // -p
};

// Words are separated by blanks. Throws os::Error (kUsage).
ConvertOptions parse_convert_options(std::string_view text);

}  // namespace hyper2kvm::daemon
