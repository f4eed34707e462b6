#include "runner/guest/initramfs/lz4_legacy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lz4.h>

#include <cstring>
#include <optional>
#include <random>

#include "tests/unit/guest/image.h"
#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kLimit = std::uint64_t{1} << 30;
constexpr std::size_t kBlock = std::size_t{8} << 20;

std::string unpack_lz4(const std::string& bytes) {
  return decompress(Compression::kLz4, bytes, kLimit, "image");
}

// A stream of one block.
std::string stream_of(const std::string& block) {
  std::string stream("\x02\x21\x4c\x18", 4);
  for (int shift = 0; shift < 32; shift += 8) stream += static_cast<char>(block.size() >> shift);
  return stream + block;
}

// Lines that repeat themselves near and far, runs of one byte, and noise.
std::string usual_text(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < size) {
    switch (random() % 4) {
      case 0:
        text += "alias pci:v00001AF4d0000" + std::to_string(random() % 50) + " virtio_pci\n";
        break;
      case 1:
        text.append(random() % 600, static_cast<char>(random() % 3));
        break;
      case 2:
        for (unsigned count = random() % 80; count > 0; --count) text += static_cast<char>(random());
        break;
      case 3:
        if (std::size_t from = text.size() - std::min<std::size_t>(text.size(), random() % 70000);
            from < text.size())
          text += text.substr(from, random() % 3000);
        break;
    }
  }
  text.resize(size);
  return text;
}

TEST(Lz4Legacy, UnpacksWhatLz4Packs) {
  for (const char* level : {"-1", "-9"})
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{12}, std::size_t{70000}, kBlock,
                             kBlock + 1, 2 * kBlock + 777777}) {
      std::string text = usual_text(size, 1);
      // Not EXPECT_EQ: it would print megabytes.
      EXPECT_TRUE(unpack_lz4(filter({"lz4", "-q", "-l", level, "-c"}, text)) == text) << level << " " << size;
    }
}

TEST(Lz4Legacy, GivesWhatLz4Unpacks) {
  for (std::size_t size : {std::size_t{1}, std::size_t{70000}, kBlock, kBlock + 777777}) {
    std::string text = usual_text(size, 2);
    EXPECT_TRUE(filter({"lz4", "-q", "-d", "-c"}, compress_lz4_legacy(text)) == text) << size;
    EXPECT_TRUE(unpack_lz4(compress_lz4_legacy(text)) == text) << size;
  }
}

TEST(Lz4Legacy, StreamsThatFollowEachOtherAreOne) {
  std::string first = usual_text(300000, 3);
  std::string second = usual_text(200000, 4);
  EXPECT_TRUE(unpack_lz4(compress_lz4_legacy(first) + compress_lz4_legacy(second)) == first + second);
}

TEST(Lz4Legacy, EndsWhereZerosBegin) {
  std::string text = usual_text(200000, 5);
  std::string packed = compress_lz4_legacy(text);
  std::string bytes = packed + std::string(8, '\0') + "070701";
  ReadAt read = [&bytes](std::uint64_t offset, std::span<std::byte> buffer) {
    std::size_t count = std::min<std::size_t>(buffer.size(), bytes.size() - static_cast<std::size_t>(offset));
    std::memcpy(buffer.data(), bytes.data() + offset, count);
    return count;
  };
  std::string unpacked;
  auto take = [&unpacked](std::span<const std::byte> piece) {
    unpacked.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    return true;
  };
  EXPECT_EQ(decompress_lz4_legacy(read, 0, take, kLimit, "image"), packed.size());
  EXPECT_TRUE(unpacked == text);
}

TEST(Lz4Legacy, ThatIsCutOffIsAnError) {
  std::string packed = compress_lz4_legacy(usual_text(400000, 6));
  for (std::size_t size : {std::size_t{9}, packed.size() / 2, packed.size() - 1})
    EXPECT_THAT(error_of([&] { unpack_lz4(packed.substr(0, size)); }), HasSubstr("cut off")) << size;
}

TEST(Lz4Legacy, StopsAtItsLimitAndAtABlocksEnd) {
  std::string bomb = compress_lz4_legacy(std::string(3 * kBlock, 'x'));
  EXPECT_THAT(error_of([&] { decompress(Compression::kLz4, bomb, 2 * kBlock, "image"); }),
              HasSubstr("more than can be right"));
  // One literal, and a match of it that has no end.
  std::string endless =
      "\x1fx\x01" + std::string(1, '\0') + std::string(70000, '\xff') + std::string("\0\x50", 2) + "12345";
  EXPECT_THAT(error_of([&] { unpack_lz4(stream_of(endless)); }), HasSubstr("not valid"));
}

TEST(Lz4Legacy, RefusesMatchesOfWhatWasNotThere) {
  std::string end = std::string("\x50", 1) + "12345";
  for (const std::string& match : {std::string("\x10x\x02\0", 4), std::string("\x10x\0\0", 4)})
    EXPECT_THAT(error_of([&] { unpack_lz4(stream_of(match + end)); }), HasSubstr("not valid"));
  // Not even what another block has left.
  std::string before = compress_lz4_legacy("nothing here repeats");
  EXPECT_THAT(error_of([&] { unpack_lz4(before + stream_of(std::string("\x10x\x02\0", 4) + end)); }),
              HasSubstr("not valid"));
}

std::optional<std::string> as_liblz4_sees_it(const std::string& block, std::string& room) {
  int size = LZ4_decompress_safe(block.data(), room.data(), static_cast<int>(block.size()),
                                 static_cast<int>(room.size()));
  if (size < 0) return std::nullopt;
  return room.substr(0, static_cast<std::size_t>(size));
}

// Of blocks that were tampered with, none is taken that the library refuses, and what is taken is the same.
// (The library lets the last literals be fewer than the format demands.)
TEST(Lz4Legacy, TakesNoDamageThatTheLibraryRefuses) {
  std::string room(kBlock, '\0');
  std::mt19937 random(7);
  unsigned taken = 0, refused = 0;
  for (unsigned round = 0; round < 6000; ++round) {
    std::string text = usual_text(20 + random() % 700, round);
    std::string block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(text.size()))), '\0');
    block.resize(static_cast<std::size_t>(LZ4_compress_default(
        text.data(), block.data(), static_cast<int>(text.size()), static_cast<int>(block.size()))));
    for (unsigned changes = 1 + random() % 3; changes > 0; --changes)
      block[random() % block.size()] = static_cast<char>(random() % 2 ? random() : 0xff);
    if (random() % 4 == 0) block.resize(1 + random() % block.size());
    std::optional<std::string> expected = as_liblz4_sees_it(block, room);
    try {
      std::optional<std::string> got = unpack_lz4(stream_of(block));
      ASSERT_EQ(got, expected) << "round " << round;
      ++taken;
    } catch (const os::Error&) {
      ++refused;
    }
  }
  EXPECT_GT(taken, 100u);
  EXPECT_GT(refused, 100u);
}

}  // namespace
}  // namespace hyper2kvm::guest
