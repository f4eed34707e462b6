#include "runner/guest/storage/storage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "runner/guest/storage/device_name.h"
#include "runner/guest/storage/filesystem_state.h"
#include "runner/guest/storage/lvm_metadata.h"
#include "runner/guest/storage/raid_array.h"
#include "tests/unit/guest/image.h"
#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void run(std::vector<std::string> arguments) { os::run_program({.arguments = std::move(arguments)}); }

// An empty disk image, partitioned by sfdisk.
std::string make_disk(Tree& tree, const std::string& name, std::uint64_t size, const std::string& table) {
  tree.file(name, "");
  std::filesystem::resize_file(tree.path(name), size);
  if (!table.empty()) filter({"sfdisk", "-q", tree.path(name)}, table);
  return tree.path(name);
}

TEST(Storage, ReadsAnMbrWithLogicalPartitions) {
  Tree tree;
  std::string disk = make_disk(tree, "/disk", 64 << 20,
                               "label: dos\nlabel-id: 0xcafe0001\nstart=2048, size=40960, type=83\ntype=5\n"
                               "size=20480, type=82\n");
  run({"mke2fs", "-q", "-t", "ext4", "-U", "11111111-2222-3333-4444-555555555555", "-L", "top", "-E",
       "offset=1048576", disk, "20480k"});
  Storage storage = read_storage({disk});
  ASSERT_EQ(storage.volumes.size(), 2u);
  EXPECT_EQ(storage.table_types[0], "dos");
  EXPECT_EQ(storage.volumes[0].name, "disk0p1");
  EXPECT_EQ(storage.volumes[0].offset, 1048576u);
  EXPECT_EQ(storage.volumes[0].size, 40960u * 512);
  EXPECT_EQ(storage.volumes[0].type, "ext4");
  EXPECT_EQ(storage.volumes[0].label, "top");
  EXPECT_EQ(storage.volumes[0].uuid, "11111111-2222-3333-4444-555555555555");
  EXPECT_EQ(storage.volumes[0].part_uuid, "cafe0001-01");
  EXPECT_EQ(storage.volumes[0].part_type, "0x83");
  EXPECT_EQ(storage.volumes[1].name, "disk0p5");
  EXPECT_EQ(storage.find_tag("UUID=11111111-2222-3333-4444-555555555555"), &storage.volumes[0]);
  EXPECT_EQ(storage.find_tag("LABEL=\"top\""), &storage.volumes[0]);
  EXPECT_EQ(storage.find_tag("PARTUUID=CAFE0001-01"), &storage.volumes[0]);
  EXPECT_EQ(storage.find_tag("UUID="), nullptr);
}

