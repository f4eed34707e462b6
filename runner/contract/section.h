// One object of a document while it is read: typed access to its keys, with the checks and the messages that
// every key shares. Internal to this room and its tests.
//
// A key is known once it was asked for; finish() warns about the others. A key with the value null counts as
// absent. A value that is refused throws os::Error (kInvalid) whose subject is "DOCUMENT: PATH" and whose
// problem shows the value and what is allowed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "runner/contract/document.h"
#include "runner/contract/words.h"

namespace hyper2kvm::contract {

// What is gathered while one document is read.
struct Reading {
  std::string name;                   // of the document, for messages
  std::vector<std::string> warnings;  // at most kMaximumWarnings
  std::set<std::string> known_keys;   // every path that was asked for, with "[]" for an index
  void warn(std::string sentence);
};
inline constexpr std::size_t kMaximumWarnings = 100;

// Longest texts, in bytes.
inline constexpr std::size_t kNameBytes = 255;
inline constexpr std::size_t kLineBytes = 4096;
inline constexpr std::size_t kNoteBytes = 65536;

class Section {
 public:
  // path is "" for the document itself; pattern is path with "[]" for each index. Throws unless value is an
  // object.
  Section(const Value& value, std::string path, std::string pattern, Reading& reading);

  // The key's value; nullptr where it is absent or null. Makes the key known.
  const Value* find(std::string_view key);
  bool has(std::string_view key) { return find(key) != nullptr; }
  // The value of a key that must be there.
  const Value& require(std::string_view key);

  bool boolean(std::string_view key, bool otherwise);
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t lowest, std::int64_t highest);
  // A number that is finite and not negative.
  std::optional<double> real(std::string_view key);
  // One line of valid text without control characters.
  std::string line(std::string_view key, std::size_t limit = kLineBytes);
  std::string required_line(std::string_view key, std::size_t limit = kLineBytes);
  template <class Enum, std::size_t size>
  Enum word(std::string_view key, const std::array<Word<Enum>, size>& words, Enum otherwise) {
    const Value* value = find(key);
    if (value == nullptr) return otherwise;
    if (value->kind == Value::Kind::kString)
      for (const Word<Enum>& known : words)
        if (known.word == value->text) return known.value;
    refuse(key, *value, list_of(words));
  }
  // Calls read with each item of a list and the item's path parts; absent is an empty list.
  void each(std::string_view key, std::size_t most,
            const std::function<void(const Value& item, const std::string& path, const std::string& pattern)>&
                read);
  // A list of lines; each must please `allowed` (shown in the message as `rule`).
  std::vector<std::string> lines(std::string_view key, std::size_t most, std::size_t limit,
                                 const std::function<bool(std::string_view)>& allowed = {},
                                 const std::string& rule = "");
  // Calls read with the section below key, if it is there, and finishes it.
  void section(std::string_view key, const std::function<void(Section&)>& read);

  // "PATH.KEY"
  std::string path_of(std::string_view key) const;
  std::string pattern_of(std::string_view key) const;
  const std::string& path() const { return path_; }
  Reading& reading() { return reading_; }

  // "\"vmdk2\" is not allowed; allowed: vmdk, qcow2"
  [[noreturn]] void refuse(std::string_view key, const Value& value, const std::string& allowed) const;
  [[noreturn]] void refuse(std::string_view key, std::string problem, std::string advice = "") const;
  void warn(std::string_view key, const std::string& what);
  void finish();

 private:
  const Value& value_;
  std::string path_;
  std::string pattern_;
  Reading& reading_;
  std::set<std::string, std::less<>> known_;
};

// The text of a scalar that stands where text is wanted: a string, or a YAML scalar without quotes as it was
// written. nullptr otherwise.
const std::string* text_of(const Value& value);

// One item of a list, with the same checks as Section::line.
std::string checked_line(const Value& item, const std::string& path, const Reading& reading,
                         std::size_t limit);
[[noreturn]] void refuse_value(const Reading& reading, const std::string& path, const Value& value,
                               const std::string& allowed);

}  // namespace hyper2kvm::contract
