#include "operator/conversion/progress_reader.h"

#include <atomic>
#include <cmath>

#include "operator/conversion/words.h"
#include "runner/contract/events.h"
#include "runner/os/error.h"

namespace hyper2kvm::conversion {
namespace {

constexpr std::chrono::seconds kPause{2};

std::int64_t bounded(double value) {
  return std::isfinite(value) && value > 0 ? static_cast<std::int64_t>(std::min(value, 9e15)) : 0;
}

Progress progress_of(const contract::Event& event) {
  Progress progress;
  progress.stage = event.stage;
  progress.done_bytes = bounded(static_cast<double>(event.done_bytes));
  progress.total_bytes = bounded(static_cast<double>(event.total_bytes));
  progress.bytes_per_second = bounded(event.bytes_per_second);
  if (event.seconds_left) progress.seconds_left = bounded(*event.seconds_left);
  return progress;
}

}  // namespace

struct ProgressReader::Reader {
  kube::ObjectKey conversion, pod;
  // Under the lock of the whole.
  std::optional<Progress> latest;
  // Of its thread.
  kube::Time reported{};
  bool has_reported = false;
  std::atomic<bool> has_ended = false;
  std::jthread thread;
};

ProgressReader::ProgressReader(kube::Client client, ProgressReaderOptions options,
                               std::function<void(const kube::ObjectKey&)> report, kube::Logger log)
    : client_(std::move(client)), options_(options), report_(std::move(report)), log_(std::move(log)) {}

ProgressReader::~ProgressReader() { stop(); }

void ProgressReader::follow(const kube::ObjectKey& conversion, const kube::ObjectKey& pod) {
  std::lock_guard lock(mutex_);
  sweep();
  if (auto known = readers_.find(conversion); known != readers_.end()) {
    if (known->second->pod == pod) return;
    known->second->thread.request_stop();
    ending_.push_back(std::move(known->second));
    readers_.erase(known);
  }
  if (readers_.size() + ending_.size() >= options_.most_readers) return;
  auto reader = std::make_shared<Reader>();
  reader->conversion = conversion;
  reader->pod = pod;
  reader->thread = std::jthread([this, raw = reader.get()](const std::stop_token& stop) {
    read(*raw, stop);
    raw->has_ended = true;
  });
  readers_[conversion] = std::move(reader);
}

void ProgressReader::forget(const kube::ObjectKey& conversion) {
  std::lock_guard lock(mutex_);
  auto known = readers_.find(conversion);
  if (known == readers_.end()) return;
  known->second->thread.request_stop();
  ending_.push_back(std::move(known->second));
  readers_.erase(known);
  sweep();
}

// Threads that have ended are joined here, under the lock, which takes no time.
void ProgressReader::sweep() {
  std::erase_if(ending_, [](const auto& reader) { return reader->has_ended.load(); });
}

std::optional<Progress> ProgressReader::latest(const kube::ObjectKey& conversion) const {
  std::lock_guard lock(mutex_);
  auto known = readers_.find(conversion);
  return known == readers_.end() ? std::nullopt : known->second->latest;
}

void ProgressReader::stop() {
  std::vector<std::shared_ptr<Reader>> all;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, reader] : readers_) all.push_back(std::move(reader));
    readers_.clear();
    for (auto& reader : ending_) all.push_back(std::move(reader));
    ending_.clear();
  }
  for (auto& reader : all) reader->thread.request_stop();
  // Their destructors wait.
}

void ProgressReader::read(Reader& reader, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    try {
      return read_once(reader, stop);
    } catch (const os::Error& error) {
      if (error.kind() == os::ErrorKind::kCancelled) return;
      log_.debug("the log of a runner broke off",
                 {{"pod", reader.pod.to_string()}, {"error", error.sentence()}});
    }
    options_.clock->sleep(kPause, stop);
  }
}

// Until the log's end.
void ProgressReader::read_once(Reader& reader, const std::stop_token& stop) {
  kube::LogOptions options;
  options.container = kRunnerContainer;
  // Where it broke off, the last lines tell as much as all of them.
  options.tail_lines = 20;
  kube::LogStream lines = client_.bound_to(stop).log(reader.pod, options);
  while (auto line = lines.next()) {
    if (line->was_cut) continue;
    contract::Event event;
    try {
      event = contract::parse_event(line->text);
    } catch (const os::Error&) {
      continue;
    }
    bool is_new_stage = event.kind == contract::Event::Kind::kStageStarted;
    if (!is_new_stage && event.kind != contract::Event::Kind::kProgress) continue;
    {
      std::lock_guard lock(mutex_);
      // The copy and the repair run side by side: the copy is the one that has bytes to show.
      bool copy_runs = reader.latest && reader.latest->stage == "convert" &&
                       reader.latest->done_bytes < reader.latest->total_bytes;
      if (copy_runs && event.stage != "convert") continue;
      reader.latest = progress_of(event);
    }
    kube::Time now = options_.clock->now();
    if (reader.has_reported && now - reader.reported < options_.report_interval) continue;
    reader.has_reported = true;
    reader.reported = now;
    report_(reader.conversion);
  }
}

}  // namespace hyper2kvm::conversion
