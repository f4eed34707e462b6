#include "runner/libvirt/connection.h"

#include <libvirt/virterror.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include "runner/libvirt/failure.h"
#include "runner/libvirt/ssh.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::libvirt {
namespace {

constexpr auto kTick = std::chrono::milliseconds(50);
constexpr int kKeepaliveInterval = 5;  // seconds
constexpr unsigned kKeepaliveCount = 5;

// The embedded driver is a daemon's code, and writes a daemon's warnings to our stderr unless told. libvirt
// has no call for that, only this variable (4: errors only, which our handler swallows). It is set before
// main, because the environment must not change once there are threads; a value of the user's own stays.
[[maybe_unused]] const int kQuiet = ::setenv("LIBVIRT_DEBUG", "4", 0);

// The event loop must turn before the first connection: the embedded driver waits for its emulators by it,
// and keepalive needs it. It never ends; nothing of ours is in it.
void start_library() {
  static const bool started = [] {
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
    if (virInitialize() != 0 || virEventRegisterDefaultImpl() != 0) return false;
    std::thread([] {
      while (true)
        if (virEventRunDefaultImpl() != 0) std::this_thread::sleep_for(kTick);
    }).detach();
    return true;
  }();
  if (!started) throw libvirt_error("start its client library", "libvirt");
}

// As root, the embedded driver would hand its guests' output to virtlogd, a daemon; it must need none.
void prepare_embedded_root(const std::filesystem::path& root) {
  std::filesystem::path settings = root / "etc" / "qemu.conf";
  if (std::filesystem::exists(settings)) return;
  os::make_directories(settings.parent_path());
  os::write_text_atomically(settings,
                            "# The embedded driver works without any daemon: logs go straight into files.\n"
                            "stdio_handler = \"file\"\n");
}

int answer_no_question(virConnectCredentialPtr, unsigned int, void*) { return -1; }

// What the thread that opens and the one that waits share; the last one frees it.
struct Attempt {
  std::mutex mutex;
  std::condition_variable changed;
  bool abandoned = false;
  bool done = false;
  virConnectPtr connection = nullptr;
  std::optional<os::Error> error;
};

void run_attempt(const std::shared_ptr<Attempt>& attempt, const std::string& uri,
                 const std::string& subject) {
  // Passwords come from libvirt's own auth.conf; nobody is there to be asked.
  virConnectAuth auth{};
  int kinds[] = {VIR_CRED_AUTHNAME, VIR_CRED_PASSPHRASE, VIR_CRED_USERNAME, VIR_CRED_NOECHOPROMPT,
                 VIR_CRED_ECHOPROMPT};
  auth.credtype = kinds;
  auth.ncredtype = std::size(kinds);
  auth.cb = answer_no_question;
  virConnectPtr connection = virConnectOpenAuth(uri.c_str(), &auth, 0);
  std::optional<os::Error> error;
  if (connection == nullptr)
    error = libvirt_error("connect", subject, "Check libvirt.uri with `virsh -c URI list`.");
  std::lock_guard lock(attempt->mutex);
  attempt->done = true;
  if (attempt->abandoned && connection != nullptr) {
    virConnectClose(connection);
    connection = nullptr;
  }
  attempt->connection = connection;
  attempt->error = error;
  attempt->changed.notify_all();
}

virConnectPtr open_bounded(const ConnectionUri& uri, const os::StopToken& stop, std::chrono::seconds limit) {
  std::string text = uri.text;
  std::optional<SshProgram> ssh;
  if (needs_ssh_program(uri)) text = ssh.emplace(uri).uri();
  // ssh asks for passwords on the terminal; where there is none, it must not wait for one.
  if (!ssh && uri.transport == "ssh" && !uri.has_parameter("no_tty") && ::isatty(STDIN_FILENO) == 0)
    text = with_parameter(text, "no_tty", "1");
  auto attempt = std::make_shared<Attempt>();
  std::thread(run_attempt, attempt, text, uri.text).detach();
  auto deadline = std::chrono::steady_clock::now() + limit;
  std::unique_lock lock(attempt->mutex);
  while (!attempt->done) {
    attempt->changed.wait_for(lock, kTick);
    if (attempt->done) break;
    bool late = std::chrono::steady_clock::now() > deadline;
    if (!late && !stop.stop_requested()) continue;
    attempt->abandoned = true;
    stop.throw_if_stopped();
    throw os::Error(os::ErrorKind::kSystem, uri.text,
                    "did not answer within " + std::to_string(limit.count()) + " s",
                    "Check that the host is up and that libvirt runs on it.", ETIMEDOUT);
  }
  if (attempt->error) throw *attempt->error;
  return attempt->connection;
}

// libvirt registers the embedded driver anew for every connection that it opens, and has room for ten. So
// there is one connection for the life of the process, and everybody gets a reference to it; libvirt itself
// refuses a second root.
virConnectPtr embedded_connection(const ConnectionUri& uri, const os::StopToken& stop,
                                  std::chrono::seconds limit) {
  static std::mutex mutex;
  static virConnectPtr kept = nullptr;
  static std::filesystem::path root;
  std::lock_guard lock(mutex);
  if (kept == nullptr || root != uri.embedded_root) {
    prepare_embedded_root(uri.embedded_root);
    virConnectPtr opened = open_bounded(uri, stop, limit);
    if (kept != nullptr) return opened;
    kept = opened;
    root = uri.embedded_root;
  }
  virConnectRef(kept);
  return kept;
}

}  // namespace

Connection Connection::open(const std::string& uri, const os::StopToken& stop, std::chrono::seconds limit) {
  Connection connection;
  connection.uri_ = parse_uri(uri);
  start_library();
  if (connection.uri_.is_embedded()) {
    connection.handle_.reset(embedded_connection(connection.uri_, stop, limit));
    return connection;
  }
  connection.handle_.reset(open_bounded(connection.uri_, stop, limit));
  virConnectSetKeepAlive(connection.get(), kKeepaliveInterval, kKeepaliveCount);
  return connection;
}

bool Connection::is_alive() const { return handle_ && virConnectIsAlive(handle_.get()) == 1; }

void Connection::reopen(const os::StopToken& stop, std::chrono::seconds limit) {
  handle_.reset();
  auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    auto left = std::chrono::duration_cast<std::chrono::seconds>(deadline - std::chrono::steady_clock::now());
    try {
      *this = open(uri_.text, stop, std::max(left, std::chrono::seconds(1)));
      return;
    } catch (const os::Error& error) {
      if (!error.may_pass() || stop.stop_requested() || std::chrono::steady_clock::now() > deadline) throw;
    }
    std::this_thread::sleep_for(10 * kTick);
  }
}

}  // namespace hyper2kvm::libvirt
