// A file in the queue: is it a whole manifest yet?
//
// hyperexport writes its manifests by a plain write, so a file is visible before it is complete, and nothing
// but the content and the writer's silence tell. JSON ends where its last brace is: a text that parses is
// whole. YAML has no end: it is whole when its writer has closed it and it has not changed for a while. What
// never becomes a manifest is refused, but only when nobody writes to it any more.
//
// Pure functions but for look(). Throws os::Error only for what is no fault of the file (EIO, EMFILE).
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "runner/contract/manifest.h"
#include "runner/daemon/job.h"

namespace hyper2kvm::daemon {

// What is known of whoever writes a file of the queue.
struct Writer {
  bool writing = false;             // it has written and not yet closed (as inotify tells)
  bool closed = false;              // it has closed the file, or moved it here
  std::chrono::milliseconds quiet;  // since the last change
};

// How long a file that is no manifest may stay as it is before it is refused.
inline constexpr std::chrono::seconds kPatience{10};
// The same where its writer was seen to have opened it and has not closed it.
inline constexpr std::chrono::hours kPatienceWithWriters{1};
// How long a YAML document must have been left alone.
inline constexpr std::chrono::seconds kYamlQuiet{2};

enum class Readiness { kReady, kNotYet, kRefused, kGone };

struct Submission {
  Readiness readiness = Readiness::kGone;
  std::string text;
  FileIdentity file;
  contract::ParsedManifest parsed;  // kReady
  std::string reason;               // kRefused: a sentence
  // kRefused: what the machine would be called, where the document says so; hyperexport waits for its .error
  std::optional<std::string> vm_name;
};

// The file names that are looked at: *.json, *.yaml, *.yml, not hidden.
bool is_manifest_name(std::string_view file_name);

// Decides for a text that was read; path is the file's own, for messages and relative paths.
Submission judge(std::string text, const std::filesystem::path& path, const Writer& writer);

// Reads the file and decides.
Submission look(const std::filesystem::path& path, const Writer& writer);

}  // namespace hyper2kvm::daemon
