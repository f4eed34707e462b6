#include "runner/image/source.h"

#include <algorithm>
#include <vector>

#include "runner/image/block_graph.h"
#include "runner/image/edge.h"
#include "runner/image/located_file.h"
#include "runner/image/qcow2_header.h"
#include "runner/image/qcow2_source.h"
#include "runner/image/refusal.h"
#include "runner/image/vdi_header.h"
#include "runner/image/vhd_header.h"
#include "runner/image/vhdx_header.h"
#include "runner/image/vmdk_header.h"
#include "runner/image/vmdk_source.h"

namespace hyper2kvm::image {
namespace {

using contract::SourceFormat;

SourceImage begin(const ImageLocation& location, SourceFormat format, std::uint64_t virtual_size) {
  SourceImage source;
  source.location = location;
  source.format = format;
  source.virtual_size = virtual_size;
  source.files.push_back(location.file);
  return source;
}

// The plain data of a disk at the beginning of a location.
SourceImage begin_flat(const ImageLocation& location, SourceFormat format, std::uint64_t virtual_size,
                       const std::string& name_prefix) {
  SourceImage source = begin(location, format, virtual_size);
  source.layout = Layout::kFlat;
  source.extents.push_back(SourceExtent{location.file, location.offset, virtual_size, virtual_size, false});
  BlockGraph graph(name_prefix);
  graph.add_file(ImageLocation{location.file, location.offset, virtual_size, location.name}, false);
  graph.finish(source);
  return source;
}

SourceImage open_raw(const ImageLocation& location, const std::string& name_prefix) {
  LocatedFile file(location);
  if (file.length() == 0) refuse(file.name(), "is empty", "Export or copy the disk again.");
  if (file.length() % 512 != 0)
    refuse(file.name(), "has " + std::to_string(file.length()) + " bytes, which are no whole sectors of 512",
           "The file is truncated: export or copy it again.");
  return begin_flat(location, SourceFormat::kRaw, file.length(), name_prefix);
}

// An image whose blocks we find ourselves; the repair opens it through QEMU's driver.
SourceImage begin_mapped(const ImageLocation& location, SourceFormat format, std::uint64_t virtual_size,
                         const char* driver, const std::string& name_prefix) {
  SourceImage source = begin(location, format, virtual_size);
  source.layout = Layout::kMapped;
  source.extents.push_back(SourceExtent{location.file, location.offset, location.length, virtual_size, true});
  BlockGraph graph(name_prefix);
  graph.add_format(driver, graph.add_file(location, location.offset == 0));
  graph.finish(source);
  return source;
}

SourceImage open_vhd(const ImageLocation& location, const std::string& name_prefix) {
  LocatedFile file(location);
  if (file.length() < 2 * kVhdFooterSize)
    refuse(file.name(), "is too short to be a VHD", "The file is truncated: export or copy it again.");
  std::vector<std::byte> bytes(kVhdFooterSize);
  file.read_exactly_at(file.length() - kVhdFooterSize, bytes);
  if (!has_vhd_magic(bytes))
    refuse(file.name(), "has no VHD footer at its end", "The file is truncated: export or copy it again.");
  VhdFooter footer = parse_vhd_footer(bytes, file.name());
  if (footer.type == VhdFooter::Type::kDynamic)
    return begin_mapped(location, SourceFormat::kVhd, footer.virtual_size, "vpc", name_prefix);
  if (footer.virtual_size > file.length() - kVhdFooterSize)
    refuse(file.name(), "ends too early: its disk has " + std::to_string(footer.virtual_size) + " bytes",
           "The file is truncated: export or copy it again.");
  return begin_flat(location, SourceFormat::kVhd, footer.virtual_size, name_prefix);
}

SourceImage open_vhdx(const ImageLocation& location, const std::string& name_prefix) {
  LocatedFile file(location);
  return begin_mapped(location, SourceFormat::kVhdx, read_vhdx_header(file).virtual_size, "vhdx",
                      name_prefix);
}

SourceImage open_vdi(const ImageLocation& location, const std::string& name_prefix) {
  LocatedFile file(location);
  return begin_mapped(location, SourceFormat::kVdi, read_vdi_header(file).virtual_size, "vdi", name_prefix);
}

SourceImage open_format(const ImageLocation& location, SourceFormat format, const std::string& name_prefix) {
  switch (format) {
    case SourceFormat::kVmdk:
      return open_vmdk(location, name_prefix);
    case SourceFormat::kQcow2:
      return open_qcow2(location, name_prefix);
    case SourceFormat::kRaw:
      return open_raw(location, name_prefix);
    case SourceFormat::kVhd:
      return open_vhd(location, name_prefix);
    case SourceFormat::kVhdx:
      return open_vhdx(location, name_prefix);
    case SourceFormat::kVdi:
      return open_vdi(location, name_prefix);
  }
  throw os::Error(os::ErrorKind::kInternal, display_name(location), "a source format that does not exist");
}

}  // namespace

ImageLocation whole_file(const std::filesystem::path& path) {
  return {path, 0, os::File::open(path, os::File::Mode::kRead).size(), {}};
}

SourceImage open_source(const ImageLocation& location, SourceFormat format, const std::string& name_prefix) {
  return at_edge(display_name(location), [&] {
    SourceImage source = open_format(location, format, name_prefix);
    if (source.virtual_size > kLargestDisk)
      refuse(display_name(location),
             "holds a disk of " + std::to_string(source.virtual_size) +
                 " bytes, and more than 2 PiB cannot be converted",
             "Look at whether it is the right file, and whole: export or copy it again.");
    return source;
  });
}

SourceFormat detect_format(const ImageLocation& location) {
  return at_edge(display_name(location), [&] {
    LocatedFile file(location);
    std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(1024, file.length())));
    file.read_exactly_at(0, head);
    if (has_sparse_magic(head) || has_descriptor_magic(head)) return SourceFormat::kVmdk;
    if (has_qcow2_magic(head)) return SourceFormat::kQcow2;
    if (has_vhdx_magic(head)) return SourceFormat::kVhdx;
    if (has_vdi_magic(head)) return SourceFormat::kVdi;
    if (has_vhd_magic(head)) return SourceFormat::kVhd;
    if (file.length() >= kVhdFooterSize) {
      std::vector<std::byte> tail(kVhdFooterSize);
      file.read_exactly_at(file.length() - kVhdFooterSize, tail);
      if (has_vhd_magic(tail)) return SourceFormat::kVhd;
    }
    return SourceFormat::kRaw;
  });
}

}  // namespace hyper2kvm::image
