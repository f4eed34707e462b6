#include "runner/image/target_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#include "runner/image/byte_order.h"
#include "runner/image/target.h"
#include "runner/image/write_stage.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

// Smaller writes are cheaper through the page cache.
constexpr std::size_t kSmallestDirectWrite = 64 * 1024;
// Larger ones are worth a write of their own even where small ones are collected.
constexpr std::size_t kLargestCollected = 256 * 1024;

// Room is taken in such steps, while there is so much that nobody misses what is taken too early.
constexpr std::uint64_t kGrowth = 32u << 20;
constexpr std::uint64_t kAmple = 1u << 30;

constexpr std::size_t kHugePage = 2u << 20;

bool is_aligned(std::uint64_t value) { return value % AlignedBuffer::kAlignment == 0; }

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t size) : size_(size) {
  const std::size_t alignment = size > 0 && size % kHugePage == 0 ? kHugePage : kAlignment;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, round_up<std::size_t>(size, alignment))));
  if (!data_) throw std::bad_alloc();
  // Advice only.
  if (alignment == kHugePage) (void)::madvise(data_.get(), size, MADV_HUGEPAGE);
}

void AlignedBuffer::Free::operator()(std::byte* memory) const { std::free(memory); }

TargetFile::TargetFile(const std::filesystem::path& path, bool collect_small_writes) {
  struct stat status;
  block_device_ = ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
  buffered_ = os::File::open(path, block_device_ ? os::File::Mode::kDevice : os::File::Mode::kCreate);
  os::File direct = os::File::open(path, os::File::Mode::kReadWrite);
  int flags = ::fcntl(direct.fd(), F_GETFL);
  if (flags >= 0 && ::fcntl(direct.fd(), F_SETFL, flags | O_DIRECT) == 0) direct_ = std::move(direct);
  if (direct_ && collect_small_writes)
    stage_ = std::make_unique<WriteStage>(
        [this](std::uint64_t offset, std::span<const std::byte> bytes) { write_at(offset, bytes); });
}

TargetFile::~TargetFile() = default;

void TargetFile::write(std::span<const Placed> placed) {
  for (std::size_t first = 0; first < placed.size();) {
    std::uint64_t offset = placed[first].file_offset;
    std::span<const std::byte> run = placed[first].bytes;
    std::size_t next = first + 1;
    while (next < placed.size() && placed[next].file_offset == offset + run.size() &&
           placed[next].bytes.data() == run.data() + run.size()) {
      run = {run.data(), run.size() + placed[next].bytes.size()};
      ++next;
    }
    const bool whole = is_aligned(offset) && is_aligned(run.size()) && run.size() > kLargestCollected;
    if (stage_ && !whole) {
      stage_->add(offset, run);
    } else {
      write_at(offset, run);
      if (stage_) stage_->skip(offset, run.size());
    }
    first = next;
  }
}

void TargetFile::expect_growth(std::uint64_t end) {
  if (!direct_ || block_device_ || end <= expected_) return;
  const std::uint64_t begin = expected_;
  expected_ = round_up(end, kGrowth);
  struct statvfs space;
  if (::fstatvfs(buffered_.fd(), &space) != 0 || space.f_bavail < kAmple / space.f_frsize) return;
  // Advice only: what it cannot have now, a write will ask for.
  (void)::fallocate(buffered_.fd(), 0, static_cast<off_t>(begin), static_cast<off_t>(expected_ - begin));
}

void TargetFile::flush() {
  if (!stage_) return;
  stage_->flush();
  stage_.reset();
}

void TargetFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t aligned = round_up<std::uint64_t>(offset, AlignedBuffer::kAlignment);
  const std::uint64_t aligned_end =
      (offset + bytes.size()) / AlignedBuffer::kAlignment * AlignedBuffer::kAlignment;
  if (!direct_ || aligned + kSmallestDirectWrite > aligned_end ||
      !is_aligned(reinterpret_cast<std::uintptr_t>(bytes.data()) + (aligned - offset))) {
    buffered_.write_at(offset, bytes);
    return;
  }
  const std::size_t head = static_cast<std::size_t>(aligned - offset);
  const std::size_t middle = static_cast<std::size_t>(aligned_end - aligned);
  if (head > 0) buffered_.write_at(offset, bytes.first(head));
  direct_.write_at(aligned, bytes.subspan(head, middle));
  if (head + middle < bytes.size()) buffered_.write_at(aligned_end, bytes.subspan(head + middle));
}

std::uint64_t TargetFile::finish() {
  flush();
  buffered_.sync();
  struct stat status;
  if (::fstat(buffered_.fd(), &status) != 0)
    throw os::system_error(errno, "look at", buffered_.path().string());
  direct_.close();
  std::uint64_t bytes = block_device_ ? buffered_.size() : static_cast<std::uint64_t>(status.st_blocks) * 512;
  buffered_.close();
  return bytes;
}

}  // namespace hyper2kvm::image
