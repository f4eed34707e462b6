// `configuration`: what to set in a Linux guest. The shapes are those of docs/manifest.md. Everything here
// ends up in files of the guest (passwd, sudoers, authorized_keys...), so every text has an alphabet.
#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "runner/contract/sections.h"
#include "runner/contract/text.h"

namespace hyper2kvm::contract {
namespace {

constexpr std::size_t kMaximumUsers = 256;
constexpr std::size_t kMaximumItems = 256;  // of any list or map in here
constexpr std::size_t kFileBytes = 1u << 20;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return is_letter(c) || is_digit(c); }

constexpr std::string_view kAccountRule =
    "1 to 32 letters, digits, '_', '-' and '.', the first a letter or '_'";
bool is_account_name(std::string_view text) {
  return !text.empty() && text.size() <= 32 && (is_letter(text[0]) || text[0] == '_') &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || c == '_' || c == '-' || c == '.'; });
}

// crypt(5): "$id$salt$hash", of the methods that Linux guests know.
bool is_password_hash(std::string_view text) {
  constexpr std::array<std::string_view, 9> methods{"1", "2a", "2b", "2y", "5", "6", "7", "y", "gy"};
  if (text.empty() || text[0] != '$' || text.size() > 512) return false;
  std::size_t end = text.find('$', 1);
  if (end == std::string_view::npos) return false;
  if (std::find(methods.begin(), methods.end(), text.substr(1, end - 1)) == methods.end()) return false;
  std::string_view rest = text.substr(end + 1);
  return rest.size() >= 13 && std::all_of(rest.begin(), rest.end(), [](char c) {
           return is_alphanumeric(c) || std::string_view("./$=,_-").find(c) != std::string_view::npos;
         });
}

constexpr std::string_view kSshKeyRule =
    "a line of authorized_keys with an OpenSSH public key, such as \"ssh-ed25519 AAAA... name\"";
// A line of authorized_keys (sshd(8)): options may come before the key's type, a comment after the key.
bool is_ssh_key(std::string_view line) {
  constexpr std::array<std::string_view, 8> types{"ssh-ed25519",
                                                  "ssh-rsa",
                                                  "ssh-dss",
                                                  "ecdsa-sha2-nistp256",
                                                  "ecdsa-sha2-nistp384",
                                                  "ecdsa-sha2-nistp521",
                                                  "sk-ssh-ed25519@openssh.com",
                                                  "sk-ecdsa-sha2-nistp256@openssh.com"};
  bool type_before = false;
  while (!line.empty()) {
    std::size_t space = line.find(' ');
    std::string_view word = line.substr(0, space);
    if (type_before)
      return word.size() >= 16 && std::all_of(word.begin(), word.end(), [](char c) {
               return is_alphanumeric(c) || c == '+' || c == '/' || c == '=';
             });
    type_before = std::find(types.begin(), types.end(), word) != types.end();
    if (space == std::string_view::npos) break;
    line.remove_prefix(space + 1);
  }
  return false;
}

constexpr std::string_view kServiceRule =
    "a service's name of letters, digits and ':_.\\@-', the first a letter or a digit";
bool is_service_name(std::string_view text) {
  return !text.empty() && is_alphanumeric(text[0]) && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || std::string_view(":_.\\@-").find(c) != std::string_view::npos;
  });
}

// RFC 1123, section 2.1, and not longer than Linux lets a host name be.
bool is_host_name(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  while (true) {
    std::size_t dot = text.find('.');
    std::string_view label = text.substr(0, dot);
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_alphanumeric(c) || c == '-'; }))
      return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

// An absolute path of a file below /etc, in its shortest form.
bool is_configuration_path(std::string_view text) {
  if (text.substr(0, 5) != "/etc/" || text.size() > 1024 || has_control_character(text)) return false;
  std::string_view rest = text.substr(5);
  while (true) {
    std::size_t slash = rest.find('/');
    std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    rest.remove_prefix(slash + 1);
  }
}

