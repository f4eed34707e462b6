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

int percent_of(std::uint64_t done, std::uint64_t total) {
  if (total == 0) return 0;
  if (done >= total) return 100;
  return std::min(99, static_cast<int>(static_cast<double>(done) / static_cast<double>(total) * 100));
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
      stage->has_progress = true;
      stage->done = std::max(stage->done, event.done_bytes);
      stage->total = std::max(stage->total, event.total_bytes);
      stage->bytes_per_second = event.bytes_per_second;
      stage->seconds_left = event.seconds_left;
      stage->percent = std::max(stage->percent, percent_of(stage->done, stage->total));
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
      std::find_if(running_.begin(), running_.end(), [](const Stage& stage) { return stage.has_progress; });
  std::string head;
  std::string amounts;
  if (shown != running_.end()) {
    head = ascii(shown->name) + " ";
    if (shown->total == 0) {
      amounts = " " + size_text(shown->done);
    } else {
      std::string percent = std::to_string(shown->percent) + "%";
      head += std::string(4 - std::min<std::size_t>(4, percent.size()), ' ') + percent;
      amounts = " " + size_of_text(std::min(shown->done, shown->total), shown->total);
    }
    if (shown->bytes_per_second >= 1 && shown->percent < 100)
      amounts += "  " + size_text(static_cast<std::uint64_t>(std::min(shown->bytes_per_second, 9e18))) + "/s";
    if (shown->seconds_left && shown->total != 0 && shown->percent < 100)
      amounts += "  " + clock_text(*shown->seconds_left) + " left";
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
