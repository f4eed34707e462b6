// JSON into a Value, by nlohmann_json's event interface: its own tree would keep the last of two equal keys
// without a word.
#include <nlohmann/json.hpp>

#include "runner/contract/document.h"
#include "runner/contract/text.h"

namespace hyper2kvm::contract {
namespace {

Value scalar(Value::Kind kind) {
  Value value;
  value.kind = kind;
  return value;
}

class JsonEvents : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonEvents(DocumentBuilder& builder) : builder_(builder) {}
  bool null() override {
    builder_.add(Value{});
    return true;
  }
  bool boolean(bool written) override {
    Value value = scalar(Value::Kind::kBoolean);
    value.boolean = written;
    builder_.add(std::move(value));
    return true;
  }
  bool number_integer(number_integer_t written) override {
    Value value = scalar(Value::Kind::kInteger);
    value.integer = written;
    builder_.add(std::move(value));
    return true;
  }
  bool number_unsigned(number_unsigned_t written) override {
    if (written > static_cast<number_unsigned_t>(INT64_MAX))
      return number_float(static_cast<double>(written), std::to_string(written));
    return number_integer(static_cast<number_integer_t>(written));
  }
  bool number_float(number_float_t written, const string_t& text) override {
    Value value = scalar(Value::Kind::kReal);
    value.real = written;
    value.text = text;
    builder_.add(std::move(value));
    return true;
  }
  bool string(string_t& text) override {
    Value value = scalar(Value::Kind::kString);
    value.text = std::move(text);
    builder_.add(std::move(value));
    return true;
  }
  bool binary(binary_t&) override { builder_.refuse("is not JSON text"); }
  bool start_object(std::size_t) override {
    builder_.begin(Value::Kind::kObject);
    return true;
  }
  bool key(string_t& text) override {
    builder_.key(std::move(text));
    return true;
  }
  bool end_object() override {
    builder_.end();
    return true;
  }
  bool start_array(std::size_t) override {
    builder_.begin(Value::Kind::kList);
    return true;
  }
  bool end_array() override { return end_object(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 3, column 5: ..."
    std::string_view what = error.what();
    std::size_t place = what.find("at line");
    if (place != std::string_view::npos) what.remove_prefix(place);
    builder_.refuse("is not valid JSON " + printable(what, 240),
                    "Common causes: a file that is still being written, a comma after the last item, a "
                    "comment (YAML has comments, JSON has none).");
  }

 private:
  DocumentBuilder& builder_;
};

}  // namespace

Value read_json(std::string_view text, std::string_view name) {
  DocumentBuilder builder{std::string(name)};
  if (text.size() > kMaximumDocumentBytes)
    builder.refuse("is longer than " + std::to_string(kMaximumDocumentBytes >> 20) + " MiB");
  JsonEvents events(builder);
  try {
    nlohmann::json::sax_parse(text.begin(), text.end(), &events);
  } catch (const nlohmann::json::exception& error) {
    builder.refuse("is not valid JSON: " + printable(error.what(), 240));
  }
  return builder.take();
}

Value read_message(std::string_view text, std::string_view name, std::size_t most_bytes) {
  if (text.size() > most_bytes)
    throw os::Error(os::ErrorKind::kInvalid, std::string(name),
                    "is longer than " + std::to_string(most_bytes) + " bytes");
  try {
    return read_json(text, name);
  } catch (const os::Error& error) {
    throw os::Error(os::ErrorKind::kInvalid, error.subject(), error.problem());
  }
}

}  // namespace hyper2kvm::contract