GuestUser read_user(Section& section) {
  GuestUser user;
  user.name = section.required_line("name");
  if (!is_account_name(user.name)) section.refuse("name", section.require("name"), std::string(kAccountRule));
  if (section.has("password"))
    section.refuse("password", "a password in clear text is not accepted",
                   "Give its hash as password_hash: `openssl passwd -6` makes one.");
  if (const Value* hash = section.find("password_hash")) {
    const std::string* text = text_of(*hash);
    // The value is not shown: it may be the password itself.
    if (text == nullptr || !is_password_hash(*text))
      section.refuse("password_hash",
                     "the value is not allowed; allowed: a hash as in crypt(5), such as "
                     "\"$6$SALT$HASH\"",
                     "`openssl passwd -6` makes one.");
    user.password_hash = *text;
  }
  for (const char* key : {"ssh_authorized_keys", "ssh_keys"})
    for (std::string& line : section.lines(key, kMaximumItems, 16384, is_ssh_key, std::string(kSshKeyRule)))
      user.ssh_authorized_keys.push_back(std::move(line));
  user.groups =
      section.lines("groups", kMaximumItems, kNameBytes, is_account_name, std::string(kAccountRule));
  user.sudo = section.boolean("sudo", false);
  return user;
}

void read_users(Section& holder, std::vector<GuestUser>& users) {
  std::set<std::string> names;
  holder.each("users", kMaximumUsers,
              [&](const Value& item, const std::string& path, const std::string& pattern) {
                Section section(item, path, pattern, holder.reading());
                GuestUser user = read_user(section);
                if (!names.insert(user.name).second)
                  section.refuse("name", "\"" + user.name + "\" is the name of another user too");
                section.finish();
                users.push_back(std::move(user));
              });
}

void read_host_name(Section& holder, std::string& host_name) {
  host_name = holder.line("hostname");
  if (!host_name.empty() && !is_host_name(host_name))
    holder.refuse("hostname", holder.require("hostname"),
                  "a host name as in RFC 1123 (letters, digits, '-' and '.') with at most 64 characters");
}

void read_network_files(Section& network, std::map<std::string, std::string>& files) {
  const Value* value = network.find("files");
  if (value == nullptr) return;
  if (value->kind != Value::Kind::kObject)
    network.refuse("files", *value, "an object from paths to the files' text");
  if (value->members.size() > kMaximumItems)
    network.refuse("files", "has " + std::to_string(value->members.size()) + " files; allowed: at most " +
                                std::to_string(kMaximumItems));
  for (const Member& member : value->members) {
    std::string key = "files[\"" + printable(member.key) + "\"]";
    if (!is_configuration_path(member.key))
      network.refuse(key, "the path is not allowed; allowed: a file below /etc, absolute, without \"..\"");
    const std::string* text = text_of(member.value);
    if (text == nullptr || text->size() > kFileBytes || text->find('\0') != std::string::npos)
      network.refuse(key, member.value, "text with at most 1 MiB");
    files[member.key] = *text;
  }
}

}  // namespace

bool GuestConfiguration::empty() const {
  return users.empty() && services.enable.empty() && services.disable.empty() && hostname.empty() &&
         network_files.empty();
}

// hyperexport's own type makes each of the four an object, so a list of users and a host name may also stand
// one level deeper, under their own name.
GuestConfiguration read_configuration(Section& section) {
  GuestConfiguration configuration;
  if (const Value* users = section.find("users"); users && users->kind == Value::Kind::kObject)
    section.section("users", [&](Section& below) { read_users(below, configuration.users); });
  else
    read_users(section, configuration.users);

  section.section("services", [&](Section& services) {
    auto read = [&](const char* key) {
      return services.lines(key, kMaximumItems, kNameBytes, is_service_name, std::string(kServiceRule));
    };
    configuration.services.enable = read("enable");
    configuration.services.disable = read("disable");
    for (const std::string& name : configuration.services.enable)
      if (std::count(configuration.services.disable.begin(), configuration.services.disable.end(), name) != 0)
        services.refuse("disable", "\"" + name + "\" is in " + services.path_of("enable") + " too");
  });

  if (const Value* host_name = section.find("hostname"); host_name && host_name->kind == Value::Kind::kObject)
    section.section("hostname", [&](Section& below) { read_host_name(below, configuration.hostname); });
  else
    read_host_name(section, configuration.hostname);

  section.section("network",
                  [&](Section& network) { read_network_files(network, configuration.network_files); });
  return configuration;
}

}  // namespace hyper2kvm::contract
