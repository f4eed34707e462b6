// The body of a streamOptimized VMDK, in the order in which it lies in the file.
//
//            ┌──────────────────────────────── marker ────────────────────────────────┐
//   headers  │ grain (size > 0): data follows   table, directory, footer (size 0): n sectors follow │ end of
//   stream
//
// GrainStream is fed the file from its first byte to its last in windows of any size and gives back the
// grains; it holds no data itself. The tables that lie in the stream are passed over: verify_grain_tables
// reads them once more, by the directory, when the stream has ended. Both kinds of stream are known: with the
// directory at the end, found through a footer (VMware, VirtualBox), and with directory and tables before the
// grains and no end marker (qemu-img).
//
// Source: VMware, "Virtual Disk Format 5.0", section "Stream-Optimized Compressed Sparse Extents".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runner/image/grain_ledger.h"
#include "runner/image/located_file.h"
#include "runner/image/vmdk_header.h"
#include "runner/os/stop.h"

namespace hyper2kvm::image {

constexpr std::size_t kGrainSize = 64 * 1024;
// A marker and the longest stream that 64 KiB may have been "compressed" into, in whole sectors. QEMU's limit
// for a grain is the same.
constexpr std::size_t kLargestGrainRecord = 2 * kGrainSize;

struct Grain {
  std::uint64_t number = 0;         // the grain's place in the virtual disk, in grains
  std::uint64_t sector = 0;         // of its marker, from the start of the image
  std::span<const std::byte> zlib;  // inside the window it was found in
};

// What a header says about where things are, checked against the length of the file.
struct StreamLayout {
  SparseHeader header;  // the footer's where there is one
  std::uint64_t length = 0;
  bool has_footer = false;
  std::uint64_t grains() const { return (header.capacity + header.grain_size - 1) / header.grain_size; }
};

using ReadAt = std::function<void(std::uint64_t offset, std::span<std::byte>)>;

// Reads header and, where the header points there, footer. Throws os::Error (kInvalid).
StreamLayout read_stream_layout(const ReadAt& read, std::uint64_t length, const std::string& name);
StreamLayout read_stream_layout(const LocatedFile& file);

class GrainStream {
 public:
  GrainStream(const StreamLayout& layout, const std::string& name);
  // window: the bytes from position() on, as many as there are. Appends the grains that are complete in it
  // and returns how many bytes are done with; the rest, never kLargestGrainRecord bytes or more, must come
  // again at the front of the next window. Throws os::Error (kInvalid) for a marker that makes no sense.
  std::size_t parse(std::span<const std::byte> window, std::vector<Grain>& grains);
  std::uint64_t position() const { return position_; }
  // After the last window. Throws when the file ends inside a record or before its end marker.
  void end() const;
  const GrainLedger& ledger() const { return ledger_; }
  GrainLedger& ledger() { return ledger_; }

 private:
  [[noreturn]] void refuse(const std::string& problem) const;
  StreamLayout layout_;
  std::string name_;
  std::uint64_t position_ = 0;
  std::uint64_t skip_ = 0;  // bytes still to be passed over
  bool ended_ = false;
  GrainLedger ledger_;
};

// Reads directory and tables and compares them with the grains that were seen. Throws os::Error (kInvalid)
// that names the first table or grain that is wrong.
void verify_grain_tables(const StreamLayout& layout, GrainLedger& ledger, const ReadAt& read,
                         const std::string& name, const os::StopToken& stop);

}  // namespace hyper2kvm::image
