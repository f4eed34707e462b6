#include "runner/guest/storage/lvm_metadata.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <variant>

#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::size_t kSector = 512;
constexpr std::uint64_t kLongestText = std::uint64_t{16} << 20;
constexpr int kDeepest = 8;
constexpr std::size_t kMostNodes = 200000;
constexpr std::uint64_t kMostExtents = std::uint64_t{1} << 40;

[[noreturn]] void refuse(const std::string& name, const std::string& what) {
  throw os::Error(os::ErrorKind::kInvalid, name, "its LVM description is damaged: " + what,
                  "Check the volume group in the source machine (vgck) and export it again.");
}

std::uint64_t number(std::span<const std::byte> bytes, std::size_t offset, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t index = size; index-- > 0;)
    value = value << 8 | std::to_integer<std::uint64_t>(bytes[offset + index]);
  return value;
}

std::string text_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t size) {
  return std::string(reinterpret_cast<const char*>(bytes.data()) + offset, size);
}

// LVM's CRC-32: the usual polynomial with a start of its own and no final inversion.
std::uint32_t checksum(std::span<const std::byte> bytes, std::uint32_t crc = 0xf597a6cf) {
  for (std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320 & (0 - (crc & 1)));
  }
  return crc;
}

// The text's tree: "key = value" and "key { ... }".
struct Node {
  std::string key;
  std::vector<std::string> strings;  // of a value or a list; numbers as they are written
  std::vector<std::unique_ptr<Node>> children;
  bool is_section = false;

  const Node* find(std::string_view name) const {
    for (const auto& child : children)
      if (child->key == name) return child.get();
    return nullptr;
  }
  std::string text(std::string_view name) const {
    const Node* child = find(name);
    return child == nullptr || child->strings.empty() ? "" : child->strings.front();
  }
  std::uint64_t whole_number(std::string_view name) const {
    std::string value = text(name);
    std::uint64_t result = 0;
    std::from_chars(value.data(), value.data() + value.size(), result);
    return result;
  }
};

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  std::unique_ptr<Node> parse() {
    auto root = std::make_unique<Node>();
    root->is_section = true;
    parse_section(*root, 0);
    return root;
  }

 private:
  void skip() {
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0' || c == ',') {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string word() {
    std::size_t begin = at_;
    while (at_ < text_.size() && std::strchr(" \t\r\n={}[]#\",", text_[at_]) == nullptr) ++at_;
    if (at_ == begin) refuse(name_, "a word is missing");
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string value() {
    if (text_[at_] != '"') return word();
    std::string result;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      result += text_[at_];
    }
    if (at_ == text_.size()) refuse(name_, "a text has no end");
    ++at_;
    return result;
  }

  void parse_section(Node& section, int depth) {
    if (depth > kDeepest) refuse(name_, "it is nested too deep");
    while (true) {
      skip();
      if (at_ == text_.size()) return;
      if (text_[at_] == '}') {
        if (depth == 0) refuse(name_, "a section ends that did not begin");
        ++at_;
        return;
      }
      if (++nodes_ > kMostNodes) refuse(name_, "it is too long");
      auto node = std::make_unique<Node>();
      node->key = word();
      skip();
      if (at_ == text_.size()) refuse(name_, "it is cut off");
      if (text_[at_] == '{') {
        ++at_;
        node->is_section = true;
        parse_section(*node, depth + 1);
      } else if (text_[at_] == '=') {
        ++at_;
        skip();
        if (at_ == text_.size()) refuse(name_, "it is cut off");
        if (text_[at_] == '[') {
          ++at_;
          for (skip(); at_ < text_.size() && text_[at_] != ']'; skip()) {
            if (++nodes_ > kMostNodes) refuse(name_, "it is too long");
            node->strings.push_back(value());
          }
          if (at_ == text_.size()) refuse(name_, "a list has no end");
          ++at_;
        } else {
          node->strings.push_back(value());
        }
      } else {
        refuse(name_, "\"" + node->key.substr(0, 40) + "\" has no value");
      }
      section.children.push_back(std::move(node));
    }
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::size_t nodes_ = 0;
};

std::string without_dashes(std::string id) {
  std::erase(id, '-');
  return id;
}

// Group and volume names become file names and table names.
bool is_name(std::string_view name) {
  return !name.empty() && name.size() < 128 && name != "." && name != ".." && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '+' || c == '.';
         });
}

