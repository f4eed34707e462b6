#include "runner/daemon/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <functional>

#include "runner/os/error.h"

extern char** environ;

namespace hyper2kvm::daemon {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

[[noreturn]] void refuse(const std::string& name, const std::string& value, const std::string& allowed) {
  throw Error(ErrorKind::kUsage, name, fmt::format("is \"{}\"", value),
              fmt::format("Set it to {}.", allowed));
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool boolean(const std::string& name, const std::string& value) {
  std::string word = lower(value);
  if (word == "true" || word == "yes" || word == "on" || word == "1") return true;
  if (word == "false" || word == "no" || word == "off" || word == "0") return false;
  refuse(name, value, "true or false");
}

std::int64_t integer(const std::string& name, const std::string& value, std::int64_t lowest,
                     std::int64_t highest) {
  std::int64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < lowest || number > highest)
    refuse(name, value, fmt::format("a whole number from {} to {}", lowest, highest));
  return number;
}

// A number alone counts in the variable's own unit; "90s", "2min", "3h" and "4d" say theirs.
std::chrono::seconds duration(const std::string& name, const std::string& value, std::int64_t unit,
                              const std::string& unit_name, std::int64_t lowest) {
  std::size_t digits = value.find_first_not_of("0123456789");
  std::string suffix = digits == std::string::npos ? "" : lower(value.substr(digits));
  std::string number = digits == std::string::npos ? value : value.substr(0, digits);
  std::int64_t factor = suffix.empty()                     ? unit
                        : suffix == "s"                    ? 1
                        : suffix == "m" || suffix == "min" ? 60
                        : suffix == "h"                    ? 3600
                        : suffix == "d"                    ? 86400
                                                           : 0;
  std::int64_t count = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), count);
  if (factor == 0 || number.empty() || error != std::errc() || end != number.data() + number.size() ||
      count > std::int64_t{36500} * 86400 / factor || count * factor < lowest)
    refuse(name, value, fmt::format("a number of {} (or a number with s, min, h or d)", unit_name));
  return std::chrono::seconds(count * factor);
}

fs::path directory(const std::string& name, const std::string& value) {
  fs::path path(value);
  if (!path.is_absolute()) refuse(name, value, "an absolute path");
  path = path.lexically_normal();
  if (!path.has_filename() && path.has_parent_path()) path = path.parent_path();
  return path;
}

contract::Severity log_level(const std::string& name, const std::string& value) {
  std::string word = lower(value);
  if (word == "debug") return contract::Severity::kDebug;
  if (word == "info") return contract::Severity::kInfo;
  if (word == "warn" || word == "warning") return contract::Severity::kWarning;
  if (word == "error") return contract::Severity::kError;
  refuse(name, value, "debug, info, warn or error");
}

std::string one_line(const std::string& name, const std::string& value) {
  for (unsigned char c : value)
    if (c < 0x20 || c == 0x7f) refuse(name, value, "a text without control characters");
  return value;
}

std::string mail_address(const std::string& name, const std::string& value) {
  std::string text = one_line(name, value);
  if (text.empty()) return text;
  // It becomes an argument of sendmail: what begins with '-' would be an option.
  auto at = text.find('@');
  bool local = at == std::string::npos;  // a user of this host
  if (text[0] == '-' || text.find_first_of(" ,;<>\"'\\|`$") != std::string::npos ||
      (!local && (at == 0 || at + 1 == text.size() || text.find('@', at + 1) != std::string::npos)))
    refuse(name, value, "one mail address");
  return text;
}

std::string webhook(const std::string& name, const std::string& value) {
  std::string text = one_line(name, value);
  if (text.empty()) return text;
  bool https = text.rfind("https://", 0) == 0 && text.size() > 8;
  // Without TLS only to this machine: what is sent names machines and paths.
  bool local = false;
  for (std::string_view host : {"http://127.0.0.1", "http://localhost", "http://[::1]"})
    if (text.starts_with(host) &&
        (text.size() == host.size() || text[host.size()] == ':' || text[host.size()] == '/'))
      local = text.find('@') == std::string::npos;
  if (!https && !local) refuse(name, value.substr(0, value.find('/', 8)), "an https:// address");
  return text;
}

