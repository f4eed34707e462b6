// The JSON of qemu-storage-daemon's --blockdev options for a source: every node read-only, every format said,
// every file one that we have resolved.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "runner/image/source.h"

namespace hyper2kvm::image {

class BlockGraph {
 public:
  // prefix must be short and differ between the disks of a process: QEMU's node names have at most 31 bytes.
  explicit BlockGraph(std::string prefix) : prefix_(std::move(prefix)) {}
  // A node over a whole file or a part of one. Returns its node name.
  std::string add_file(const ImageLocation& location, bool whole_file);
  // A format over the node below; more holds further options.
  std::string add_format(const std::string& driver, const std::string& below,
                         const nlohmann::json& more = nlohmann::json::object());
  // Hands the nodes, and what they read, to a source whose top node was added last.
  void finish(SourceImage& source) const;

 private:
  std::string add(nlohmann::json node);
  std::string prefix_;
  std::vector<std::string> nodes_;
  std::vector<ImageLocation> files_;
  std::string last_;
};

}  // namespace hyper2kvm::image
