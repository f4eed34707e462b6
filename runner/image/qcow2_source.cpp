#include "runner/image/qcow2_source.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "runner/image/beside.h"
#include "runner/image/block_graph.h"
#include "runner/image/located_file.h"
#include "runner/image/qcow2_header.h"
#include "runner/image/refusal.h"

namespace hyper2kvm::image {
namespace {

constexpr std::size_t kLongestChain = 32;

// What one image of the chain is, and the file that it refers to.
struct Link {
  ImageLocation location;
  bool is_raw = false;
  Qcow2Header header;
};

Link open_link(const ImageLocation& location, bool is_raw) {
  LocatedFile file(location);
  return {location, is_raw, is_raw ? Qcow2Header{} : read_qcow2_header(file)};
}

std::optional<Link> open_backing(const Link& link) {
  if (link.is_raw || link.header.backing_file.empty()) return std::nullopt;
  const std::string name = display_name(link.location);
  if (link.location.offset != 0)
    refuse(name, "refers to a backing file, and lies in an archive", "Unpack the archive first.");
  const std::string& format = link.header.backing_format;
  if (format != "qcow2" && format != "raw")
    refuse(name,
           "refers to the backing file \"" + link.header.backing_file.substr(0, 200) +
               (format.empty() ? "\" without saying its format"
                               : "\" of the format \"" + format.substr(0, 40) + "\""),
           "Flatten the image with qemu-img convert.");
  return open_link(whole_file(resolve_beside(link.location, link.header.backing_file, "backing file")),
                   format == "raw");
}

}  // namespace

SourceImage open_qcow2(const ImageLocation& location, const std::string& name_prefix) {
  std::vector<Link> chain;
  for (std::optional<Link> link = open_link(location, false); link; link = open_backing(chain.back())) {
    for (const Link& earlier : chain)
      if (os::same_file(earlier.location.file, link->location.file))
        refuse(display_name(location),
               "has a chain of backing files that leads back to " + link->location.file.string(),
               "The image is damaged: export or copy it again.");
    if (chain.size() == kLongestChain)
      refuse(display_name(location),
             "has a chain of more than " + std::to_string(kLongestChain) + " backing files",
             "Flatten the image with qemu-img convert.");
    chain.push_back(std::move(*link));
  }
  SourceImage source;
  source.location = location;
  source.format = contract::SourceFormat::kQcow2;
  const Qcow2Header& top = chain.front().header;
  if (chain.size() == 1 && !top.has_data_file && !top.extended_l2) {
    source.layout = Layout::kMapped;
    source.extents.push_back(
        SourceExtent{location.file, location.offset, location.length, top.virtual_size, true});
  }
  source.virtual_size = chain.front().header.virtual_size;
  if (source.virtual_size == 0)
    refuse(display_name(location), "holds a disk of size 0", "Export the machine again.");
  BlockGraph graph(name_prefix);
  std::string below;
  for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
    std::string file = graph.add_file(link->location, link->location.offset == 0);
    nlohmann::json more = nlohmann::json::object();
    if (link->is_raw) {
      below = file;
      continue;
    }
    ChainedImage& chained = source.chain.emplace_back(ChainedImage{link->location, std::nullopt});
    // Without this qemu would open what the header names.
    more["backing"] = below.empty() ? nlohmann::json(nullptr) : nlohmann::json(below);
    if (link->header.has_data_file) {
      if (link->location.offset != 0)
        refuse(display_name(link->location), "keeps its data in another file, and lies in an archive",
               "Unpack the archive first.");
      const ImageLocation data =
          whole_file(resolve_beside(link->location, link->header.data_file, "data file"));
      more["data-file"] = graph.add_file(data, true);
      source.files.push_back(data.file);
      chained.data_length = data.length;
    }
    below = graph.add_format("qcow2", file, more);
  }
  for (auto link = chain.rbegin(); link != chain.rend(); ++link) source.files.push_back(link->location.file);
  std::reverse(source.files.begin(), source.files.end());
  graph.finish(source);
  return source;
}

}  // namespace hyper2kvm::image
