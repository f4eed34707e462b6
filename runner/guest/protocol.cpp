// The two documents between the pipeline and the agent, as JSON lines.
//
// Requests come from us; answers come from a process that has mounted a hostile disk. So an answer is
// measured before it is parsed (length, nesting), each value is taken only in its own type, every list and
// text has a largest size, and control characters (which a terminal or a log would obey) are spelled out.
#include "runner/guest/protocol.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>

#include "runner/contract/json_members.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

using nlohmann::json;

constexpr std::size_t kLongestLine = std::size_t{32} << 20;
constexpr std::size_t kLongestProgress = 4096;
constexpr int kDeepest = 16;
constexpr std::size_t kLongestText = 8192;
constexpr std::size_t kLongestDiff = std::size_t{1} << 20;
constexpr std::size_t kLongestSecret = std::size_t{8} << 20;  // cryptsetup's own limit of a key file
constexpr std::size_t kLongestFile = std::size_t{1} << 20;
constexpr std::size_t kMostPartitions = 4096;
constexpr std::size_t kMostEdits = 8192;
constexpr std::size_t kMostItems = 1024;

[[noreturn]] void refuse(const std::string& what) {
  throw os::Error(os::ErrorKind::kInvalid, "The appliance", "answered what no agent of ours says: " + what,
                  "The guest's disks may be damaged or hostile: see the appliance's log.");
}

// The JSON parser keeps a stack of its own, but what it builds is destroyed and walked level by level.
void check_depth(std::string_view line) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < line.size(); ++at) {
    char c = line[at];
    if (in_string) {
      if (c == '\\')
        ++at;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepest) refuse("a document nested more than " + std::to_string(kDeepest) + " deep");
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

json parse_line(std::string_view line) {
  if (line.size() > kLongestLine)
    refuse("a line of more than " + std::to_string(kLongestLine >> 20) + " MiB");
  check_depth(line);
  json document = json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) refuse("a line that is not JSON");
  if (!document.is_object()) refuse("a line that is not an object");
  return document;
}

// Control characters are what makes a text from a guest dangerous to show.
std::string printable(const std::string& text, bool keep_lines) {
  bool clean = std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (clean) return text;
  static const char digits[] = "0123456789abcdef";
  std::string result;
  result.reserve(text.size());
  for (unsigned char c : text) {
    if ((c < 0x20 || c == 0x7f) && !(keep_lines && (c == '\n' || c == '\t'))) {
      result += "\\x";
      result += digits[c >> 4];
      result += digits[c & 15];
    } else {
      result += static_cast<char>(c);
    }
  }
  return result;
}

const json* find(const json& object, const char* key) {
  auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

void take(const json& object, const char* key, std::string& into, std::size_t longest = kLongestText,
          bool keep_lines = false) {
  const json* value = find(object, key);
  if (value == nullptr) return;
  if (!value->is_string()) refuse(std::string("\"") + key + "\" is not a text");
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > longest) refuse(std::string("\"") + key + "\" is too long");
  into = printable(text, keep_lines);
}

// As written, for documents of our own making.
void take_raw(const json& object, const char* key, std::string& into, std::size_t longest) {
  const json* value = find(object, key);
  if (value == nullptr) return;
  if (!value->is_string() || value->get_ref<const std::string&>().size() > longest)
    refuse(std::string("\"") + key + "\" is not a text or is too long");
  into = value->get<std::string>();
}

void take(const json& object, const char* key, bool& into) {
  const json* value = find(object, key);
  if (value == nullptr) return;
  if (!value->is_boolean()) refuse(std::string("\"") + key + "\" is not true or false");
  into = value->get<bool>();
}

void take(const json& object, const char* key, std::uint64_t& into) {
  const json* value = find(object, key);
  if (value == nullptr) return;
  if (!value->is_number_unsigned()) refuse(std::string("\"") + key + "\" is not a whole number");
  into = value->get<std::uint64_t>();
}

void take(const json& object, const char* key, double& into) {
  const json* value = find(object, key);
  if (value == nullptr) return;
  if (!value->is_number()) refuse(std::string("\"") + key + "\" is not a number");
  double number = value->get<double>();
  if (!std::isfinite(number) || number < 0 || number > 1e6)
    refuse(std::string("\"") + key + "\" is not a time");
  into = number;
}

