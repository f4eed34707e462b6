// What a running job tells the world: one stream for the progress bar, the JSON lines, the daemon and the
// operator. Source: docs/events.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace hyper2kvm::contract {

enum class Severity { kDebug, kInfo, kWarning, kError };

struct Event {
  enum class Kind { kStageStarted, kProgress, kStageEnded, kMessage, kResult };
  Kind kind = Kind::kMessage;
  std::chrono::system_clock::time_point time = std::chrono::system_clock::now();
  // verify, inspect, fix, convert, validate, boot, publish, register; empty for the whole job
  std::string stage;
  // kProgress: of the stage. total_bytes is 0 while unknown. Never goes backwards within a stage.
  std::uint64_t done_bytes = 0;
  std::uint64_t total_bytes = 0;
  double bytes_per_second = 0;
  std::optional<double> seconds_left;
  // kMessage, kStageEnded of a failure, kResult of a failure
  Severity severity = Severity::kInfo;
  std::string message;
  // kStageEnded, kResult
  bool success = false;
  double duration_seconds = 0;
  // kResult of a failure: the same job may succeed later with nothing changed (a full disk, a lost
  // connection)
  bool may_pass = false;
  // kResult: where the boot disk and the report are; empty where there is none
  std::string output_path;
  std::string report_path;
};

// Implementations are called from any thread and must not block for long or throw.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void emit(const Event& event) = 0;
};

// One JSON line without the line break: {"time":...,"event":"progress","stage":"convert",...}; keys that do
// not apply are left out.
nlohmann::json to_json(const Event& event);
// The same as text; never throws for what a string holds (what is no UTF-8 is replaced, long text is cut).
std::string to_line(const Event& event);

inline constexpr std::size_t kMaximumEventBytes = 65536;
// The other direction, for the daemon and the operator. Hostile input: throws os::Error (kInvalid) for a line
// longer than kMaximumEventBytes, a string longer than 4096 bytes, a number out of range. Keys it does not
// know are ignored.
Event parse_event(std::string_view line);

std::string_view to_string(Severity);
std::string_view to_string(Event::Kind);

}  // namespace hyper2kvm::contract
