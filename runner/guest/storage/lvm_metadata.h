// LVM2's own description of its volume groups, read from the physical volumes.
//
// A physical volume begins with a label, which leads to a ring buffer of text: the whole group's description,
// of which each member has a copy. Linear and striped volumes are pieces of members put together, which the
// kernel can be told directly; that spares starting LVM's programs. Sources: lvmsystemid(7) and the format as
// LVM2's lib/format_text and lib/label document it (labels "LABELONE", metadata area header, text format
// volume group). Everything is bounded and checked. Throws os::Error.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hyper2kvm::guest {

struct LvmPhysicalVolume {
  std::string id;                  // without dashes
  std::uint64_t first_sector = 0;  // of the first extent
  std::uint64_t extents = 0;
};

struct LvmStripe {
  std::string physical_volume;  // its name in the group
  std::uint64_t extent = 0;
};

struct LvmSegment {
  std::uint64_t first_extent = 0, extents = 0;
  std::string type;  // "striped" (one stripe: linear), "thin", "raid1", ...
  std::uint64_t stripe_sectors = 0;
  std::vector<LvmStripe> stripes;
};

struct LvmLogicalVolume {
  std::string name;
  bool visible = false;
  std::vector<LvmSegment> segments;

  // True where the kernel's linear and striped targets are all that it takes.
  bool is_simple() const;
};

struct LvmGroup {
  std::string name, id;
  std::uint64_t sequence = 0;  // the copy with the highest number holds
  std::uint64_t extent_sectors = 0;
  std::map<std::string, LvmPhysicalVolume> physical_volumes;
  std::vector<LvmLogicalVolume> logical_volumes;
};

// The drivers that a group's volumes need beyond linear and striped: "dm-thin-pool", "raid1", ...
std::set<std::string> lvm_modules(const LvmGroup& group);

// One physical volume: its own id, and the group's description where it has a copy.
struct LvmMember {
  std::string id;
  std::optional<LvmGroup> group;
};

// Reads at offsets from the volume's start. name is for messages.
using ReadVolume = std::function<std::size_t(std::uint64_t offset, std::span<std::byte> buffer)>;
LvmMember read_lvm_member(const ReadVolume& read, std::uint64_t size, const std::string& name);

LvmGroup parse_lvm_group(std::string_view text, const std::string& name);

// A line of a device-mapper table for each segment: "START LENGTH linear DEVICE SECTOR". device gives the
// kernel's number ("253:1") of a physical volume by its id.
std::vector<std::string> lvm_table(const LvmGroup& group, const LvmLogicalVolume& volume,
                                   const std::function<std::string(const std::string& id)>& device);

}  // namespace hyper2kvm::guest