const json* take_list(const json& object, const char* key, std::size_t most) {
  const json* value = find(object, key);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) refuse(std::string("\"") + key + "\" is not a list");
  if (value->size() > most) refuse(std::string("\"") + key + "\" is too long a list");
  return value;
}

void take(const json& object, const char* key, std::vector<std::string>& into,
          std::size_t longest = kLongestText) {
  const json* list = take_list(object, key, kMostItems);
  if (list == nullptr) return;
  for (const json& item : *list) {
    if (!item.is_string() || item.get_ref<const std::string&>().size() > longest)
      refuse(std::string("an entry of \"") + key + "\" is not a text or is too long");
    into.push_back(printable(item.get_ref<const std::string&>(), false));
  }
}

const json* take_object(const json& object, const char* key) {
  const json* value = find(object, key);
  if (value != nullptr && !value->is_object()) refuse(std::string("\"") + key + "\" is not an object");
  return value;
}

const json& as_object(const json& item, const char* where) {
  if (!item.is_object()) refuse(std::string("an entry of \"") + where + "\" is not an object");
  return item;
}

// Guests hold names that are not UTF-8; JSON cannot. They are shown with the replacement character.
std::string dump(const json& document) {
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string to_hex(const std::string& bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned char c : bytes) {
    text += digits[c >> 4];
    text += digits[c & 15];
  }
  return text;
}

std::string from_hex(const std::string& text) {
  auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    refuse("a key that is not hexadecimal");
  };
  if (text.size() % 2 != 0) refuse("a key that is not hexadecimal");
  std::string bytes;
  for (std::size_t at = 0; at < text.size(); at += 2)
    bytes += static_cast<char>(value(text[at]) << 4 | value(text[at + 1]));
  return bytes;
}

// Names of our own for the wire, so that the agent needs nothing of the manifest's parser.
constexpr std::string_view kModes[] = {"inspect", "dry-run", "repair"};
constexpr std::string_view kFstabModes[] = {"stabilize-all", "bypath-only", "noop"};

template <typename Enum, std::size_t N>
void take_name(const json& object, const char* key, const std::string_view (&names)[N], Enum& into) {
  std::string text;
  if (find(object, key) == nullptr) return;
  take(object, key, text);
  for (std::size_t index = 0; index < N; ++index)
    if (names[index] == text) {
      into = static_cast<Enum>(index);
      return;
    }
  refuse(std::string("\"") + key + "\" is none of its values");
}

// What the members of our structures are called on the wire, said once for both directions. Those that are
// lists of structures, or have a limit of their own, are not here.
constexpr std::tuple kPartition{
    std::pair{"device", &Partition::device},       std::pair{"offset", &Partition::offset},
    std::pair{"size", &Partition::size},           std::pair{"type", &Partition::type},
    std::pair{"label", &Partition::label},         std::pair{"uuid", &Partition::uuid},
    std::pair{"part_uuid", &Partition::part_uuid}, std::pair{"mount_point", &Partition::mount_point}};
constexpr std::tuple kKernel{
    std::pair{"version", &Kernel::version},           std::pair{"image", &Kernel::image},
    std::pair{"initramfs", &Kernel::initramfs},       std::pair{"is_default", &Kernel::is_default},
    std::pair{"virtio_ready", &Kernel::virtio_ready}, std::pair{"missing_drivers", &Kernel::missing_drivers}};
constexpr std::tuple kInspection{std::pair{"os_type", &Inspection::os_type},
                                 std::pair{"distribution", &Inspection::distribution},
                                 std::pair{"version", &Inspection::version},
                                 std::pair{"pretty_name", &Inspection::pretty_name},
                                 std::pair{"hostname", &Inspection::hostname},
                                 std::pair{"architecture", &Inspection::architecture},
                                 std::pair{"firmware", &Inspection::firmware},
                                 std::pair{"root_device", &Inspection::root_device},
                                 std::pair{"roots", &Inspection::roots},
                                 std::pair{"boot_loader", &Inspection::boot_loader},
                                 std::pair{"initramfs_generator", &Inspection::initramfs_generator},
                                 std::pair{"init_system", &Inspection::init_system},
                                 std::pair{"network_systems", &Inspection::network_systems},
                                 std::pair{"hypervisor_tools", &Inspection::hypervisor_tools},
                                 std::pair{"package_manager", &Inspection::package_manager},
                                 std::pair{"selinux", &Inspection::selinux},
                                 std::pair{"guest_agent", &Inspection::guest_agent}};
