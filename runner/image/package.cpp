#include "runner/image/package.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "runner/image/beside.h"
#include "runner/image/conversion.h"
#include "runner/image/edge.h"
#include "runner/image/located_file.h"
#include "runner/image/ova_archive.h"
#include "runner/image/ovf.h"
#include "runner/image/ovf_digests.h"

namespace hyper2kvm::image {
namespace {

[[noreturn]] void refuse(const std::string& name, const std::string& problem,
                         const std::string& advice = "Export the machine again.") {
  throw os::Error(os::ErrorKind::kInvalid, name, problem, advice);
}

std::string read_member(const ImageLocation& location, std::size_t limit) {
  LocatedFile file(location);
  if (file.length() > limit)
    refuse(file.name(), "is longer than " + std::to_string(limit) + " bytes",
           "It cannot be what its name says.");
  std::string text(static_cast<std::size_t>(file.length()), '\0');
  file.read_exactly_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  return text;
}

bool ends_with(const std::string& name, std::string_view ending) {
  if (name.size() < ending.size()) return false;
  return std::equal(ending.begin(), ending.end(), name.end() - static_cast<std::ptrdiff_t>(ending.size()),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b + 32 : b); });
}

contract::Manifest whole_pipeline(const std::string& provider, const std::string& name,
                                  const std::string& method) {
  contract::Manifest manifest;
  manifest.manifest_version = "1.0";
  manifest.source.provider = provider;
  manifest.source.vm_name = name;
  manifest.source.export_method = method;
  manifest.has_pipeline = true;
  manifest.pipeline.inspect.enabled = true;
  manifest.pipeline.fix.enabled = true;
  manifest.pipeline.convert.enabled = true;
  manifest.pipeline.validate.enabled = true;
  return manifest;
}

contract::Disk make_disk(std::size_t index, const ImageLocation& location, contract::SourceFormat format) {
  contract::Disk disk;
  disk.id = "disk-" + std::to_string(index);
  disk.source_format = format;
  disk.bytes = location.length;
  disk.local_path = location.file.string();
  disk.boot_order_hint = static_cast<int>(index);
  disk.label = disk.id;
  disk.disk_type = index == 0 ? contract::DiskType::kBoot : contract::DiskType::kData;
  return disk;
}

// What a package gives when it is asked for a file: nothing where it has none of that name.
using FindFile = std::function<std::optional<ImageLocation>(const std::string& name)>;

void check_descriptor(const ImageLocation& location, const std::string& name,
                      const std::multimap<std::string, FileDigest>& digests) {
  auto [first, last] = digests.equal_range(name);
  for (auto entry = first; entry != last; ++entry)
    if (entry->second.algorithm == "SHA256" && entry->second.hex != sha256_of(location, {}, {}))
      refuse(display_name(location), "its SHA-256 is not the one in the package's manifest",
             "The export was changed or damaged on its way: export or copy it again.");
}

void add_disk(Package& package, const OvfDisk& described, const std::string& ovf_name, const FindFile& find,
              const std::multimap<std::string, FileDigest>& digests) {
  std::optional<ImageLocation> location = find(described.file_name);
  if (!location)
    refuse(ovf_name, "refers to the disk \"" + described.file_name + "\", which is not there",
           "The export is incomplete: export or copy it again.");
  const std::string name = display_name(*location);
  if (described.file_size && *described.file_size != location->length)
    refuse(name,
           "has " + std::to_string(location->length) + " bytes, and the OVF says " +
               std::to_string(*described.file_size),
           "The export is damaged: export or copy it again.");
  const std::size_t index = package.locations.size();
  const contract::SourceFormat format = described.format ? *described.format : detect_format(*location);
  contract::Disk disk = make_disk(index, *location, format);
  if (!described.label.empty()) disk.label = described.label;
  // Also the first look at the image: what cannot be opened is refused before anything is created.
  const SourceImage source = open_source(*location, format, "package");
  if (described.capacity && *described.capacity != source.virtual_size)
    package.warnings.push_back(name + ": the OVF says that the disk has " +
                               std::to_string(*described.capacity) + " bytes, and it has " +
                               std::to_string(source.virtual_size) + "; the disk's own size is used");
  auto [first, last] = digests.equal_range(described.file_name);
  for (auto entry = first; entry != last; ++entry)
    if (entry->second.algorithm == "SHA256") disk.sha256 = entry->second.hex;
  if (first != last && !disk.sha256)
    package.warnings.push_back(name + ": the package's manifest has only a digest of the kind " +
                               first->second.algorithm + " for it, which is not compared");
  package.manifest.disks.push_back(std::move(disk));
  package.locations.push_back(std::move(*location));
}

