// Every part of the manifest but `configuration` (configuration.cpp). The rules are those of
// docs/manifest.md; docs/artifact-manifest.schema.json says the same for other programs.
#include "runner/contract/sections.h"

#include <algorithm>
#include <map>
#include <set>

#include "runner/contract/document.h"
#include "runner/contract/report.h"
#include "runner/contract/text.h"

namespace hyper2kvm::contract {
namespace {

constexpr std::int64_t kMaximumCpus = 4096;
constexpr std::int64_t kMaximumMemoryGb = 1'048'576;

bool is_disk_id(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// "00-50-56-AB-CD-EF" and "00:50:56:ab:cd:ef" become "00:50:56:ab:cd:ef"; nullopt for what is none, and for
// group addresses, which no interface can have.
std::optional<std::string> normal_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  std::string mac;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (i % 3 == 2) {
      if (c != text[2] || (c != ':' && c != '-')) return std::nullopt;
      mac += ':';
      continue;
    }
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return std::nullopt;
    mac += c;
  }
  if (std::string_view("02468ace").find(mac[1]) == std::string_view::npos) return std::nullopt;
  return mac;
}

bool is_plain_name(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && text.find('/') == std::string_view::npos;
}

bool stays_inside(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.back() == '/') return false;
  std::filesystem::path written(path);
  for (const auto& part : written)
    if (part == "..") return false;
  std::filesystem::path name = written.filename();
  return name != "." && !name.empty();
}

std::string optional_timestamp(Section& section, std::string_view key) {
  std::string text = section.line(key, kNameBytes);
  if (!text.empty() && !parse_rfc3339(text))
    section.refuse(key, *section.find(key), "a time as in RFC 3339, such as \"2026-01-31T23:59:59Z\"");
  return text;
}

// Text for people, of several lines perhaps: only its length can be wrong.
std::string note_of(const Value& item, const std::string& path, const Reading& reading) {
  const std::string* text = text_of(item);
  if (text == nullptr || text->size() > kNoteBytes)
    refuse_value(reading, path, item, "text with at most " + std::to_string(kNoteBytes) + " bytes");
  return printable(*text, kNoteBytes);
}

// `enabled` of a part whose absence means off. One that has other keys but not this one is likely a mistake.
bool read_enabled(Section& section, const char* consequence) {
  if (!section.has("enabled"))
    section.warn("enabled", std::string("absent, which means false: ") + consequence);
  return section.boolean("enabled", false);
}

}  // namespace

Source read_source(Section& section) {
  Source source;
  source.provider = section.line("provider");
  source.vm_id = section.line("vm_id");
  source.vm_name = section.line("vm_name");
  source.datacenter = section.line("datacenter");
  source.export_timestamp = optional_timestamp(section, "export_timestamp");
  source.export_method = section.line("export_method");
  return source;
}

Vm read_vm(Section& section) {
  Vm vm;
  if (auto cpu = section.integer("cpu", 1, kMaximumCpus)) vm.cpu = static_cast<std::uint32_t>(*cpu);
  if (auto memory = section.integer("mem_gb", 1, kMaximumMemoryGb))
    vm.mem_gb = static_cast<std::uint32_t>(*memory);
  vm.firmware = section.word("firmware", kFirmwareWords, Firmware::kUnknown);
  vm.secureboot = section.boolean("secureboot", false);
  vm.os_hint = section.word("os_hint", kOsHintWords, OsHint::kUnknown);
  vm.os_version = section.line("os_version");
  if (vm.secureboot && vm.firmware == Firmware::kBios)
    section.warn("secureboot", "true has no meaning with the firmware bios");
  return vm;
}

namespace {

Disk read_disk(Section& section) {
  Disk disk;
  disk.id = section.required_line("id", kNameBytes);
  if (!is_disk_id(disk.id))
    section.refuse("id", section.require("id"), "letters, digits, '_' and '-' (^[a-zA-Z0-9_-]+$)");
  section.require("source_format");
  disk.source_format = section.word("source_format", kSourceFormatWords, SourceFormat::kRaw);
  section.require("bytes");
  disk.bytes = static_cast<std::uint64_t>(*section.integer("bytes", 1, INT64_MAX));
  disk.local_path = section.required_line("local_path");
  if (const Value* checksum = section.find("checksum")) {
    constexpr std::string_view prefix = "sha256:";
    const std::string* text = text_of(*checksum);
    if (text == nullptr || text->substr(0, prefix.size()) != prefix ||
        !is_sha256(text->substr(prefix.size())))
      section.refuse("checksum", *checksum, "\"sha256:\" and 64 lower-case hexadecimal digits");
    disk.sha256 = text->substr(prefix.size());
  }
  disk.disk_type = section.word("disk_type", kDiskTypeWords, DiskType::kUnknown);
  auto hint = section.integer("boot_order_hint", 0, INT32_MAX);
  // Writers in Go leave out a zero, so a boot disk without a hint is one whose hint was 0.
  int otherwise = disk.disk_type == DiskType::kBoot ? 0 : 999;
  disk.boot_order_hint = hint ? static_cast<int>(*hint) : otherwise;
  disk.label = section.line("label");
  if (disk.label.empty()) disk.label = disk.id;
  return disk;
}

}  // namespace

