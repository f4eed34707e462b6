// What an instance of the daemon is told: twenty variables from KEY=VALUE files, and a few of our own.
//
// Layers, the later wins:
//   defaults < environment of the process < hyper2kvm.conf < hyper2kvm-INSTANCE.conf < command line
// As with systemd, a file wins over Environment=. One exception: a named instance takes WATCH_DIR and
// OUTPUT_DIR only from its own file (or its own environment, or the command line), never from
// hyper2kvm.conf: two daemons on one queue would take each other's jobs.
//
// Source: docs/daemon.md, hyper2kvm.conf(5). Values only; thread-safe as any value.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/events.h"
#include "runner/daemon/convert_options.h"
#include "runner/daemon/environment_file.h"

namespace hyper2kvm::daemon {

struct LibvirtSettings {
  bool integration = false;
  std::string uri = "qemu:///system";
  std::string bridge = "virbr0";
  std::string pool = "default";
  bool autostart = false;
};

struct Settings {
  std::string instance;  // empty: the default instance
  std::filesystem::path watch_dir;
  std::filesystem::path output_dir;
  contract::Severity log_level = contract::Severity::kInfo;
  std::chrono::seconds poll_interval{5};
  unsigned max_concurrent = 2;  // 0: unlimited
  ConvertOptions convert;
  int compress_level = 6;  // 0: no compression
  bool cleanup_source = false;
  LibvirtSettings libvirt;
  std::chrono::seconds conversion_timeout{3600};
  std::filesystem::path temp_dir = "/var/cache/hyper2kvm";
  std::filesystem::path key_dir;  // keys of encrypted guests; empty: none
  bool verbose_progress = false;
  std::string notify_email;
  std::string webhook_url;
  std::chrono::hours retention{7 * 24};
  std::chrono::hours failed_retention{3 * 24};
  // Ours.
  std::string metrics_address;  // host:port; empty: off
  unsigned retry_limit = 3;     // attempts of a job that fails for a reason that may pass
  std::chrono::seconds retry_delay{30};
};

// Where settings come from. The command line's values are empty where it did not say.
struct SettingsSource {
  std::string instance;
  std::filesystem::path configuration_directory = "/etc/hyper2kvm";
  std::filesystem::path watch_dir, output_dir;
  std::string log_level;
  Variables environment;  // of the process, without what came from the files (see own_environment)
};

struct LoadedSettings {
  Settings settings;
  std::vector<std::string> warnings;  // unknown variables and the like, one sentence each
};

// Reads the files and puts the layers together. Throws os::Error (kUsage) that names the variable, its value
// and what is allowed.
LoadedSettings load_settings(const SettingsSource& source);

// The process's variables that are settings and do not come from one of the files: systemd puts a file's
// variables there too, and a variable that a later version of the file leaves out must not live on there.
Variables own_environment(const SettingsSource& source);

// One line a setting, "MAX_CONCURRENT=2", for the log at start and for `hyperctl daemon -op status`. The
// webhook's address is cut after its host: what follows is often a secret.
std::vector<std::string> describe(const Settings& settings);

// "hyper2kvm.service" or "hyper2kvm@NAME.service".
std::string service_name(const std::string& instance);
// /run/hyper2kvm or /run/hyper2kvm-NAME.
std::filesystem::path runtime_directory(const std::string& instance);
// The state directory of an instance: /var/lib/hyper2kvm or /var/lib/hyper2kvm/NAME.
std::filesystem::path state_directory(const std::string& instance);
// Letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most 64: what is safe in a unit's name
// and in a path. Throws os::Error (kUsage).
void check_instance_name(const std::string& instance);

}  // namespace hyper2kvm::daemon
