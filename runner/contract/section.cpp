#include "runner/contract/section.h"

#include <cmath>

#include "runner/contract/text.h"

namespace hyper2kvm::contract {

void Reading::warn(std::string sentence) {
  if (warnings.size() + 1 < kMaximumWarnings)
    warnings.push_back(std::move(sentence));
  else if (warnings.size() + 1 == kMaximumWarnings)
    warnings.push_back("more warnings of the same sort are left out");
}

const std::string* text_of(const Value& value) {
  bool scalar = value.kind != Value::Kind::kNull && value.kind != Value::Kind::kList &&
                value.kind != Value::Kind::kObject;
  if (value.kind == Value::Kind::kString || (value.plain && scalar)) return &value.text;
  return nullptr;
}

void refuse_value(const Reading& reading, const std::string& path, const Value& value,
                  const std::string& allowed) {
  throw os::Error(os::ErrorKind::kInvalid, reading.name + ": " + path,
                  describe(value) + " is not allowed; allowed: " + allowed);
}

std::string checked_line(const Value& item, const std::string& path, const Reading& reading,
                         std::size_t limit) {
  const std::string* text = text_of(item);
  if (text == nullptr || has_control_character(*text) || text->size() > limit)
    refuse_value(
        reading, path, item,
        "text of one line with at most " + std::to_string(limit) + " bytes and without control characters");
  return *text;
}

Section::Section(const Value& value, std::string path, std::string pattern, Reading& reading)
    : value_(value), path_(std::move(path)), pattern_(std::move(pattern)), reading_(reading) {
  if (value.kind != Value::Kind::kObject) refuse_value(reading, path_, value, "an object with keys");
}

std::string Section::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

std::string Section::pattern_of(std::string_view key) const {
  return pattern_.empty() ? std::string(key) : pattern_ + "." + std::string(key);
}

const Value* Section::find(std::string_view key) {
  if (known_.insert(std::string(key)).second) reading_.known_keys.insert(pattern_of(key));
  const Value* value = value_.find(key);
  return value == nullptr || value->kind == Value::Kind::kNull ? nullptr : value;
}

const Value& Section::require(std::string_view key) {
  const Value* value = find(key);
  if (value == nullptr) refuse(key, "is missing and must be there");
  return *value;
}

bool Section::boolean(std::string_view key, bool otherwise) {
  const Value* value = find(key);
  if (value == nullptr) return otherwise;
  if (value->kind != Value::Kind::kBoolean) refuse(key, *value, "true, false");
  return value->boolean;
}

std::optional<std::int64_t> Section::integer(std::string_view key, std::int64_t lowest,
                                             std::int64_t highest) {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  std::optional<std::int64_t> number;
  if (value->kind == Value::Kind::kInteger) number = value->integer;
  // Writers that know only floating point write 4.0; beyond 2^53 such a number is not exact.
  if (value->kind == Value::Kind::kReal && value->real == std::floor(value->real) &&
      std::fabs(value->real) <= 9007199254740992.0)
    number = static_cast<std::int64_t>(value->real);
  if (!number || *number < lowest || *number > highest)
    refuse(key, *value, "a whole number from " + std::to_string(lowest) + " to " + std::to_string(highest));
  return number;
}

std::optional<double> Section::real(std::string_view key) {
  const Value* value = find(key);
  if (value == nullptr) return std::nullopt;
  double number = value->kind == Value::Kind::kInteger ? static_cast<double>(value->integer) : value->real;
  bool is_number = value->kind == Value::Kind::kInteger || value->kind == Value::Kind::kReal;
  if (!is_number || !std::isfinite(number) || number < 0)
    refuse(key, *value, "a number that is not negative");
  return number;
}

std::string Section::line(std::string_view key, std::size_t limit) {
  const Value* value = find(key);
  return value == nullptr ? "" : checked_line(*value, path_of(key), reading_, limit);
}

std::string Section::required_line(std::string_view key, std::size_t limit) {
  std::string text = checked_line(require(key), path_of(key), reading_, limit);
  if (text.empty()) refuse(key, "is empty and must not be");
  return text;
}

void Section::each(std::string_view key, std::size_t most,
                   const std::function<void(const Value&, const std::string&, const std::string&)>& read) {
  const Value* value = find(key);
  if (value == nullptr) return;
  if (value->kind != Value::Kind::kList) refuse(key, *value, "a list");
  if (value->items.size() > most)
    refuse(key,
           "has " + std::to_string(value->items.size()) + " items; allowed: at most " + std::to_string(most));
  std::string path = path_of(key);
  std::string pattern = pattern_of(key) + "[]";
  for (std::size_t i = 0; i < value->items.size(); ++i)
    read(value->items[i], path + "[" + std::to_string(i) + "]", pattern);
}

std::vector<std::string> Section::lines(std::string_view key, std::size_t most, std::size_t limit,
                                        const std::function<bool(std::string_view)>& allowed,
                                        const std::string& rule) {
  std::vector<std::string> result;
  each(key, most, [&](const Value& item, const std::string& path, const std::string&) {
    std::string text = checked_line(item, path, reading_, limit);
    if (allowed && !allowed(text)) refuse_value(reading_, path, item, rule);
    result.push_back(std::move(text));
  });
  return result;
}

void Section::section(std::string_view key, const std::function<void(Section&)>& read) {
  const Value* value = find(key);
  if (value == nullptr) return;
  Section below(*value, path_of(key), pattern_of(key), reading_);
  read(below);
  below.finish();
}

void Section::refuse(std::string_view key, const Value& value, const std::string& allowed) const {
  refuse_value(reading_, path_of(key), value, allowed);
}

void Section::refuse(std::string_view key, std::string problem, std::string advice) const {
  throw os::Error(os::ErrorKind::kInvalid, reading_.name + ": " + path_of(key), std::move(problem),
                  std::move(advice));
}

void Section::warn(std::string_view key, const std::string& what) {
  reading_.warn(path_of(key) + ": " + what);
}

void Section::finish() {
  for (const Member& member : value_.members)
    if (known_.find(member.key) == known_.end())
      reading_.warn(path_of(printable(member.key, 80)) + ": unknown key, ignored");
}

}  // namespace hyper2kvm::contract
