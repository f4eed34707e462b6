#include "runner/daemon/environment_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

constexpr std::size_t kLargestFile = 1u << 20;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool is_name(const std::string& key) {
  if (key.empty() || (key[0] >= '0' && key[0] <= '9')) return false;
  for (char c : key)
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
      return false;
  return true;
}

// One pass over the text; each function leaves the position after what it read.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Variables read() {
    while (position_ < text_.size()) {
      char c = text_[position_];
      if (is_blank(c) || c == '\n') {
        ++position_;
      } else if (c == '#' || c == ';') {
        skip_comment();
      } else {
        read_assignment();
      }
    }
    return std::move(variables_);
  }

 private:
  bool at_end() const { return position_ >= text_.size(); }

  // A backslash hides a line break from a comment too.
  void skip_comment() {
    while (!at_end() && text_[position_] != '\n') position_ += text_[position_] == '\\' ? 2 : 1;
  }

  void read_assignment() {
    std::string key;
    while (!at_end() && text_[position_] != '=' && text_[position_] != '\n') key += text_[position_++];
    if (at_end() || text_[position_] == '\n') return;
    ++position_;
    while (!key.empty() && is_blank(key.back())) key.pop_back();
    std::string value = read_value();
    if (is_name(key)) variables_[key] = value;
  }

  std::string read_value() {
    std::string value;
    while (true) {
      while (!at_end() && is_blank(text_[position_])) ++position_;
      if (at_end() || text_[position_] == '\n') return value;
      if (text_[position_] == '\'') {
        read_single_quoted(value);
      } else if (text_[position_] == '"') {
        read_double_quoted(value);
      } else {
        read_plain(value);
        return value;
      }
    }
  }

  void read_single_quoted(std::string& value) {
    ++position_;
    while (!at_end() && text_[position_] != '\'') value += text_[position_++];
    ++position_;
  }

  void read_double_quoted(std::string& value) {
    ++position_;
    while (!at_end() && text_[position_] != '"') {
      char c = text_[position_++];
      if (c == '\\' && !at_end()) {
        char escaped = text_[position_++];
        if (std::strchr("\"\\`$", escaped) == nullptr && escaped != '\n') value += '\\';
        if (escaped != '\n') value += escaped;
      } else {
        value += c;
      }
    }
    ++position_;
  }

  // Quotes within plain text are ordinary characters.
  void read_plain(std::string& value) {
    std::size_t kept = value.size();
    while (!at_end() && text_[position_] != '\n') {
      char c = text_[position_++];
      if (c == '\\') {
        if (at_end()) break;
        char escaped = text_[position_++];
        if (escaped != '\n') value += escaped;
        kept = value.size();
      } else {
        value += c;
        if (!is_blank(c)) kept = value.size();
      }
    }
    value.resize(kept);
  }

  std::string_view text_;
  std::size_t position_ = 0;
  Variables variables_;
};

}  // namespace

Variables parse_environment(std::string_view text) { return Reader(text).read(); }

Variables read_environment_file(const std::filesystem::path& path) {
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return {};
  try {
    return parse_environment(os::read_text(path, kLargestFile));
  } catch (const os::Error& error) {
    throw os::Error(os::ErrorKind::kUsage, path.string(), error.problem(),
                    "Make it readable for the daemon: chown root:hyper2kvm, chmod 640.", error.errno_value());
  }
}

}  // namespace hyper2kvm::daemon