LvmSegment read_segment(const Node& node, const std::string& name) {
  LvmSegment segment;
  segment.first_extent = node.whole_number("start_extent");
  segment.extents = node.whole_number("extent_count");
  segment.type = node.text("type");
  segment.stripe_sectors = node.whole_number("stripe_size");
  if (segment.extents == 0 || segment.extents > kMostExtents || segment.first_extent > kMostExtents)
    refuse(name, "a segment has an impossible size");
  if (const Node* stripes = node.find("stripes"))
    for (std::size_t index = 0; index + 1 < stripes->strings.size(); index += 2) {
      LvmStripe stripe;
      stripe.physical_volume = stripes->strings[index];
      const std::string& extent = stripes->strings[index + 1];
      std::from_chars(extent.data(), extent.data() + extent.size(), stripe.extent);
      segment.stripes.push_back(std::move(stripe));
    }
  return segment;
}

}  // namespace

bool LvmLogicalVolume::is_simple() const {
  return !segments.empty() && std::all_of(segments.begin(), segments.end(), [](const LvmSegment& segment) {
    return (segment.type == "striped" || segment.type == "linear") && !segment.stripes.empty();
  });
}

std::set<std::string> lvm_modules(const LvmGroup& group) {
  std::set<std::string> modules;
  for (const LvmLogicalVolume& volume : group.logical_volumes)
    for (const LvmSegment& segment : volume.segments) {
      if (segment.type.starts_with("thin"))
        modules.insert("dm-thin-pool");
      else if (segment.type == "snapshot")
        modules.insert("dm-snapshot");
      else if (segment.type == "mirror")
        modules.insert("dm-mirror");
      else if (segment.type.starts_with("raid"))
        // Its own levels: "raid1", "raid10_near", "raid6_zr".
        modules.insert({"dm-raid", segment.type.starts_with("raid10")  ? "raid10"
                                   : segment.type.starts_with("raid1") ? "raid1"
                                   : segment.type.starts_with("raid0") ? "raid0"
                                                                       : "raid456"});
    }
  return modules;
}

LvmGroup parse_lvm_group(std::string_view text, const std::string& name) {
  std::unique_ptr<Node> root = Parser(text, name).parse();
  const Node* section = nullptr;
  for (const auto& child : root->children)
    if (child->is_section && child->find("physical_volumes") != nullptr) section = child.get();
  if (section == nullptr) refuse(name, "it describes no volume group");
  LvmGroup group;
  group.name = section->key;
  group.id = section->text("id");
  group.sequence = section->whole_number("seqno");
  group.extent_sectors = section->whole_number("extent_size");
  if (!is_name(group.name)) refuse(name, "its group has an impossible name");
  if (group.extent_sectors == 0 || group.extent_sectors > (std::uint64_t{1} << 32))
    refuse(name, "its extents have an impossible size");
  for (const auto& child : section->find("physical_volumes")->children) {
    LvmPhysicalVolume& volume = group.physical_volumes[child->key];
    volume.id = without_dashes(child->text("id"));
    volume.first_sector = child->whole_number("pe_start");
    volume.extents = child->whole_number("pe_count");
  }
  const Node* logical = section->find("logical_volumes");
  if (logical == nullptr) return group;
  for (const auto& child : logical->children) {
    if (!child->is_section) continue;
    LvmLogicalVolume volume;
    volume.name = child->key;
    if (!is_name(volume.name)) refuse(name, "a logical volume has an impossible name");
    if (const Node* status = child->find("status"))
      volume.visible =
          std::find(status->strings.begin(), status->strings.end(), "VISIBLE") != status->strings.end();
    for (const auto& part : child->children)
      if (part->is_section && part->key.starts_with("segment"))
        volume.segments.push_back(read_segment(*part, name));
    std::sort(volume.segments.begin(), volume.segments.end(),
              [](const LvmSegment& a, const LvmSegment& b) { return a.first_extent < b.first_extent; });
    std::uint64_t next = 0;
    for (const LvmSegment& segment : volume.segments) {
      if (segment.first_extent != next)
        refuse(name, "the segments of " + volume.name + " do not fit together");
      next += segment.extents;
    }
    group.logical_volumes.push_back(std::move(volume));
  }
  return group;
}

