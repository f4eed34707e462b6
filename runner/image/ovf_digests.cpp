#include "runner/image/ovf_digests.h"

#include <algorithm>
#include <cctype>

#include "runner/contract/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::image {
namespace {

std::size_t digits_of(const std::string& algorithm) {
  if (algorithm == "SHA1") return 40;
  if (algorithm == "SHA256") return 64;
  if (algorithm == "SHA512") return 128;
  return 0;
}

}  // namespace

std::multimap<std::string, FileDigest> parse_ovf_digests(std::string_view text, const std::string& name) {
  auto refuse = [&](std::string_view line) {
    throw os::Error(os::ErrorKind::kInvalid, name,
                    "has a line that is no digest: \"" + std::string(line.substr(0, 100)) + "\"",
                    "The export is damaged: export the machine again.");
  };
  std::multimap<std::string, FileDigest> digests;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = contract::trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    // The name may hold anything, parentheses too: the last ")" before the last "=" ends it.
    std::size_t open = line.find('(');
    std::size_t equals = line.rfind('=');
    std::size_t close = equals == std::string_view::npos ? equals : line.rfind(')', equals);
    if (open == std::string_view::npos || close == std::string_view::npos || close <= open) refuse(line);
    FileDigest digest;
    for (unsigned char character : contract::trim(line.substr(0, open)))
      if (character != '-') digest.algorithm += static_cast<char>(std::toupper(character));
    for (unsigned char character : contract::trim(line.substr(equals + 1)))
      digest.hex += static_cast<char>(std::tolower(character));
    bool hexadecimal = std::all_of(digest.hex.begin(), digest.hex.end(),
                                   [](unsigned char character) { return std::isxdigit(character) != 0; });
    if (!hexadecimal || digest.hex.size() != digits_of(digest.algorithm) || digest.hex.empty()) refuse(line);
    std::string file(line.substr(open + 1, close - open - 1));
    auto [first, last] = digests.equal_range(file);
    for (auto other = first; other != last; ++other)
      if (other->second.algorithm == digest.algorithm && other->second.hex != digest.hex) refuse(line);
    digests.emplace(std::move(file), std::move(digest));
  }
  return digests;
}

}  // namespace hyper2kvm::image
