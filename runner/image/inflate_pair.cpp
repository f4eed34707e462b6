#include "runner/image/inflate_pair.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "runner/image/huffman_table.h"

#if defined(__x86_64__)
#include <immintrin.h>

// The steps are worth their while only with shifts that leave the flags alone and with copies of 32 bytes.
#define HYPER2KVM_STEPS [[gnu::target("avx2,bmi,bmi2")]]

namespace hyper2kvm::image {
namespace {

constexpr unsigned kLiteralBits = 11;
constexpr unsigned kDistanceBits = 9;
constexpr unsigned kMostLiterals = 288;
constexpr unsigned kMostDistances = 32;
constexpr unsigned kEndSymbol = 256;
constexpr unsigned kFirstLength = 257;

// Marks of entries for literals and lengths.
constexpr HuffmanEntry kLiteral = 1u << 31;
constexpr HuffmanEntry kUnusual = 1u << 30;  // a second table, unless it is one of these two:
constexpr HuffmanEntry kEnd = 1u << 29;
constexpr HuffmanEntry kNone = 1u << 15;  // a symbol that must not occur
// Marks of entries for distances.
constexpr HuffmanEntry kUnusualDistance = 1u << 31;  // a second table, unless it is
constexpr HuffmanEntry kNoDistance = 1u << 15;

struct Tables {
  std::array<HuffmanEntry, huffman_table_size(kLiteralBits, kMostLiterals)> literals;
  std::array<HuffmanEntry, huffman_table_size(kDistanceBits, kMostDistances)> distances;
};
// Where a second table begins has 13 bits.
static_assert(sizeof(Tables::literals) / sizeof(HuffmanEntry) <= 1u << 13);

// One step takes at most two literals, or a literal and a match. It writes whole 32 bytes, and reads 8 bytes
// from the stream up to three times, of which it uses up 7.
constexpr std::size_t kLongestMatch = 258;
constexpr std::size_t kMostOut = 1 + kLongestMatch;
constexpr std::size_t kCopy = sizeof(__m256i);
constexpr std::size_t kMostIn = 3 * 7;
// What is larger than this, of 64 KiB, hardly has matches.
constexpr std::size_t kHardlyShrunk = 40 * 1024;
// So many steps are made before a lane looks how far it is.
constexpr std::size_t kSteps = 32;
constexpr std::size_t kRoomBehind = kSteps * kMostOut + kCopy;
// What is read at most until then.
constexpr std::size_t kReadAhead = kSteps * kMostIn + 16;

constexpr auto kLiteralMeanings = [] {
  std::array<HuffmanEntry, kMostLiterals> meanings{};
  for (HuffmanEntry byte = 0; byte < 256; ++byte) meanings[byte] = kLiteral | byte << 16;
  meanings[kEndSymbol] = kUnusual | kEnd;
  HuffmanEntry length = 3;
  for (unsigned code = 0; code < 28; ++code) {
    const unsigned extra = code < 8 ? 0 : code / 4 - 1;
    meanings[kFirstLength + code] = length << 16 | extra;
    length += 1u << extra;
  }
  meanings[kFirstLength + 28] = kLongestMatch << 16;
  meanings[286] = meanings[287] = kUnusual | kNone;
  return meanings;
}();

constexpr auto kDistanceMeanings = [] {
  std::array<HuffmanEntry, kMostDistances> meanings{};
  HuffmanEntry distance = 1;
  for (unsigned code = 0; code < 30; ++code) {
    const unsigned extra = code < 4 ? 0 : code / 2 - 1;
    meanings[code] = distance << 16 | extra;
    distance += 1u << extra;
  }
  meanings[30] = meanings[31] = kUnusualDistance | kNoDistance;
  return meanings;
}();

constexpr auto kLengthMeanings = [] {
  std::array<HuffmanEntry, 19> meanings{};
  for (HuffmanEntry symbol = 0; symbol < meanings.size(); ++symbol) meanings[symbol] = symbol << 16;
  return meanings;
}();

bool make_tables(std::span<const std::uint8_t> literals, std::span<const std::uint8_t> distances,
                 Tables& tables) {
  return make_huffman_table(literals, kLiteralMeanings, kLiteralBits, kUnusual, tables.literals) &&
         make_huffman_table(distances, kDistanceMeanings, kDistanceBits, kUnusualDistance, tables.distances);
}

// The code of blocks that bring none with them (RFC 1951, 3.2.6).
const Tables& fixed_tables() {
  static const Tables tables = [] {
    std::array<std::uint8_t, kMostLiterals> literals;
    std::fill_n(literals.begin(), 144, 8);
    std::fill(literals.begin() + 144, literals.begin() + 256, 9);
    std::fill(literals.begin() + 256, literals.begin() + 280, 7);
    std::fill(literals.begin() + 280, literals.end(), 8);
    std::array<std::uint8_t, kMostDistances> distances;
    distances.fill(5);
    Tables made;
    make_tables(literals, distances, made);
    return made;
  }();
  return tables;
}

std::uint64_t load(const std::uint8_t* at) {
  static_assert(std::endian::native == std::endian::little);
  std::uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Where a lane is. The bits that come next are the lowest of bits, of which the lowest six bits of left (the
// others mean nothing) say how many may be taken; those above them are right or zero.
struct Cursor {
  std::uint64_t bits = 0;
  std::uint32_t left = 0;
  const std::uint8_t* in = nullptr;
  std::uint8_t* out = nullptr;

  // At least 56 bits. Reads 8 bytes.
  void refill() {
    bits |= load(in) << (left & 63);
    in += (~left >> 3) & 7;
    left |= 56;
  }
  unsigned available() const { return left & 63; }
  void take(HuffmanEntry entry) {
    bits >>= entry & 63;
    left -= entry;
  }
  std::uint32_t take_bits(unsigned count) {
    const std::uint32_t value = static_cast<std::uint32_t>(bits & ((1u << count) - 1));
    bits >>= count;
    left -= count;
    return value;
  }
};

// What entry stands for, with its extra bits, which are at the front of bits behind the codeword.
HYPER2KVM_STEPS inline std::uint64_t value_of(HuffmanEntry entry, std::uint64_t bits) {
  return (entry >> 16) + (_bzhi_u64(bits, entry) >> (entry >> 8 & 63));
}

enum class Outcome { kMore, kEndOfBlock, kRefused, kFarEnough };

// A match that is longer than one copy, or that repeats what it writes. Writes up to 32 bytes more.
[[gnu::noinline]] void copy_match(std::uint8_t* out, const std::uint8_t* from, std::size_t length,
                                  std::size_t distance) {
  const std::uint8_t* const end = out + length;
  if (distance >= kCopy) {
    for (; out < end; out += kCopy, from += kCopy) std::memcpy(out, from, kCopy);
  } else if (distance >= sizeof(std::uint64_t)) {
    for (; out < end; out += sizeof(std::uint64_t), from += sizeof(std::uint64_t))
      std::memcpy(out, from, sizeof(std::uint64_t));
  } else {
    std::array<std::uint8_t, sizeof(std::uint64_t)> pattern;
    for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = from[i % distance];
    const std::size_t whole = pattern.size() - pattern.size() % distance;
    for (; out < end; out += whole) std::memcpy(out, pattern.data(), pattern.size());
  }
}

}  // namespace

// One stream that is being inflated.
struct InflatePair::Lane {
  Cursor at;
  const std::uint8_t* in_limit = nullptr;  // not to be passed by at.in when steps begin
  const std::uint8_t* in_end = nullptr;    // of the stream
  bool in_tail = false;
  bool in_last_block = false;
  std::size_t number = 0;
  Tables tables;
  // The end of the stream lies here, with zeroes behind it that may be read.
  std::array<std::uint8_t, 3 * kReadAhead> tail;
  std::array<std::uint8_t, kLargest + kRoomBehind> contents;

  void begin(std::size_t stream_number, std::span<const std::byte> stream) {
    number = stream_number;
    at = Cursor{};
    at.in = reinterpret_cast<const std::uint8_t*>(stream.data());
    at.out = contents.data();
    in_end = at.in + stream.size();
    in_tail = in_last_block = false;
    if (stream.size() > kReadAhead)
      in_limit = in_end - kReadAhead;
    else
      move_to_tail();
  }

  // The rest of the stream is less than kReadAhead and what is held.
  void move_to_tail() {
    // Whoever gives back what is held must find it before at.in.
    const unsigned held = at.available() & 7;
    at.in -= at.available() >> 3;
    at.bits &= (1u << held) - 1;
    at.left = held;
    const std::size_t rest = static_cast<std::size_t>(in_end - at.in);
    std::copy_n(at.in, rest, tail.begin());
    std::fill(tail.begin() + static_cast<std::ptrdiff_t>(rest), tail.end(), std::uint8_t{0});
    at.in = tail.data();
    in_end = tail.data() + rest;
    // The bits that are held may be the last ones, and the 8 bytes behind them have been looked at.
    in_limit = in_end + 8;
    in_tail = true;
  }

  // Makes sure that the next kReadAhead bytes can be read. False: the stream has no end where it ends.
  bool look_ahead() {
    if (at.in <= in_limit) return true;
    if (in_tail) return false;
    move_to_tail();
    return true;
  }

  bool has_room() const { return at.out <= contents.data() + kLargest; }
  std::span<const std::byte> inflated() const {
    return std::as_bytes(std::span(contents.data(), static_cast<std::size_t>(at.out - contents.data())));
  }

  // Gives back the whole bytes that are held.
  void go_to_whole_byte() {
    at.in -= at.available() >> 3;
    at.bits = 0;
    at.left = 0;
  }

  bool stored_block() {
    go_to_whole_byte();
    if (at.in > in_end || in_end - at.in < 4) return false;
    const std::size_t size = at.in[0] | at.in[1] << 8;
    const std::size_t inverted = at.in[2] | at.in[3] << 8;
    at.in += 4;
    if ((size ^ inverted) != 0xffff || size > static_cast<std::size_t>(in_end - at.in) ||
        size > kLargest - inflated().size())
      return false;
    std::copy_n(at.in, size, at.out);
    at.in += size;
    at.out += size;
    return true;
  }

  bool read_tables() {
    at.refill();
    const unsigned literals = at.take_bits(5) + 257;
    const unsigned distances = at.take_bits(5) + 1;
    const unsigned lengths = at.take_bits(4) + 4;
    if (literals > 286 || distances > 30) return false;
    constexpr std::array<std::uint8_t, 19> kOrder{16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                  11, 4,  12, 3, 13, 2, 14, 1, 15};
    std::array<std::uint8_t, 19> of_lengths{};
    for (unsigned i = 0; i < lengths; ++i) {
      if (at.available() < 3) at.refill();
      of_lengths[kOrder[i]] = static_cast<std::uint8_t>(at.take_bits(3));
    }
    constexpr unsigned kLengthBits = 7;  // no codeword is longer
    std::array<HuffmanEntry, 1u << kLengthBits> table;
    if (!make_huffman_table(of_lengths, kLengthMeanings, kLengthBits, 0, table)) return false;
    const unsigned all = literals + distances;
    std::array<std::uint8_t, kMostLiterals + kMostDistances + 138> code;  // a repetition may go past the end
    for (unsigned have = 0; have < all;) {
      if (!look_ahead()) return false;
      if (at.available() < 14) at.refill();
      const HuffmanEntry entry = table[at.bits & ((1u << kLengthBits) - 1)];
      at.take(entry);
      const unsigned symbol = entry >> 16;
      if (symbol < 16) {
        code[have++] = static_cast<std::uint8_t>(symbol);
        continue;
      }
      if (symbol == 16 && have == 0) return false;
      const std::uint8_t repeated = symbol == 16 ? code[have - 1] : std::uint8_t{0};
      const unsigned times = symbol == 16   ? 3 + at.take_bits(2)
                             : symbol == 17 ? 3 + at.take_bits(3)
                                            : 11 + at.take_bits(7);
      std::fill_n(code.begin() + have, times, repeated);
      have += times;
      if (have > all) return false;
    }
    const std::span<const std::uint8_t> both(code);
    return make_tables(both.first(literals), both.subspan(literals, distances), tables);
  }

  // Goes to the next block that has codewords: kMore. kEndOfBlock: there is none, and the stream ends where
  // it should.
  Outcome next_block() {
    while (!in_last_block) {
      if (!look_ahead()) return Outcome::kRefused;
      at.refill();
      in_last_block = at.take_bits(1) != 0;
      switch (at.take_bits(2)) {
        case 0:
          if (!stored_block()) return Outcome::kRefused;
          break;
        case 1:
          tables = fixed_tables();
          return Outcome::kMore;
        case 2:
          return read_tables() ? Outcome::kMore : Outcome::kRefused;
        default:
          return Outcome::kRefused;
      }
    }
    go_to_whole_byte();
    return at.in == in_end ? Outcome::kEndOfBlock : Outcome::kRefused;
  }
};

namespace {

// Five literals, if that is what comes next: 55 bits at most.
[[gnu::always_inline]] HYPER2KVM_STEPS inline bool take_literals(Cursor& lane, const Tables& tables) {
  constexpr std::uint64_t kIndex = (1u << kLiteralBits) - 1;
  lane.refill();
  std::uint64_t bits = lane.bits;
  const HuffmanEntry first = tables.literals[bits & kIndex];
  bits >>= first & 63;
  const HuffmanEntry second = tables.literals[bits & kIndex];
  bits >>= second & 63;
  const HuffmanEntry third = tables.literals[bits & kIndex];
  bits >>= third & 63;
  const HuffmanEntry fourth = tables.literals[bits & kIndex];
  bits >>= fourth & 63;
  const HuffmanEntry fifth = tables.literals[bits & kIndex];
  bits >>= fifth & 63;
  if (!(first & second & third & fourth & fifth & kLiteral)) return false;
  lane.bits = bits;
  lane.left -= first + second + third + fourth + fifth;
  lane.out[0] = static_cast<std::uint8_t>(first >> 16);
  lane.out[1] = static_cast<std::uint8_t>(second >> 16);
  lane.out[2] = static_cast<std::uint8_t>(third >> 16);
  lane.out[3] = static_cast<std::uint8_t>(fourth >> 16);
  lane.out[4] = static_cast<std::uint8_t>(fifth >> 16);
  lane.out += 5;
  return true;
}

// A literal, if there is one, and then a literal or a match. Of the 56 bits at hand these take 55 at most: 11
// for the first, 16 for a length, 28 for a distance; a codeword in a second table is looked for with new
// ones.
[[gnu::always_inline]] HYPER2KVM_STEPS inline Outcome step(Cursor& lane, const Tables& tables,
                                                           const std::uint8_t* contents) {
  lane.refill();
  const HuffmanEntry first = tables.literals[lane.bits & ((1u << kLiteralBits) - 1)];
  const std::uint32_t is_first = static_cast<std::uint32_t>(static_cast<std::int32_t>(first) >> 31);
  *lane.out = static_cast<std::uint8_t>(first >> 16);
  lane.out -= static_cast<std::int32_t>(is_first);
  lane.take(first & is_first);

  const HuffmanEntry* at = &tables.literals[lane.bits & ((1u << kLiteralBits) - 1)];
  HuffmanEntry entry = *at;
  if (entry & kUnusual) [[unlikely]] {
    if (!(entry & (kEnd | kNone))) {
      const std::uint32_t begin = entry >> 16 & 0x1fff;
      const std::uint32_t mask = (1u << (entry & 15)) - 1;
      lane.bits >>= kLiteralBits;
      lane.left -= kLiteralBits;
      at = &tables.literals[begin + (lane.bits & mask)];
      entry = *at;
      lane.refill();
    }
    if (entry & kUnusual) {
      lane.take(entry);
      return entry & kEnd ? Outcome::kEndOfBlock : Outcome::kRefused;
    }
  }
  std::uint64_t length = value_of(entry, lane.bits);
  lane.take(entry);

  // A literal has a distance of no bits, and is copied from its entry.
  const std::uint32_t is_literal = static_cast<std::uint32_t>(static_cast<std::int32_t>(entry) >> 31);
  HuffmanEntry code = tables.distances[lane.bits & ((1u << kDistanceBits) - 1)] & ~is_literal;
  if (code & kUnusualDistance) [[unlikely]] {
    if (code & kNoDistance) return Outcome::kRefused;
    const std::uint32_t begin = code >> 16 & 0x1fff;
    const std::uint32_t mask = (1u << (code & 15)) - 1;
    lane.bits >>= kDistanceBits;
    lane.left -= kDistanceBits;
    code = tables.distances[begin + (lane.bits & mask)];
    if (code & kUnusualDistance) return Outcome::kRefused;
  }
  std::uint64_t distance = value_of(code, lane.bits);
  lane.take(code);
  if (static_cast<std::uint64_t>(lane.out - contents) < distance) [[unlikely]]
    return Outcome::kRefused;
  const std::uint8_t* from = lane.out - distance;
  // No jump: whether a literal comes next cannot be foreseen, and a compiler would rather try.
  asm("test %[literal], %[literal]\n\t"
      "cmovnz %[byte], %[from]\n\t"
      "cmovnz %[one], %[length]\n\t"
      "cmovnz %[one], %[distance]"
      : [from] "+r"(from), [length] "+r"(length), [distance] "+r"(distance)
      : [literal] "r"(is_literal), [byte] "r"(reinterpret_cast<const std::uint8_t*>(at) + 2),
        [one] "r"(std::uint64_t{1})
      : "cc");
  if (length > kCopy) [[unlikely]] {
    copy_match(lane.out, from, length, distance);
    lane.out += length;
    return Outcome::kMore;
  }
  asm volatile("");  // two jumps that are never taken are less than one comparison with the smaller one
  if (length > distance) [[unlikely]]
    copy_match(lane.out, from, length, distance);
  else
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lane.out),
                        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  lane.out += length;
  return Outcome::kMore;
}

struct Event {
  unsigned lane = 0;
  Outcome outcome = Outcome::kFarEnough;
};

}  // namespace

// The streams of one call that hold little but literals, because they would hardly shrink, or the others.
template <bool kMostlyLiterals>
class InflatePair::Run {
 public:
  Run(Lane* lanes, std::span<const std::span<const std::byte>> streams, const Inflated& inflated)
      : lanes_(lanes), streams_(streams), inflated_(inflated) {}