constexpr std::tuple kBootFact{
    std::pair{"name", &contract::BootFact::name}, std::pair{"subject", &contract::BootFact::subject},
    std::pair{"holds", &contract::BootFact::holds}, std::pair{"detail", &contract::BootFact::detail}};
constexpr std::tuple kNic{std::pair{"id", &contract::Nic::id}, std::pair{"mac", &contract::Nic::mac},
                          std::pair{"network", &contract::Nic::network}};
constexpr std::tuple kFix{std::pair{"enabled", &contract::FixStage::enabled},
                          std::pair{"backup", &contract::FixStage::backup},
                          std::pair{"print_fstab", &contract::FixStage::print_fstab},
                          std::pair{"update_grub", &contract::FixStage::update_grub},
                          std::pair{"regen_initramfs", &contract::FixStage::regen_initramfs},
                          std::pair{"remove_vmware_tools", &contract::FixStage::remove_vmware_tools}};

template <class T, class... Members>
void take(const json& object, T& into, const std::tuple<Members...>& table) {
  std::apply([&](const auto&... one) { (take(object, one.first, into.*one.second), ...); }, table);
}

template <class T, class... Members>
void take(const json& object, const char* key, std::size_t most, std::vector<T>& into,
          const std::tuple<Members...>& table) {
  if (const json* list = take_list(object, key, most))
    for (const json& item : *list) take(as_object(item, key), into.emplace_back(), table);
}

}  // namespace

json to_json(const Inspection& inspection) {
  json object = contract::write_members(inspection, kInspection);
  object["partitions"] = contract::write_members(inspection.partitions, kPartition);
  object["kernels"] = contract::write_members(inspection.kernels, kKernel);
  return object;
}

json to_json(const Edit& edit) {
  return {{"path", edit.path},
          {"action", edit.action},
          {"reason", edit.reason},
          {"diff", edit.diff},
          {"summary", edit.summary}};
}

std::string serialize(const Request& request) {
  json keys = json::array();
  for (const VolumeKey& key : request.keys)
    keys.push_back({{"device", key.device}, {"secret", to_hex(key.secret)}});
  json users = json::array();
  for (const contract::GuestUser& user : request.configuration.users)
    users.push_back({{"name", user.name},
                     {"password_hash", user.password_hash},
                     {"ssh_authorized_keys", user.ssh_authorized_keys},
                     {"groups", user.groups},
                     {"sudo", user.sudo}});
  json fix = contract::write_members(request.fix, kFix);
  fix["fstab_mode"] = kFstabModes[static_cast<std::size_t>(request.fix.fstab_mode)];
  json document = {{"mode", kModes[static_cast<std::size_t>(request.mode)]},
                   {"fix", fix},
                   {"configuration",
                    {{"users", users},
                     {"services",
                      {{"enable", request.configuration.services.enable},
                       {"disable", request.configuration.services.disable}}},
                     {"hostname", request.configuration.hostname},
                     {"network_files", request.configuration.network_files}}},
                   {"nics", contract::write_members(request.nics, kNic)},
                   {"root", request.root},
                   {"keys", keys},
                   {"disk_count", request.disk_count}};
  return dump(document);
}

std::string serialize(const Answer& answer) {
  json edits = json::array();
  for (const Edit& edit : answer.edits) edits.push_back(to_json(edit));
  return dump({{"success", answer.success},
               {"error", answer.error},
               {"inspection", to_json(answer.inspection)},
               {"edits", edits},
               {"boot_facts", contract::write_members(answer.boot_facts, kBootFact)},
               {"warnings", answer.warnings},
               {"printed", answer.printed},
               {"seconds_to_open", answer.seconds_to_open},
               {"seconds_to_repair", answer.seconds_to_repair},
               {"seconds_to_close", answer.seconds_to_close}});
}

