#include "runner/guest/repair/users.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "runner/guest/system/identity.h"
#include "runner/guest/system/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kReason[] = "The manifest's configuration asks for this user.";

[[noreturn]] void refuse(const std::string& problem, const std::string& advice) {
  throw os::Error(os::ErrorKind::kInvalid, "configuration.users", problem, advice);
}

bool is_user_name(std::string_view name) {
  return !name.empty() && name.size() <= 32 && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
         });
}

// A file of lines of fields separated by colons.
class ColonFile {
 public:
  explicit ColonFile(std::string_view text) {
    for (std::string_view line : lines_of(text)) {
      std::vector<std::string> fields;
      while (true) {
        std::size_t colon = line.find(':');
        fields.emplace_back(line.substr(0, colon));
        if (colon == std::string_view::npos) break;
        line.remove_prefix(colon + 1);
      }
      lines_.push_back(std::move(fields));
    }
  }
  std::vector<std::string>* find(const std::string& name) {
    for (auto& line : lines_)
      if (line[0] == name) return &line;
    return nullptr;
  }
  void add(std::vector<std::string> line) { lines_.push_back(std::move(line)); }
  std::set<unsigned> numbers(std::size_t field) const {
    std::set<unsigned> result;
    for (const auto& line : lines_) {
      unsigned number = 0;
      if (line.size() > field &&
          std::from_chars(line[field].data(), line[field].data() + line[field].size(), number).ec ==
              std::errc())
        result.insert(number);
    }
    return result;
  }
  std::string text() const {
    std::string result;
    for (const auto& line : lines_) {
      for (std::size_t index = 0; index < line.size(); ++index)
        result += (index == 0 ? "" : ":") + line[index];
      result += '\n';
    }
    return result;
  }

 private:
  std::vector<std::vector<std::string>> lines_;
};

unsigned number_of(const std::vector<std::string>& line, std::size_t field) {
  unsigned number = 0;
  if (line.size() <= field ||
      std::from_chars(line[field].data(), line[field].data() + line[field].size(), number).ec != std::errc())
    refuse("the guest's entry of the user " + line[0] + " has no number",
           "Correct /etc/passwd in the source machine.");
  return number;
}

unsigned first_free(const std::set<unsigned>& used, const std::set<unsigned>& also_used) {
  unsigned number = 1000;
  while (used.contains(number) || also_used.contains(number)) ++number;
  return number;
}

// In root's hands until its owner has it: a home's files belong to the user.
void add_keys(Repair& repair, const contract::GuestUser& user, const std::string& home, unsigned uid,
              unsigned gid) {
  std::string directory = home + "/.ssh";
  repair.root.make_directory(directory, kReason, {.mode = 0700, .uid = uid, .gid = gid});
  std::string path = directory + "/authorized_keys";
  std::string text = repair.root.read(path).value_or("");
  if (!text.empty() && text.back() != '\n') text += '\n';
  for (const std::string& key : user.ssh_authorized_keys) {
    std::string line(trim(key));
    if (line.empty() || line.find('\n') != std::string::npos)
      refuse("an SSH key of " + user.name + " is not one line", "Give each key as one text.");
    std::vector<std::string_view> present = lines_of(text);
    if (std::find(present.begin(), present.end(), line) == present.end()) text += line + "\n";
  }
  repair.root.write(path, text, kReason, {.mode = 0600, .uid = uid, .gid = gid});
}

}  // namespace

