// The Artifact Manifest 1.x: what a job is. Source: docs/manifest.md and docs/artifact-manifest.schema.json.
//
// The engine, the daemon and the operator all speak this document, and this is its only parser. Values only;
// thread-safe as any value. Paths are kept as written; resolve_path gives them their meaning.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/contract/boot_validation.h"

namespace hyper2kvm::contract {

enum class Firmware { kUnknown, kBios, kUefi };
enum class OsHint { kUnknown, kLinux, kWindows };
enum class SourceFormat { kVmdk, kQcow2, kRaw, kVhd, kVhdx, kVdi };
enum class OutputFormat { kQcow2, kRaw, kVdi };
enum class Compression { kDeflate, kZstd };
enum class DiskType { kUnknown, kBoot, kData };
enum class FstabMode { kStabilizeAll, kBypathOnly, kNoop };

struct Source {
  std::string provider, vm_id, vm_name, datacenter, export_timestamp, export_method;
};

struct Vm {
  std::optional<std::uint32_t> cpu;
  std::optional<std::uint32_t> mem_gb;
  Firmware firmware = Firmware::kUnknown;
  bool secureboot = false;
  OsHint os_hint = OsHint::kUnknown;
  std::string os_version;
};

struct Disk {
  std::string id;
  SourceFormat source_format = SourceFormat::kRaw;
  std::uint64_t bytes = 0;            // of the file, not of the virtual disk
  std::string local_path;             // as written
  std::optional<std::string> sha256;  // 64 lower-case hex digits
  int boot_order_hint = 999;          // 0 boots; an absent hint with disk_type boot is 0
  std::string label;                  // id when absent
  DiskType disk_type = DiskType::kUnknown;
};

struct Nic {
  std::string id, mac, network;  // mac in lower case with colons, or empty
};

struct InspectStage {
  bool enabled = false;
  bool collect_guest_info = false;
};

struct FixStage {
  bool enabled = false;
  bool backup = true;
  bool print_fstab = false;
  bool update_grub = true;
  bool regen_initramfs = true;
  FstabMode fstab_mode = FstabMode::kStabilizeAll;
  bool remove_vmware_tools = false;
  std::string root;  // the root to open where a guest has several, as an inspection names it; "" the only one
};

struct ConvertStage {
  bool enabled = false;
  bool compress = false;
  Compression compression = Compression::kDeflate;
  std::optional<int> compress_level;  // 1-9
};

struct ValidateStage {
  bool enabled = false;
  bool check_image_integrity = true;
  BootValidation boot;  // on its own `enabled`, whatever the stage's
};

struct Pipeline {
  InspectStage inspect;
  FixStage fix;
  ConvertStage convert;
  ValidateStage validate;
};

// The manifest's `configuration`: what to set in a Linux guest. Lists are in the manifest's order.
struct GuestUser {
  std::string name;
  std::string password_hash;  // crypt(3) form; empty: no password is set
  std::vector<std::string> ssh_authorized_keys;
  std::vector<std::string> groups;
  bool sudo = false;
};

struct GuestServices {
  std::vector<std::string> enable, disable;
};

struct GuestConfiguration {
  std::vector<GuestUser> users;
  GuestServices services;
  std::string hostname;
  // Files of the guest's network configuration to write: path below the guest's root to its whole text.
  std::map<std::string, std::string> network_files;
  bool empty() const;
};

struct Output {
  std::string directory;  // as written; empty: "output" beside the manifest
  OutputFormat format = OutputFormat::kQcow2;
  std::optional<std::string> filename;
  // Disk id to the absolute path of the block device that it is written to, instead of a file. Raw only.
  std::map<std::string, std::string> devices;
  // Disk id to the absolute path of the file that it is published as, instead of a name in the directory.
  std::map<std::string, std::string> files;
};

struct Options {
  bool dry_run = false;
  int verbose = 0;  // 0-3
  bool report_enabled = true;
  std::string report_path = "report.json";  // relative to the output directory
  bool attest = false;                      // an in-toto statement beside the report
};

// Our addition, under one key so that nothing collides.
struct Libvirt {
  bool enabled = false;
  std::string uri = "qemu:///system";
  std::string name;  // empty: from the machine's name
  std::string pool;  // empty: disks stay where they are published
  std::string network;
  std::string bridge;
  bool autostart = false;
  bool start = false;
  bool overwrite = false;
};

struct Manifest {
  std::string manifest_version;
  Source source;
  Vm vm;
  std::vector<Disk> disks;
  std::vector<Nic> nics;
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  bool has_pipeline = false;  // false: verify the checksums and report
  Pipeline pipeline;
  GuestConfiguration configuration;
  Output output;
  Options options;
  std::optional<Libvirt> libvirt;

  // The index of the disk that boots: the lowest hint, ties by order.
  std::size_t boot_disk() const;
};

struct ParsedManifest {
  Manifest manifest;
  std::filesystem::path path;  // absolute path of the document; empty when it was made from an OVA or disks
  std::vector<std::string> warnings;  // unknown keys and the like, one sentence each
};

// text is JSON or YAML (told by its first character). name is for messages. Throws os::Error: kUnreadable
// when it is no manifest or of another major version, kInvalid when a value is refused (the message names the
// key, the value and what is allowed).
ParsedManifest parse_manifest(std::string_view text, std::string_view name);
// Reads at most 16 MiB. Errors as parse_manifest.
ParsedManifest load_manifest(const std::filesystem::path& path);

// What a manifest looks like written out again, with every default in place.
nlohmann::json to_json(const Manifest& manifest);

// A path of the manifest: absolute, or relative to the directory of the document.
std::filesystem::path resolve_path(const std::filesystem::path& manifest_path, std::string_view written);
// The output directory, by the rule of Output::directory.
std::filesystem::path output_directory(const ParsedManifest& parsed);
// The file name a disk is published under, unless it goes to a device: output.filename for a machine with one
// disk, else "<id>.<format>".
std::string published_name(const Manifest& manifest, std::size_t disk);

std::string_view to_string(Firmware);
std::string_view to_string(OsHint);
std::string_view to_string(SourceFormat);
std::string_view to_string(OutputFormat);
std::string_view to_string(Compression);
std::string_view to_string(DiskType);
std::string_view to_string(FstabMode);

}  // namespace hyper2kvm::contract
