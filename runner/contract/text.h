// Text from a document that somebody else wrote, made safe to show and to measure. Pure functions, for this
// room and for whoever reads or shows such text.
#pragma once

#include <string>
#include <string_view>

namespace hyper2kvm::contract {

bool is_utf8(std::string_view text);
// Has a byte below 0x20 or 0x7f.
bool has_control_character(std::string_view text);
// Without the blanks before and behind it: those of isspace(3) and sscanf(3), which include line ends.
std::string_view trim(std::string_view text);
// At most limit bytes, cut between characters, with "..." at the end where something was cut (limit >= 3).
std::string shortened(std::string_view text, std::size_t limit);
// For a message: control characters become spaces, what is no UTF-8 becomes '?', long text is cut.
std::string printable(std::string_view text, std::size_t limit = 120);

}  // namespace hyper2kvm::contract
