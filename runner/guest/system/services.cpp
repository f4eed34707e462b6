#include "runner/guest/system/services.h"

#include <algorithm>
#include <optional>

#include "runner/guest/system/text.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kEtcUnits[] = "/etc/systemd/system";
constexpr const char* kUnitDirectories[] = {kEtcUnits, "/usr/local/lib/systemd/system",
                                            "/usr/lib/systemd/system", "/lib/systemd/system"};

bool is_safe(std::string_view name) {
  return !name.empty() && name.size() < 200 && name.find('/') == std::string_view::npos &&
         name.front() != '.' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return c > 0x20 && c != 0x7f; });
}

std::string unit_name(std::string_view name) {
  for (std::string_view suffix : {".service", ".socket", ".timer", ".path", ".target", ".mount", ".slice"})
    if (name.ends_with(suffix)) return std::string(name);
  return std::string(name) + ".service";
}

std::string script_name(std::string_view name) {
  if (name.ends_with(".service")) name.remove_suffix(8);
  return std::string(name);
}

// "getty@.service" of "getty@tty1.service", with the instance in instance.
std::string template_of(const std::string& unit, std::string& instance) {
  std::size_t at = unit.find('@');
  std::size_t dot = unit.rfind('.');
  if (at == std::string::npos || dot < at) return unit;
  instance = unit.substr(at + 1, dot - at - 1);
  return unit.substr(0, at + 1) + unit.substr(dot);
}

struct UnitFile {
  std::string path;
  bool masked = false;
  std::vector<std::string> wanted_by, required_by, also, alias;
  std::string default_instance;
};

std::optional<UnitFile> find_unit(const GuestRoot& root, const std::string& unit) {
  std::string instance;
  std::string file_name = template_of(unit, instance);
  for (const char* directory : kUnitDirectories) {
    UnitFile file;
    file.path = std::string(directory) + "/" + file_name;
    if (root.read_link(file.path) == "/dev/null") {
      file.masked = true;
      return file;
    }
    if (!root.is_file(file.path)) continue;
    std::string text = root.read(file.path, std::size_t{1} << 20).value_or("");
    bool in_install = false;
    for (std::string_view line : lines_of(text)) {
      line = trim(line);
      if (line.starts_with('[')) in_install = line == "[Install]";
      std::size_t equals = line.find('=');
      if (!in_install || equals == std::string_view::npos || line.front() == '#') continue;
      std::string_view key = trim(line.substr(0, equals));
      std::vector<std::string> values;
      for (std::string_view word : words_of(line.substr(equals + 1))) {
        std::string value(word);
        if (std::size_t at = value.find("%i"); at != std::string::npos) value.replace(at, 2, instance);
        if (is_safe(value)) values.push_back(value);
      }
      auto add = [&values](std::vector<std::string>& list) {
        list.insert(list.end(), values.begin(), values.end());
      };
      if (key == "WantedBy") add(file.wanted_by);
      if (key == "RequiredBy") add(file.required_by);
      if (key == "Also") add(file.also);
      if (key == "Alias") add(file.alias);
      if (key == "DefaultInstance" && !values.empty()) file.default_instance = values.front();
    }
    return file;
  }
  return std::nullopt;
}

void enable_unit(GuestRoot& root, const std::string& unit, std::string_view reason, int depth) {
  std::optional<UnitFile> file = find_unit(root, unit);
  if (!file || file->masked || depth > 5) return;
  std::string name = unit;
  if (std::size_t at = unit.find("@."); at != std::string::npos) {
    if (file->default_instance.empty()) return;
    name.insert(at + 1, file->default_instance);
  }
  for (const std::string& target : file->wanted_by)
    root.symlink(std::string(kEtcUnits) + "/" + target + ".wants/" + name, file->path, reason, "enabled");
  for (const std::string& target : file->required_by)
    root.symlink(std::string(kEtcUnits) + "/" + target + ".requires/" + name, file->path, reason, "enabled");
  for (const std::string& alias : file->alias)
    root.symlink(std::string(kEtcUnits) + "/" + alias, file->path, reason, "enabled");
  for (const std::string& other : file->also) enable_unit(root, other, reason, depth + 1);
}

void disable_unit(GuestRoot& root, const std::string& unit, std::string_view reason) {
  for (const std::string& name : root.list(kEtcUnits)) {
    std::string path = std::string(kEtcUnits) + "/" + name;
    if (name.ends_with(".wants") || name.ends_with(".requires") || name.ends_with(".upholds")) {
      if (root.read_link(path + "/" + unit)) root.remove(path + "/" + unit, reason, "disabled");
      continue;
    }
    // An alias is a link of another name to the unit.
    std::optional<std::string> target = root.read_link(path);
    if (target && name != unit && target->substr(target->rfind('/') + 1) == unit)
      root.remove(path, reason, "disabled");
  }
}

