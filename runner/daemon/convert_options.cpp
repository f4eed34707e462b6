#include "runner/daemon/convert_options.h"

#include <sstream>
#include <vector>

#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

constexpr const char* kName = "QEMU_CONVERT_OPTIONS";
constexpr const char* kAdvice =
    "Use -O qcow2, -O raw, -O vdi, -c, -p, -o compression_type=zlib or zstd, and leave the rest out.";

[[noreturn]] void refuse(const std::string& problem) {
  throw os::Error(os::ErrorKind::kUsage, kName, problem, kAdvice);
}

contract::OutputFormat format_of(const std::string& word) {
  for (contract::OutputFormat format :
       {contract::OutputFormat::kQcow2, contract::OutputFormat::kRaw, contract::OutputFormat::kVdi})
    if (contract::to_string(format) == word) return format;
  refuse("asks for the output format \"" + word + "\", which hyper2kvm does not write");
}

// -o is a list of KEY=VALUE, separated by commas.
void read_creation_options(const std::string& list, ConvertOptions& options) {
  std::istringstream stream(list);
  for (std::string option; std::getline(stream, option, ',');) {
    if (option == "compression_type=zlib")
      options.compression = contract::Compression::kDeflate;
    else if (option == "compression_type=zstd")
      options.compression = contract::Compression::kZstd;
    else
      refuse("holds -o " + option + ", which hyper2kvm cannot honour");
  }
}

}  // namespace

ConvertOptions parse_convert_options(std::string_view text) {
  std::istringstream stream{std::string(text)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  ConvertOptions options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    auto value = [&](const std::string& option) {
      if (word.size() > option.size()) return word.substr(option.size());
      if (i + 1 >= words.size()) refuse("ends with " + option + ", which needs a value");
      return words[++i];
    };
    if (word == "-c") {
      options.compress = true;
    } else if (word == "-p") {
      options.progress = true;
    } else if (word.rfind("-O", 0) == 0) {
      options.format = format_of(value("-O"));
    } else if (word.rfind("-o", 0) == 0) {
      read_creation_options(value("-o"), options);
    } else {
      refuse("holds \"" + word + "\", which hyper2kvm cannot honour");
    }
  }
  if (options.compress && options.format && *options.format != contract::OutputFormat::kQcow2)
    refuse("asks for compression (-c) of a format that has none");
  return options;
}

}  // namespace hyper2kvm::daemon