LvmMember read_lvm_member(const ReadVolume& read, std::uint64_t size, const std::string& name) {
  std::vector<std::byte> sectors(4 * kSector);
  sectors.resize(read(0, sectors));
  for (std::size_t at = 0; at + kSector <= sectors.size(); at += kSector) {
    std::span<const std::byte> label = std::span(sectors).subspan(at, kSector);
    if (text_at(label, 0, 8) != "LABELONE" || text_at(label, 24, 8) != "LVM2 001") continue;
    if (checksum(label.subspan(20)) != number(label, 16, 4)) refuse(name, "its label has a wrong checksum");
    std::size_t header = number(label, 20, 4);
    if (header < 32 || header + 40 > kSector) refuse(name, "its label leads nowhere");
    LvmMember member;
    member.id = text_at(label, header, 32);
    // Two lists of areas, each ended by zeros: of data, then of metadata.
    std::size_t area = header + 40;
    auto area_at = [&label, &name](std::size_t offset) {
      if (offset + 16 > kSector) refuse(name, "its label leads nowhere");
      return std::pair{number(label, offset, 8), number(label, offset + 8, 8)};
    };
    while (area_at(area).first != 0) area += 16;
    area += 16;
    for (; area_at(area).first != 0; area += 16) {
      auto [offset, length] = area_at(area);
      if (offset > size || length > size - offset || length < kSector)
        refuse(name, "its metadata area is not inside it");
      std::vector<std::byte> mda(kSector);
      if (read(offset, mda) != kSector || text_at(mda, 4, 16) != " LVM2 x[5A%r0N*>") continue;
      if (checksum(std::span<const std::byte>(mda).subspan(4)) != number(mda, 0, 4)) continue;
      std::uint64_t text_offset = number(mda, 40, 8);
      std::uint64_t text_size = number(mda, 48, 8);
      bool ignored = (number(mda, 60, 4) & 1) != 0;
      if (text_offset == 0 || ignored) continue;
      if (text_offset < kSector || text_offset >= length || text_size > length - kSector ||
          text_size > kLongestText)
        refuse(name, "its text is not inside its metadata area");
      std::vector<std::byte> text(static_cast<std::size_t>(text_size));
      // The text may run over the end of the ring and go on after the header.
      std::uint64_t first = std::min(text_size, length - text_offset);
      std::span<std::byte> whole(text);
      if (read(offset + text_offset, whole.first(static_cast<std::size_t>(first))) != first ||
          read(offset + kSector, whole.subspan(static_cast<std::size_t>(first))) != text_size - first)
        refuse(name, "its text is cut off");
      if (checksum(text) != number(mda, 56, 4)) refuse(name, "its text has a wrong checksum");
      member.group =
          parse_lvm_group(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()), name);
      return member;
    }
    return member;
  }
  refuse(name, "it has no label");
}

std::vector<std::string> lvm_table(const LvmGroup& group, const LvmLogicalVolume& volume,
                                   const std::function<std::string(const std::string& id)>& device) {
  std::vector<std::string> lines;
  for (const LvmSegment& segment : volume.segments) {
    std::uint64_t count = segment.stripes.size();
    if (count == 0 || segment.extents % count != 0)
      refuse(group.name + "/" + volume.name, "its stripes do not fit");
    std::string pieces;
    for (const LvmStripe& stripe : segment.stripes) {
      auto found = group.physical_volumes.find(stripe.physical_volume);
      if (found == group.physical_volumes.end())
        refuse(group.name + "/" + volume.name, "a piece is on a member that the group does not have");
      const LvmPhysicalVolume& member = found->second;
      if (stripe.extent > member.extents || segment.extents / count > member.extents - stripe.extent)
        refuse(group.name + "/" + volume.name, "a piece is not inside its member");
      pieces += " " + device(member.id) + " " +
                std::to_string(member.first_sector + stripe.extent * group.extent_sectors);
    }
    std::string line = std::to_string(segment.first_extent * group.extent_sectors) + " " +
                       std::to_string(segment.extents * group.extent_sectors);
    if (count == 1)
      line += " linear" + pieces;
    else
      line += " striped " + std::to_string(count) + " " + std::to_string(segment.stripe_sectors) + pieces;
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace hyper2kvm::guest
