#include "runner/cli/progress_line.h"

#include <algorithm>

#include "runner/cli/amounts.h"

namespace hyper2kvm::cli {
namespace {

constexpr std::size_t kShortestNote = 12;

// By the terminal alone: a bar whose length followed the text beside it would jump about.
std::size_t bar_columns(std::size_t width) {
  return width >= 110 ? 30 : width >= 90 ? 20 : width >= 70 ? 12 : 0;
}

// One column a byte, so that the width is known: what is no printable ASCII is shown as '?'.
std::string ascii(const std::string& text) {
  std::string result;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0) == 0x80) continue;  // inside a character
    result += byte >= 0x20 && byte < 0x7f ? c : '?';
  }
  return result;
}

std::string bar(int percent, std::size_t width) {
  std::size_t filled = width * static_cast<std::size_t>(percent) / 100;
  std::string text = "[" + std::string(filled, '=') + std::string(width - filled, ' ') + "]";
  if (filled > 0 && filled < width) text[filled] = '>';
  return text;
}

}  // namespace

ProgressLine::Stage* ProgressLine::find(const std::string& name) {
  auto found =
      std::find_if(running_.begin(), running_.end(), [&](const Stage& stage) { return stage.name == name; });
  return found == running_.end() ? nullptr : &*found;
}

int ProgressLine::percent_of(const Stage& stage) {
  double done = 0;
  double total = 0;
  for (const auto& [disk, part] : stage.disks) {
    if (part.total == 0) return 0;  // of a disk whose size is not known yet
    done += static_cast<double>(std::min(part.done, part.total));
    total += static_cast<double>(part.total);
  }
  if (total == 0) return 0;
  return done >= total ? 100 : std::min(99, static_cast<int>(done / total * 100));
}

void ProgressLine::apply(const contract::Event& event) {
  using Kind = contract::Event::Kind;
  Stage* stage = find(event.stage);
  switch (event.kind) {
    case Kind::kStageStarted:
      if (stage == nullptr) running_.push_back({.name = event.stage});
      break;
    case Kind::kStageEnded:
      if (stage != nullptr) running_.erase(running_.begin() + (stage - running_.data()));
      break;
    case Kind::kProgress: {
      if (stage == nullptr) break;
      Part& part = stage->disks[event.disk_id];
      part.done = std::max(part.done, event.done_bytes);
      part.total = std::max(part.total, event.total_bytes);
      part.bytes_per_second = event.bytes_per_second;
      part.seconds_left = event.seconds_left;
      stage->percent = std::max(stage->percent, percent_of(*stage));
      break;
    }
    case Kind::kMessage:
      if (stage != nullptr && event.severity <= contract::Severity::kInfo) stage->note = event.message;
      break;
    case Kind::kResult:
      running_.clear();
      break;
  }
}

std::string ProgressLine::text(std::size_t width) const {
  if (running_.empty() || width == 0) return "";
  auto shown =
      std::find_if(running_.begin(), running_.end(), [](const Stage& stage) { return !stage.disks.empty(); });
  std::string head;
  std::string amounts;
  if (shown != running_.end()) {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    double rate = 0;
    double left = 0;
    bool left_known = true;
    for (const auto& [disk, part] : shown->disks) {
      done += part.done;
      total += part.total;
      rate += part.bytes_per_second;
      left_known = left_known && part.seconds_left.has_value();
      left = std::max(left, part.seconds_left.value_or(0));
    }
    head = ascii(shown->name) + " ";
    if (total == 0) {
      amounts = " " + size_text(done);
    } else {
      std::string percent = std::to_string(shown->percent) + "%";
      head += std::string(4 - std::min<std::size_t>(4, percent.size()), ' ') + percent;
      amounts = " " + size_of_text(std::min(done, total), total);
    }
    if (rate >= 1 && shown->percent < 100)
      amounts += "  " + size_text(static_cast<std::uint64_t>(std::min(rate, 9e18))) + "/s";
    if (left_known && total != 0 && shown->percent < 100) amounts += "  " + clock_text(left) + " left";
  }
  std::string others;
  for (const Stage& stage : running_) {
    if (shown != running_.end() && &stage == &*shown) continue;
    others += (others.empty() ? "" : ", ") + ascii(stage.name) +
              (stage.note.empty() ? "" : ": " + ascii(stage.note));
  }
  if (shown == running_.end()) return others.substr(0, width);

  // What does not fit is left out: the bar first, then what runs beside it, then the amounts.
  std::string line = head;
  std::size_t columns = bar_columns(width);
  bool has_total = amounts.find(" of ") != std::string::npos;
  if (has_total && columns != 0 && head.size() + 3 + columns + amounts.size() <= width)
    line += " " + bar(shown->percent, columns);
  if (line.size() + amounts.size() <= width) line += amounts;
  if (!others.empty() && line.size() + 2 + kShortestNote <= width) line += "  " + others;
  return line.substr(0, width);
}

}  // namespace hyper2kvm::cli
