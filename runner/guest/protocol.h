// What the pipeline asks the agent in the appliance, and what it answers. One JSON line each way.
//
// The answer comes from a process that has mounted a hostile disk: parse_answer bounds every count and length
// and throws os::Error (kInvalid) on anything else. Values only.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/contract/boot_report.h"
#include "runner/contract/manifest.h"

namespace hyper2kvm::guest {

enum class Mode {
  kInspect,  // read only: what is there
  kDryRun,   // what a repair would change, with diffs; changes nothing
  kRepair,
};

// A passphrase or key file for an encrypted volume. Never logged.
struct VolumeKey {
  std::string device;  // UUID of the LUKS header, or "" to try it on every one
  std::string secret;  // raw bytes
};

struct Request {
  Mode mode = Mode::kInspect;
  contract::FixStage fix;
  contract::GuestConfiguration configuration;
  std::vector<contract::Nic> nics;  // in the order of the source machine's slots
  std::string root;  // which root where there are several, as Inspection::roots names it; "" is the only one
  std::vector<VolumeKey> keys;
  std::size_t disk_count = 0;
};

struct Partition {
  std::string
      device;  // "disk0p1" (disks are numbered in the manifest's order), "disk0", "vg/lv", "md0", "luks-UUID"
  std::uint64_t offset = 0;  // bytes from the start of the disk; 0 for what is not a partition
  std::uint64_t size = 0;    // bytes
  std::string type;          // ext4, xfs, swap, LVM2_member, crypto_LUKS, vfat, ntfs...; "" unknown
  std::string label, uuid, part_uuid;
  std::string mount_point;  // in the guest, where its fstab or we say so
};

struct Kernel {
  std::string version;    // of its module directory
  std::string image;      // path in the guest
  std::string initramfs;  // path in the guest, "" none
  bool is_default = false;
  bool virtio_ready = false;  // built in or in the initramfs: virtio_pci, virtio_blk (and what they need)
  std::vector<std::string> missing_drivers;
};

struct Inspection {
  std::string os_type;       // linux, windows, unknown
  std::string distribution;  // os-release ID: debian, rhel...
  std::string version;       // VERSION_ID
  std::string pretty_name;
  std::string hostname;
  std::string architecture;        // x86_64, aarch64...
  std::string firmware;            // bios, uefi
  std::string root_device;         // as Partition::device
  std::vector<std::string> roots;  // all candidates
  std::vector<Partition> partitions;
  std::vector<Kernel> kernels;
  std::string boot_loader;          // grub2, grub-legacy, extlinux, systemd-boot, ""
  std::string initramfs_generator;  // initramfs-tools, dracut, mkinitcpio, mkinitrd, mkinitfs, ""
  std::string init_system;          // systemd, sysvinit, openrc, upstart, ""
  std::vector<std::string>
      network_systems;  // ifupdown, systemd-networkd, networkmanager, netplan, wicked, sysconfig
  std::vector<std::string>
      hypervisor_tools;  // open-vm-tools, vmware-tools, virtualbox, xen, hyper-v, parallels
  std::string package_manager;
  bool selinux = false;
  bool guest_agent = false;
};

struct Edit {
  std::string path;     // in the guest, absolute
  std::string action;   // created, changed, removed, enabled, disabled, appended
  std::string reason;   // why, a sentence
  std::string diff;     // unified diff of a text file; "" for what is not text (then summary says what)
  std::string summary;  // for binary edits: "2.1 MiB segment with virtio_blk, ..."
};

struct Answer {
  bool success = false;
  std::string error;  // a sentence with the next step, when not
  Inspection inspection;
  std::vector<Edit> edits;  // in the order in which they were (or would be) made
  // Of a repair, also of one that failed for what they say.
  std::vector<contract::BootFact> boot_facts;
  std::vector<std::string> warnings;
  std::map<std::string, std::string> printed;  // print_fstab: "fstab before", "fstab after"
  double seconds_to_open = 0, seconds_to_repair = 0, seconds_to_close = 0;
};

std::string serialize(const Request& request);
std::string serialize(const Answer& answer);
Request parse_request(std::string_view line);
Answer parse_answer(std::string_view line);
nlohmann::json to_json(const Inspection& inspection);
nlohmann::json to_json(const Edit& edit);

// Progress lines that the agent may send before its answer: {"progress":"mounting disk0p1"}; nullopt where
// the line is an answer.
std::optional<std::string> parse_progress(std::string_view line);
// The agent's side of it; a long text is cut.
std::string serialize_progress(std::string_view text);

}  // namespace hyper2kvm::guest
