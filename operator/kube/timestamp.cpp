#include "operator/kube/timestamp.h"

#include <fmt/format.h>

#include <charconv>

namespace hyper2kvm::kube {
namespace {

using std::chrono::microseconds;

std::string date_and_time(Calendar moment) {
  auto day = std::chrono::floor<std::chrono::days>(moment);
  std::chrono::year_month_day date(day);
  std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(moment - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time.hours().count(), time.minutes().count(), time.seconds().count());
}

// Takes exactly `digits` digits off the front; false when they are not there.
bool take_number(std::string_view& text, std::size_t digits, int& value) {
  if (text.size() < digits) return false;
  for (std::size_t i = 0; i < digits; ++i)
    if (text[i] < '0' || text[i] > '9') return false;
  std::from_chars(text.data(), text.data() + digits, value);
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

// ".123456789": at least one digit, those after the sixth are dropped.
bool take_fraction(std::string_view& text, microseconds& value) {
  if (!take(text, '.')) return true;
  int unit = 100000;
  std::size_t count = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    value += microseconds((text.front() - '0') * unit);
    unit /= 10;
    text.remove_prefix(1);
    ++count;
  }
  return count > 0;
}

bool take_offset(std::string_view& text, std::chrono::minutes& offset) {
  if (take(text, 'Z') || take(text, 'z')) return true;
  bool behind = take(text, '-');
  if (!behind && !take(text, '+')) return false;
  int hours = 0, minutes = 0;
  if (!take_number(text, 2, hours) || !take(text, ':') || !take_number(text, 2, minutes)) return false;
  offset = std::chrono::minutes(hours * 60 + minutes);
  if (behind) offset = -offset;
  return hours < 24 && minutes < 60;
}

}  // namespace

std::string to_time(Calendar moment) { return date_and_time(moment) + "Z"; }

std::string to_micro_time(Calendar moment) {
  auto fraction = moment - std::chrono::floor<std::chrono::seconds>(moment);
  return fmt::format("{}.{:06}Z", date_and_time(moment), fraction.count());
}

std::optional<Calendar> parse_time(std::string_view text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  microseconds fraction{0};
  std::chrono::minutes offset{0};
  if (!take_number(text, 4, year) || !take(text, '-') || !take_number(text, 2, month) || !take(text, '-') ||
      !take_number(text, 2, day) || !(take(text, 'T') || take(text, 't')) || !take_number(text, 2, hour) ||
      !take(text, ':') || !take_number(text, 2, minute) || !take(text, ':') ||
      !take_number(text, 2, second) || !take_fraction(text, fraction) || !take_offset(text, offset) ||
      !text.empty())
    return std::nullopt;
  std::chrono::year_month_day date(std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day)));
  if (!date.ok() || year < 1970 || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  return Calendar(std::chrono::sys_days(date).time_since_epoch()) + std::chrono::hours(hour) +
         std::chrono::minutes(minute) + std::chrono::seconds(second) + fraction - offset;
}

}  // namespace hyper2kvm::kube
