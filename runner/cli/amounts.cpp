#include "runner/cli/amounts.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "runner/os/error.h"

namespace hyper2kvm::cli {
namespace {

constexpr std::array<const char*, 7> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};

std::size_t unit_of(double bytes) {
  std::size_t unit = 0;
  // What would be rounded to 1024 is one of the next unit.
  for (; bytes >= 1023.5 && unit + 1 < kUnits.size(); bytes /= 1024) ++unit;
  return unit;
}

std::string number_in(double bytes, std::size_t unit) {
  double value = bytes / std::pow(1024.0, static_cast<double>(unit));
  char text[32];
  std::snprintf(text, sizeof text, unit > 0 && value < 9.95 ? "%.1f" : "%.0f", value);
  return text;
}

}  // namespace

std::string size_text(std::uint64_t bytes) {
  auto value = static_cast<double>(bytes);
  std::size_t unit = unit_of(value);
  return number_in(value, unit) + " " + kUnits[unit];
}

std::string size_of_text(std::uint64_t done, std::uint64_t total) {
  std::size_t unit = unit_of(static_cast<double>(total));
  bool same = unit_of(static_cast<double>(done)) == unit || done == 0;
  return (same ? number_in(static_cast<double>(done), unit) : size_text(done)) + " of " + size_text(total);
}

std::string clock_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 3.6e6) return "?";
  auto whole = static_cast<long>(std::ceil(seconds));
  char text[32];
  if (whole >= 3600)
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  else
    std::snprintf(text, sizeof text, "%ld:%02ld", whole / 60, whole % 60);
  return text;
}

std::string duration_text(double seconds) {
  char text[48];
  if (!std::isfinite(seconds) || seconds < 0) return "?";
  if (seconds < 9.95) {
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  } else if (seconds < 119.5) {
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  } else {
    auto whole = static_cast<long long>(std::min(seconds, 1e15) + 0.5);
    std::snprintf(text, sizeof text, "%lld min %lld s", whole / 60, whole % 60);
  }
  return text;
}

std::uint64_t parse_size(std::string_view text, std::string_view option) {
  auto refuse = [&] {
    return os::Error(
        os::ErrorKind::kUsage, std::string(option),
        "\"" + std::string(text) + "\" is no size; allowed: a number with K, M, G or T, such as 200M");
  };
  double number = 0;
  auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc()) throw refuse();
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (!unit.empty()) {
    char letter = static_cast<char>(unit[0] >= 'a' && unit[0] <= 'z' ? unit[0] - 'a' + 'A' : unit[0]);
    std::size_t power = std::string_view("BKMGT").find(letter);
    std::string_view rest = unit.substr(1);
    if (power == std::string_view::npos || (!rest.empty() && (power == 0 || (rest != "iB" && rest != "B"))))
      throw refuse();
    number *= std::pow(1024.0, static_cast<double>(power));
  }
  if (!(number >= 1) || number > 9e18) throw refuse();
  return static_cast<std::uint64_t>(number);
}

}  // namespace hyper2kvm::cli