  void inflate() {
    std::array<bool, 2> busy{begin(lanes_[0]), begin(lanes_[1])};
    while (busy[0] && busy[1]) {
      const Event event = both(lanes_[0], lanes_[1]);
      busy[event.lane] = after(lanes_[event.lane], event.outcome);
    }
    for (unsigned lane = 0; lane < 2; ++lane)
      while (busy[lane]) busy[lane] = after(lanes_[lane], alone(lanes_[lane]));
  }

 private:
  [[gnu::always_inline]] HYPER2KVM_STEPS static inline Outcome next(Cursor& at, const Lane& lane) {
    if constexpr (kMostlyLiterals) {
      if (take_literals(at, lane.tables)) [[likely]]
        return Outcome::kMore;
    }
    return step(at, lane.tables, lane.contents.data());
  }

  // Until something happens to one of them. What changes with each step is in variables of its own, whose
  // places nobody knows, so that it stays in registers: that alone is a fifth of the time.
  [[gnu::noinline]] HYPER2KVM_STEPS static Event both(Lane& first, Lane& second) {
    Cursor a = first.at;
    Cursor b = second.at;
    Event event;
    while (true) {
      if (a.in > first.in_limit || a.out > first.contents.data() + kLargest) break;
      event.lane = 1;
      if (b.in > second.in_limit || b.out > second.contents.data() + kLargest) break;
      for (std::size_t i = kSteps; i > 0; --i) {
        event.outcome = next(a, first);
        if (event.outcome != Outcome::kMore) [[unlikely]] {
          event.lane = 0;
          goto ended;
        }
        event.outcome = next(b, second);
        if (event.outcome != Outcome::kMore) [[unlikely]]
          goto ended;
      }
      event = Event{};
    }
  ended:
    first.at = a;
    second.at = b;
    return event;
  }