Request parse_request(std::string_view line) {
  json document = parse_line(line);
  Request request;
  take_name(document, "mode", kModes, request.mode);
  if (const json* fix = take_object(document, "fix")) {
    take(*fix, request.fix, kFix);
    take_name(*fix, "fstab_mode", kFstabModes, request.fix.fstab_mode);
  }
  if (const json* configuration = take_object(document, "configuration")) {
    if (const json* users = take_list(*configuration, "users", kMostItems))
      for (const json& item : *users) {
        const json& entry = as_object(item, "users");
        contract::GuestUser& user = request.configuration.users.emplace_back();
        take(entry, "name", user.name);
        take(entry, "password_hash", user.password_hash);
        take(entry, "ssh_authorized_keys", user.ssh_authorized_keys, kLongestFile);
        take(entry, "groups", user.groups);
        take(entry, "sudo", user.sudo);
      }
    if (const json* services = take_object(*configuration, "services")) {
      take(*services, "enable", request.configuration.services.enable);
      take(*services, "disable", request.configuration.services.disable);
    }
    take(*configuration, "hostname", request.configuration.hostname);
    if (const json* files = take_object(*configuration, "network_files"))
      for (const auto& [path, text] : files->items())
        take_raw(*files, path.c_str(), request.configuration.network_files[path], kLongestFile);
  }
  take(document, "nics", kMostItems, request.nics, kNic);
  take(document, "root", request.root);
  if (const json* keys = take_list(document, "keys", kMostItems))
    for (const json& item : *keys) {
      const json& entry = as_object(item, "keys");
      VolumeKey& key = request.keys.emplace_back();
      take(entry, "device", key.device);
      std::string hex;
      take_raw(entry, "secret", hex, 2 * kLongestSecret);
      key.secret = from_hex(hex);
    }
  std::uint64_t disk_count = 0;
  take(document, "disk_count", disk_count);
  if (disk_count > kMostItems) refuse("too many disks");
  request.disk_count = disk_count;
  return request;
}

Answer parse_answer(std::string_view line) {
  json document = parse_line(line);
  Answer answer;
  if (find(document, "success") == nullptr) refuse("an answer without \"success\"");
  take(document, "success", answer.success);
  take(document, "error", answer.error);
  if (answer.success != answer.error.empty()) refuse("an answer that neither failed nor succeeded");
  if (const json* inspection = take_object(document, "inspection")) {
    take(*inspection, answer.inspection, kInspection);
    take(*inspection, "partitions", kMostPartitions, answer.inspection.partitions, kPartition);
    take(*inspection, "kernels", kMostItems, answer.inspection.kernels, kKernel);
  }
  if (const json* list = take_list(document, "edits", kMostEdits))
    for (const json& item : *list) {
      const json& entry = as_object(item, "edits");
      Edit& edit = answer.edits.emplace_back();
      take(entry, "path", edit.path);
      take(entry, "action", edit.action);
      take(entry, "reason", edit.reason);
      take(entry, "diff", edit.diff, kLongestDiff, /*keep_lines=*/true);
      take(entry, "summary", edit.summary);
    }
  take(document, "boot_facts", kMostItems, answer.boot_facts, kBootFact);
  take(document, "warnings", answer.warnings);
  if (const json* printed = take_object(document, "printed")) {
    if (printed->size() > 16) refuse("too many printed files");
    for (const auto& [name, text] : printed->items()) {
      if (name.size() > kLongestText) refuse("too long a name of a printed file");
      take(*printed, name.c_str(), answer.printed[printable(name, false)], kLongestDiff, true);
    }
  }
  take(document, "seconds_to_open", answer.seconds_to_open);
  take(document, "seconds_to_repair", answer.seconds_to_repair);
  take(document, "seconds_to_close", answer.seconds_to_close);
  return answer;
}

std::optional<std::string> parse_progress(std::string_view line) {
  constexpr std::string_view kPrefix = "{\"progress\":";
  if (!line.starts_with(kPrefix)) return std::nullopt;
  if (line.size() > kLongestProgress) refuse("a line of progress that is too long");
  std::string text;
  take(parse_line(line), "progress", text);
  return text;
}

std::string serialize_progress(std::string_view text) {
  // A character that JSON spells out takes up to 6 bytes; the line must stay below the limit of its reader.
  return dump({{"progress", std::string(text.substr(0, kLongestProgress / 8))}});
}

}  // namespace hyper2kvm::guest
