#include "runner/libvirt/text.h"

namespace hyper2kvm::libvirt {
namespace {

struct Character {
  std::size_t length = 0;  // bytes; 0: not UTF-8
  char32_t value = 0;
};

// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
Character next_character(std::string_view text) {
  auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  unsigned char first = byte(0);
  if (first < 0x80) return {1, first};
  std::size_t length = 0;
  if (first >= 0xc2 && first <= 0xdf) length = 2;
  if (first >= 0xe0 && first <= 0xef) length = 3;
  if (first >= 0xf0 && first <= 0xf4) length = 4;
  if (length == 0 || text.size() < length) return {};
  char32_t value = first & (0x7f >> length);
  for (std::size_t index = 1; index < length; ++index) {
    if ((byte(index) & 0xc0) != 0x80) return {};
    value = value << 6 | (byte(index) & 0x3f);
  }
  bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (overlong || surrogate || value > 0x10ffff) return {};
  return {length, value};
}

bool is_plain(char32_t value) {
  bool control = value < 0x20 || (value >= 0x7f && value < 0xa0);
  bool line_break = value == 0x2028 || value == 0x2029;
  return !control && !line_break && value != 0xfffe && value != 0xffff;
}

}  // namespace

bool is_plain_text(std::string_view text) {
  while (!text.empty()) {
    Character character = next_character(text);
    if (character.length == 0 || !is_plain(character.value)) return false;
    text.remove_prefix(character.length);
  }
  return true;
}

std::string one_line(std::string_view text, std::size_t limit) {
  std::string line;
  while (!text.empty()) {
    Character character = next_character(text);
    std::string piece = "?";
    if (character.length > 0)
      piece = is_plain(character.value) ? std::string(text.substr(0, character.length)) : " ";
    if (line.size() + piece.size() > limit) break;
    line += piece;
    text.remove_prefix(character.length == 0 ? 1 : character.length);
  }
  return line;
}

}  // namespace hyper2kvm::libvirt
