// Lines and words of configuration files.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hyper2kvm::guest {

// Views into text, without newlines (and without a carriage return before one).
std::vector<std::string_view> lines_of(std::string_view text);
// Separated by blanks.
std::vector<std::string_view> words_of(std::string_view line);
std::string_view trim(std::string_view text);
std::string first_line(std::string_view text);
std::string lower(std::string_view text);
bool all_digits(std::string_view text);

}  // namespace hyper2kvm::guest
