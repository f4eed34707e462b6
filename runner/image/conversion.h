// One disk on its way: source to target file, then the overlay's clusters over it, then finished.
//
//   copy() ─► apply_overlay() (0 or 1 times) ─► finish()
//
// The target is written under the temporary name it is given and is not complete before finish() has
// returned; whoever owns that name removes it after a failure and renames it after a success. A target that
// is a block device (raw only) is written in place, and its first MiB last, by finish(). Not thread-safe: one
// thread drives one Conversion (it uses threads of its own inside); several Conversions may run at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runner/image/compression.h"
#include "runner/image/rate_limiter.h"
#include "runner/image/source.h"
#include "runner/os/stop.h"

namespace hyper2kvm::image {

// How many threads work on one disk where nobody says: one a processor and some that wait for the disk.
unsigned usual_threads();

struct ConversionOptions {
  contract::OutputFormat format = contract::OutputFormat::kQcow2;
  bool compress = false;
  ClusterCompression compression = ClusterCompression::kDeflate;
  std::optional<int> compress_level;  // 1-9, where something is compressed anew
  std::optional<std::string>
      expected_sha256;         // of the source's bytes (file or member); a mismatch makes copy() throw
  bool digest_source = false;  // source_sha256 is wanted, also where nothing is expected
  bool check_grains = true;    // Adler-32 of every streamOptimized grain
  std::shared_ptr<RateLimiter> limiter;  // of all that is read and written; null: no limit
  unsigned threads = 0;                  // that work on its pieces; 0: usual_threads()
  std::filesystem::path scratch;         // private directory for sockets; must exist
  bool wants_digest() const { return digest_source || expected_sha256.has_value(); }
};

struct ConversionResult {
  std::uint64_t virtual_size = 0;  // bytes
  std::uint64_t file_size = 0;     // bytes that the target takes up on the disk
  std::uint64_t bytes_read = 0;    // of the source file, or of the disk's data where blocks are read
  std::string
      source_sha256;  // of the source's bytes as read in the one pass; empty where it was not computed
  bool compressed = false;
  std::uint64_t overlay_bytes = 0;  // applied
};

class Conversion {
 public:
  // done and total are bytes of the source file, or of the disk's data where blocks are read: what is done is
  // written. done never goes back; it is total only at the end.
  using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;
  static std::unique_ptr<Conversion> create(const SourceImage& source, const std::filesystem::path& target,
                                            const ConversionOptions& options);
  virtual ~Conversion() = default;
  virtual void copy(const Progress& progress, const os::StopToken& stop) = 0;
  // overlay: a qcow2 file with the same virtual size, whose allocated clusters replace what was copied (zero
  // clusters as zeroes).
  virtual void apply_overlay(const std::filesystem::path& overlay, const os::StopToken& stop) = 0;
  // Completes the metadata and syncs.
  virtual ConversionResult finish() = 0;
};

// Takes back what a finished conversion has put on a block device, as far as anybody would use it: zeroes its
// first MiB. Before finish() there is nothing to take back. Throws os::Error.
void erase_head(const std::filesystem::path& device);

// Makes an empty qcow2 overlay (no backing name inside: the block graph says it) of this virtual size.
void create_overlay(const std::filesystem::path& path, std::uint64_t virtual_size);

// Reads a whole finished image back: `qemu-img check` for the formats that have one, and the SHA-256 of the
// file. Holes cost little: where there are many, nothing is hashed. limiter: of its own reads; may be null.
// Throws os::Error (kInvalid) when the image is damaged.
struct CheckResult {
  std::string sha256;   // of the file; empty for a raw one with more than 64 GiB of holes
  std::string checker;  // what looked: "qemu-img check", "size and readability"
};
CheckResult check_image(const std::filesystem::path& path, contract::OutputFormat format,
                        std::uint64_t virtual_size, const os::StopToken& stop,
                        RateLimiter* limiter = nullptr);

// SHA-256 of a file or a member, as 64 lower-case hex digits. limiter: of its reads; may be null.
std::string sha256_of(const ImageLocation& location, const std::function<void(std::uint64_t)>& progress,
                      const os::StopToken& stop, RateLimiter* limiter = nullptr);

}  // namespace hyper2kvm::image
