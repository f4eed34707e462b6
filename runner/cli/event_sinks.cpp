#include "runner/cli/event_sinks.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "runner/cli/amounts.h"
#include "runner/contract/text.h"

namespace hyper2kvm::cli {
namespace {

using contract::Event;
using contract::Severity;
using namespace std::chrono_literals;

constexpr auto kBetweenDrawings = 100ms;
constexpr std::size_t kLongestMessage = 4096;

std::size_t terminal_width() {
  struct winsize size {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool is_drawable_terminal() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && *term != '\0' && std::strcmp(term, "dumb") != 0;
}

}  // namespace

void write_to(int descriptor, const std::string& text) {
  std::size_t done = 0;
  while (done < text.size()) {
    ssize_t written = ::write(descriptor, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    done += static_cast<std::size_t>(written);
  }
}

void JsonSink::emit(const Event& event) {
  std::string line = contract::to_line(event) + "\n";
  std::lock_guard lock(mutex_);
  write_(line);
}

std::string event_text(const Event& event, Verbosity verbosity) {
  // Messages may quote a guest's files: nothing of them may reach the terminal as a control sequence.
  std::string where = event.stage.empty() ? "" : contract::printable(event.stage) + ": ";
  std::string message = contract::printable(event.message, kLongestMessage);
  switch (event.kind) {
    case Event::Kind::kMessage:
      switch (event.severity) {
        case Severity::kError:
        case Severity::kWarning:
          return verbosity >= Verbosity::kNormal ? "hyper2kvm: warning: " + where + message : "";
        case Severity::kInfo:
          return verbosity >= Verbosity::kVerbose ? "hyper2kvm: " + where + message : "";
        case Severity::kDebug:
          return verbosity >= Verbosity::kDebug ? "hyper2kvm: debug: " + where + message : "";
      }
      return "";
    case Event::Kind::kStageStarted:
      return verbosity >= Verbosity::kDebug ? "hyper2kvm: " + where + "started" : "";
    case Event::Kind::kStageEnded:
      if (verbosity < Verbosity::kVerbose) return "";
      return "hyper2kvm: " + where + (event.success ? "done in " : "failed after ") +
             duration_text(event.duration_seconds);
    case Event::Kind::kProgress:
    case Event::Kind::kResult:
      return "";
  }
  return "";
}

TextSink::TextSink(Verbosity verbosity, Writer write, Width width, Clock clock)
    : verbosity_(verbosity), write_(std::move(write)), width_(std::move(width)), clock_(std::move(clock)) {}

void TextSink::draw(const std::string& above, bool at_once) {
  std::size_t width = width_();
  // The last column stays free: a terminal that wraps there would start a new line.
  std::string line = width < 2 ? "" : progress_.text(width - 1);
  auto now = clock_();
  bool too_soon = !at_once && now - last_drawn_ < kBetweenDrawings;
  if (above.empty() && (line == drawn_ || too_soon)) return;
  std::string text;
  if (!drawn_.empty()) text += "\r";
  if (!above.empty()) {
    if (!drawn_.empty()) text += "\x1b[K";
    text += above + "\n" + line;
  } else {
    text += line;
  }
  if (!drawn_.empty() && line.size() < drawn_.size()) text += "\x1b[K";
  drawn_ = line;
  last_drawn_ = now;
  write_(text);
}

void TextSink::emit(const Event& event) {
  std::lock_guard lock(mutex_);
  progress_.apply(event);
  draw(event_text(event, verbosity_), event.kind != Event::Kind::kProgress);
}

void TextSink::clear() {
  std::lock_guard lock(mutex_);
  if (drawn_.empty()) return;
  drawn_.clear();
  write_("\r\x1b[K");
}

std::unique_ptr<contract::EventSink> make_sink(LogFormat format, Verbosity verbosity, bool progress) {
  if (format == LogFormat::kJson)
    return std::make_unique<JsonSink>([](const std::string& text) { write_to(STDOUT_FILENO, text); });
  bool shows = progress && verbosity >= Verbosity::kNormal && is_drawable_terminal();
  return std::make_unique<TextSink>(
      verbosity, [](const std::string& text) { write_to(STDERR_FILENO, text); },
      [shows] { return shows ? terminal_width() : 0; });
}

}  // namespace hyper2kvm::cli
