#include "runner/guest/system/fstab.h"

namespace hyper2kvm::guest {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_octal(char c) { return c >= '0' && c <= '7'; }

std::string unescape(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\\' && at + 3 < text.size() && text[at + 1] <= '3' && is_octal(text[at + 1]) &&
        is_octal(text[at + 2]) && is_octal(text[at + 3])) {
      result +=
          static_cast<char>((text[at + 1] - '0') << 6 | (text[at + 2] - '0') << 3 | (text[at + 3] - '0'));
      at += 3;
    } else {
      result += text[at];
    }
  }
  return result;
}

std::string escape(std::string_view text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case ' ':
        result += "\\040";
        break;
      case '\t':
        result += "\\011";
        break;
      case '\n':
        result += "\\012";
        break;
      case '\\':
        result += "\\134";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace

const std::string& TableLine::field(std::size_t index) const {
  static const std::string none;
  return index < fields.size() ? fields[index] : none;
}

void TableLine::scan() {
  fields.clear();
  places_.clear();
  std::string_view line = text;
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::size_t at = 0;
  while (at < line.size() && is_blank(line[at])) ++at;
  if (at == line.size() || line[at] == '#') return;
  while (at < line.size()) {
    std::size_t begin = at;
    while (at < line.size() && !is_blank(line[at])) ++at;
    // A comment may follow the fields.
    if (line[begin] == '#' && fields.size() >= 4) break;
    places_.emplace_back(begin, at - begin);
    fields.push_back(unescape(line.substr(begin, at - begin)));
    while (at < line.size() && is_blank(line[at])) ++at;
  }
}

void TableLine::set_field(std::size_t index, const std::string& value) {
  if (index >= fields.size() || fields[index] == value) return;
  text.replace(places_[index].first, places_[index].second, escape(value));
  scan();
}

bool TableLine::has_option(std::size_t field_index, std::string_view option) const {
  std::string_view options = field(field_index);
  while (!options.empty()) {
    std::size_t comma = std::min(options.find(','), options.size());
    if (options.substr(0, comma) == option) return true;
    options.remove_prefix(std::min(comma + 1, options.size()));
  }
  return false;
}

Table Table::parse(std::string_view text) {
  Table table;
  table.ends_with_newline = text.empty() || text.back() == '\n';
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    TableLine line;
    line.text = text.substr(0, end);
    line.scan();
    table.lines.push_back(std::move(line));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return table;
}

std::string Table::text() const {
  std::string result;
  for (std::size_t index = 0; index < lines.size(); ++index) {
    result += lines[index].text;
    if (index + 1 < lines.size() || ends_with_newline) result += '\n';
  }
  return result;
}

}  // namespace hyper2kvm::guest
