// Follows the logs of the runners that work, and keeps the latest progress of each.
//
// A runner prints its events as JSON lines (docs/events.md); the API server hands the log out, so the pod
// needs neither a network nor credentials. What a runner prints is not trusted: parse_event refuses what is
// too long or out of range, and a line that is no event is passed over.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "operator/conversion/status.h"
#include "operator/kube/client.h"
#include "operator/kube/logger.h"

namespace hyper2kvm::conversion {

struct ProgressReaderOptions {
  // Beyond that many at once, a conversion has no progress.
  std::size_t most_readers = 100;
  // A conversion is looked at for new progress at most this often.
  std::chrono::milliseconds report_interval{5000};
  kube::Clock* clock = &kube::Clock::real();  // not owned
};

// Safe to call from any thread.
class ProgressReader {
 public:
  // report: there is new progress of this conversion; called from a reader's thread.
  ProgressReader(kube::Client client, ProgressReaderOptions options,
                 std::function<void(const kube::ObjectKey& conversion)> report, kube::Logger log);
  ~ProgressReader();

  // Follows this pod for this conversion from now on, instead of the one before.
  void follow(const kube::ObjectKey& conversion, const kube::ObjectKey& pod);
  // Without waiting for the reader to end.
  void forget(const kube::ObjectKey& conversion);
  std::optional<Progress> latest(const kube::ObjectKey& conversion) const;
  // Ends all readers, and waits for them.
  void stop();

 private:
  struct Reader;
  void read(Reader& reader, const std::stop_token& stop);
  void read_once(Reader& reader, const std::stop_token& stop);
  void sweep();

  const kube::Client client_;
  const ProgressReaderOptions options_;
  const std::function<void(const kube::ObjectKey&)> report_;
  const kube::Logger log_;
  mutable std::mutex mutex_;
  std::map<kube::ObjectKey, std::shared_ptr<Reader>> readers_;
  std::vector<std::shared_ptr<Reader>> ending_;
};

}  // namespace hyper2kvm::conversion
