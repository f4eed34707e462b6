// RFC 3339, section 5.6.
#include <cstdio>
#include <ctime>

#include "runner/contract/report.h"

namespace hyper2kvm::contract {
namespace {

using std::chrono::system_clock;

// Takes exactly `count` digits off the front.
bool take_digits(std::string_view& text, std::size_t count, int& number) {
  if (text.size() < count) return false;
  number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return true;
}

bool take(std::string_view& text, std::string_view allowed) {
  if (text.empty() || allowed.find(text[0]) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::string rfc3339(system_clock::time_point time) {
  std::time_t seconds = system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(time));
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(text, length);
}

std::string rfc3339_milliseconds(system_clock::time_point time) {
  std::string text = rfc3339(time);
  auto fraction = time - std::chrono::floor<std::chrono::seconds>(time);
  auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(fraction).count();
  char digits[8];
  std::snprintf(digits, sizeof digits, ".%03dZ", static_cast<int>(milliseconds));
  return text.substr(0, text.size() - 1) + digits;
}

std::optional<system_clock::time_point> parse_rfc3339(std::string_view text) {
  int year, month, day, hour, minute, second;
  if (!take_digits(text, 4, year) || !take(text, "-") || !take_digits(text, 2, month) || !take(text, "-") ||
      !take_digits(text, 2, day) || !take(text, "Tt ") || !take_digits(text, 2, hour) || !take(text, ":") ||
      !take_digits(text, 2, minute) || !take(text, ":") || !take_digits(text, 2, second))
    return std::nullopt;
  std::chrono::nanoseconds fraction{0};
  if (take(text, ".")) {
    std::int64_t unit = 1'000'000'000;
    int digit;
    std::size_t count = 0;
    for (; take_digits(text, 1, digit); ++count) {
      unit /= 10;
      fraction += std::chrono::nanoseconds(digit * unit);  // digits beyond nanoseconds add nothing
    }
    if (count == 0) return std::nullopt;
  }
  std::chrono::minutes offset{0};
  if (!take(text, "Zz")) {
    if (text.empty() || (text[0] != '+' && text[0] != '-')) return std::nullopt;
    int sign = text[0] == '-' ? -1 : 1;
    text.remove_prefix(1);
    int offset_hours, offset_minutes;
    if (!take_digits(text, 2, offset_hours) || !take(text, ":") || !take_digits(text, 2, offset_minutes) ||
        offset_hours > 23 || offset_minutes > 59)
      return std::nullopt;
    offset = std::chrono::minutes(sign * (offset_hours * 60 + offset_minutes));
  }
  if (!text.empty()) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  // 60 is a leap second. The clock counts nanoseconds in 64 bits, which end in 2262.
  if (!date.ok() || hour > 23 || minute > 59 || second > 60 || year < 1700 || year > 2200)
    return std::nullopt;
  return std::chrono::time_point_cast<system_clock::duration>(
      std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
      std::chrono::seconds(second) - offset + fraction);
}

}  // namespace hyper2kvm::contract