  [[gnu::noinline]] HYPER2KVM_STEPS static Outcome alone(Lane& lane) {
    Cursor at = lane.at;
    Outcome outcome = Outcome::kMore;
    while (outcome == Outcome::kMore) {
      if (at.in > lane.in_limit || at.out > lane.contents.data() + kLargest) {
        outcome = Outcome::kFarEnough;
        break;
      }
      for (std::size_t i = kSteps; i > 0 && outcome == Outcome::kMore; --i) outcome = next(at, lane);
    }
    lane.at = at;
    return outcome;
  }

  // Whether the lane has something to do.
  bool begin(Lane& lane) {
    while (next_ < streams_.size()) {
      const std::size_t number = next_++;
      if ((streams_[number].size() > kHardlyShrunk) != kMostlyLiterals) continue;
      lane.begin(number, streams_[number]);
      if (go_to_next_block(lane)) return true;
    }
    return false;
  }

  bool after(Lane& lane, Outcome outcome) {
    if (lane.has_room()) {
      if (outcome == Outcome::kFarEnough && lane.look_ahead()) return true;
      if (outcome == Outcome::kEndOfBlock) return go_to_next_block(lane) || begin(lane);
    }
    inflated_(lane.number, {});
    return begin(lane);
  }

  // False: the stream has ended, and inflated_ has been called.
  bool go_to_next_block(Lane& lane) {
    const Outcome outcome = lane.next_block();
    if (outcome == Outcome::kMore) return true;
    inflated_(lane.number, outcome == Outcome::kEndOfBlock ? lane.inflated() : std::span<const std::byte>());
    return false;
  }

