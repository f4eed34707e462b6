// A JSON or YAML document as a tree of values, read with limits and without surprises. Internal to this room
// and its tests.
//
// Both readers drive one DocumentBuilder, so that both languages obey the same limits: depth, number of
// values, bytes of text, and no key twice in one object (RFC 8259 leaves that to the reader; the YAML
// specification forbids it).
//   JSON: RFC 8259.
//   YAML: the core schema of YAML 1.2. Quoted scalars stay strings; a plain scalar remembers how it was
//   written, so that `manifest_version: 1.0` and `vm_id: 007` can be read as text. Anchors and aliases are
//   copies that count against the limits; tags other than the core schema's and merge keys (<<) are refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "runner/os/error.h"

namespace hyper2kvm::contract {

struct Member;

struct Value {
  enum class Kind { kNull, kBoolean, kInteger, kReal, kString, kList, kObject };
  Kind kind = Kind::kNull;
  bool plain = false;  // a YAML scalar without quotes: `text` is what was written
  bool boolean = false;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;             // kString; what was written where plain or kReal
  std::vector<Value> items;     // kList
  std::vector<Member> members;  // kObject: in the document's order, each key once

  const Value* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Value value;
};

// For a message: "\"vmdk2\"", "12", "a list".
std::string describe(const Value& value);

inline constexpr std::size_t kMaximumDocumentBytes = 16u << 20;
inline constexpr std::size_t kMaximumDepth = 32;
inline constexpr std::size_t kMaximumValues = 100'000;

// Puts a tree together from the events of a parser and enforces the limits above.
class DocumentBuilder {
 public:
  // name is for messages.
  explicit DocumentBuilder(std::string name) : name_(std::move(name)) {}
  void begin(Value::Kind list_or_object);
  void key(std::string text);
  // Returns the list or object that ends; valid until the next call.
  const Value& end();
  // A scalar, or a whole copied tree (an alias), which is counted as what it is.
  const Value& add(Value value);
  // The finished document.
  Value take() { return std::move(root_); }
  // True where a scalar that comes now is a key.
  bool wants_key() const;
  // Counts a copy that is kept aside (an anchor's) against the limits.
  void count(const Value& value);
  [[noreturn]] void refuse(std::string problem, std::string advice = "") const;

 private:
  struct Open {
    Value value;
    std::string pending_key;
    bool has_key = false;
    std::unordered_set<std::string> keys;
  };
  const Value& place(Value value);

  std::string name_;
  Value root_;
  std::vector<Open> open_;
  std::size_t values_ = 0;
  std::size_t text_bytes_ = 0;
};

// JSON where the first character is '{' or '[', else YAML. Throws os::Error (kUnreadable), with the line
// where the parser knows it.
Value read_document(std::string_view text, std::string_view name);
Value read_json(std::string_view text, std::string_view name);
Value read_yaml(std::string_view text, std::string_view name);

// JSON that a program of ours says to another. Hostile input: throws os::Error (kInvalid) where it is none,
// or longer than most_bytes.
Value read_message(std::string_view text, std::string_view name, std::size_t most_bytes);

}  // namespace hyper2kvm::contract
