#include "tests/integration/daemon_host.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <random>

#include "runner/daemon/control_client.h"
#include "runner/os/error.h"

namespace hyper2kvm::integration {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;

DaemonHost::DaemonHost() {
  for (const char* name : {"queue", "output", "etc", "run", "temp"}) fs::create_directory(path(name));
  make_disk(path("disk.raw"), 2);
  watch_ = os::UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ::inotify_add_watch(watch_.get(), path("output").c_str(), IN_MOVED_TO | IN_CREATE);
  configure("");
}

DaemonHost::~DaemonHost() {
  if (daemon_) daemon_->kill();
}

void DaemonHost::configure(const std::string& more) const {
  os::write_text_atomically(path("etc") / "hyper2kvm.conf", "WATCH_DIR=" + path("queue").string() +
                                                                "\nOUTPUT_DIR=" + path("output").string() +
                                                                "\nTEMP_DIR=" + path("temp").string() +
                                                                "\nPOLL_INTERVAL=1\n" + more);
}

void DaemonHost::start(const std::vector<std::string>& options,
                       const std::vector<std::pair<std::string, std::string>>& environment) {
  os::UniqueFd log(::open(path("log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  os::ProcessOptions command;
  command.arguments = {program_path().string(), "daemon", "--config-dir=" + path("etc").string(),
                       "--runtime-dir=" + path("run").string()};
  command.arguments.insert(command.arguments.end(), options.begin(), options.end());
  command.descriptors = {{log.get(), 2}};
  command.environment = environment;
  daemon_.reset();
  daemon_.emplace(os::Process::start(command));
}

void DaemonHost::start_and_wait(const std::vector<std::pair<std::string, std::string>>& environment) {
  start({}, environment);
  ASSERT_TRUE(eventually([&] { return answers(); })) << log();
}

int DaemonHost::stop() {
  daemon_->signal(SIGTERM);
  auto status = daemon_->wait_for(60s);
  if (!status) return -1;
  daemon_.reset();
  return status->signalled ? 128 + status->code : status->code;
}

std::string DaemonHost::log() const { return os::read_text(path("log"), 64u << 20); }

json DaemonHost::ask(const json& request) const {
  return daemon::ask_daemon(path("run") / "control.sock", request);
}

bool DaemonHost::answers() const {
  try {
    ask("status");
    return true;
  } catch (const os::Error&) {
    return false;
  }
}

json DaemonHost::manifest(const std::string& vm_name) const {
  json document = manifest_for(path("disk.raw"));
  document["source"]["vm_name"] = vm_name;
  document["output"] = {{"format", "qcow2"}};
  return document;
}

json DaemonHost::slow_manifest(const std::string& vm_name) const {
  if (!fs::exists(path("large.raw"))) make_text_disk(path("large.raw"), 64);
  json document = manifest(vm_name);
  document["disks"][0]["local_path"] = path("large.raw").string();
  document["disks"][0]["bytes"] = fs::file_size(path("large.raw"));
  document["pipeline"]["convert"]["compress"] = true;
  document["pipeline"]["convert"]["compress_level"] = 9;
  return document;
}

void DaemonHost::make_text_disk(const fs::path& file, unsigned mebibytes) const {
  std::mt19937 random(3);
  std::vector<std::string> words(400);
  for (std::string& word : words)
    for (unsigned i = random() % 8 + 2; i > 0; --i) word += static_cast<char>('a' + random() % 26);
  std::string text;
  while (text.size() < std::size_t{mebibytes} << 20) text += words[random() % words.size()] + ' ';
  text.resize(std::size_t{mebibytes} << 20);
  std::ofstream(file) << text;
}

void DaemonHost::submit(const json& document, bool slowly) const {
  std::ofstream file(path("queue") / "artifact-manifest.json", std::ios::trunc);
  std::string text = document.dump(1);
  if (!slowly) {
    file << text;
    return;
  }
  for (std::size_t i = 0; i < text.size(); i += text.size() / 7) {
    file << text.substr(i, text.size() / 7) << std::flush;
    std::this_thread::sleep_for(50ms);
  }
}

bool DaemonHost::is_taken() const { return !fs::exists(path("queue") / "artifact-manifest.json"); }

void DaemonHost::submit_and_wait(const json& document) {
  submit(document);
  ASSERT_TRUE(eventually([&] { return is_taken(); })) << log();
}

bool DaemonHost::succeeded(const std::string& name) const { return fs::exists(image_of(name)); }

bool DaemonHost::failed(const std::string& name) const {
  return fs::exists(path("output") / (name + ".error"));
}

std::string DaemonHost::error_of(const std::string& name) const {
  return failed(name) ? os::read_text(path("output") / (name + ".error"), 65536) : "";
}

std::vector<pid_t> DaemonHost::conversions() const {
  std::vector<pid_t> found;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream stat(entry.path() / "stat"), command(entry.path() / "cmdline");
    std::string state, words;
    if (!std::getline(stat, state) || !std::getline(command, words)) continue;
    // "PID (NAME) STATE PARENT ..."; arguments are separated by zeroes.
    int parent = 0;
    char letter = 0;
    auto after_name = state.rfind(')');
    if (after_name == std::string::npos ||
        std::sscanf(state.c_str() + after_name + 1, " %c %d", &letter, &parent) != 2)
      continue;
    if (parent == daemon_->pid() && words.find(std::string("\0convert\0", 9)) != std::string::npos)
      found.push_back(std::stoi(name));
  }
  return found;
}

std::map<std::string, unsigned> DaemonHost::appeared() {
  alignas(inotify_event) std::array<char, 65536> buffer;
  ssize_t got;
  while ((got = ::read(watch_.get(), buffer.data(), buffer.size())) > 0) {
    for (char* at = buffer.data(); at < buffer.data() + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      if (event->len > 0) ++appeared_[event->name];
    }
  }
  return appeared_;
}

}  // namespace hyper2kvm::integration