constexpr const char* kRunLevels[] = {"/etc/rc0.d",        "/etc/rc1.d",       "/etc/rc2.d", "/etc/rc3.d",
                                      "/etc/rc4.d",        "/etc/rc5.d",       "/etc/rc6.d", "/etc/rcS.d",
                                      "/etc/init.d/rc3.d", "/etc/init.d/rc5.d"};

// "S20name" or "K80name" of a script's own name.
bool is_link_of(const std::string& link, const std::string& script, char kind) {
  return link.size() == script.size() + 3 && link[0] == kind &&
         all_digits(std::string_view(link).substr(1, 2)) && link.ends_with(script);
}

void disable_script(GuestRoot& root, const std::string& script, std::string_view reason) {
  for (const std::string directory : kRunLevels)
    for (const std::string& link : root.list(directory)) {
      if (!is_link_of(link, script, 'S')) continue;
      std::string target = root.read_link(directory + "/" + link).value_or("../init.d/" + script);
      root.remove(directory + "/" + link, reason, "disabled");
      // A K link says that somebody switched it off; without one, a package's update would switch it on.
      int order = 100 - std::stoi(link.substr(1, 2));
      std::string number = order > 99   ? "99"
                           : order < 10 ? "0" + std::to_string(order)
                                        : std::to_string(order);
      root.symlink(directory + "/K" + number + script, target, reason, "disabled");
    }
  for (const std::string& level : root.list("/etc/runlevels"))
    if (root.read_link("/etc/runlevels/" + level + "/" + script))
      root.remove("/etc/runlevels/" + level + "/" + script, reason, "disabled");
  if (root.is_file("/etc/init/" + script + ".conf"))
    root.write("/etc/init/" + script + ".override", "manual\n", reason, {.action = "disabled"});
}

void enable_script(GuestRoot& root, const std::string& script, std::string_view reason) {
  if (!root.is_file("/etc/init.d/" + script)) return;
  if (root.is_directory("/etc/runlevels/default")) {
    root.symlink("/etc/runlevels/default/" + script, "/etc/init.d/" + script, reason, "enabled");
    return;
  }
  for (const char* level : {"2", "3", "4", "5"}) {
    std::string directory = std::string("/etc/rc") + level + ".d";
    if (!root.is_directory(directory)) continue;
    bool there = false;
    for (const std::string& link : root.list(directory)) {
      there = there || is_link_of(link, script, 'S');
      if (is_link_of(link, script, 'K')) root.remove(directory + "/" + link, reason, "enabled");
    }
    if (!there) root.symlink(directory + "/S50" + script, "../init.d/" + script, reason, "enabled");
  }
}

}  // namespace

bool has_service(const GuestRoot& root, std::string_view name) {
  if (!is_safe(name)) return false;
  std::optional<UnitFile> unit = find_unit(root, unit_name(name));
  std::string script = script_name(name);
  return (unit && !unit->masked) || root.is_file("/etc/init.d/" + script) ||
         root.is_file("/etc/init/" + script + ".conf");
}

void enable_service(GuestRoot& root, std::string_view name, std::string_view reason) {
  if (!is_safe(name)) return;
  if (find_unit(root, unit_name(name)))
    enable_unit(root, unit_name(name), reason, 0);
  else
    enable_script(root, script_name(name), reason);
  std::string override_file = "/etc/init/" + script_name(name) + ".override";
  if (auto text = root.read(override_file, 65536); text && trim(*text) == "manual")
    root.remove(override_file, reason, "enabled");
}

void disable_service(GuestRoot& root, std::string_view name, std::string_view reason) {
  if (!is_safe(name)) return;
  disable_unit(root, unit_name(name), reason);
  disable_script(root, script_name(name), reason);
}

void mask_service(GuestRoot& root, std::string_view name, std::string_view reason) {
  if (!is_safe(name)) return;
  disable_service(root, name, reason);
  std::string unit = unit_name(name);
  if (!root.is_directory(kEtcUnits)) return;
  // A unit file of the admin's own stands where the mask would.
  std::string path = std::string(kEtcUnits) + "/" + unit;
  if (root.link_status(path).kind == NodeKind::kFile) return;
  root.symlink(path, "/dev/null", reason, "disabled");
}

}  // namespace hyper2kvm::guest
