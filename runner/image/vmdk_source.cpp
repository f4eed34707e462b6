#include "runner/image/vmdk_source.h"

#include <algorithm>
#include <vector>

#include "runner/image/beside.h"
#include "runner/image/block_graph.h"
#include "runner/image/grain_stream.h"
#include "runner/image/located_file.h"
#include "runner/image/refusal.h"
#include "runner/image/vmdk_header.h"

namespace hyper2kvm::image {
namespace {

void refuse_parent(const VmdkDescriptor& descriptor, const std::string& name) {
  if (!descriptor.has_parent) return;
  std::string parent =
      descriptor.parent_name.empty() ? "another disk" : descriptor.parent_name.substr(0, 200);
  refuse(name, "is the difference to " + parent + ", not a whole disk",
         "Consolidate the machine's snapshots and export it again.");
}

void check_flat_extent(const DescriptorExtent& extent, const ImageLocation& location) {
  std::uint64_t begin = extent.offset * kSectorSize;
  if (begin > location.length || extent.sectors * kSectorSize > location.length - begin)
    refuse(location.file.string(),
           "ends too early: its descriptor says that it has " + std::to_string(extent.sectors) +
               " sectors at sector " + std::to_string(extent.offset),
           "The file is truncated: export or copy it again.");
}

// True where we can read it ourselves.
bool check_sparse_extent(const DescriptorExtent& extent, const ImageLocation& location) {
  LocatedFile file(location);
  const StreamLayout layout = read_stream_layout(file);
  if (layout.header.capacity != extent.sectors)
    refuse(file.name(),
           "has " + std::to_string(layout.header.capacity) + " sectors, and its descriptor says " +
               std::to_string(extent.sectors),
           "The export is damaged: export the machine again.");
  return !layout.header.compressed && !layout.header.has_markers;
}

SourceImage open_descriptor(const ImageLocation& location, const LocatedFile& file,
                            const std::string& name_prefix) {
  if (file.length() > kLargestDescriptor)
    refuse(file.name(),
           "has a descriptor of " + std::to_string(file.length()) + " bytes, which is too large to be one",
           "Export the machine again.");
  std::string text(static_cast<std::size_t>(file.length()), '\0');
  file.read_exactly_at(0, std::as_writable_bytes(std::span(text.data(), text.size())));
  VmdkDescriptor descriptor = parse_vmdk_descriptor(text, file.name());
  refuse_parent(descriptor, file.name());
  if (descriptor.extents.empty())
    refuse(file.name(), "lists no extents", "The export is damaged: export the machine again.");

  SourceImage source;
  source.location = location;
  source.format = contract::SourceFormat::kVmdk;
  source.virtual_size = descriptor.capacity() * kSectorSize;
  source.files.push_back(location.file);
  bool all_flat = true;
  bool all_ours = true;
  for (const DescriptorExtent& extent : descriptor.extents) {
    const bool flat = extent.type == "FLAT" || extent.type == "VMFS";
    if (!flat && extent.type != "SPARSE")
      refuse(file.name(),
             "has an extent of the kind " + extent.type.substr(0, 40) + ", which is not supported",
             "Export the machine as an OVA, or convert the disk with the tools of VMware first.");
    if (location.offset != 0)
      refuse(file.name(), "consists of several files, and lies in an archive", "Unpack the archive first.");
    const ImageLocation part = whole_file(resolve_beside(location, extent.file_name, "extent", "/\\:"));
    const std::uint64_t size = extent.sectors * kSectorSize;
    if (flat) {
      check_flat_extent(extent, part);
      source.extents.push_back(SourceExtent{part.file, extent.offset * kSectorSize, size, size, false});
    } else {
      all_ours = check_sparse_extent(extent, part) && all_ours;
      source.extents.push_back(SourceExtent{part.file, 0, part.length, size, true});
    }
    all_flat = all_flat && flat;
    source.files.push_back(part.file);
    source.opened_by_qemu.push_back(part);
  }
  if (source.virtual_size == 0)
    refuse(file.name(), "describes a disk of size 0", "The export is damaged: export the machine again.");
  source.layout = all_flat ? Layout::kFlat : all_ours ? Layout::kMapped : Layout::kOther;

  BlockGraph graph(name_prefix);
  if (all_flat && source.extents.size() == 1) {
    const SourceExtent& only = source.extents[0];
    graph.add_file(ImageLocation{only.file, only.offset, only.length, {}}, false);
  } else {
    graph.add_format("vmdk", graph.add_file(location, true));
  }
  graph.finish(source);
  return source;
}

void check_embedded_descriptor(const LocatedFile& file, const SparseHeader& header) {
  const std::uint64_t sectors = file.length() / kSectorSize;
  if (header.descriptor_offset == 0 || header.descriptor_size == 0) return;
  if (header.descriptor_offset > sectors || header.descriptor_size > sectors - header.descriptor_offset)
    refuse(file.name(), "has its descriptor past the end of the file",
           "The export is damaged: export the machine again.");
  std::string text(static_cast<std::size_t>(header.descriptor_size * kSectorSize), '\0');
  file.read_exactly_at(header.descriptor_offset * kSectorSize,
                       std::as_writable_bytes(std::span(text.data(), text.size())));
  refuse_parent(parse_vmdk_descriptor(text, file.name()), file.name());
}

}  // namespace

SourceImage open_vmdk(const ImageLocation& location, const std::string& name_prefix) {
  LocatedFile file(location);
  std::vector<std::byte> head(static_cast<std::size_t>(std::min<std::uint64_t>(1024, file.length())));
  file.read_exactly_at(0, head);
  if (has_descriptor_magic(head)) return open_descriptor(location, file, name_prefix);
  if (!has_sparse_magic(head))
    refuse(file.name(), "is no VMDK: it begins with neither a VMDK header nor a descriptor",
           "If it is a disk's plain data (a -flat.vmdk), name its descriptor instead, or give its format as "
           "raw.");

  const StreamLayout layout = read_stream_layout(file);
  check_embedded_descriptor(file, layout.header);
  SourceImage source;
  source.location = location;
  source.format = contract::SourceFormat::kVmdk;
  source.virtual_size = layout.header.capacity * kSectorSize;
  source.layout = Layout::kOther;
  if (layout.header.is_stream_optimized()) source.layout = Layout::kStreamOptimized;
  if (!layout.header.compressed && !layout.header.has_markers) {
    source.layout = Layout::kMapped;
    source.extents.push_back(
        SourceExtent{location.file, location.offset, location.length, source.virtual_size, true});
  }
  source.files.push_back(location.file);
  BlockGraph graph(name_prefix);
  graph.add_format("vmdk", graph.add_file(location, location.offset == 0));
  graph.finish(source);
  return source;
}

}  // namespace hyper2kvm::image
