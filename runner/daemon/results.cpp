#include "runner/daemon/results.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

constexpr std::size_t kLargestReport = 64u << 20;

fs::path success_name(const fs::path& output_dir, const Job& job) {
  return output_dir / (job.result_name + ".qcow2");
}
fs::path failure_name(const fs::path& output_dir, const Job& job) {
  return output_dir / (job.result_name + ".error");
}

void unlink_if_there(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw os::system_error(errno, "remove", path.string());
}

bool is_below(const fs::path& path, const fs::path& directory) {
  fs::path relative = path.lexically_normal().lexically_relative(directory.lexically_normal());
  return !relative.empty() && *relative.begin() != "..";
}

}  // namespace

std::optional<fs::path> remove_stale_results(const fs::path& output_dir, const Job& job) {
  unlink_if_there(failure_name(output_dir, job));
  fs::path name = success_name(output_dir, job);
  struct stat status;
  if (::lstat(name.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    throw os::system_error(errno, "look at", name.string());
  }
  if (S_ISDIR(status.st_mode))
    throw Error(ErrorKind::kInvalid, name.string(), "is a directory, and the machine's image gets that name",
                "Move it away.");
  if (S_ISREG(status.st_mode) && status.st_nlink == 1) {
    fs::path kept = output_dir / (job.result_name + ".before-" + job.id + ".qcow2");
    os::rename_durably(name, kept);
    return kept;
  }
  unlink_if_there(name);
  return std::nullopt;
}

void publish_result(const fs::path& output_dir, const Job& job) {
  unlink_if_there(failure_name(output_dir, job));
  fs::path name = success_name(output_dir, job);
  if (os::same_file(name, job.output_path)) return;
  fs::path fresh = output_dir / (".linking-" + job.id);
  unlink_if_there(fresh);
  bool linked = job.format == "qcow2" && ::link(job.output_path.c_str(), fresh.c_str()) == 0;
  if (!linked) {
    fs::path target = fs::path(job.output_path).lexically_relative(output_dir);
    if (::symlink(target.c_str(), fresh.c_str()) != 0)
      throw os::system_error(errno, "make a link to " + job.output_path + " as", name.string());
  }
  os::rename_durably(fresh, name);
  unlink_if_there(fresh);  // rename does nothing where both are names of one file
}

void publish_failure(const fs::path& output_dir, const Job& job) {
  os::write_text_atomically(failure_name(output_dir, job), job.error + "\n");
}

void remove_failure(const fs::path& output_dir, const Job& job) {
  unlink_if_there(failure_name(output_dir, job));
}

std::optional<Verdict> read_verdict(const fs::path& report, const fs::path& manifest) {
  if (!fs::exists(fs::symlink_status(report))) return std::nullopt;
  try {
    nlohmann::json document = nlohmann::json::parse(os::read_text(report, kLargestReport));
    if (document.at("input_manifest").at("path").get<std::string>() != manifest.string()) return std::nullopt;
    Verdict verdict;
    const nlohmann::json& pipeline = document.at("pipeline");
    verdict.success = pipeline.at("success").get<bool>();
    verdict.duration_seconds = pipeline.at("duration_seconds").get<double>();
    for (const auto& error : document.at("errors"))
      if (verdict.error.empty()) verdict.error = error.at("message").get<std::string>();
    for (const auto& warning : document.at("warnings"))
      verdict.warnings.push_back(warning.at("message").get<std::string>());
    int lowest = 0;
    for (const auto& artifact : document.at("artifacts")) {
      std::string path = artifact.at("path").get<std::string>();
      struct stat status;
      if (::stat(path.c_str(), &status) != 0) return std::nullopt;
      verdict.output_bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
      int hint = artifact.at("boot_order_hint").get<int>();
      if (verdict.boot_disk.empty() || hint < lowest) {
        verdict.boot_disk = path;
        lowest = hint;
      }
    }
    return verdict;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

void remove_traces_of_failure(const fs::path& output_dir, const Job& job, const fs::path& manifest) {
  try {
    if (os::read_text(failure_name(output_dir, job), kLargestReport) == job.error + "\n")
      unlink_if_there(failure_name(output_dir, job));
  } catch (const Error&) {
    // It is gone, or no text of ours.
  }
  if (auto verdict = read_verdict(job.report_path, manifest); verdict && !verdict->success) {
    unlink_if_there(job.report_path);
    ::rmdir((output_dir / "machines" / job.result_name).c_str());  // only where it is empty
  }
}

std::vector<std::string> remove_sources(const Job& job, const std::vector<std::string>& still_needed,
                                        const fs::path& output_dir) {
  std::vector<std::string> problems;
  for (const std::string& disk : job.disks) {
    auto same = [&](const std::string& other) { return other == disk || os::same_file(other, disk); };
    struct stat status;
    if (::lstat(disk.c_str(), &status) != 0) continue;  // it is gone already
    if (std::any_of(still_needed.begin(), still_needed.end(), same)) {
      problems.push_back(disk + ": was kept, because another job needs it.");
    } else if (!S_ISREG(status.st_mode)) {
      problems.push_back(disk + ": was kept, because it is no plain file.");
    } else if (is_below(disk, output_dir)) {
      problems.push_back(disk + ": was kept, because it is in OUTPUT_DIR.");
    } else if (::unlink(disk.c_str()) != 0) {
      std::string advice = errno == EROFS ? " Name its directory in ReadWritePaths= of a drop-in of the unit."
                                          : " Let the daemon's user write to its directory.";
      problems.push_back(os::system_error(errno, "remove the source", disk, advice.substr(1)).sentence());
    }
  }
  return problems;
}

std::optional<std::string> hidden_disk(const fs::path& disk) {
  os::UniqueFd fd(::open(disk.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd) return std::nullopt;
  int error = errno;
  if (error == ENOENT && (is_below(disk, "/tmp") || is_below(disk, "/var/tmp")))
    return disk.string() +
           ": the service has a /tmp of its own (PrivateTmp) and cannot see this disk. Export to "
           "another directory, /var/lib/hyper2kvm/exports for one, or set PrivateTmp=no in a drop-in "
           "(systemctl edit).";
  if ((error == ENOENT || error == EACCES) &&
      (is_below(disk, "/home") || is_below(disk, "/root") || is_below(disk, "/run/user")))
    return disk.string() +
           ": the service cannot see home directories (ProtectHome). Export to another directory, "
           "/var/lib/hyper2kvm/exports for one, or set ProtectHome=read-only in a drop-in (systemctl edit).";
  if (error == EACCES)
    return disk.string() +
           ": the daemon's user may not read this disk. Allow it (setfacl -m u:hyper2kvm:r FILE, and rx on "
           "its directories) or let the export belong to the group hyper2kvm.";
  return std::nullopt;
}

}  // namespace hyper2kvm::daemon