void apply_users(Repair& repair) {
  const std::vector<contract::GuestUser>& users = repair.request.configuration.users;
  if (users.empty()) return;
  ColonFile passwd(repair.root.read("/etc/passwd").value_or(""));
  ColonFile shadow(repair.root.read("/etc/shadow").value_or(""));
  ColonFile group(repair.root.read("/etc/group").value_or(""));
  std::optional<std::string> gshadow_text = repair.root.read("/etc/gshadow");
  ColonFile gshadow(gshadow_text.value_or(""));
  for (const contract::GuestUser& user : users) {
    if (!is_user_name(user.name))
      refuse("\"" + user.name + "\" is no user name", "Use letters, digits, _, - and dots.");
    const std::string& hash = user.password_hash;
    if (!hash.empty() && hash.find_first_of(":\n\r") != std::string::npos)
      refuse("the password hash of " + user.name + " is none",
             "Make one with mkpasswd or openssl passwd -6.");
    std::vector<std::string>* line = passwd.find(user.name);
    std::string home;
    unsigned uid = 0;
    unsigned gid = 0;
    if (line == nullptr) {
      uid = gid = first_free(passwd.numbers(2), group.numbers(2));
      home = "/home/" + user.name;
      std::string shell = repair.root.is_file("/bin/bash") ? "/bin/bash" : "/bin/sh";
      passwd.add({user.name, "x", std::to_string(uid), std::to_string(gid), "", home, shell});
      if (group.find(user.name) == nullptr) group.add({user.name, "x", std::to_string(gid), ""});
      if (gshadow_text && gshadow.find(user.name) == nullptr) gshadow.add({user.name, "!", "", ""});
      repair.root.make_directory(home, kReason, {.mode = 0700, .uid = uid, .gid = gid});
      for (const std::string& name : repair.root.list("/etc/skel"))
        if (auto text = repair.root.is_file("/etc/skel/" + name)
                            ? repair.root.read_if_sane("/etc/skel/" + name, std::size_t{1} << 20)
                            : std::nullopt)
          repair.root.write(home + "/" + name, *text, kReason, {.uid = uid, .gid = gid});
    } else {
      uid = number_of(*line, 2);
      gid = number_of(*line, 3);
      home = line->size() > 5 && (*line)[5].starts_with('/') ? (*line)[5] : "/home/" + user.name;
    }
    if (std::vector<std::string>* secret = shadow.find(user.name)) {
      if (!hash.empty() && secret->size() > 1) (*secret)[1] = hash;
    } else {
      // Never expires; no hash is no password.
      shadow.add({user.name, hash.empty() ? "!" : hash, "", "0", "99999", "7", "", "", ""});
    }
    for (const std::string& name : user.groups) {
      if (!is_user_name(name))
        refuse("\"" + name + "\" is no group name", "Use letters, digits, _, - and dots.");
      for (ColonFile* file : {&group, &gshadow}) {
        if (file == &gshadow && !gshadow_text) continue;
        std::vector<std::string>* members = file->find(name);
        if (members == nullptr) {
          if (file == &group)
            group.add({name, "x", std::to_string(first_free(group.numbers(2), passwd.numbers(2))), ""});
          else
            gshadow.add({name, "!", "", ""});
          members = file->find(name);
        }
        members->resize(4);
        std::string list = "," + (*members)[3] + ",";
        if (list.find("," + user.name + ",") == std::string::npos)
          (*members)[3] += ((*members)[3].empty() ? "" : ",") + user.name;
      }
    }
    if (!user.ssh_authorized_keys.empty()) add_keys(repair, user, home, uid, gid);
    if (user.sudo) {
      if (!repair.root.is_directory("/etc/sudoers.d"))
        repair.root.warn("configuration.users: the guest has no /etc/sudoers.d, so " + user.name +
                         " got no sudo rights.");
      else
        repair.root.write("/etc/sudoers.d/90-hyper2kvm-" + user.name, user.name + " ALL=(ALL) NOPASSWD:ALL\n",
                          kReason, {.mode = 0440});
    }
  }
  repair.root.write("/etc/passwd", passwd.text(), kReason);
  repair.root.write("/etc/group", group.text(), kReason);
  repair.root.write("/etc/shadow", shadow.text(), kReason, {.mode = 0600, .secret = true});
  if (gshadow_text)
    repair.root.write("/etc/gshadow", gshadow.text(), kReason, {.mode = 0600, .secret = true});
}

}  // namespace hyper2kvm::guest