TEST(Storage, ReadsAGptWithAnEfiSystemPartition) {
  Tree tree;
  std::string disk =
      make_disk(tree, "/disk", 64 << 20, "label: gpt\nsize=20480, type=U\nsize=40960, type=L, name=root\n");
  Storage storage = read_storage({disk});
  ASSERT_EQ(storage.volumes.size(), 2u);
  EXPECT_EQ(storage.table_types[0], "gpt");
  EXPECT_EQ(storage.volumes[0].part_type, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
}

TEST(Storage, AFileSystemOnAWholeDiskIsAVolume) {
  Tree tree;
  std::string disk = make_disk(tree, "/disk", 8 << 20, "");
  run({"mke2fs", "-q", "-t", "ext4", disk});
  Storage storage = read_storage({make_disk(tree, "/empty", 1 << 20, ""), disk});
  ASSERT_EQ(storage.volumes.size(), 2u);
  EXPECT_EQ(storage.volumes[0].type, "");
  EXPECT_EQ(storage.volumes[1].name, "disk1");
  EXPECT_EQ(storage.volumes[1].type, "ext4");
}

TEST(Storage, TwoVolumesOfOneUuidAreNone) {
  Storage storage;
  for (int disk : {0, 1}) {
    Volume& volume = storage.volumes.emplace_back();
    volume.disk = disk;
    volume.uuid = "same";
  }
  EXPECT_EQ(storage.find_tag("UUID=same"), nullptr);
}

TEST(Storage, AHostileTableIsOnlyATable) {
  Tree tree;
  std::string disk = make_disk(tree, "/disk", 4 << 20, "");
  // An extended partition that contains itself.
  std::string sector(512, '\0');
  sector[446 + 4] = 5;
  sector[446 + 8] = 1;
  sector[446 + 12] = 100;
  sector[510] = 0x55;
  sector[511] = static_cast<char>(0xaa);
  std::string image = sector + sector;
  image.resize(4 << 20);
  tree.file("/disk", image);
  EXPECT_LE(read_storage({disk}).volumes.size(), 256u);
}

TEST(DeviceName, TellsStableNamesFromOthers) {
  struct Case {
    const char* name;
    NameKind kind;
    int disk, partition;
  };
  for (const Case& one :
       {Case{"UUID=x", NameKind::kStable, -1, 0}, Case{"/dev/disk/by-uuid/x", NameKind::kStable, -1, 0},
        Case{"/dev/mapper/a-b", NameKind::kStable, -1, 0}, Case{"/dev/md0", NameKind::kStable, -1, 0},
        Case{"/dev/sda1", NameKind::kKernel, 0, 1}, Case{"/dev/sdab12", NameKind::kKernel, 27, 12},
        Case{"/dev/nvme1n1p3", NameKind::kKernel, 1, 3}, Case{"/dev/mmcblk0p1", NameKind::kKernel, 0, 1},
        Case{"/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:8:0-part2", NameKind::kByPath, 7, 2},
        Case{"/dev/disk/by-id/wwn-0x6000c29-part1", NameKind::kById, -1, 1},
        Case{"/dev/disk/by-id/dm-name-vg-root", NameKind::kStable, -1, 0},
        Case{"/dev/sr0", NameKind::kOther, -1, 0}, Case{"/dev/sda1x", NameKind::kOther, -1, 0},
        Case{"/dev/sd", NameKind::kOther, -1, 0}, Case{"/dev/sda99999999999", NameKind::kOther, -1, 0},
        Case{"/dev/sdaaaaaaaa1", NameKind::kOther, -1, 0}, Case{"tmpfs", NameKind::kOther, -1, 0}}) {
    DeviceName name = parse_device_name(one.name);
    EXPECT_EQ(name.kind, one.kind) << one.name;
    if (one.kind != NameKind::kOther) {
      EXPECT_EQ(name.disk, one.disk) << one.name;
      EXPECT_EQ(name.partition, one.partition) << one.name;
    }
  }
}

TEST(FilesystemState, IsReadFromTheSuperblock) {
  Tree tree;
  struct Case {
    std::vector<std::string> settings;
    FilesystemState state;
  };
  for (const Case& one : {Case{{}, FilesystemState::kClean}, Case{{"state 3"}, FilesystemState::kErrors},
                          Case{{"state 0"}, FilesystemState::kJournal},
                          Case{{"state 0", "feature_compat 0x38"}, FilesystemState::kUnclean}}) {
    std::string disk = make_disk(tree, "/disk", 8 << 20, "");
    run({"mke2fs", "-q", "-F", "-t", "ext4", disk});
    for (const std::string& setting : one.settings)
      run({"debugfs", "-w", "-R", "set_super_value " + setting, disk});
    Volume volume;
    volume.name = "disk0";
    volume.node = disk;
    volume.type = "ext4";
    EXPECT_EQ(read_filesystem_state(volume), one.state);
    if (one.state != FilesystemState::kErrors) continue;
    EXPECT_THAT(error_of([&] { require_sound(volume); }),
                HasSubstr("disk0 (ext4): the file system is marked as damaged"));
  }
}

TEST(FilesystemCheck, FindsDamageAndNothingElse) {
  Tree tree;
  std::string disk = make_disk(tree, "/disk", 8 << 20, "");
  run({"mke2fs", "-q", "-F", "-t", "ext4", disk});
  Volume volume;
  volume.name = "disk0";
  volume.node = disk;
  volume.type = "ext4";
  EXPECT_EQ(error_of([&] { check_filesystems({&volume}); }), "");
  // The root directory's inode is no directory any more.
  run({"debugfs", "-w", "-R", "clri <2>", disk});
  EXPECT_THAT(error_of([&] { check_filesystems({&volume}); }), HasSubstr("the file system is not whole"));
}

TEST(FilesystemCheck, NamesTheOneOfSeveralThatIsDamaged) {
  Tree tree;
  std::vector<Volume> volumes(3);
  for (std::size_t index = 0; index < volumes.size(); ++index) {
    volumes[index].name = "disk" + std::to_string(index);
    volumes[index].node = make_disk(tree, "/disk" + std::to_string(index), 8 << 20, "");
    volumes[index].type = index == 1 ? "vfat" : "ext4";
  }
  run({"mkfs.vfat", volumes[1].node});
  for (std::size_t index : {std::size_t{0}, std::size_t{2}})
    run({"mke2fs", "-q", "-F", "-t", "ext4", volumes[index].node});
  const std::vector<const Volume*> all = {&volumes[0], &volumes[1], &volumes[2]};
  EXPECT_EQ(error_of([&] { check_filesystems(all); }), "");
  run({"debugfs", "-w", "-R", "clri <2>", volumes[2].node});
  EXPECT_THAT(error_of([&] { check_filesystems(all); }),
              HasSubstr("disk2 (ext4): the file system is not whole"));
}

constexpr char kGroup[] = R"(vg-data {
id = "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG"
seqno = 7
format = "lvm2"  # a comment with { and "
status = ["RESIZEABLE", "READ", "WRITE"]
extent_size = 8192
physical_volumes {
pv0 {
id = "000000-0000-0000-0000-0000-0000-000000"
pe_start = 2048
pe_count = 20
}
pv1 {
id = "111111-1111-1111-1111-1111-1111-111111"
pe_start = 2048
pe_count = 20
}
}
logical_volumes {
root {
status = ["READ", "WRITE", "VISIBLE"]
segment1 {
start_extent = 0
extent_count = 4
type = "striped"
stripe_count = 1
stripes = [
"pv0", 3
]
}
segment2 {
start_extent = 4
extent_count = 2
type = "striped"
stripe_count = 1
stripes = ["pv1", 0]
}
}
fast {
status = ["READ", "WRITE", "VISIBLE"]
segment1 {
start_extent = 0
extent_count = 4
type = "striped"
stripe_count = 2
stripe_size = 128
stripes = ["pv0", 10, "pv1", 10]
}
}
pool_tdata {
status = ["READ", "WRITE"]
segment1 {
start_extent = 0
extent_count = 1
type = "thin-pool"
}
}
}
}
contents = "Text Format Volume Group"
version = 1
)";

