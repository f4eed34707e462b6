// Where a job's events go: JSON lines on stdout, or text and a progress line on stderr.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "runner/cli/progress_line.h"
#include "runner/contract/events.h"

namespace hyper2kvm::cli {

enum class LogFormat { kText, kJson };

// How much text is shown.
enum class Verbosity {
  kQuiet,    // nothing but the error at the end
  kNormal,   // warnings, and the progress line on a terminal
  kVerbose,  // what each stage does and how long it took
  kDebug,    // everything
};

// Writes one whole text to a stream; the sinks' only door to the outside.
using Writer = std::function<void(const std::string&)>;

// Every event as one line. Thread-safe.
class JsonSink : public contract::EventSink {
 public:
  explicit JsonSink(Writer write) : write_(std::move(write)) {}
  void emit(const contract::Event& event) override;

 private:
  std::mutex mutex_;
  Writer write_;
};

// The line that a person sees of an event; empty where this verbosity shows none. The job's result is not
// shown here: whoever started the job says how it ended.
std::string event_text(const contract::Event& event, Verbosity verbosity);

// Text above, the progress line at the bottom. The line is drawn over itself in one write, at most ten times
// a second and only when it changed, so that it does not flicker; clear() takes it away. Thread-safe.
class TextSink : public contract::EventSink {
 public:
  // width: columns of the terminal at this moment, 0 where there is none and so no progress line.
  using Width = std::function<std::size_t()>;
  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  TextSink(
      Verbosity verbosity, Writer write, Width width,
      Clock clock = [] { return std::chrono::steady_clock::now(); });
  ~TextSink() override { clear(); }
  void emit(const contract::Event& event) override;
  void clear();

 private:
  void draw(const std::string& above, bool at_once);
  std::mutex mutex_;
  const Verbosity verbosity_;
  const Writer write_;
  const Width width_;
  const Clock clock_;
  ProgressLine progress_;
  std::string drawn_;  // what the terminal shows now
  std::chrono::steady_clock::time_point last_drawn_{};
};

// Sinks on the real stdout and stderr. progress: false never shows the line; else it is shown where stderr is
// a terminal that can move its cursor.
std::unique_ptr<contract::EventSink> make_sink(LogFormat format, Verbosity verbosity, bool progress);

// To the real streams, whole, retried when interrupted; a reader that went away is no error.
void write_to(int descriptor, const std::string& text);

}  // namespace hyper2kvm::cli
