#include "runner/libvirt/uri.h"

#include <string_view>

#include "runner/libvirt/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

[[noreturn]] void refuse(const std::string& text, std::string problem) {
  throw os::Error(os::ErrorKind::kInvalid, "libvirt.uri \"" + one_line(text, 200) + "\"", std::move(problem),
                  "Use one like qemu:///system, qemu:///session, qemu+ssh://root@HOST/system, "
                  "qemu+tls://HOST/system or qemu:///embed?root=DIRECTORY.");
}

std::string_view query_of(std::string_view text) {
  std::size_t mark = text.find('?');
  if (mark == std::string_view::npos) return {};
  text = text.substr(mark + 1);
  return text.substr(0, text.find('#'));
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t index = 0; index < text.size(); ++index) {
    bool escape = text[index] == '%' && index + 2 < text.size() && hex_digit(text[index + 1]) >= 0 &&
                  hex_digit(text[index + 2]) >= 0;
    if (escape) {
      decoded += static_cast<char>(hex_digit(text[index + 1]) * 16 + hex_digit(text[index + 2]));
      index += 2;
    } else {
      decoded += text[index];
    }
  }
  return decoded;
}

// What is neither a letter, a digit nor one of these stands in a query as %XX.
std::string percent_encoded(std::string_view text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  for (unsigned char c : text) {
    bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    std::string_view("-._~/").find(static_cast<char>(c)) != std::string_view::npos;
    if (is_plain)
      encoded += static_cast<char>(c);
    else
      encoded += {'%', kDigits[c >> 4], kDigits[c & 15]};
  }
  return encoded;
}

// Calls found(pair) for each parameter of a query, as it is written.
template <typename Found>
void for_each_pair(std::string_view query, Found found) {
  while (!query.empty()) {
    std::size_t end = query.find_first_of("&;");
    std::string_view pair = query.substr(0, end);
    if (!pair.empty()) found(pair);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
  }
}

std::string name_in(std::string_view pair) { return percent_decoded(pair.substr(0, pair.find('='))); }

// Calls found(name, value) for each parameter of a query.
template <typename Found>
void for_each_parameter(std::string_view query, Found found) {
  for_each_pair(query, [&](std::string_view pair) {
    std::size_t equals = pair.find('=');
    std::string_view value = equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    found(name_in(pair), percent_decoded(value));
  });
}

}  // namespace

bool ConnectionUri::has_parameter(const std::string& name) const {
  bool has = false;
  for_each_parameter(query_of(text), [&](const std::string& key, const std::string&) { has |= key == name; });
  return has;
}

std::string ConnectionUri::parameter(const std::string& name) const {
  std::string last;
  for_each_parameter(query_of(text), [&](const std::string& key, const std::string& value) {
    if (key == name) last = value;
  });
  return last;
}

ConnectionUri parse_uri(const std::string& text) {
  if (!is_plain_text(text)) refuse(text, "has characters that no URI has");
  std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string::npos) refuse(text, "is no URI");
  ConnectionUri uri;
  uri.text = text;
  std::string scheme = text.substr(0, scheme_end);
  std::size_t plus = scheme.find('+');
  uri.driver = scheme.substr(0, plus);
  if (plus != std::string::npos) uri.transport = scheme.substr(plus + 1);
  if (uri.driver != "qemu") refuse(text, "is not a connection to libvirt's QEMU/KVM driver");
  // These run a program that the URI names; a URI may come from a manifest, which is not to be trusted that
  // far.
  if (uri.transport == "ext" || uri.has_parameter("command") || uri.has_parameter("netcat"))
    refuse(text, "would run a program of its own choice");
  std::size_t host_begin = scheme_end + 3;
  std::size_t path_begin = std::min(text.find_first_of("/?#", host_begin), text.size());
  std::string authority = text.substr(host_begin, path_begin - host_begin);
  std::size_t at = authority.rfind('@');
  if (at != std::string::npos) authority.erase(0, at + 1);
  bool bracketed = authority.starts_with('[');
  std::size_t host_end = bracketed ? authority.find(']') : authority.find(':');
  if (bracketed && host_end == std::string::npos)
    refuse(text, "has an IPv6 address without its closing bracket");
  uri.host = bracketed ? authority.substr(1, host_end - 1) : authority.substr(0, host_end);
  std::size_t path_end = std::min(text.find_first_of("?#", path_begin), text.size());
  uri.path = text.substr(path_begin, path_end - path_begin);
  if (uri.path != "/system" && uri.path != "/session" && uri.path != "/embed")
    refuse(text, "names none of the driver's places (/system, /session, /embed)");
  if (uri.is_embedded()) {
    for_each_parameter(query_of(text), [&](const std::string& key, const std::string& value) {
      if (key == "root") uri.embedded_root = value;
    });
    if (!uri.embedded_root.is_absolute())
      refuse(text, "needs a root directory with an absolute path for the embedded driver");
  }
  return uri;
}

std::string with_parameter(const std::string& text, const std::string& name, const std::string& value) {
  std::size_t fragment = std::min(text.find('#'), text.size());
  std::string result = text.substr(0, fragment);
  result += result.find('?') == std::string::npos ? '?' : '&';
  return result + name + "=" + percent_encoded(value) + text.substr(fragment);
}

std::string without_parameters(const std::string& text, const std::set<std::string>& names) {
  std::string result = text.substr(0, text.find_first_of("?#"));
  char before = '?';
  for_each_pair(query_of(text), [&](std::string_view pair) {
    if (names.contains(name_in(pair))) return;
    result += before;
    result += pair;
    before = '&';
  });
  return result + text.substr(std::min(text.find('#'), text.size()));
}

}  // namespace hyper2kvm::libvirt
