#include "runner/daemon/notification.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::daemon {
namespace {

using os::Error;
using os::ErrorKind;

constexpr int kTries = 5;
constexpr std::chrono::seconds kFirstPause{2};

std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

std::string outcome_word(const Job& job) {
  switch (job.phase) {
    case Phase::kDone:
      return "was converted";
    case Phase::kCancelled:
      return "was cancelled";
    default:
      return "could not be converted";
  }
}

struct Upload {
  std::string text;
  std::size_t sent = 0;
};

std::size_t feed(char* buffer, std::size_t size, std::size_t count, void* data) {
  auto* upload = static_cast<Upload*>(data);
  std::size_t part = std::min(size * count, upload->text.size() - upload->sent);
  upload->text.copy(buffer, part, upload->sent);
  upload->sent += part;
  return part;
}

std::size_t discard(char*, std::size_t size, std::size_t count, void*) { return size * count; }

int stop_transfer(void* token, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const os::StopToken*>(token)->stop_requested() ? 1 : 0;
}

// The way that is left where sendmail is a set-group-id program: a service without new privileges cannot use
// one, but the mail server of this host takes the mail over SMTP too.
bool hand_to_mail_server(const std::string& address, const std::string& text, const os::StopToken& stop) {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  if (!curl) return false;
  Upload upload;
  for (char c : text) upload.text += c == '\n' ? std::string("\r\n") : std::string(1, c);
  std::string from = "hyper2kvm@" + host_name();
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> recipients(
      curl_slist_append(nullptr, address.c_str()), &curl_slist_free_all);
  auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, "smtp://127.0.0.1:25");
  set(CURLOPT_PROTOCOLS_STR, "smtp");
  set(CURLOPT_MAIL_FROM, from.c_str());
  set(CURLOPT_MAIL_RCPT, recipients.get());
  set(CURLOPT_READFUNCTION, &feed);
  set(CURLOPT_READDATA, &upload);
  set(CURLOPT_UPLOAD, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 10L);
  set(CURLOPT_TIMEOUT, 30L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &stop_transfer);
  set(CURLOPT_XFERINFODATA, const_cast<os::StopToken*>(&stop));
  CURLcode result = curl_easy_perform(curl.get());
  stop.throw_if_stopped();
  return result == CURLE_OK;
}

}  // namespace

nlohmann::json webhook_body(const Job& job, const std::string& instance, const std::string& host) {
  nlohmann::json body = {
      {"text", fmt::format("hyper2kvm on {}: {} {}{}", host, machine_name(job), outcome_word(job),
                           job.error.empty() || job.phase == Phase::kDone ? "." : ": " + job.error)},
      {"event", "job_ended"},
      {"host", host},
      {"instance", instance.empty() ? "default" : instance},
      {"job", job.id},
      {"vm_name", job.vm_name},
      {"provider", job.provider},
      {"outcome", to_string(job.phase)},
      {"attempts", job.attempts},
      {"duration_seconds", job.duration_seconds},
      {"submitted", job.submitted},
      {"finished", job.finished},
  };
  if (job.phase == Phase::kDone)
    body["output_path"] = job.output_path;
  else
    body["error"] = job.error;
  return body;
}

std::string mail_text(const Job& job, const std::string& instance, const std::string& host,
                      const std::string& address) {
  std::string text = fmt::format("To: {}\nSubject: hyper2kvm: {} {}\n", address, one_line(machine_name(job)),
                                 outcome_word(job));
  text += "Auto-Submitted: auto-generated\nMIME-Version: 1.0\n";
  text += "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n";
  text += fmt::format("{} {} on {} (instance {}).\n\n", one_line(machine_name(job)), outcome_word(job), host,
                      instance.empty() ? "default" : instance);
  if (job.phase == Phase::kDone) {
    text += fmt::format("Image: {}\n", job.output_path);
  } else if (!job.error.empty()) {
    text += one_line(job.error) + "\n";
  }
  text += fmt::format("Job: {}\nAttempts: {}\nSeconds: {:.0f}\n", job.id, job.attempts, job.duration_seconds);
  for (const std::string& warning : job.warnings) text += "Warning: " + one_line(warning) + "\n";
  return text;
}

