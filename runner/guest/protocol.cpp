// The two documents between the pipeline and the agent, as JSON lines.
//
// Requests come from us; answers come from a process that has mounted a hostile disk. So an answer is
// measured before it is parsed (length, nesting), each value is taken only in its own type, every list and
// text has a largest size, and control characters (which a terminal or a log would obey) are spelled out.
#include "runner/guest/protocol.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

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

json to_json(const Partition& partition) {
  return {{"device", partition.device},       {"offset", partition.offset},
          {"size", partition.size},           {"type", partition.type},
          {"label", partition.label},         {"uuid", partition.uuid},
          {"part_uuid", partition.part_uuid}, {"mount_point", partition.mount_point}};
}

json to_json(const Kernel& kernel) {
  return {{"version", kernel.version},           {"image", kernel.image},
          {"initramfs", kernel.initramfs},       {"is_default", kernel.is_default},
          {"virtio_ready", kernel.virtio_ready}, {"missing_drivers", kernel.missing_drivers}};
}

Inspection take_inspection(const json& object) {
  Inspection inspection;
  take(object, "os_type", inspection.os_type);
  take(object, "distribution", inspection.distribution);
  take(object, "version", inspection.version);
  take(object, "pretty_name", inspection.pretty_name);
  take(object, "hostname", inspection.hostname);
  take(object, "architecture", inspection.architecture);
  take(object, "firmware", inspection.firmware);
  take(object, "root_device", inspection.root_device);
  take(object, "roots", inspection.roots);
  if (const json* list = take_list(object, "partitions", kMostPartitions))
    for (const json& item : *list) {
      const json& entry = as_object(item, "partitions");
      Partition& partition = inspection.partitions.emplace_back();
      take(entry, "device", partition.device);
      take(entry, "offset", partition.offset);
      take(entry, "size", partition.size);
      take(entry, "type", partition.type);
      take(entry, "label", partition.label);
      take(entry, "uuid", partition.uuid);
      take(entry, "part_uuid", partition.part_uuid);
      take(entry, "mount_point", partition.mount_point);
    }
  if (const json* list = take_list(object, "kernels", kMostItems))
    for (const json& item : *list) {
      const json& entry = as_object(item, "kernels");
      Kernel& kernel = inspection.kernels.emplace_back();
      take(entry, "version", kernel.version);
      take(entry, "image", kernel.image);
      take(entry, "initramfs", kernel.initramfs);
      take(entry, "is_default", kernel.is_default);
      take(entry, "virtio_ready", kernel.virtio_ready);
      take(entry, "missing_drivers", kernel.missing_drivers);
    }
  take(object, "boot_loader", inspection.boot_loader);
  take(object, "initramfs_generator", inspection.initramfs_generator);
  take(object, "init_system", inspection.init_system);
  take(object, "network_systems", inspection.network_systems);
  take(object, "hypervisor_tools", inspection.hypervisor_tools);
  take(object, "package_manager", inspection.package_manager);
  take(object, "selinux", inspection.selinux);
  take(object, "guest_agent", inspection.guest_agent);
  return inspection;
}

}  // namespace

json to_json(const Inspection& inspection) {
  json partitions = json::array();
  for (const Partition& partition : inspection.partitions) partitions.push_back(to_json(partition));
  json kernels = json::array();
  for (const Kernel& kernel : inspection.kernels) kernels.push_back(to_json(kernel));
  return {{"os_type", inspection.os_type},
          {"distribution", inspection.distribution},
          {"version", inspection.version},
          {"pretty_name", inspection.pretty_name},
          {"hostname", inspection.hostname},
          {"architecture", inspection.architecture},
          {"firmware", inspection.firmware},
          {"root_device", inspection.root_device},
          {"roots", inspection.roots},
          {"partitions", partitions},
          {"kernels", kernels},
          {"boot_loader", inspection.boot_loader},
          {"initramfs_generator", inspection.initramfs_generator},
          {"init_system", inspection.init_system},
          {"network_systems", inspection.network_systems},
          {"hypervisor_tools", inspection.hypervisor_tools},
          {"package_manager", inspection.package_manager},
          {"selinux", inspection.selinux},
          {"guest_agent", inspection.guest_agent}};
}

json to_json(const Edit& edit) {
  return {{"path", edit.path},
          {"action", edit.action},
          {"reason", edit.reason},
          {"diff", edit.diff},
          {"summary", edit.summary}};
}

std::string serialize(const Request& request) {
  json nics = json::array();
  for (const contract::Nic& nic : request.nics)
    nics.push_back({{"id", nic.id}, {"mac", nic.mac}, {"network", nic.network}});
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
  const contract::FixStage& fix = request.fix;
  json document = {{"mode", kModes[static_cast<std::size_t>(request.mode)]},
                   {"fix",
                    {{"enabled", fix.enabled},
                     {"backup", fix.backup},
                     {"print_fstab", fix.print_fstab},
                     {"update_grub", fix.update_grub},
                     {"regen_initramfs", fix.regen_initramfs},
                     {"fstab_mode", kFstabModes[static_cast<std::size_t>(fix.fstab_mode)]},
                     {"remove_vmware_tools", fix.remove_vmware_tools}}},
                   {"configuration",
                    {{"users", users},
                     {"services",
                      {{"enable", request.configuration.services.enable},
                       {"disable", request.configuration.services.disable}}},
                     {"hostname", request.configuration.hostname},
                     {"network_files", request.configuration.network_files}}},
                   {"nics", nics},
                   {"root", request.root},
                   {"keys", keys},
                   {"disk_count", request.disk_count}};
  return dump(document);
}

std::string serialize(const Answer& answer) {
  json edits = json::array();
  for (const Edit& edit : answer.edits) edits.push_back(to_json(edit));
  json facts = json::array();
  for (const contract::BootFact& fact : answer.boot_facts)
    facts.push_back(
        {{"name", fact.name}, {"subject", fact.subject}, {"holds", fact.holds}, {"detail", fact.detail}});
  return dump({{"success", answer.success},
               {"error", answer.error},
               {"inspection", to_json(answer.inspection)},
               {"edits", edits},
               {"boot_facts", facts},
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
    take(*fix, "enabled", request.fix.enabled);
    take(*fix, "backup", request.fix.backup);
    take(*fix, "print_fstab", request.fix.print_fstab);
    take(*fix, "update_grub", request.fix.update_grub);
    take(*fix, "regen_initramfs", request.fix.regen_initramfs);
    take_name(*fix, "fstab_mode", kFstabModes, request.fix.fstab_mode);
    take(*fix, "remove_vmware_tools", request.fix.remove_vmware_tools);
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
  if (const json* nics = take_list(document, "nics", kMostItems))
    for (const json& item : *nics) {
      const json& entry = as_object(item, "nics");
      contract::Nic& nic = request.nics.emplace_back();
      take(entry, "id", nic.id);
      take(entry, "mac", nic.mac);
      take(entry, "network", nic.network);
    }
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
  if (const json* inspection = take_object(document, "inspection"))
    answer.inspection = take_inspection(*inspection);
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
  if (const json* list = take_list(document, "boot_facts", kMostItems))
    for (const json& item : *list) {
      const json& entry = as_object(item, "boot_facts");
      contract::BootFact& fact = answer.boot_facts.emplace_back();
      take(entry, "name", fact.name);
      take(entry, "subject", fact.subject);
      take(entry, "holds", fact.holds);
      take(entry, "detail", fact.detail);
    }
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
