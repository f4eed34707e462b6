// YAML into a Value, by yaml-cpp's event interface: its node tree would resolve aliases without a limit and
// keep two equal keys.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>

#include "runner/contract/document.h"
#include "runner/contract/text.h"

namespace hyper2kvm::contract {
namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (std::string_view word : words)
    if (text == word) return true;
  return false;
}

bool parse_integer(std::string_view text, std::int64_t& result) {
  int base = 10;
  if (text.substr(0, 2) == "0x" || text.substr(0, 2) == "0o") {
    base = text[1] == 'x' ? 16 : 8;
    text.remove_prefix(2);
    if (text.empty() || text[0] == '-') return false;
  } else if (!text.empty() && text[0] == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text[0] == '-') return false;
  }
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result, base);
  return error == std::errc() && end == text.data() + text.size();
}

// The core schema's [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?; its infinities and NaN stay
// strings, for which no key has a use.
bool parse_real(std::string_view text, double& result) {
  if (text.empty() || text.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return false;
  if (text[0] == '+') text.remove_prefix(1);
  if (text.empty() || text[0] == '+') return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(result);
}

Value plain_scalar(const std::string& text) {
  Value value;
  value.plain = true;
  value.text = text;
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) {
    value.kind = Value::Kind::kNull;
  } else if (is_one_of(text, {"true", "True", "TRUE", "false", "False", "FALSE"})) {
    value.kind = Value::Kind::kBoolean;
    value.boolean = text[0] == 't' || text[0] == 'T';
  } else if (parse_integer(text, value.integer)) {
    value.kind = Value::Kind::kInteger;
  } else if (parse_real(text, value.real)) {
    value.kind = Value::Kind::kReal;
  } else {
    value.kind = Value::Kind::kString;
  }
  return value;
}

Value string_scalar(const std::string& text) {
  Value value;
  value.kind = Value::Kind::kString;
  value.text = text;
  return value;
}

class YamlEvents : public YAML::EventHandler {
 public:
  explicit YamlEvents(DocumentBuilder& builder) : builder_(builder) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.wants_key()) refuse(mark, "has an empty key");
    keep(anchor, builder_.add(plain_scalar("")));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (builder_.wants_key()) refuse(mark, "has an alias as a key");
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) refuse(mark, "has an alias that contains itself");
    builder_.add(found->second);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    if (builder_.wants_key()) {
      if (text == "<<")
        refuse(mark, "has a merge key (<<), which YAML 1.2 no longer has", "Write the keys out.");
      builder_.key(text);
      return;
    }
    // yaml-cpp tags a plain scalar "?" and a quoted or block scalar "!".
    if (tag == "?" || tag.empty())
      keep(anchor, builder_.add(plain_scalar(text)));
    else if (tag == "!" || tag == "tag:yaml.org,2002:str")
      keep(anchor, builder_.add(string_scalar(text)));
    else if (is_one_of(tag, {"tag:yaml.org,2002:int", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float",
                             "tag:yaml.org,2002:null"}))
      keep(anchor, builder_.add(plain_scalar(text)));
    else
      refuse(mark, "has the tag \"" + printable(tag) + "\", which means nothing here", "Remove the tag.");
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    if (builder_.wants_key()) refuse(mark, "has a list as a key");
    begin(Value::Kind::kList, anchor);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    if (builder_.wants_key()) refuse(mark, "has an object as a key");
    begin(Value::Kind::kObject, anchor);
  }
  void OnMapEnd() override { end(); }

 private:
  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& problem, std::string advice = "") {
    builder_.refuse("line " + std::to_string(mark.line + 1) + " " + problem, std::move(advice));
  }
  void begin(Value::Kind kind, YAML::anchor_t anchor) {
    builder_.begin(kind);
    open_anchors_.push_back(anchor);
  }
  void end() {
    const Value& value = builder_.end();
    YAML::anchor_t anchor = open_anchors_.back();
    open_anchors_.pop_back();
    keep(anchor, value);
  }
  void keep(YAML::anchor_t anchor, const Value& value) {
    if (anchor == YAML::NullAnchor) return;
    builder_.count(value);
    anchors_[anchor] = value;
  }

  DocumentBuilder& builder_;
  std::map<YAML::anchor_t, Value> anchors_;
  std::vector<YAML::anchor_t> open_anchors_;
};

}  // namespace

Value read_yaml(std::string_view text, std::string_view name) {
  DocumentBuilder builder{std::string(name)};
  if (text.size() > kMaximumDocumentBytes)
    builder.refuse("is longer than " + std::to_string(kMaximumDocumentBytes >> 20) + " MiB");
  if (!is_utf8(text) || text.find('\0') != std::string_view::npos)
    builder.refuse("is neither JSON nor YAML text in UTF-8");
  // yaml-cpp keeps a token of some 200 bytes for every bracket that is still open before it says a word.
  if (std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '{'; }) >
      static_cast<std::ptrdiff_t>(kMaximumValues))
    builder.refuse("has more than " + std::to_string(kMaximumValues) + " opening brackets");
  YamlEvents events(builder);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(events)) builder.refuse("is empty");
    if (parser.HandleNextDocument(events)) builder.refuse("holds more than one YAML document");
  } catch (const YAML::Exception& error) {
    std::string place = error.mark.is_null() ? "" : " at line " + std::to_string(error.mark.line + 1);
    builder.refuse("is not valid YAML" + place + ": " + printable(error.msg, 240));
  }
  return builder.take();
}

}  // namespace hyper2kvm::contract
