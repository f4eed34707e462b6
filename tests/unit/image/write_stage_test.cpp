#include "runner/image/write_stage.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <thread>

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kWindow = 2u << 20;

// Remembers what was written, and complains about a byte that comes twice.
struct Written {
  std::mutex mutex;
  std::vector<std::byte> bytes;
  std::vector<bool> seen;
  std::vector<std::size_t> sizes;
  explicit Written(std::size_t size) : bytes(size), seen(size) {}
  void write(std::uint64_t offset, std::span<const std::byte> part) {
    std::lock_guard lock(mutex);
    sizes.push_back(part.size());
    for (std::size_t i = 0; i < part.size(); ++i) {
      EXPECT_FALSE(seen[offset + i]) << "byte " << offset + i << " came twice";
      seen[offset + i] = true;
      bytes[offset + i] = part[i];
    }
  }
  WriteStage::Write writer() {
    return [this](std::uint64_t offset, std::span<const std::byte> part) { write(offset, part); };
  }
};

std::vector<std::byte> noise(std::size_t size) {
  std::mt19937_64 random(1);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(WriteStage, FullWindowsGoOutInOnePiece) {
  Written written(3 * kWindow);
  WriteStage stage(written.writer());
  const std::vector<std::byte> data = noise(3 * kWindow);
  for (std::size_t at = 0; at < data.size(); at += 3000)
    stage.add(at, std::span(data).subspan(at, std::min<std::size_t>(3000, data.size() - at)));
  EXPECT_EQ(written.sizes, (std::vector<std::size_t>{kWindow, kWindow, kWindow}));
  stage.flush();
  EXPECT_TRUE(written.bytes == data);
}

TEST(WriteStage, AGapIsNeverWritten) {
  Written written(2 * kWindow);
  WriteStage stage(written.writer());
  const std::vector<std::byte> data = noise(1000);
  stage.add(500, data);
  stage.add(kWindow - 300, data);
  EXPECT_TRUE(written.sizes.empty());
  stage.flush();
  EXPECT_EQ(static_cast<std::size_t>(std::count(written.seen.begin(), written.seen.end(), true)), 2000u);
  EXPECT_TRUE(std::equal(data.begin(), data.end(), written.bytes.begin() + 500));
  EXPECT_TRUE(std::equal(data.begin(), data.end(), written.bytes.begin() + kWindow - 300));
}

TEST(WriteStage, WhatOthersWriteIsNotWaitedFor) {
  Written written(3 * kWindow);
  WriteStage stage(written.writer());
  const std::vector<std::byte> data = noise(3 * kWindow);
  // From the middle of the first window to the middle of the third.
  stage.skip(kWindow / 2, 2 * kWindow);
  stage.add(0, std::span(data).first(kWindow / 2));
  EXPECT_EQ(written.sizes, (std::vector<std::size_t>{kWindow / 2}));
  stage.add(2 * kWindow + kWindow / 2, std::span(data).subspan(2 * kWindow + kWindow / 2));
  EXPECT_EQ(written.sizes, (std::vector<std::size_t>{kWindow / 2, kWindow / 2}));
  stage.flush();
  EXPECT_EQ(written.sizes.size(), 2u);
  EXPECT_TRUE(std::equal(data.begin(), data.begin() + kWindow / 2, written.bytes.begin()));
  EXPECT_TRUE(std::equal(data.end() - kWindow / 2, data.end(), written.bytes.end() - kWindow / 2));
}

TEST(WriteStage, SeveralThreadsInAnyOrderLoseNothing) {
  constexpr std::size_t kSize = 64 * kWindow;
  Written written(kSize);
  const std::vector<std::byte> data = noise(kSize);
  // Parts of odd sizes; some are left out, as tables leave gaps. Far more windows than are kept open.
  std::mt19937_64 random(2);
  std::vector<std::pair<std::size_t, std::size_t>> parts;
  std::vector<std::pair<std::size_t, std::size_t>> gaps;
  std::vector<bool> expected(kSize);
  for (std::size_t at = 0; at < kSize;) {
    std::size_t size = std::min<std::size_t>(kSize - at, 1 + random() % 90000);
    if (random() % 50 == 0) {
      gaps.emplace_back(at, size);
    } else {
      parts.emplace_back(at, size);
      std::fill_n(expected.begin() + static_cast<std::ptrdiff_t>(at), size, true);
    }
    at += size;
  }
  std::shuffle(parts.begin(), parts.end(), random);
  WriteStage stage(written.writer());
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (std::size_t i = thread; i < parts.size(); i += 4)
        stage.add(parts[i].first, std::span(data).subspan(parts[i].first, parts[i].second));
      // Some gaps are known to be some.
      for (std::size_t i = thread; i < gaps.size(); i += 8) stage.skip(gaps[i].first, gaps[i].second);
    });
  for (std::thread& thread : threads) thread.join();
  stage.flush();
  EXPECT_TRUE(written.seen == expected);
  for (auto [at, size] : parts)
    ASSERT_TRUE(std::equal(data.begin() + static_cast<std::ptrdiff_t>(at),
                           data.begin() + static_cast<std::ptrdiff_t>(at + size),
                           written.bytes.begin() + static_cast<std::ptrdiff_t>(at)));
}

}  // namespace
}  // namespace hyper2kvm::image