std::string number_of(const std::string& id) { return id.front() == '0' ? "254:1" : "254:17"; }

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos);
  return text.replace(at, what.size(), with);
}

TEST(Lvm, OnlyTheDriversOfItsVolumesAreLoaded) {
  EXPECT_THAT(lvm_modules(parse_lvm_group(kGroup, "disk0p2")), ElementsAre("dm-thin-pool"));
  auto with = [](const std::string& type) {
    return lvm_modules(parse_lvm_group(replaced(kGroup, "thin-pool", type), "disk0p2"));
  };
  EXPECT_THAT(with("striped"), testing::IsEmpty());
  EXPECT_THAT(with("snapshot"), ElementsAre("dm-snapshot"));
  EXPECT_THAT(with("mirror"), ElementsAre("dm-mirror"));
  EXPECT_THAT(with("raid1"), ElementsAre("dm-raid", "raid1"));
  EXPECT_THAT(with("raid10_near"), ElementsAre("dm-raid", "raid10"));
  EXPECT_THAT(with("raid0_meta"), ElementsAre("dm-raid", "raid0"));
  EXPECT_THAT(with("raid6_zr"), ElementsAre("dm-raid", "raid456"));
}

TEST(Lvm, GroupIsReadAndBecomesTables) {
  LvmGroup group = parse_lvm_group(kGroup, "disk0p2");
  EXPECT_EQ(group.name, "vg-data");
  EXPECT_EQ(group.sequence, 7u);
  ASSERT_EQ(group.logical_volumes.size(), 3u);
  EXPECT_TRUE(group.logical_volumes[0].visible && group.logical_volumes[0].is_simple());
  EXPECT_FALSE(group.logical_volumes[2].visible || group.logical_volumes[2].is_simple());
  EXPECT_THAT(lvm_table(group, group.logical_volumes[0], number_of),
              ElementsAre("0 32768 linear 254:1 26624", "32768 16384 linear 254:17 2048"));
  EXPECT_THAT(lvm_table(group, group.logical_volumes[1], number_of),
              ElementsAre("0 32768 striped 2 128 254:1 83968 254:17 83968"));
}