std::string listen_address(const std::string& name, const std::string& value) {
  std::string text = one_line(name, value);
  if (text.empty()) return text;
  auto colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) refuse(name, value, "HOST:PORT, as in 127.0.0.1:9477");
  integer(name, text.substr(colon + 1), 1, 65535);
  return text;
}

std::string libvirt_name(const std::string& name, const std::string& value) {
  std::string text = one_line(name, value);
  if (text.find('/') != std::string::npos) refuse(name, value, "the name of something in libvirt");
  return text;
}

struct Variable {
  const char* name;
  std::function<void(Settings&, const std::string& name, const std::string& value)> set;
};

const std::vector<Variable>& variables() {
  using S = Settings&;
  using T = const std::string&;
  static const std::vector<Variable> table{
      {"WATCH_DIR", [](S s, T n, T v) { s.watch_dir = directory(n, v); }},
      {"OUTPUT_DIR", [](S s, T n, T v) { s.output_dir = directory(n, v); }},
      {"LOG_LEVEL", [](S s, T n, T v) { s.log_level = log_level(n, v); }},
      {"POLL_INTERVAL", [](S s, T n, T v) { s.poll_interval = duration(n, v, 1, "seconds", 1); }},
      {"MAX_CONCURRENT",
       [](S s, T n, T v) { s.max_concurrent = static_cast<unsigned>(integer(n, v, 0, 10000)); }},
      {"QEMU_CONVERT_OPTIONS", [](S s, T, T v) { s.convert = parse_convert_options(v); }},
      {"COMPRESS_LEVEL", [](S s, T n, T v) { s.compress_level = static_cast<int>(integer(n, v, 0, 9)); }},
      {"CLEANUP_SOURCE", [](S s, T n, T v) { s.cleanup_source = boolean(n, v); }},
      {"LIBVIRT_INTEGRATION", [](S s, T n, T v) { s.libvirt.integration = boolean(n, v); }},
      {"LIBVIRT_URI", [](S s, T n, T v) { s.libvirt.uri = one_line(n, v); }},
      {"LIBVIRT_BRIDGE", [](S s, T n, T v) { s.libvirt.bridge = libvirt_name(n, v); }},
      {"LIBVIRT_POOL", [](S s, T n, T v) { s.libvirt.pool = libvirt_name(n, v); }},
      {"LIBVIRT_AUTOSTART", [](S s, T n, T v) { s.libvirt.autostart = boolean(n, v); }},
      {"CONVERSION_TIMEOUT", [](S s, T n, T v) { s.conversion_timeout = duration(n, v, 60, "minutes", 1); }},
      {"TEMP_DIR", [](S s, T n, T v) { s.temp_dir = directory(n, v); }},
      {"KEY_DIR", [](S s, T n, T v) { s.key_dir = directory(n, v); }},
      {"VERBOSE_PROGRESS", [](S s, T n, T v) { s.verbose_progress = boolean(n, v); }},
      {"NOTIFY_EMAIL", [](S s, T n, T v) { s.notify_email = mail_address(n, v); }},
      {"WEBHOOK_URL", [](S s, T n, T v) { s.webhook_url = webhook(n, v); }},
      {"RETENTION_DAYS",
       [](S s, T n, T v) {
         s.retention = std::chrono::duration_cast<std::chrono::hours>(duration(n, v, 86400, "days", 0));
       }},
      {"FAILED_RETENTION_DAYS",
       [](S s, T n, T v) {
         s.failed_retention =
             std::chrono::duration_cast<std::chrono::hours>(duration(n, v, 86400, "days", 0));
       }},
      {"METRICS_ADDRESS", [](S s, T n, T v) { s.metrics_address = listen_address(n, v); }},
      {"RETRY_LIMIT", [](S s, T n, T v) { s.retry_limit = static_cast<unsigned>(integer(n, v, 1, 1000)); }},
      {"RETRY_DELAY", [](S s, T n, T v) { s.retry_delay = duration(n, v, 1, "seconds", 0); }},
  };
  return table;
}

