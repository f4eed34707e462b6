// What may stand in an XML document, so that nothing a manifest says can break one.
#pragma once

#include <string>
#include <string_view>

namespace hyper2kvm::libvirt {

// Valid UTF-8 without control characters (XML 1.0 has no way to write most of them).
bool is_plain_text(std::string_view text);

// The same text on one line: control characters become spaces, bytes that are no UTF-8 question marks, and
// what is longer than limit bytes is cut between two characters.
std::string one_line(std::string_view text, std::size_t limit);

}  // namespace hyper2kvm::libvirt
