#include "tests/unit/image/disks.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::image::testing {

std::vector<std::byte> make_content(Content content, std::size_t size, Random& random) {
  std::vector<std::byte> bytes(size);
  if (content == Content::kNoise)
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  if (content == Content::kText)
    for (std::byte& byte : bytes) byte = static_cast<std::byte>("etaoin shrdlu\n.."[random() % 16]);
  return bytes;
}

void write_random_disk(const std::filesystem::path& path, std::uint64_t size, Random& random) {
  os::File file = os::File::open(path, os::File::Mode::kCreate);
  file.truncate(size);
  for (std::uint64_t offset = 0; offset < size;) {
    // Runs begin and end anywhere, not only where clusters do.
    std::uint64_t run = std::min<std::uint64_t>(size - offset, 512 * (1 + random() % 2048));
    Content content = static_cast<Content>(random() % 4);
    if (content != Content::kNothing)
      file.write_at(offset, make_content(content, static_cast<std::size_t>(run), random));
    offset += run;
  }
}

void convert_with_qemu(const std::filesystem::path& raw, const std::filesystem::path& to,
                       const std::string& format, const std::string& options) {
  os::ProcessOptions process;
  process.arguments = {"qemu-img", "convert", "-f", "raw", "-O", format};
  if (options.find("compressed") != std::string::npos) process.arguments.push_back("-c");
  std::string others = options == "compressed" ? "" : options;
  if (auto at = others.find(",compressed"); at != std::string::npos) others.erase(at);
  if (!others.empty()) {
    process.arguments.push_back("-o");
    process.arguments.push_back(others);
  }
  process.arguments.push_back(raw.string());
  process.arguments.push_back(to.string());
  os::run_program(process);
}

std::string Kind::title() const { return std::string(driver) + " " + options; }

const std::vector<Kind>& every_kind() {
  using contract::SourceFormat;
  static const std::vector<Kind> kinds = {
      {"vmdk", "subformat=streamOptimized", SourceFormat::kVmdk, Layout::kStreamOptimized},
      {"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk, Layout::kMapped},
      {"vmdk", "subformat=monolithicFlat", SourceFormat::kVmdk, Layout::kFlat},
      {"vmdk", "subformat=twoGbMaxExtentSparse", SourceFormat::kVmdk, Layout::kMapped},
      {"vmdk", "subformat=twoGbMaxExtentFlat", SourceFormat::kVmdk, Layout::kFlat},
      {"qcow2", "compat=0.10", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "cluster_size=512", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "cluster_size=2M", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "compat=0.10,compressed", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "cluster_size=4k,compressed", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "cluster_size=64k,compressed", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "cluster_size=1M,compressed", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "compression_type=zstd,compressed", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "compression_type=zstd,cluster_size=2M,compressed", SourceFormat::kQcow2, Layout::kMapped},
      {"qcow2", "extended_l2=on,cluster_size=128k", SourceFormat::kQcow2, Layout::kOther},
      {"", "", SourceFormat::kQcow2, Layout::kOther},
      {"vpc", "subformat=dynamic,force_size=on", SourceFormat::kVhd, Layout::kMapped},
      {"vpc", "subformat=fixed,force_size=on", SourceFormat::kVhd, Layout::kFlat},
      {"vhdx", "subformat=dynamic,block_size=1M", SourceFormat::kVhdx, Layout::kMapped},
      {"vhdx", "subformat=fixed", SourceFormat::kVhdx, Layout::kMapped},
      {"vdi", "", SourceFormat::kVdi, Layout::kMapped},
      {"vdi", "static=on", SourceFormat::kVdi, Layout::kMapped},
      {"raw", "", SourceFormat::kRaw, Layout::kFlat}};
  return kinds;
}

std::filesystem::path make_kind(const Kind& kind, const std::filesystem::path& raw,
                                const std::filesystem::path& directory) {
  const std::filesystem::path disk = directory / "disk";
  if (*kind.driver != '\0') {
    convert_with_qemu(raw, disk, kind.driver, kind.options);
    return disk;
  }
  convert_with_qemu(raw, directory / "base", "qcow2");
  os::ProcessOptions process;
  process.arguments = {"qemu-img", "create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "disk"};
  process.working_directory = directory;
  os::run_program(process);
  return disk;
}

void expect_same_disk(const std::filesystem::path& a, const std::string& format_a,
                      const std::filesystem::path& b, const std::string& format_b) {
  os::ProcessOptions process;
  process.arguments = {"qemu-img", "compare", "-f", format_a, "-F", format_b, a.string(), b.string()};
  std::string said;
  try {
    said = os::run_program(process);
  } catch (const os::Error& error) {
    said = error.sentence();
  }
  EXPECT_NE(said.find("Images are identical"), std::string::npos) << a << " and " << b << ": " << said;
}

void expect_sound(const std::filesystem::path& path, const std::string& format) {
  os::ProcessOptions process;
  process.arguments = {"qemu-img", "check", "-f", format, path.string()};
  std::string said;
  try {
    said = os::run_program(process);
  } catch (const os::Error& error) {
    said = error.sentence();
  }
  EXPECT_NE(said.find("No errors were found on the image"), std::string::npos) << path << ": " << said;
}

ImageLocation whole(const std::filesystem::path& path) {
  return ImageLocation{path, 0, std::filesystem::file_size(path), {}};
}

ConversionResult convert(const std::filesystem::path& from, contract::SourceFormat format,
                         const std::filesystem::path& to, ConversionOptions options) {
  SourceImage source = open_source(whole(from), format, "disk0");
  if (options.scratch.empty()) options.scratch = to.parent_path();
  auto conversion = Conversion::create(source, to, options);
  std::uint64_t before = 0;
  conversion->copy(
      [&](std::uint64_t done, std::uint64_t total) {
        EXPECT_GE(done, before);
        EXPECT_LE(done, total);
        before = done;
      },
      {});
  return conversion->finish();
}

std::string qemu_name(contract::OutputFormat format) {
  switch (format) {
    case contract::OutputFormat::kQcow2:
      return "qcow2";
    case contract::OutputFormat::kRaw:
      return "raw";
    case contract::OutputFormat::kVdi:
      return "vdi";
  }
  return "";
}

std::vector<std::byte> read_all(const std::filesystem::path& path) {
  os::File file = os::File::open(path, os::File::Mode::kRead);
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.size()));
  file.read_exactly_at(0, bytes);
  return bytes;
}

void write_all(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  std::filesystem::remove(path);
  os::File::open(path, os::File::Mode::kCreate).write_at(0, bytes);
}

}  // namespace hyper2kvm::image::testing