bool is_directory_variable(const std::string& name) { return name == "WATCH_DIR" || name == "OUTPUT_DIR"; }

fs::path base_file(const SettingsSource& source) { return source.configuration_directory / "hyper2kvm.conf"; }

fs::path instance_file(const SettingsSource& source) {
  return source.configuration_directory / ("hyper2kvm-" + source.instance + ".conf");
}

// What the files say for this instance. unfiltered: the base file as it stands.
Variables file_variables(const SettingsSource& source, Variables* unfiltered = nullptr) {
  Variables result = read_environment_file(base_file(source));
  if (unfiltered != nullptr) *unfiltered = result;
  if (source.instance.empty()) return result;
  std::erase_if(result, [](const auto& entry) { return is_directory_variable(entry.first); });
  for (auto& [name, value] : read_environment_file(instance_file(source))) result[name] = value;
  return result;
}

void apply(const Variables& layer, Settings& settings, const std::string& origin) {
  for (const Variable& variable : variables()) {
    auto found = layer.find(variable.name);
    if (found == layer.end()) continue;
    try {
      // Empty means unset, as an example file's `NOTIFY_EMAIL=` does.
      if (!found->second.empty()) variable.set(settings, variable.name, found->second);
    } catch (const Error& error) {
      throw error.with_context(origin);
    }
  }
}

void warn_of_unknown(const Variables& layer, const fs::path& file, std::vector<std::string>& warnings) {
  for (const auto& [name, value] : layer) {
    bool known = std::any_of(variables().begin(), variables().end(),
                             [&, &key = name](const Variable& variable) { return key == variable.name; });
    if (!known)
      warnings.push_back(
          fmt::format("{}: {} is not a setting of hyper2kvm and changes nothing.", file.string(), name));
  }
}

}  // namespace

Variables own_environment(const SettingsSource& source) {
  Variables unfiltered;
  Variables from_files = file_variables(source, &unfiltered);
  Variables result;
  for (const Variable& variable : variables()) {
    const char* value = std::getenv(variable.name);
    if (value == nullptr) continue;
    auto comes_from = [&](const Variables& layer) {
      auto found = layer.find(variable.name);
      return found != layer.end() && found->second == value;
    };
    if (!comes_from(from_files) && !comes_from(unfiltered)) result[variable.name] = value;
  }
  return result;
}

LoadedSettings load_settings(const SettingsSource& source) {
  LoadedSettings loaded;
  Settings& settings = loaded.settings;
  if (!source.instance.empty()) check_instance_name(source.instance);
  settings.instance = source.instance;
  settings.watch_dir = state_directory(source.instance) / "queue";
  settings.output_dir = state_directory(source.instance) / "output";

  apply(source.environment, settings, "environment");
  Variables base = read_environment_file(base_file(source));
  warn_of_unknown(base, base_file(source), loaded.warnings);
  if (!source.instance.empty())
    std::erase_if(base, [](const auto& entry) { return is_directory_variable(entry.first); });
  apply(base, settings, base_file(source).string());
  if (!source.instance.empty()) {
    Variables own = read_environment_file(instance_file(source));
    warn_of_unknown(own, instance_file(source), loaded.warnings);
    apply(own, settings, instance_file(source).string());
  }
  Variables command_line;
  if (!source.watch_dir.empty()) command_line["WATCH_DIR"] = source.watch_dir.string();
  if (!source.output_dir.empty()) command_line["OUTPUT_DIR"] = source.output_dir.string();
  if (!source.log_level.empty()) command_line["LOG_LEVEL"] = source.log_level;
  apply(command_line, settings, "command line");

  if (settings.watch_dir == settings.output_dir)
    throw Error(ErrorKind::kUsage, "OUTPUT_DIR", "is the same directory as WATCH_DIR",
                "Give the results a directory of their own.");
  if (settings.convert.progress) settings.verbose_progress = true;
  return loaded;
}