TEST(Lvm, ADamagedDescriptionIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("}"), std::string("a = "), std::string("a = \"b"),
        std::string("a ="), std::string("x = [1, 2"), std::string(kGroup).substr(0, 900),
        replaced(kGroup, "vg-data {", "../etc {"), replaced(kGroup, "extent_size = 8192", "extent_size = 0"),
        replaced(kGroup, "start_extent = 4", "start_extent = 5"),
        replaced(kGroup, "extent_count = 4", "extent_count = 0"), replaced(kGroup, "root {", "a/b {")}) {
    EXPECT_THAT(error_of([&] { parse_lvm_group(text, "disk0p2"); }),
                HasSubstr("its LVM description is damaged"))
        << text.substr(0, 40);
  }
  std::string deep;
  for (int level = 0; level < 100000; ++level) deep += "a {";
  EXPECT_THAT(error_of([&] { parse_lvm_group(deep, "disk0p2"); }), HasSubstr("nested"));
}

TEST(Lvm, APieceOutsideItsMemberIsRefused) {
  LvmGroup group = parse_lvm_group(replaced(kGroup, "\"pv0\", 3", "\"pv0\", 17"), "disk0p2");
  EXPECT_THAT(error_of([&] { lvm_table(group, group.logical_volumes[0], number_of); }),
              HasSubstr("not inside its member"));
  group = parse_lvm_group(replaced(kGroup, "\"pv0\", 3", "\"pv9\", 3"), "disk0p2");
  EXPECT_THAT(error_of([&] { lvm_table(group, group.logical_volumes[0], number_of); }),
              HasSubstr("does not have"));
}

class LoopDevice {
 public:
  explicit LoopDevice(const std::string& file) {
    try {
      node_ = os::run_program({.arguments = {"losetup", "--find", "--show", file}});
      node_.pop_back();
    } catch (const os::Error&) {
    }
  }
  ~LoopDevice() {
    try {
      if (!node_.empty()) run({"losetup", "-d", node_});
    } catch (const os::Error&) {
    }
  }
  const std::string& node() const { return node_; }

 private:
  std::string node_;
};

// A group that LVM's own programs made over two disks.
TEST(Lvm, ReadsWhatLvmWrites) {
  if (::geteuid() != 0 || os::find_program("lvm").empty()) GTEST_SKIP() << "needs root and LVM's programs";
  Tree tree;
  LoopDevice first(make_disk(tree, "/pv0", 64 << 20, "")), second(make_disk(tree, "/pv1", 64 << 20, ""));
  if (first.node().empty() || second.node().empty()) GTEST_SKIP() << "needs loop devices";
  const std::string settings =
      "devices{use_devicesfile=0 filter=[\"a|^" + first.node() + "$|\",\"a|^" + second.node() +
      "$|\",\"r|.*|\"]} backup{backup=0 archive=0} activation{udev_sync=0 udev_rules=0}";
  run({"lvm", "pvcreate", "-q", "--config", settings, first.node(), second.node()});
  run({"lvm", "vgcreate", "-q", "--config", settings, "guest-vg", first.node(), second.node()});
  auto create = [&settings](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"lvm", "lvcreate", "-q",  "--config", settings, "--driverloaded",
                                          "n",   "-an",      "-Zn", "-Wn",      "-y"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    run(arguments);
  };
  create({"-l", "3", "-n", "root", "guest-vg"});
  create({"-l", "4", "-i", "2", "-I", "64", "-n", "striped", "guest-vg"});
  create({"-l", "12", "-n", "both", "guest-vg"});
  std::vector<LvmMember> members;
  for (const LoopDevice* device : {&first, &second}) {
    os::File file = os::File::open(device->node(), os::File::Mode::kRead);
    members.push_back(read_lvm_member(
        [&file](std::uint64_t offset, std::span<std::byte> buffer) { return file.read_at(offset, buffer); },
        file.size(), device->node()));
  }
  ASSERT_TRUE(members[0].group && members[1].group);
  const LvmGroup& group = *members[0].group;
  EXPECT_EQ(group.name, "guest-vg");
  EXPECT_EQ(group.sequence, members[1].group->sequence);
  EXPECT_EQ(group.physical_volumes.at("pv0").id, members[0].id);
  EXPECT_EQ(group.physical_volumes.at("pv1").id, members[1].id);
  ASSERT_EQ(group.logical_volumes.size(), 3u);
  std::uint64_t sectors = 0;
  for (const std::string& line :
       lvm_table(group, group.logical_volumes[2], [](const std::string&) { return "7:0"; }))
    sectors += std::stoull(line.substr(line.find(' ') + 1));
  EXPECT_EQ(sectors, 12u * 8192);
  EXPECT_THAT(lvm_table(group, group.logical_volumes[1], [](const std::string&) { return "7:0"; }),
              ElementsAre(HasSubstr("striped 2 128 7:0 ")));
}