Package make_package(const ImageLocation& ovf, const std::string& ovf_file_name,
                     const std::optional<ImageLocation>& digest_file, const FindFile& find,
                     const char* method) {
  const std::string ovf_name = display_name(ovf);
  OvfMachine machine = parse_ovf(read_member(ovf, kLargestOvf), ovf_name);
  std::multimap<std::string, FileDigest> digests;
  if (digest_file)
    digests = parse_ovf_digests(read_member(*digest_file, kLargestDigests), display_name(*digest_file));
  check_descriptor(ovf, ovf_file_name, digests);

  Package package;
  package.manifest = whole_pipeline(machine.provider, machine.name, method);
  package.warnings = std::move(machine.warnings);
  contract::Vm& vm = package.manifest.vm;
  vm.cpu = machine.cpu;
  if (machine.memory) {
    constexpr std::uint64_t kGib = std::uint64_t{1} << 30;
    vm.mem_gb = static_cast<std::uint32_t>((*machine.memory + kGib - 1) / kGib);
    if (*machine.memory % kGib != 0)
      package.warnings.push_back(ovf_name + ": the machine has " + std::to_string(*machine.memory >> 20) +
                                 " MiB of memory, which becomes " + std::to_string(*vm.mem_gb) + " GiB");
  }
  vm.firmware = machine.firmware;
  vm.secureboot = machine.secure_boot;
  vm.os_hint = machine.os_hint;
  vm.os_version = machine.os_version;
  for (std::size_t i = 0; i < machine.nics.size(); ++i)
    package.manifest.nics.push_back(
        contract::Nic{"nic-" + std::to_string(i), machine.nics[i].mac, machine.nics[i].network});
  for (const OvfDisk& disk : machine.disks) add_disk(package, disk, ovf_name, find, digests);
  if (package.locations.empty()) refuse(ovf_name, "describes a machine without disks");
  return package;
}

}  // namespace

Package open_ova(const std::filesystem::path& path) {
  return at_edge(path.string(), [&] {
    const std::filesystem::path absolute = std::filesystem::absolute(path);
    const ArchiveMembers members = list_archive(absolute);
    const ArchiveMembers::value_type* ovf = nullptr;
    for (const auto& member : members) {
      if (!ends_with(member.first, ".ovf")) continue;
      if (ovf != nullptr) refuse(path.string(), "holds more than one OVF", "Export one machine at a time.");
      ovf = &member;
    }
    if (ovf == nullptr)
      refuse(path.string(), "holds no OVF, so it is no OVA",
             "Name an OVA, an OVF, a manifest or a disk image.");
    auto find = [&](const std::string& name) -> std::optional<ImageLocation> {
      auto found = members.find(name);
      if (found == members.end()) return std::nullopt;
      return found->second;
    };
    const std::string stem = ovf->first.substr(0, ovf->first.size() - 4);
    return make_package(ovf->second, ovf->first, find(stem + ".mf"), find, "ova");
  });
}

Package open_ovf(const std::filesystem::path& path) {
  return at_edge(path.string(), [&] {
    const std::filesystem::path absolute = std::filesystem::absolute(path);
    auto find = [&](const std::string& name) -> std::optional<ImageLocation> {
      if (!is_plain_name(name, "/\\"))
        refuse(path.string(), "refers to \"" + name.substr(0, 200) + "\", which is no plain file name",
               "The files of a machine must lie beside its OVF.");
      const std::filesystem::path file = absolute.parent_path() / name;
      const std::filesystem::file_status status = std::filesystem::symlink_status(file);
      if (!std::filesystem::exists(status)) return std::nullopt;
      if (!std::filesystem::is_regular_file(status))
        refuse(file.string(), "is no plain file", "The files of a machine must lie beside its OVF.");
      return ImageLocation{file, 0, std::filesystem::file_size(file), {}};
    };
    const ImageLocation ovf = whole_file(absolute);
    return make_package(ovf, absolute.filename().string(), find(absolute.stem().string() + ".mf"), find,
                        "ovf");
  });
}

Package open_disks(const std::vector<std::filesystem::path>& paths, const std::string& name) {
  return at_edge(name, [&] {
    Package package;
    package.manifest = whole_pipeline("file", name, "disks");
    for (const std::filesystem::path& path : paths) {
      const std::filesystem::path absolute = std::filesystem::absolute(path);
      ImageLocation location = whole_file(absolute);
      // What a guest has written to the beginning of its own disk must not make it an image of another
      // format.
      const contract::SourceFormat format =
          std::filesystem::is_block_file(absolute) ? contract::SourceFormat::kRaw : detect_format(location);
      contract::Disk disk = make_disk(package.locations.size(), location, format);
      open_source(location, format, "package");
      package.manifest.disks.push_back(std::move(disk));
      package.locations.push_back(std::move(location));
    }
    if (package.locations.empty())
      throw os::Error(os::ErrorKind::kUsage, name, "has no disks", "Name at least one disk image.");
    return package;
  });
}

}  // namespace hyper2kvm::image
