#include "runner/image/write_stage.h"

#include <algorithm>
#include <cstring>

namespace hyper2kvm::image {

void WriteStage::add(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t begin = static_cast<std::size_t>(offset % kWindowSize);
    const std::size_t size = std::min(bytes.size(), kWindowSize - begin);
    fill(*find(offset / kWindowSize), begin, size, bytes.data());
    offset += size;
    bytes = bytes.subspan(size);
  }
}

void WriteStage::skip(std::uint64_t offset, std::uint64_t length) {
  while (length > 0) {
    const std::size_t begin = static_cast<std::size_t>(offset % kWindowSize);
    const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(length, kWindowSize - begin));
    fill(*find(offset / kWindowSize), begin, size, nullptr);
    offset += size;
    length -= size;
  }
}

std::shared_ptr<WriteStage::Window> WriteStage::find(std::uint64_t number) {
  std::shared_ptr<Window> retired;
  std::shared_ptr<Window> own = window(number, retired);
  if (retired) write_parts(*retired);
  return own;
}

std::shared_ptr<WriteStage::Window> WriteStage::window(std::uint64_t number,
                                                       std::shared_ptr<Window>& retired) {
  std::lock_guard lock(mutex_);
  // The newest are the likely ones.
  for (auto at = windows_.rbegin(); at != windows_.rend(); ++at)
    if ((*at)->number == number) return *at;
  if (windows_.size() == kMostWindows) {
    retired = std::move(windows_.front());
    windows_.pop_front();
  }
  AlignedBuffer memory;
  if (!spare_.empty()) {
    memory = std::move(spare_.back());
    spare_.pop_back();
  } else {
    memory = AlignedBuffer(kWindowSize);
  }
  windows_.push_back(std::make_shared<Window>(number, std::move(memory)));
  return windows_.back();
}

void WriteStage::fill(Window& own, std::size_t begin, std::size_t size, const std::byte* bytes) {
  bool full = false;
  bool late = false;
  {
    std::lock_guard lock(own.mutex);
    late = own.written;
    if (!late) {
      if (bytes != nullptr) {
        std::memcpy(own.memory.data() + begin, bytes, size);
        own.add_part(begin, begin + size);
      }
      own.missing -= size;
      full = own.missing == 0;
    }
  }
  if (late) {
    // It was retired between our finding it and our filling it.
    if (bytes != nullptr) write_(own.number * kWindowSize + begin, {bytes, size});
    return;
  }
  if (!full) return;
  {
    std::lock_guard lock(mutex_);
    windows_.remove_if([&](const std::shared_ptr<Window>& window) { return window.get() == &own; });
  }
  // Whoever filled the last gap is the only one who still has it.
  write_parts(own);
}

void WriteStage::Window::add_part(std::size_t begin, std::size_t end) {
  auto next = parts.lower_bound(begin);
  if (next != parts.begin() && std::prev(next)->second == begin) {
    begin = std::prev(next)->first;
    parts.erase(std::prev(next));
  }
  if (next != parts.end() && next->first == end) {
    end = next->second;
    parts.erase(next);
  }
  parts[begin] = end;
}

void WriteStage::write_parts(Window& own) {
  {
    std::lock_guard lock(own.mutex);
    if (own.written) return;
    own.written = true;
    for (auto [begin, end] : own.parts)
      write_(own.number * kWindowSize + begin, own.memory.span().subspan(begin, end - begin));
  }
  std::lock_guard lock(mutex_);
  spare_.push_back(std::move(own.memory));
}

void WriteStage::flush() {
  for (const std::shared_ptr<Window>& window : windows_) write_parts(*window);
  windows_.clear();
}

}  // namespace hyper2kvm::image
