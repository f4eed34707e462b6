// The one line of progress at the bottom of a terminal, as a value: events go in, a line of a given width
// comes out. Knows no terminal.
//
//   convert  57% [=============>          ] 1.2 of 2.1 GiB  812 MiB/s  0:03 left  fix: editing /etc/fstab
//
// Rules that hold for every line: it is plain ASCII without control characters and never longer than the
// width; the percentage of a stage never goes down and is 100 only when all is done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/events.h"

namespace hyper2kvm::cli {

// Not thread-safe.
class ProgressLine {
 public:
  void apply(const contract::Event& event);
  // Empty where no stage is running. width: columns, 0 makes it empty too.
  std::string text(std::size_t width) const;

 private:
  struct Stage {
    std::string name;
    bool has_progress = false;
    std::uint64_t done = 0;
    std::uint64_t total = 0;  // 0 while unknown
    double bytes_per_second = 0;
    std::optional<double> seconds_left;
    int percent = 0;
    std::string note;  // the last thing it said
  };
  Stage* find(const std::string& name);
  std::vector<Stage> running_;  // in the order in which they started
};

}  // namespace hyper2kvm::cli
