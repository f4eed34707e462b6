#include "runner/daemon/conversion.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

constexpr std::size_t kErrorsKept = 16384;

std::vector<std::string> arguments_of(const ConversionCommand& command) {
  std::vector<std::string> arguments = {command.program.string(), "convert", command.manifest.string(),
                                        "--log-format=json", "--temp-dir=" + command.temp_dir.string()};
  if (!command.key_dir.empty()) arguments.push_back("--key-directory=" + command.key_dir.string());
  return arguments;
}

}  // namespace

struct Conversion::Channels {
  os::Pipe events = os::make_pipe();
  os::Pipe errors = os::make_pipe();
};

Conversion::Conversion(const ConversionCommand& command) : Conversion(Channels{}, command) {}

Conversion::Conversion(Channels channels, const ConversionCommand& command)
    : events_(std::move(channels.events.read_end)),
      errors_(std::move(channels.errors.read_end)),
      process_(os::Process::start(
          {.arguments = arguments_of(command),
           .descriptors = {{channels.events.write_end.get(), 1}, {channels.errors.write_end.get(), 2}},
           // The child speaks to us, not to the service manager or the journal.
           .environment = {{"NOTIFY_SOCKET", ""}, {"JOURNAL_STREAM", ""}, {"WATCHDOG_PID", ""}}})) {
  ::fcntl(events_.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(errors_.get(), F_SETFL, O_NONBLOCK);
}

// At most 1 MiB a call, so that a child that never stops talking cannot keep the loop for itself.
void Conversion::read_into(os::UniqueFd& fd, std::string& text) {
  std::array<char, 65536> buffer;
  for (int round = 0; fd && round < 16; ++round) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got > 0) {
      text.append(buffer.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
      fd.reset();
    } else if (errno != EINTR) {
      if (errno != EAGAIN) fd.reset();
      return;
    }
  }
}

std::vector<contract::Event> Conversion::take_output() {
  read_into(errors_, error_text_);
  if (error_text_.size() > kErrorsKept) error_text_.erase(0, error_text_.size() - kErrorsKept);
  std::string text;
  read_into(events_, text);
  std::vector<contract::Event> events;
  std::size_t begin = 0;
  while (true) {
    std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    partial_line_.append(text, begin, end - begin);
    begin = end + 1;
    std::string line;
    line.swap(partial_line_);
    bool skip = line_too_long_;
    line_too_long_ = false;
    if (skip || line.empty()) continue;
    try {
      contract::Event event = contract::parse_event(line);
      if (event.kind == contract::Event::Kind::kProgress) {
        progress_ = {event.stage, event.done_bytes, event.total_bytes, event.bytes_per_second,
                     event.seconds_left};
      } else if (event.kind == contract::Event::Kind::kStageStarted) {
        progress_ = {.stage = event.stage};
      } else if (event.kind == contract::Event::Kind::kResult) {
        result_ = event;
      }
      events.push_back(std::move(event));
    } catch (const os::Error&) {
      // Not an event: a library's own words on stdout. The result does not depend on it.
    }
  }
  partial_line_.append(text, begin);
  if (partial_line_.size() > contract::kMaximumEventBytes) {
    partial_line_.clear();
    line_too_long_ = true;
  }
  return events;
}

bool Conversion::ended() {
  if (!status_) status_ = process_.wait_for(std::chrono::milliseconds(0));
  return status_ && !events_;
}

std::string Conversion::last_words() const {
  std::size_t end = error_text_.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) return "";
  std::size_t begin = error_text_.find_last_of('\n', end);
  begin = begin == std::string::npos ? 0 : begin + 1;
  return error_text_.substr(begin, std::min<std::size_t>(end - begin + 1, 2000));
}

void Conversion::ask_to_stop() {
  if (asked_) return;
  asked_ = std::chrono::steady_clock::now();
  process_.signal(SIGTERM);
}

void Conversion::kill() {
  process_.kill();
  // Whatever still holds the pipe is not ours to wait for.
  events_.reset();
  errors_.reset();
}

}  // namespace hyper2kvm::daemon
