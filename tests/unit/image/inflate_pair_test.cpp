#include "runner/image/inflate_pair.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <random>
#include <string>
#include <vector>

#include "runner/image/deflate.h"
#include "runner/image/zlib_batch.h"

namespace hyper2kvm::image {
namespace {

using Bytes = std::vector<std::byte>;

std::mt19937_64 random_numbers(1);

// Kinds of contents that compressors treat differently.
std::vector<Bytes> kinds_of_contents() {
  std::vector<Bytes> kinds;
  auto add = [&](std::size_t size, auto byte) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(byte(i, bytes));
    kinds.push_back(std::move(bytes));
  };
  for (std::size_t size :
       {std::size_t{1}, std::size_t{2}, std::size_t{300}, std::size_t{5000}, InflatePair::kLargest}) {
    add(size, [](std::size_t, const Bytes&) { return 0; });
    add(size, [](std::size_t, const Bytes&) { return random_numbers() & 0xff; });
    add(size, [](std::size_t, const Bytes&) { return random_numbers() % 7 * 30; });
    // Few bytes of many, so that codewords have all lengths.
    add(size, [](std::size_t, const Bytes&) {
      return static_cast<std::uint64_t>(std::countr_zero(random_numbers() | 1u << 15)) * 16 +
             random_numbers() % 3;
    });
    // Repetitions from all distances, short and long.
    add(size, [left = std::size_t{0}, distance = std::size_t{0}](std::size_t i, const Bytes& bytes) mutable {
      if (left == 0) {
        left = random_numbers() % 2 != 0 ? random_numbers() % 300 : random_numbers() % 8;
        const std::size_t most = std::size_t{1} << random_numbers() % 15;
        distance = i == 0 || random_numbers() % 4 == 0 ? 0 : 1 + random_numbers() % std::min(i, most);
        return static_cast<unsigned>(random_numbers() & 0xff);
      }
      --left;
      return distance == 0 ? static_cast<unsigned>(random_numbers() & 0xff)
                           : std::to_integer<unsigned>(bytes[i - distance]);
    });
    // Patterns of 1 to 40 bytes that repeat themselves.
    add(size, [](std::size_t i, const Bytes&) { return i % (1 + i / 1000 % 40) * 5; });
  }
  return kinds;
}

// A zlib stream, as zlib makes it.
Bytes zlib_stream(std::span<const std::byte> contents, int level, int strategy, int memory = 8) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, 15, memory, strategy), Z_OK);
  Bytes made(deflateBound(&stream, static_cast<uLong>(contents.size())));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(contents.data()));
  stream.avail_in = static_cast<uInt>(contents.size());
  stream.next_out = reinterpret_cast<Bytef*>(made.data());
  stream.avail_out = static_cast<uInt>(made.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  made.resize(stream.total_out);
  deflateEnd(&stream);
  return made;
}

struct Case {
  Bytes contents;
  Bytes stream;
  std::string name;
};

std::vector<Case> streams_of_all_kinds() {
  std::vector<Case> cases;
  for (const Bytes& contents : kinds_of_contents())
    for (int strategy : {Z_DEFAULT_STRATEGY, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED})
      for (int level : {0, 1, 6, 9})
        // Little memory makes many small blocks.
        for (int memory : {1, 8})
          cases.push_back({contents, zlib_stream(contents, level, strategy, memory),
                           std::to_string(contents.size()) + " bytes, strategy " + std::to_string(strategy) +
                               ", level " + std::to_string(level) + ", memory " + std::to_string(memory)});
  return cases;
}

bool processor_has_what_it_takes() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
  return false;
#endif
}

TEST(InflatePair, TakesAllThatZlibMakes) {
  if (!processor_has_what_it_takes()) GTEST_SKIP() << "this processor has no AVX2 and BMI2";
  const std::vector<Case> cases = streams_of_all_kinds();
  std::vector<std::span<const std::byte>> streams;
  for (const Case& one : cases) streams.push_back(deflate_part(one.stream));
  InflatePair pair;
  std::vector<int> seen(cases.size());
  pair.inflate(streams, [&](std::size_t number, std::span<const std::byte> contents) {
    ++seen[number];
    EXPECT_TRUE(std::ranges::equal(contents, cases[number].contents))
        << cases[number].name << ": " << contents.size() << " from " << cases[number].stream.size();
  });
  EXPECT_EQ(seen, std::vector<int>(cases.size(), 1));
}

