// Reading a finished image back.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "runner/image/byte_order.h"
#include "runner/image/chunk.h"
#include "runner/image/conversion.h"
#include "runner/image/edge.h"
#include "runner/image/located_file.h"
#include "runner/image/qcow2_header.h"
#include "runner/image/vdi_header.h"
#include "runner/os/process.h"

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kHashChunk = 1u << 20;
// A hole is hashed as slowly as data. With more of them than this, a raw file is only read.
constexpr std::uint64_t kMostHolesHashed = std::uint64_t{64} << 30;

[[noreturn]] void damaged(const std::string& name, const std::string& problem) {
  throw os::Error(os::ErrorKind::kInvalid, name, problem,
                  "The image that was written is damaged: convert the disk again.");
}

// The format is said, the image has no backing file: qemu-img opens nothing but the file itself.
void run_qemu_img_check(const std::filesystem::path& path, const char* format, const os::StopToken& stop) {
  os::ProcessOptions options;
  options.arguments = {"qemu-img", "check", "-q", "-f", format, "--output=json", path.string()};
  os::Process process = os::Process::start(options);
  os::ExitStatus status = process.wait(stop);
  if (status.success()) return;
  std::string said = process.stderr_tail();
  if (said.size() > 400) said = said.substr(0, 400);
  while (!said.empty() && (said.back() == '\n' || said.back() == '.')) said.pop_back();
  // 2: corrupt, 3: leaked clusters only. Ours has neither.
  if (!status.signalled && (status.code == 2 || status.code == 3))
    damaged(path.string(), status.code == 2 ? "qemu-img check found errors in it"
                                            : "qemu-img check found leaked clusters in it");
  throw os::Error(os::ErrorKind::kSystem, path.string(),
                  "qemu-img check " + status.description() + (said.empty() ? "" : ": " + said));
}

std::uint64_t virtual_size_of(const LocatedFile& file, contract::OutputFormat format) {
  switch (format) {
    case contract::OutputFormat::kRaw:
      return file.length();
    case contract::OutputFormat::kQcow2: {
      const Qcow2Header header = read_qcow2_header(file);
      if (!header.backing_file.empty() || header.has_data_file)
        damaged(file.name(), "the image refers to another file");
      return header.virtual_size;
    }
    case contract::OutputFormat::kVdi:
      // qemu-img check does not notice when the end of a VDI is missing; this does.
      return read_vdi_header(file).virtual_size;
  }
  return 0;
}

// Bytes of a file that are not on the disk.
std::uint64_t holes_of(const os::File& file) {
  struct stat status;
  if (::fstat(file.fd(), &status) != 0) throw os::system_error(errno, "look at", file.path().string());
  if (!S_ISREG(status.st_mode)) return 0;
  const std::uint64_t there = static_cast<std::uint64_t>(status.st_blocks) * 512;
  const std::uint64_t size = static_cast<std::uint64_t>(status.st_size);
  return size - std::min(size, there);
}

void read_data(const ImageLocation& location, const os::StopToken& stop, RateLimiter* limiter) {
  LocatedFile file(location);
  file.expect_sequential_reads();
  std::vector<std::byte> buffer(kHashChunk);
  for (os::File::Range data = file.next_data(0); data.length > 0; data = file.next_data(data.offset)) {
    stop.throw_if_stopped();
    const std::span<std::byte> part =
        std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(data.length, kHashChunk)));
    if (limiter != nullptr) limiter->pass(part.size(), [&] { stop.throw_if_stopped(); });
    file.read_exactly_at(data.offset, part);
    data.offset += part.size();
  }
}

}  // namespace

CheckResult check_image(const std::filesystem::path& path, contract::OutputFormat format,
                        std::uint64_t virtual_size, const os::StopToken& stop, RateLimiter* limiter) {
  return at_edge(path.string(), [&] {
    os::File opened = os::File::open(path, os::File::Mode::kRead);
    ImageLocation location{path, 0, opened.size(), {}};
    LocatedFile file(location);
    const bool raw = format == contract::OutputFormat::kRaw;
    std::uint64_t expected = virtual_size;
    if (format == contract::OutputFormat::kVdi) expected = round_up<std::uint64_t>(virtual_size, 512);
    std::uint64_t found = virtual_size_of(file, format);
    // A block device may be larger than the disk that was written to it.
    if (found != expected && !(raw && found > expected && std::filesystem::is_block_file(path)))
      damaged(path.string(), "the image holds a disk of " + std::to_string(found) + " bytes instead of " +
                                 std::to_string(expected));
    CheckResult result;
    if (raw) {
      result.checker = "size and readability";
    } else {
      run_qemu_img_check(path, format == contract::OutputFormat::kQcow2 ? "qcow2" : "vdi", stop);
      result.checker = "qemu-img check";
    }
    if (raw) location.length = std::min(location.length, virtual_size);
    if (raw && holes_of(opened) > kMostHolesHashed)
      read_data(location, stop, limiter);
    else
      result.sha256 = sha256_of(location, {}, stop, limiter);
    return result;
  });
}

std::string sha256_of(const ImageLocation& location, const std::function<void(std::uint64_t)>& progress,
                      const os::StopToken& stop, RateLimiter* limiter) {
  return at_edge(display_name(location), [&] {
    LocatedFile file(location);
    file.expect_sequential_reads();
    ChunkPool pool(4, 0, kHashChunk);
    HashThread hash;
    auto wait = [&] { stop.throw_if_stopped(); };
    for (std::uint64_t offset = 0; offset < file.length();) {
      stop.throw_if_stopped();
      std::shared_ptr<Chunk> chunk = pool.take(wait);
      chunk->fresh = chunk->memory.span().first(
          static_cast<std::size_t>(std::min<std::uint64_t>(kHashChunk, file.length() - offset)));
      if (limiter != nullptr) limiter->pass(chunk->fresh.size(), wait);
      file.read_exactly_at(offset, chunk->fresh);
      offset += chunk->fresh.size();
      hash.add(std::move(chunk));
      if (progress) progress(offset);
    }
    return hash.finish(wait);
  });
}

}  // namespace hyper2kvm::image
