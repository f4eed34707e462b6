#include "runner/image/block_graph.h"

#include "runner/os/error.h"

namespace hyper2kvm::image {

std::string BlockGraph::add(nlohmann::json node) {
  last_ = prefix_ + "-" + std::to_string(nodes_.size());
  node["node-name"] = last_;
  node["read-only"] = true;
  try {
    nodes_.push_back(node.dump());
  } catch (const nlohmann::json::type_error&) {
    throw os::Error(os::ErrorKind::kInvalid, node["filename"].get<std::string>(),
                    "its name is not UTF-8, which qemu cannot be told", "Rename the file.");
  }
  return last_;
}

std::string BlockGraph::add_file(const ImageLocation& location, bool whole_file) {
  // Locks would be for writers, and two processes of ours read the same file at once.
  std::error_code ignored;
  bool device = std::filesystem::is_block_file(location.file, ignored);
  files_.push_back(location);
  std::string name = add({{"driver", device ? "host_device" : "file"},
                          {"filename", std::filesystem::absolute(location.file).string()},
                          {"locking", "off"}});
  if (whole_file) return name;
  return add({{"driver", "raw"}, {"file", name}, {"offset", location.offset}, {"size", location.length}});
}

std::string BlockGraph::add_format(const std::string& driver, const std::string& below,
                                   const nlohmann::json& more) {
  nlohmann::json node = more;
  node["driver"] = driver;
  node["file"] = below;
  return add(std::move(node));
}

void BlockGraph::finish(SourceImage& source) const {
  source.blockdevs = nodes_;
  source.opened_by_qemu.insert(source.opened_by_qemu.end(), files_.begin(), files_.end());
  source.node_name = last_;
}

}  // namespace hyper2kvm::image