TEST(Lvm, ALabelThatLiesIsRefused) {
  std::string disk(1 << 20, '\0');
  auto read = [&disk](std::uint64_t offset, std::span<std::byte> buffer) {
    std::size_t count =
        offset >= disk.size() ? 0 : std::min<std::size_t>(buffer.size(), disk.size() - offset);
    std::memcpy(buffer.data(), disk.data() + offset, count);
    return count;
  };
  EXPECT_THAT(error_of([&] { read_lvm_member(read, disk.size(), "disk0p1"); }), HasSubstr("it has no label"));
  disk.replace(512, 8, "LABELONE");
  disk.replace(512 + 24, 8, "LVM2 001");
  EXPECT_THAT(error_of([&] { read_lvm_member(read, disk.size(), "disk0p1"); }), HasSubstr("wrong checksum"));
}

// A volume of a size that is no multiple of anything, with superblocks of md in it.
class RaidMember {
 public:
  static constexpr std::size_t kSize = (std::size_t{1} << 20) + 5 * 4096 + 512;
  RaidMember& with(std::size_t offset, std::uint32_t version, std::size_t level_at, std::int32_t level) {
    put(offset, 0xa92b4efc);
    put(offset + 4, version);
    put(offset + level_at, static_cast<std::uint32_t>(level));
    return *this;
  }
  std::optional<std::string> module() const {
    return raid_module(
        [this](std::uint64_t offset, std::span<std::byte> buffer) {
          if (offset >= bytes_.size()) return std::size_t{0};
          std::size_t count = std::min<std::size_t>(buffer.size(), bytes_.size() - offset);
          std::memcpy(buffer.data(), bytes_.data() + offset, count);
          return count;
        },
        bytes_.size());
  }
  void cut(std::size_t size) { bytes_.resize(size); }

 private:
  void put(std::size_t at, std::uint32_t number) {
    for (int byte = 0; byte < 4; ++byte) bytes_[at++] = static_cast<char>(number >> 8 * byte);
  }
  std::string bytes_ = std::string(kSize, '\0');
};

TEST(Raid, TheDriverIsToldByTheSuperblockWhereverItIs) {
  const std::size_t at_end = (RaidMember::kSize - 8192) / 4096 * 4096;
  const std::size_t old = RaidMember::kSize / 65536 * 65536 - 65536;
  EXPECT_EQ(RaidMember().with(0, 1, 72, 10).module(), "raid10");
  EXPECT_EQ(RaidMember().with(4096, 1, 72, 1).module(), "raid1");
  EXPECT_EQ(RaidMember().with(at_end, 1, 72, 0).module(), "raid0");
  EXPECT_EQ(RaidMember().with(old, 0, 28, -1).module(), "linear");
  for (int level : {4, 5, 6}) EXPECT_EQ(RaidMember().with(4096, 1, 72, level).module(), "raid456");
  // What is left of an array of the same kind does not matter.
  EXPECT_EQ(RaidMember().with(4096, 1, 72, 1).with(old, 0, 28, 1).module(), "raid1");
}

TEST(Raid, WhatIsNoPlainMemberIsLeftToMdadm) {
  EXPECT_EQ(RaidMember().module(), std::nullopt);
  EXPECT_EQ(RaidMember().with(4096, 2, 72, 1).module(), std::nullopt);
  EXPECT_EQ(RaidMember().with(4096, 0, 28, 1).module(), std::nullopt);
  for (int level : {-4, -5, -10, 7, 1000000})
    EXPECT_EQ(RaidMember().with(4096, 1, 72, level).module(), std::nullopt);
  EXPECT_EQ(RaidMember().with(0, 1, 72, 0).with(4096, 1, 72, 1).module(), std::nullopt);
  RaidMember small;
  for (std::size_t size : {65536u, 65535u, 8192u, 4100u, 100u, 0u}) {
    small.cut(size);
    EXPECT_EQ(small.module(), std::nullopt);
  }
}

TEST(Raid, WhatIsNoArrayCannotBeStopped) {
  EXPECT_THROW(stop_raid_array("/dev/null"), os::Error);
  EXPECT_THROW(stop_raid_array("/nonexistent"), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::guest