std::vector<std::string> describe(const Settings& s) {
  auto yes = [](bool value) { return value ? "true" : "false"; };
  std::string options;
  if (s.convert.format) options += "-O " + std::string(contract::to_string(*s.convert.format));
  if (s.convert.compress) options += options.empty() ? "-c" : " -c";
  if (s.convert.compression) {
    bool zstd = *s.convert.compression == contract::Compression::kZstd;
    options += std::string(options.empty() ? "" : " ") + "-o compression_type=" + (zstd ? "zstd" : "zlib");
  }
  if (s.convert.progress) options += options.empty() ? "-p" : " -p";
  std::string hook = s.webhook_url;
  if (auto slash = hook.find('/', hook.find("://") == std::string::npos ? 0 : hook.find("://") + 3);
      slash != std::string::npos)
    hook = hook.substr(0, slash) + "/...";
  auto at = hook.find('@');
  if (at != std::string::npos) hook = hook.substr(0, hook.find("://") + 3) + "..." + hook.substr(at);
  constexpr const char* kLevels[] = {"debug", "info", "warn", "error"};
  return {
      "WATCH_DIR=" + s.watch_dir.string(),
      "OUTPUT_DIR=" + s.output_dir.string(),
      fmt::format("LOG_LEVEL={}", kLevels[static_cast<int>(s.log_level)]),
      fmt::format("POLL_INTERVAL={}s", s.poll_interval.count()),
      fmt::format("MAX_CONCURRENT={}", s.max_concurrent),
      "QEMU_CONVERT_OPTIONS=" + options,
      fmt::format("COMPRESS_LEVEL={}", s.compress_level),
      fmt::format("CLEANUP_SOURCE={}", yes(s.cleanup_source)),
      fmt::format("LIBVIRT_INTEGRATION={}", yes(s.libvirt.integration)),
      "LIBVIRT_URI=" + s.libvirt.uri,
      "LIBVIRT_BRIDGE=" + s.libvirt.bridge,
      "LIBVIRT_POOL=" + s.libvirt.pool,
      fmt::format("LIBVIRT_AUTOSTART={}", yes(s.libvirt.autostart)),
      fmt::format("CONVERSION_TIMEOUT={}s", s.conversion_timeout.count()),
      "TEMP_DIR=" + s.temp_dir.string(),
      "KEY_DIR=" + s.key_dir.string(),
      fmt::format("VERBOSE_PROGRESS={}", yes(s.verbose_progress)),
      "NOTIFY_EMAIL=" + s.notify_email,
      "WEBHOOK_URL=" + hook,
      fmt::format("RETENTION_DAYS={}", s.retention.count() / 24),
      fmt::format("FAILED_RETENTION_DAYS={}", s.failed_retention.count() / 24),
      "METRICS_ADDRESS=" + s.metrics_address,
      fmt::format("RETRY_LIMIT={}", s.retry_limit),
      fmt::format("RETRY_DELAY={}s", s.retry_delay.count()),
  };
}

std::string service_name(const std::string& instance) {
  return instance.empty() ? "hyper2kvm.service" : "hyper2kvm@" + instance + ".service";
}

fs::path runtime_directory(const std::string& instance) {
  return instance.empty() ? "/run/hyper2kvm" : "/run/hyper2kvm-" + instance;
}

fs::path state_directory(const std::string& instance) {
  fs::path base = "/var/lib/hyper2kvm";
  return instance.empty() ? base : base / instance;
}

void check_instance_name(const std::string& instance) {
  bool good = !instance.empty() && instance.size() <= 64 && instance[0] != '.' && instance[0] != '-' &&
              std::all_of(instance.begin(), instance.end(), [](unsigned char c) {
                return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
              });
  // Their directories would be those of the default instance.
  if (!good || instance == "queue" || instance == "output")
    throw Error(ErrorKind::kUsage, "instance \"" + instance + "\"", "is not a name an instance can have",
                "Use letters, digits, '.', '_' and '-', and neither \"queue\" nor \"output\".");
}

}  // namespace hyper2kvm::daemon
