// Tells what the user gave: a manifest, an OVA, an OVF or disks. By content: names lie, and an OVA that was
// renamed is still one. A block device is a disk, whatever is on it.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "runner/image/package.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/pipeline/pipeline.h"

namespace hyper2kvm::pipeline {
namespace {

enum class InputKind { kManifest, kOva, kOvf, kDisk };

std::string lower_extension(const std::filesystem::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension;
}

bool is_document_extension(const std::string& extension) {
  return extension == ".json" || extension == ".yaml" || extension == ".yml";
}

InputKind kind_of(const std::filesystem::path& path) {
  os::File file = os::File::open(path, os::File::Mode::kRead);
  if (std::filesystem::is_block_file(path)) return InputKind::kDisk;
  std::array<char, 4096> head{};
  std::size_t size = file.read_at(0, std::as_writable_bytes(std::span(head)));
  std::string_view text(head.data(), size);
  if (size >= 262 && std::memcmp(head.data() + 257, "ustar", 5) == 0) return InputKind::kOva;
  std::string extension = lower_extension(path);
  if (extension == ".ova")
    return InputKind::kOva;  // an old tar without magic, or a damaged one: its reader says which
  std::size_t first = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  char begin = first == std::string_view::npos ? '\0' : text[first];
  if (begin == '<' && (text.find("Envelope") != std::string_view::npos || extension == ".ovf"))
    return InputKind::kOvf;
  if (extension == ".ovf") return InputKind::kOvf;
  if (is_document_extension(extension) || (begin == '{' && text.find('\0') == std::string_view::npos))
    return InputKind::kManifest;
  return InputKind::kDisk;
}

Job from_package(image::Package package, const std::filesystem::path& input) {
  Job job;
  job.input = input;
  job.parsed.manifest = std::move(package.manifest);
  job.parsed.warnings = std::move(package.warnings);
  if (job.parsed.manifest.output.directory.empty())
    job.parsed.manifest.output.directory = std::filesystem::current_path().string();
  for (const image::ImageLocation& location : package.locations)
    job.locations.push_back({location.file, location.offset, location.length});
  return job;
}

}  // namespace

Job open_inputs(const std::vector<std::filesystem::path>& inputs) {
  if (inputs.empty())
    throw os::Error(os::ErrorKind::kUsage, "", "no input is named",
                    "Name a manifest, an OVA, an OVF or disk images.");
  std::vector<InputKind> kinds;
  for (const auto& input : inputs) kinds.push_back(kind_of(input));
  bool all_disks =
      std::all_of(kinds.begin(), kinds.end(), [](InputKind kind) { return kind == InputKind::kDisk; });
  if (all_disks) {
    std::vector<std::filesystem::path> absolute;
    for (const auto& input : inputs) absolute.push_back(std::filesystem::absolute(input));
    return from_package(image::open_disks(absolute, inputs[0].stem().string()), absolute[0]);
  }
  if (inputs.size() > 1)
    throw os::Error(os::ErrorKind::kUsage, inputs[0].string(), "and more inputs cannot be one machine",
                    "Name one manifest, one OVA or one OVF, or only disk images.");
  std::filesystem::path input = std::filesystem::absolute(inputs[0]);
  switch (kinds[0]) {
    case InputKind::kOva:
      return from_package(image::open_ova(input), input);
    case InputKind::kOvf:
      return from_package(image::open_ovf(input), input);
    default:
      break;
  }
  Job job;
  job.input = input;
  job.parsed = contract::load_manifest(input);
  return job;
}

}  // namespace hyper2kvm::pipeline