std::vector<Disk> read_disks(Section& document) {
  std::vector<Disk> disks;
  std::set<std::string> ids;
  document.require("disks");
  document.each("disks", kMaximumDisks,
                [&](const Value& item, const std::string& path, const std::string& pattern) {
                  Section section(item, path, pattern, document.reading());
                  Disk disk = read_disk(section);
                  if (!ids.insert(disk.id).second)
                    section.refuse("id", "\"" + disk.id + "\" is the id of another disk too",
                                   "Give each disk an id of its own.");
                  section.finish();
                  disks.push_back(std::move(disk));
                });
  if (disks.empty()) document.refuse("disks", "is an empty list; allowed: at least one disk");
  return disks;
}

std::vector<Nic> read_nics(Section& document) {
  std::vector<Nic> nics;
  std::map<std::string, std::string> owners;
  document.each("nics", kMaximumNics,
                [&](const Value& item, const std::string& path, const std::string& pattern) {
                  Section section(item, path, pattern, document.reading());
                  Nic nic;
                  nic.id = section.line("id");
                  std::string written = section.line("mac", kNameBytes);
                  if (!written.empty()) {
                    auto mac = normal_mac(written);
                    if (!mac)
                      section.refuse("mac", section.require("mac"),
                                     "the address of one interface, such as \"00:50:56:ab:cd:ef\"");
                    nic.mac = *mac;
                    auto [owner, is_new] = owners.emplace(nic.mac, path);
                    if (!is_new) section.warn("mac", "the same as of " + owner->second);
                  }
                  nic.network = section.line("network");
                  section.finish();
                  nics.push_back(std::move(nic));
                });
  return nics;
}

std::vector<std::string> read_notes(Section& document) {
  std::vector<std::string> notes;
  document.each("notes", kMaximumNotes, [&](const Value& item, const std::string& path, const std::string&) {
    notes.push_back(note_of(item, path, document.reading()));
  });
  return notes;
}

// hyperexport writes objects {stage, message, timestamp}; plain text is read too.
std::vector<std::string> read_warnings(Section& document) {
  std::vector<std::string> warnings;
  document.each("warnings", kMaximumNotes,
                [&](const Value& item, const std::string& path, const std::string& pattern) {
                  if (item.kind != Value::Kind::kObject) {
                    warnings.push_back(note_of(item, path, document.reading()));
                    return;
                  }
                  Section section(item, path, pattern, document.reading());
                  std::string stage = section.line("stage");
                  std::string message =
                      note_of(section.require("message"), section.path_of("message"), section.reading());
                  optional_timestamp(section, "timestamp");
                  section.finish();
                  warnings.push_back(stage.empty() ? message : stage + ": " + message);
                });
  return warnings;
}

