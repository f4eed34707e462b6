// Tells people that a job has ended: a mail through the sendmail interface, a webhook over HTTPS.
//
// Work of a thread of its own, because both may take their time. Delivery is at least once: the daemon keeps
// a job's flags until an outcome comes back, and asks again after a restart. A notification that fails is
// tried five times in all, with growing pauses, then given up with an error in the log: it never holds a job
// up. What is sent names machine, job, outcome and error; no credentials, no environment, nothing of the
// webhook's own address.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <thread>
#include <vector>

#include "runner/daemon/job.h"
#include "runner/os/file.h"
#include "runner/os/stop.h"

namespace hyper2kvm::daemon {

// The body of the webhook: "text" is what chat systems show; the rest is for programs.
nlohmann::json webhook_body(const Job& job, const std::string& instance, const std::string& host);
// Headers and text, as `sendmail -i -- ADDRESS` reads them.
std::string mail_text(const Job& job, const std::string& instance, const std::string& host,
                      const std::string& address);

// One delivery, without retries. Throws os::Error; the message never holds the address of a webhook.
void send_mail(const std::string& address, const std::string& text, const os::StopToken& stop);
void post_webhook(const std::string& url, const std::string& body, const os::StopToken& stop);

class Notifier {
 public:
  enum class Channel { kMail, kWebhook };
  struct Outcome {
    std::string job;
    Channel channel = Channel::kMail;
    std::string error;  // empty: delivered
  };
  Notifier();
  ~Notifier();  // ends the thread; what is not delivered is asked for again after the next start
  // To poll for reading: an outcome is there.
  int descriptor() const { return wake_.read_end.get(); }
  std::vector<Outcome> take_outcomes();
  // target: the address or the URL.
  void send(Channel channel, const Job& job, const std::string& instance, const std::string& target);

 private:
  struct Request {
    std::string job;
    Channel channel;
    std::string target;
    std::string text;
  };
  void work();
  void deliver(const Request& request);

  os::Pipe wake_;
  os::StopSource stop_;
  std::mutex mutex_;  // guards the three below
  std::condition_variable changed_;
  std::deque<Request> requests_;
  std::vector<Outcome> outcomes_;
  std::thread thread_;
};

}  // namespace hyper2kvm::daemon