void send_mail(const std::string& address, const std::string& text, const os::StopToken& stop) {
  std::filesystem::path program = os::find_program("sendmail");
  if (program.empty() && ::access("/usr/lib/sendmail", X_OK) == 0) program = "/usr/lib/sendmail";
  std::string trouble = "needs the program sendmail, which is not installed";
  if (!program.empty()) {
    os::UniqueFd input(::memfd_create("mail", MFD_CLOEXEC));
    if (!input) throw os::system_error(errno, "make", "a mail");
    os::File file(std::move(input), "a mail");
    file.write_at(0, std::as_bytes(std::span(text.data(), text.size())));
    try {
      os::run_program({.arguments = {program.string(), "-i", "--", address},
                       .descriptors = {{file.fd(), 0}},
                       .no_new_privileges = false},
                      stop, std::chrono::minutes(1), 1u << 20);
      return;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kCancelled) throw;
      trouble = "could not be mailed to: " + error.problem();
    }
  }
  if (hand_to_mail_server(address, text, stop)) return;
  throw Error(program.empty() ? ErrorKind::kInvalid : ErrorKind::kSystem, "NOTIFY_EMAIL", trouble,
              "Install a mail server (postfix, exim4, msmtp-mta) that accepts mail on this host, or empty "
              "NOTIFY_EMAIL.");
}

void post_webhook(const std::string& url, const std::string& body, const os::StopToken& stop) {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), &curl_easy_cleanup);
  if (!curl) throw Error(ErrorKind::kSystem, "WEBHOOK_URL", "cannot be called: out of memory");
  curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, &curl_slist_free_all);
  auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "https,http");
  set(CURLOPT_FOLLOWLOCATION, 0L);  // a redirect could lead away from HTTPS and from the host that was meant
  set(CURLOPT_POSTFIELDS, body.c_str());
  set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_USERAGENT, "hyper2kvm");
  set(CURLOPT_CONNECTTIMEOUT, 10L);
  set(CURLOPT_TIMEOUT, 30L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_WRITEFUNCTION, &discard);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &stop_transfer);
  set(CURLOPT_XFERINFODATA, const_cast<os::StopToken*>(&stop));
  CURLcode result = curl_easy_perform(curl.get());
  stop.throw_if_stopped();
  if (result == CURLE_PEER_FAILED_VERIFICATION)
    throw Error(
        ErrorKind::kInvalid, "WEBHOOK_URL", "its certificate is not trusted on this host",
        "Add the authority that signed it (/usr/local/share/ca-certificates, update-ca-certificates).");
  if (result != CURLE_OK)
    throw Error(ErrorKind::kSystem, "WEBHOOK_URL",
                std::string("cannot be reached: ") + curl_easy_strerror(result));
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status < 200 || status > 299) {
    bool may_pass = status >= 500 || status == 429 || status == 408;
    throw Error(may_pass ? ErrorKind::kSystem : ErrorKind::kInvalid, "WEBHOOK_URL",
                fmt::format("answered with status {}", status), may_pass ? "" : "Correct WEBHOOK_URL.");
  }
}

Notifier::Notifier() : wake_(os::make_pipe()) {
  ::fcntl(wake_.read_end.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(wake_.write_end.get(), F_SETFL, O_NONBLOCK);
  thread_ = std::thread([this] { work(); });
}

Notifier::~Notifier() {
  {
    std::lock_guard lock(mutex_);
    stop_.request_stop();
  }
  changed_.notify_all();
  thread_.join();
}

void Notifier::send(Channel channel, const Job& job, const std::string& instance, const std::string& target) {
  Request request{job.id, channel, target, ""};
  request.text = channel == Channel::kMail
                     ? mail_text(job, instance, host_name(), target)
                     : webhook_body(job, instance, host_name())
                           .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::lock_guard lock(mutex_);
  requests_.push_back(std::move(request));
  changed_.notify_all();
}

std::vector<Notifier::Outcome> Notifier::take_outcomes() {
  char buffer[64];
  while (::read(wake_.read_end.get(), buffer, sizeof buffer) > 0) {
  }
  std::lock_guard lock(mutex_);
  return std::exchange(outcomes_, {});
}

void Notifier::deliver(const Request& request) {
  std::string trouble;
  auto pause = kFirstPause;
  for (int attempt = 1; attempt <= kTries; ++attempt) {
    try {
      if (request.channel == Channel::kMail)
        send_mail(request.target, request.text, stop_.token());
      else
        post_webhook(request.target, request.text, stop_.token());
      trouble.clear();
      break;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kCancelled) return;
      trouble = error.sentence();
      if (!error.may_pass() || attempt == kTries) break;
    }
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, pause, [this] { return stop_.token().stop_requested(); })) return;
    pause *= 2;
  }
  std::lock_guard lock(mutex_);
  outcomes_.push_back({request.job, request.channel, trouble});
  [[maybe_unused]] ssize_t ignored = ::write(wake_.write_end.get(), "x", 1);
}

void Notifier::work() {
  while (true) {
    Request request;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_.token().stop_requested() || !requests_.empty(); });
      if (stop_.token().stop_requested()) return;
      request = std::move(requests_.front());
      requests_.pop_front();
    }
    deliver(request);
  }
}

}  // namespace hyper2kvm::daemon