namespace {

BootValidation read_boot_validation(Section& section) {
  BootValidation boot;
  boot.enabled = read_enabled(section, "the machine is not started");
  if (auto seconds = section.integer("timeout_seconds", 10, 86'400))
    boot.timeout_seconds = static_cast<std::uint32_t>(*seconds);
  if (auto memory = section.integer("mem_mb", 128, 1'048'576))
    boot.mem_mb = static_cast<std::uint32_t>(*memory);
  if (auto cpu = section.integer("cpu", 1, 64)) boot.cpu = static_cast<std::uint32_t>(*cpu);
  return boot;
}

}  // namespace

Pipeline read_pipeline(Section& section) {
  Pipeline pipeline;
  constexpr const char* off = "the stage is off";
  section.section("inspect", [&](Section& stage) {
    pipeline.inspect.enabled = read_enabled(stage, off);
    pipeline.inspect.collect_guest_info = stage.boolean("collect_guest_info", false);
  });
  section.section("fix", [&](Section& stage) {
    FixStage& fix = pipeline.fix;
    fix.enabled = read_enabled(stage, off);
    fix.backup = stage.boolean("backup", true);
    fix.print_fstab = stage.boolean("print_fstab", false);
    fix.update_grub = stage.boolean("update_grub", true);
    fix.regen_initramfs = stage.boolean("regen_initramfs", true);
    fix.fstab_mode = stage.word("fstab_mode", kFstabModeWords, FstabMode::kStabilizeAll);
    fix.remove_vmware_tools = stage.boolean("remove_vmware_tools", false);
    fix.root = stage.line("root");
  });
  section.section("convert", [&](Section& stage) {
    pipeline.convert.enabled = read_enabled(stage, off);
    pipeline.convert.compress = stage.boolean("compress", false);
    pipeline.convert.compression = stage.word("compression", kCompressionWords, Compression::kDeflate);
    if (auto level = stage.integer("compress_level", 1, 9))
      pipeline.convert.compress_level = static_cast<int>(*level);
  });
  section.section("validate", [&](Section& stage) {
    pipeline.validate.enabled =
        stage.has("boot") ? stage.boolean("enabled", false) : read_enabled(stage, off);
    pipeline.validate.check_image_integrity = stage.boolean("check_image_integrity", true);
    stage.section("boot", [&](Section& boot) { pipeline.validate.boot = read_boot_validation(boot); });
  });
  return pipeline;
}

// Where disks go one by one: an object from their ids to absolute paths of what it is called.
std::map<std::string, std::string> read_places(Section& section, const char* list, const char* what) {
  std::map<std::string, std::string> places;
  const Value* value = section.find(list);
  if (value == nullptr) return places;
  if (value->kind != Value::Kind::kObject)
    section.refuse(list, *value, "an object from ids of disks to paths of " + std::string(what) + "s");
  for (const Member& member : value->members) {
    const std::string key = std::string(list) + "[\"" + printable(member.key) + "\"]";
    if (!is_disk_id(member.key)) section.refuse(key, "the key is no id of a disk");
    const std::string path = checked_line(member.value, section.path_of(key), section.reading(), kLineBytes);
    if (path.empty() || path.front() != '/')
      section.refuse(key, member.value, "the absolute path of a " + std::string(what));
    places[member.key] = path;
  }
  return places;
}

Output read_output(Section& section) {
  Output output;
  output.directory = section.line("directory");
  output.format = section.word("format", kOutputFormatWords, OutputFormat::kQcow2);
  std::string filename = section.line("filename", kNameBytes);
  if (!filename.empty()) {
    if (!is_plain_name(filename))
      section.refuse("filename", section.require("filename"), "a plain file name, without a directory");
    output.filename = filename;
  }
  output.devices = read_places(section, "devices", "block device");
  output.files = read_places(section, "files", "file");
  if (!output.devices.empty() && output.format != OutputFormat::kRaw)
    section.refuse("devices", "is given with the format " + std::string(to_string(output.format)),
                   "A block device holds a raw disk: set " + section.path_of("format") + " to raw.");
  return output;
}

Options read_options(Section& section) {
  Options options;
  options.dry_run = section.boolean("dry_run", false);
  if (auto verbose = section.integer("verbose", 0, 3)) options.verbose = static_cast<int>(*verbose);
  section.section("report", [&](Section& report) {
    options.report_enabled = report.boolean("enabled", true);
    options.attest = report.boolean("attest", false);
    std::string path = report.line("path");
    if (path.empty()) return;
    if (!stays_inside(path))
      report.refuse("path", report.require("path"),
                    "the name of a file inside the output directory, without \"..\" and not absolute");
    options.report_path = path;
  });
  return options;
}

Libvirt read_libvirt(Section& section) {
  Libvirt libvirt;
  libvirt.enabled = read_enabled(section, "nothing is registered");
  if (section.has("uri")) libvirt.uri = section.required_line("uri");
  auto name = [&](const char* key, std::size_t limit) {
    std::string text = section.line(key, limit);
    if (!text.empty() && !is_plain_name(text))
      section.refuse(key, section.require(key), "a name without '/'");
    return text;
  };
  libvirt.name = section.line("name", kNameBytes);
  libvirt.pool = name("pool", kNameBytes);
  libvirt.network = name("network", kNameBytes);
  libvirt.bridge = name("bridge", 15);  // IFNAMSIZ - 1
  if (!libvirt.network.empty() && !libvirt.bridge.empty())
    section.refuse("bridge", "is given together with " + section.path_of("network"), "Give one of the two.");
  libvirt.autostart = section.boolean("autostart", false);
  libvirt.start = section.boolean("start", false);
  libvirt.overwrite = section.boolean("overwrite", false);
  return libvirt;
}

}  // namespace hyper2kvm::contract
