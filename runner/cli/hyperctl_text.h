// How hyperctl shows times, sizes, tables and progress. Pure functions.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace hyper2kvm::cli {

// "2d3h", "1h2m", "3m4s", "5s"
std::string age(std::int64_t seconds);
// "1.5 GiB"
std::string size_text(std::uint64_t bytes);
// "[#####.....]  50%"
std::string progress_bar(double percent, std::size_t width);
// Columns are as wide as their widest entry; the last is not padded. Control characters become blanks.
std::string table(const std::vector<std::vector<std::string>>& rows);
// One word whatever is in it: blanks, control characters and backslashes become \xNN, as systemd escapes.
std::string one_word(const std::string& text);
// True where name holds the filter's text (without regard to case) or is like its pattern.
bool matches(const std::string& name, const std::string& filter);

// The table of `jobs list` and `jobs watch`; now is seconds since the epoch.
std::string jobs_table(const nlohmann::json& jobs, std::int64_t now, bool bars);

}  // namespace hyper2kvm::cli
