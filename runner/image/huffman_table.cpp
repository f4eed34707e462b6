#include "runner/image/huffman_table.h"

#include <algorithm>
#include <bit>

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kMostSymbols = 288;

// The next codeword of the same length. Deflate has the first bit of a codeword in the lowest place, so the
// carry runs downwards. last: the codeword of ones, which has no next.
std::uint32_t next_codeword(std::uint32_t codeword, std::uint32_t last) {
  const std::uint32_t bit = std::bit_floor(codeword ^ last);
  return (codeword & (bit - 1)) | bit;
}

}  // namespace

bool make_huffman_table(std::span<const std::uint8_t> lengths, std::span<const HuffmanEntry> meanings,
                        unsigned index_bits, HuffmanEntry mark, std::span<HuffmanEntry> table) {
  if (lengths.size() > kMostSymbols || lengths.size() > meanings.size()) return false;
  std::array<std::uint32_t, kLongestCodeword + 1> count{};
  for (std::uint8_t length : lengths) ++count[length];
  std::array<std::uint32_t, kLongestCodeword + 1> next{};  // where symbols of this length go
  std::uint32_t space = 0;                                 // in codewords of the greatest length
  for (unsigned length = 1; length <= kLongestCodeword; ++length) {
    space = space * 2 + count[length];
    if (length < kLongestCodeword) next[length + 1] = next[length] + count[length];
  }
  if (space != 1u << kLongestCodeword) return false;
  std::array<std::uint16_t, kMostSymbols> symbols;  // by length, then by value: the order of their codewords
  for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol)
    if (lengths[symbol] > 0) symbols[next[lengths[symbol]]++] = static_cast<std::uint16_t>(symbol);

  const std::uint16_t* symbol = symbols.data();
  unsigned length = 1;
  while (count[length] == 0) ++length;
  std::uint32_t codeword = 0;
  std::uint32_t left = count[length];  // symbols of this length
  // The part of the table that longer indexes would only repeat is filled first, and doubled with each bit.
  std::uint32_t filled = 1;
  auto grow = [&](unsigned bits) {
    for (; filled < 1u << std::min(bits, index_bits); filled *= 2)
      std::copy_n(table.begin(), filled, table.begin() + filled);
  };
  grow(length);
  while (length <= index_bits) {
    for (; left > 0; --left) {
      table[codeword] = meanings[*symbol++] + length * 0x101;
      if (codeword == filled - 1) {
        grow(index_bits);
        return true;
      }
      codeword = next_codeword(codeword, filled - 1);
    }
    do grow(++length);
    while ((left = count[length]) == 0);
  }

  const std::uint32_t mask = (1u << index_bits) - 1;
  std::uint32_t prefix = mask + 1;  // of the second table that is being filled
  std::uint32_t begin = 0;
  std::uint32_t end = mask + 1;
  unsigned second_bits = 0;
  while (true) {
    if ((codeword & mask) != prefix) {
      prefix = codeword & mask;
      begin = end;
      // As large as the longest codeword with this prefix asks for.
      second_bits = length - index_bits;
      for (std::uint32_t used = left; used < 1u << second_bits;)
        used = used * 2 + count[index_bits + ++second_bits];
      end = begin + (1u << second_bits);
      table[prefix] = mark | begin << 16 | second_bits;
    }
    const HuffmanEntry entry = meanings[*symbol++] + (length - index_bits) * 0x101;
    for (std::uint32_t at = codeword >> index_bits; at < 1u << second_bits; at += 1u << (length - index_bits))
      table[begin + at] = entry;
    const std::uint32_t last = (1u << length) - 1;
    if (codeword == last) return true;
    codeword = next_codeword(codeword, last);
    for (--left; left == 0;) left = count[++length];
  }
}

}  // namespace hyper2kvm::image
