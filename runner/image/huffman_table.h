// Tables that decode the Huffman codes of deflate: the first bits of the stream are the index of an entry
// that says how many bits to take and what they stand for.
//
// Source: RFC 1951, section 3.2.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hyper2kvm::image {

// An entry:
//
//   bits  0-5   how many bits to take: the codeword and the extra bits behind it
//   bits  8-13  how many of these are the codeword
//   bits 16-27  a literal, or the smallest length (bits 16-30 the smallest distance) that the codeword stands
//   for
//
// The first table is indexed by index_bits bits. Where a codeword is longer, the entry has the mark for that,
// where the table of its other bits begins in bits 16-28, and how many bits index that in bits 0-5.
using HuffmanEntry = std::uint32_t;

constexpr unsigned kLongestCodeword = 15;

// The room that tables of a code with so many symbols need at most. A second table is for at least two
// codewords, which are as long as its index and the first one's together.
constexpr std::size_t huffman_table_size(unsigned index_bits, unsigned symbols) {
  return (std::size_t{1} << index_bits) +
         std::size_t{symbols / 2} * (std::size_t{1} << (kLongestCodeword - index_bits));
}

// lengths: the codeword length of each symbol, 0 for none. meanings: an entry for each symbol, with the extra
// bits in its lowest byte and no codeword yet. mark: for entries that lead to a second table. Returns false
// where the code is not complete; the table is then of no use. table has huffman_table_size().
bool make_huffman_table(std::span<const std::uint8_t> lengths, std::span<const HuffmanEntry> meanings,
                        unsigned index_bits, HuffmanEntry mark, std::span<HuffmanEntry> table);

}  // namespace hyper2kvm::image
