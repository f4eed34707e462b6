// Units of DMTF DSP0004 (annex C, "byte * 2^20") and those that older exports use ("MegaBytes").
#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "runner/image/ovf.h"

namespace hyper2kvm::image {
namespace {

struct NamedUnit {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr std::array<NamedUnit, 12> kNamedUnits = {{{"", 1},
                                                    {"byte", 1},
                                                    {"bytes", 1},
                                                    {"b", 1},
                                                    {"kilobytes", 1ull << 10},
                                                    {"kb", 1ull << 10},
                                                    {"megabytes", 1ull << 20},
                                                    {"mb", 1ull << 20},
                                                    {"gigabytes", 1ull << 30},
                                                    {"gb", 1ull << 30},
                                                    {"terabytes", 1ull << 40},
                                                    {"tb", 1ull << 40}}};

}  // namespace

std::optional<std::uint64_t> parse_allocation_unit(std::string_view text) {
  if (text.size() > 64) return std::nullopt;
  std::string unit;
  for (unsigned char character : text)
    if (std::isspace(character) == 0) unit += static_cast<char>(std::tolower(character));
  for (const NamedUnit& named : kNamedUnits)
    if (unit == named.name) return named.bytes;
  if (unit.rfind("byte*", 0) != 0) return std::nullopt;
  std::size_t caret = unit.find('^');
  if (caret == std::string::npos) return std::nullopt;
  std::string_view base = std::string_view(unit).substr(5, caret - 5);
  std::string_view power = std::string_view(unit).substr(caret + 1);
  unsigned exponent = 0;
  auto [end, code] = std::from_chars(power.data(), power.data() + power.size(), exponent);
  if (code != std::errc() || end != power.data() + power.size()) return std::nullopt;
  if (base == "2" && exponent < 50) return std::uint64_t{1} << exponent;
  if (base != "10" || exponent > 15) return std::nullopt;
  std::uint64_t bytes = 1;
  for (unsigned i = 0; i < exponent; ++i) bytes *= 10;
  return bytes;
}

}  // namespace hyper2kvm::image
