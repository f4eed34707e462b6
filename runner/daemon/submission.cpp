#include "runner/daemon/submission.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "runner/daemon/journal.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using os::Error;

constexpr std::size_t kLargestManifest = 16u << 20;

bool is_json(std::string_view text) {
  std::size_t first = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  return first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
}

std::optional<std::string> name_in(const std::string& text) {
  nlohmann::json document = nlohmann::json::parse(text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  auto source = document.find("source");
  if (source != document.end() && source->is_object()) {
    auto name = source->find("vm_name");
    if (name != source->end() && name->is_string()) return name->get<std::string>();
  }
  if (document.contains("disks") || document.contains("manifest_version")) return "";
  return std::nullopt;
}

Submission refused(std::string reason) {
  Submission result;
  result.readiness = Readiness::kRefused;
  result.reason = std::move(reason);
  return result;
}

bool patience_is_over(const Writer& writer) {
  return writer.quiet >= (writer.writing ? std::chrono::milliseconds(kPatienceWithWriters)
                                         : std::chrono::milliseconds(kPatience));
}

}  // namespace

bool is_manifest_name(std::string_view name) {
  if (name.empty() || name[0] == '.') return false;
  for (std::string_view ending : {".json", ".yaml", ".yml"})
    if (name.size() > ending.size() && name.substr(name.size() - ending.size()) == ending) return true;
  return false;
}

Submission judge(std::string text, const fs::path& path, const Writer& writer) {
  Submission result;
  result.readiness = Readiness::kNotYet;
  bool json = is_json(text);
  bool whole = json ? nlohmann::json::accept(text)
                    : writer.closed && writer.quiet >= kYamlQuiet &&
                          text.find_first_not_of(" \t\r\n") != std::string::npos;
  if (!whole && !patience_is_over(writer)) return result;
  try {
    result.parsed = contract::parse_manifest(text, path.filename().string());
    result.parsed.path = path;
    result.readiness = Readiness::kReady;
  } catch (const Error& error) {
    // A YAML text that is not right yet may be one that is being written in several steps.
    if (!json && !patience_is_over(writer)) return result;
    result = refused(error.sentence());
    result.vm_name = name_in(text);
  }
  result.text = std::move(text);
  return result;
}

Submission look(const fs::path& path, const Writer& writer) {
  os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  std::string name = path.filename().string();
  if (!fd) {
    if (errno == ENOENT) return {};
    if (errno == ELOOP)
      return refused(name + ": is a symbolic link. Copy the manifest itself into the queue.");
    if (errno == EACCES)
      return refused(name +
                     ": the daemon may not read it. Give it to the daemon's user or make it readable "
                     "for all (chmod 644) before it is put into the queue.");
    throw os::system_error(errno, "open", path.string());
  }
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw os::system_error(errno, "look at", path.string());
  if (S_ISDIR(status.st_mode)) return {};
  if (!S_ISREG(status.st_mode)) return refused(name + ": is not a file. Put manifests into the queue.");
  FileIdentity file = identity_of_descriptor(fd.get());
  if (file.size > kLargestManifest)
    return refused(name + ": is longer than 16 MiB, and no manifest is. Put only manifests into the queue.");
  os::File reader(std::move(fd), path);
  std::string text(static_cast<std::size_t>(file.size), '\0');
  text.resize(reader.read_at(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  Submission result = judge(std::move(text), path, writer);
  result.file = file;
  // It changed while it was read: what was read may be the middle of two writes. A next event or scan comes.
  if (result.readiness == Readiness::kReady && !(identity_of_descriptor(reader.fd()) == file))
    result.readiness = Readiness::kNotYet;
  return result;
}

}  // namespace hyper2kvm::daemon
