#include "runner/contract/document.h"

#include <algorithm>

#include "runner/contract/text.h"

namespace hyper2kvm::contract {

const Value* Value::find(std::string_view key) const {
  for (const Member& member : members)
    if (member.key == key) return &member.value;
  return nullptr;
}

std::string describe(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kBoolean:
      return value.boolean ? "true" : "false";
    case Value::Kind::kInteger:
      return value.plain ? printable(value.text) : std::to_string(value.integer);
    case Value::Kind::kReal:
      return printable(value.text);
    case Value::Kind::kString:
      return '"' + printable(value.text) + '"';
    case Value::Kind::kList:
      return "a list";
    case Value::Kind::kObject:
      return "an object";
  }
  return "a value";
}

void DocumentBuilder::refuse(std::string problem, std::string advice) const {
  throw os::Error(os::ErrorKind::kUnreadable, name_, std::move(problem), std::move(advice));
}

void DocumentBuilder::count(const Value& value) {
  if (++values_ > kMaximumValues)
    refuse("holds more than " + std::to_string(kMaximumValues) + " values (aliases count as what they copy)");
  text_bytes_ += value.text.size();
  if (text_bytes_ > kMaximumDocumentBytes)
    refuse("holds more than " + std::to_string(kMaximumDocumentBytes >> 20) +
           " MiB of text (aliases count as what they copy)");
  for (const Value& item : value.items) count(item);
  for (const Member& member : value.members) {
    text_bytes_ += member.key.size();
    count(member.value);
  }
}

const Value& DocumentBuilder::place(Value value) {
  if (open_.empty()) {
    root_ = std::move(value);
    return root_;
  }
  Open& parent = open_.back();
  if (parent.value.kind == Value::Kind::kList) {
    parent.value.items.push_back(std::move(value));
    return parent.value.items.back();
  }
  parent.has_key = false;
  parent.value.members.push_back({std::move(parent.pending_key), std::move(value)});
  return parent.value.members.back().value;
}

void DocumentBuilder::begin(Value::Kind list_or_object) {
  if (open_.size() == kMaximumDepth)
    refuse("is nested deeper than " + std::to_string(kMaximumDepth) + " levels");
  Open open;
  open.value.kind = list_or_object;
  count(open.value);
  open_.push_back(std::move(open));
}

void DocumentBuilder::key(std::string text) {
  Open& open = open_.back();
  text_bytes_ += text.size();
  if (!open.keys.insert(text).second)
    refuse("has the key \"" + printable(text) + "\" twice in one object",
           "Remove one of the two: which one counts would be a guess.");
  open.pending_key = std::move(text);
  open.has_key = true;
}

const Value& DocumentBuilder::end() {
  Value value = std::move(open_.back().value);
  open_.pop_back();
  return place(std::move(value));
}

namespace {

std::size_t depth_of(const Value& value) {
  std::size_t deepest = 0;
  for (const Value& item : value.items) deepest = std::max(deepest, depth_of(item));
  for (const Member& member : value.members) deepest = std::max(deepest, depth_of(member.value));
  bool holds = value.kind == Value::Kind::kList || value.kind == Value::Kind::kObject;
  return deepest + (holds ? 1 : 0);
}

}  // namespace

const Value& DocumentBuilder::add(Value value) {
  count(value);
  if (open_.size() + depth_of(value) > kMaximumDepth)
    refuse("is nested deeper than " + std::to_string(kMaximumDepth) + " levels");
  return place(std::move(value));
}

bool DocumentBuilder::wants_key() const {
  return !open_.empty() && open_.back().value.kind == Value::Kind::kObject && !open_.back().has_key;
}

Value read_document(std::string_view text, std::string_view name) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  std::string_view rest = text;
  if (rest.substr(0, byte_order_mark.size()) == byte_order_mark) rest.remove_prefix(byte_order_mark.size());
  std::size_t start = rest.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos)
    throw os::Error(os::ErrorKind::kUnreadable, std::string(name), "is empty",
                    "It may still be being written.");
  if (rest[start] == '{' || rest[start] == '[') return read_json(rest, name);
  return read_yaml(rest, name);
}

}  // namespace hyper2kvm::contract
