#include "runner/daemon/queue_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <set>

#include "runner/daemon/journal.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {

QueueWatch::QueueWatch(const std::filesystem::path& directory) : directory_(directory) {
  inotify_ = os::UniqueFd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify_ ||
      ::inotify_add_watch(inotify_.get(), directory.c_str(),
                          IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR) < 0) {
    trouble_ = os::system_error(errno, "watch", directory.string()).sentence();
    inotify_.reset();
  }
}

QueueWatch::Known& QueueWatch::known(const std::string& name) {
  auto [entry, is_new] = known_.try_emplace(name);
  if (is_new) entry->second.changed = Clock::now();
  return entry->second;
}

std::vector<std::string> QueueWatch::take_events() {
  std::vector<std::string> names;
  alignas(inotify_event) std::array<char, 65536> buffer;
  while (inotify_) {
    ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      if (got < 0 && errno == EINTR) continue;
      break;
    }
    for (char* position = buffer.data(); position < buffer.data() + got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(position);
      position += sizeof(inotify_event) + event->len;
      if (event->len == 0 || (event->mask & IN_ISDIR) != 0) continue;
      std::string name(event->name);
      if (!is_manifest_name(name)) continue;
      Known& file = known(name);
      file.changed = Clock::now();
      if ((event->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0) {
        file.closed = true;
        file.writing = false;
      } else {
        file.closed = false;
        file.writing = true;
      }
      // Only an ended write is worth a look at once; the rest is seen when it ends, or by a scan.
      if (file.closed && (names.empty() || names.back() != name)) names.push_back(name);
    }
  }
  return names;
}

std::vector<std::string> QueueWatch::scan() {
  std::vector<std::pair<std::int64_t, std::string>> found;
  std::set<std::string> present;
  std::error_code code;
  std::filesystem::directory_iterator entries(directory_, code);
  if (code) throw os::system_error(code.value(), "read", directory_.string());
  for (const auto& entry : entries) {
    std::string name = entry.path().filename().string();
    if (!is_manifest_name(name)) continue;
    auto now = identity_of(entry.path());
    if (!now && entry.is_directory(code)) continue;
    present.insert(name);
    Known& file = known(name);
    if (now && !(file.file == *now)) {
      file.file = *now;
      file.changed = std::max(file.changed, Clock::now());
      if (!inotify_) file.writing = false;
    }
    found.emplace_back(now ? now->modified_nanoseconds : 0, name);
  }
  std::erase_if(known_, [&](const auto& entry) { return !present.contains(entry.first); });
  std::sort(found.begin(), found.end());
  std::vector<std::string> names;
  for (auto& [time, name] : found) names.push_back(std::move(name));
  return names;
}

Writer QueueWatch::writer(const std::string& name) const {
  auto found = known_.find(name);
  if (found == known_.end()) return {.quiet = std::chrono::milliseconds(0)};
  auto quiet = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - found->second.changed);
  // A file that nobody was seen to open and that has not changed for a while has been closed before we came.
  bool closed = found->second.closed || (!found->second.writing && quiet >= kYamlQuiet);
  return {found->second.writing, closed, quiet};
}

}  // namespace hyper2kvm::daemon