TEST(InflatePair, TakesNothingThatDoesNotEndWhereItShould) {
  std::vector<Bytes> wrong;
  std::vector<std::span<const std::byte>> streams;
  for (const Bytes& contents : kinds_of_contents()) {
    const Bytes stream = zlib_stream(contents, 6, Z_DEFAULT_STRATEGY);
    const std::span<const std::byte> part = deflate_part(stream);
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, part.size() / 2, part.size() - 1})
      wrong.emplace_back(part.begin(), part.begin() + static_cast<std::ptrdiff_t>(size));
    wrong.emplace_back(part.begin(), part.end()).push_back(std::byte{0});
  }
  // One byte more than there is room for.
  const Bytes large = zlib_stream(Bytes(InflatePair::kLargest + 1), 6, Z_DEFAULT_STRATEGY);
  const Bytes huge = zlib_stream(Bytes(std::size_t{10} << 20), 6, Z_DEFAULT_STRATEGY);
  for (const Bytes& bytes : wrong) streams.emplace_back(bytes);
  streams.push_back(deflate_part(large));
  streams.push_back(deflate_part(huge));
  std::size_t seen = 0;
  InflatePair().inflate(streams, [&](std::size_t number, std::span<const std::byte> contents) {
    ++seen;
    EXPECT_TRUE(contents.empty()) << number;
  });
  EXPECT_EQ(seen, streams.size());
}

// Streams in which bits are wrong: what is taken is what libdeflate takes, with the same contents.
TEST(InflatePair, AgreesWithLibdeflateAboutDamagedStreams) {
  std::vector<Bytes> damaged;
  for (const Case& one : streams_of_all_kinds()) {
    const std::span<const std::byte> part = deflate_part(one.stream);
    for (int copy = 0; copy < 3; ++copy) {
      Bytes& bytes = damaged.emplace_back(part.begin(), part.end());
      // Mostly near the front, where the tables are.
      for (std::uint64_t flips = 1 + random_numbers() % 3; flips > 0; --flips) {
        const std::size_t among =
            random_numbers() % 2 != 0 ? std::min<std::size_t>(bytes.size(), 80) : bytes.size();
        bytes[random_numbers() % among] ^= static_cast<std::byte>(1u << random_numbers() % 8);
      }
    }
  }
  std::vector<std::span<const std::byte>> streams(damaged.begin(), damaged.end());
  InflatePair pair;
  Inflater libdeflate;
  Bytes expected(InflatePair::kLargest);
  std::size_t taken = 0;
  pair.inflate(streams, [&](std::size_t number, std::span<const std::byte> contents) {
    if (contents.empty()) return;
    ++taken;
    std::size_t used = 0;
    const std::size_t size = libdeflate.inflate_raw(streams[number], expected, used);
    EXPECT_EQ(used, streams[number].size());
    EXPECT_TRUE(std::ranges::equal(contents, std::span(expected).first(size)));
  });
  EXPECT_EQ(taken > 0, processor_has_what_it_takes());
}

TEST(ZlibBatch, ComparesTheChecksum) {
  std::vector<Case> cases = streams_of_all_kinds();
  std::vector<std::span<const std::byte>> streams;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (i % 3 == 1) cases[i].stream.back() ^= std::byte{1};
    streams.emplace_back(cases[i].stream);
  }
  const Bytes none;
  streams.emplace_back(none);
  std::vector<int> seen(streams.size());
  ZlibBatch().inflate(streams, [&](std::size_t number, std::span<const std::byte> contents) {
    ++seen[number];
    const bool damaged = number == cases.size() || number % 3 == 1;
    EXPECT_TRUE(std::ranges::equal(contents, damaged ? none : cases[number].contents)) << number;
  });
  EXPECT_EQ(seen, std::vector<int>(streams.size(), 1));
}

// libdeflate takes codes with a single distance, which zlib never makes and InflatePair does not know.
TEST(ZlibBatch, LeavesToLibdeflateWhatThePairDoesNotTake) {
  Bytes contents(InflatePair::kLargest, std::byte{'a'});
  Bytes stream(1000);
  stream[0] = std::byte{0x78};
  stream[1] = std::byte{0x01};
  const std::size_t size = Deflater(12).deflate_raw(contents, std::span(stream).subspan(2));
  ASSERT_GT(size, 0u);
  stream.resize(2 + size);
  const uLong sum =
      adler32(1, reinterpret_cast<const Bytef*>(contents.data()), static_cast<uInt>(contents.size()));
  for (int shift = 24; shift >= 0; shift -= 8) stream.push_back(static_cast<std::byte>(sum >> shift & 0xff));
  const std::vector<std::span<const std::byte>> streams{stream};
  std::size_t seen = 0;
  ZlibBatch().inflate(streams, [&](std::size_t, std::span<const std::byte> inflated) {
    ++seen;
    EXPECT_TRUE(std::ranges::equal(inflated, contents));
  });
  EXPECT_EQ(seen, 1u);
}

}  // namespace
}  // namespace hyper2kvm::image