  Lane* lanes_;
  std::span<const std::span<const std::byte>> streams_;
  const Inflated& inflated_;
  std::size_t next_ = 0;
};

InflatePair::InflatePair() : lanes_(new Lane[2]) {}
InflatePair::~InflatePair() = default;
InflatePair::InflatePair(InflatePair&&) noexcept = default;
InflatePair& InflatePair::operator=(InflatePair&&) noexcept = default;

void InflatePair::inflate(std::span<const std::span<const std::byte>> streams, const Inflated& inflated) {
  static const bool works = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("bmi") != 0 &&
                            __builtin_cpu_supports("bmi2") != 0;
  if (works) {
    Run<false>(lanes_.get(), streams, inflated).inflate();
    Run<true>(lanes_.get(), streams, inflated).inflate();
    return;
  }
  for (std::size_t number = 0; number < streams.size(); ++number) inflated(number, {});
}

}  // namespace hyper2kvm::image
#else
namespace hyper2kvm::image {

struct InflatePair::Lane {};

InflatePair::InflatePair() = default;
InflatePair::~InflatePair() = default;
InflatePair::InflatePair(InflatePair&&) noexcept = default;
InflatePair& InflatePair::operator=(InflatePair&&) noexcept = default;

void InflatePair::inflate(std::span<const std::span<const std::byte>> streams, const Inflated& inflated) {
  for (std::size_t number = 0; number < streams.size(); ++number) inflated(number, {});
}

}  // namespace hyper2kvm::image
#endif
