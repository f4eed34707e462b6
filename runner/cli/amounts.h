// Sizes, rates and times as people read and write them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hyper2kvm::cli {

// "512 B", "4.0 KiB", "1.2 GiB": powers of 1024, three significant digits or so.
std::string size_text(std::uint64_t bytes);
// "1.2 of 2.1 GiB", "512 MiB of 2.1 GiB".
std::string size_of_text(std::uint64_t done, std::uint64_t total);
// "0:03", "12:34", "1:02:03"; "?" for what is not finite or longer than 1000 hours.
std::string clock_text(double seconds);
// "0.3 s", "12 s", "3 min 20 s".
std::string duration_text(double seconds);
// "4M", "4MiB", "500k", "1.5G", "1048576": powers of 1024. Throws os::Error (kUsage), which names option.
std::uint64_t parse_size(std::string_view text, std::string_view option);

}  // namespace hyper2kvm::cli
