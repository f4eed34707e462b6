#include "runner/guest/initramfs/initramfs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/guest/initramfs/compression.h"
#include "runner/guest/initramfs/cpio.h"
#include "runner/guest/initramfs/module_tree.h"
#include "runner/guest/initramfs/segment.h"
#include "tests/unit/guest/linux_tree.h"

namespace hyper2kvm::guest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kVersion[] = "6.1.0-test";

struct Packer {
  const char* name;
  Compression compression;
  std::vector<std::string> arguments;
};

const std::vector<Packer>& packers() {
  static const std::vector<Packer> list = {
      {"Plain", Compression::kNone, {"cat"}},
      {"Gzip", Compression::kGzip, {"gzip", "-n", "-c"}},
      {"Xz", Compression::kXz, {"xz", "--check=crc32", "-c"}},
      {"Lzma", Compression::kLzma, {"xz", "--format=lzma", "-c"}},
      {"Zstd", Compression::kZstd, {"zstd", "-q", "-c"}},
      {"Zstd19Long", Compression::kZstd, {"zstd", "-q", "-19", "--long=27", "-c"}},
      {"Bzip2", Compression::kBzip2, {"bzip2", "-c"}},
      {"Lz4", Compression::kLz4, {"lz4", "-q", "-l", "-c"}},
  };
  return list;
}

GuestFile open_image(Tree& tree, const std::string& bytes) {
  tree.file("/boot/initrd.img", bytes);
  return *GuestRoot(tree.top()).open("/boot/initrd.img");
}

class PackedImage : public testing::TestWithParam<Packer> {};

TEST_P(PackedImage, IsReadToItsLastFile) {
  Tree tree;
  Initramfs image = read_initramfs(open_image(tree, filter(GetParam().arguments, vmware_image(kVersion))));
  EXPECT_THAT(image.segments, ElementsAre(GetParam().compression));
  EXPECT_EQ(*image.text("conf/modules"), "vmw_pvscsi\nsd_mod\n");
  EXPECT_EQ(image.module_directory(kVersion), "usr/lib/modules/6.1.0-test");
  std::map<std::string, std::string> modules = image.modules(kVersion);
  EXPECT_EQ(modules.size(), 4u);
  EXPECT_EQ(modules["vmw_pvscsi"], "kernel/drivers/scsi/vmw_pvscsi.ko");
}

TEST_P(PackedImage, MayFollowMicrocode) {
  Tree early;
  early.file("/kernel/x86/microcode/GenuineIntel.bin", std::string(70001, 'm'));
  Tree tree;
  Initramfs image =
      read_initramfs(open_image(tree, pack(early.top()) + std::string(1024, '\0') +
                                          filter(GetParam().arguments, vmware_image(kVersion))));
  EXPECT_THAT(image.segments, ElementsAre(Compression::kNone, GetParam().compression));
  EXPECT_TRUE(image.has("kernel/x86/microcode/GenuineIntel.bin"));
  EXPECT_EQ(image.modules(kVersion).size(), 4u);
}

TEST_P(PackedImage, ThatIsCutOffIsAnError) {
  Tree tree;
  std::string bytes = filter(GetParam().arguments, vmware_image(kVersion));
  // A plain or an lz4 archive that ends at a boundary cannot be told from a whole one, so the cut is inside.
  bytes.resize(bytes.size() * 2 / 3 + 1);
  if (GetParam().compression == Compression::kNone) return;
  EXPECT_THAT(error_of([&] { read_initramfs(open_image(tree, bytes)); }),
              HasSubstr("initrd.img in the guest"));
}

// The image with its segment, unpacked in order, must hold what the guest needs: seen by cpio(1), not by our
// reader.
TEST_P(PackedImage, WithASegmentHoldsVirtioAndAllThatWasThere) {
  Tree tree;
  add_modules(tree, "/lib/modules/6.1.0-test", usual_modules(), ".xz");
  std::string plain = vmware_image(kVersion);
  std::string packed = filter(GetParam().arguments, plain);
  GuestFile file = open_image(tree, packed);
  GuestRoot root(tree.top());
  Initramfs image = read_initramfs(file);
  ModuleTree modules = *ModuleTree::load(root, kVersion);
  EXPECT_FALSE(driver_state(modules, &image).ready);
  EXPECT_TRUE(driver_state(modules, &image).capable);
  EXPECT_THAT(driver_state(modules, &image).missing,
              ElementsAre("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net"));

  Segment segment = make_segment(root, image, modules, {{"etc/systemd/network/10-a.link", "[Match]\n"}});
  EXPECT_THAT(segment.summary,
              HasSubstr("with virtio_pci, virtio_blk, virtio_scsi, virtio_net and etc/systemd/network/"));
  tree.file("/boot/initrd.img", packed + segment.bytes);
  Initramfs both = read_initramfs(*root.open("/boot/initrd.img"));
  EXPECT_TRUE(driver_state(modules, &both).ready);
  EXPECT_THAT(driver_state(modules, &both).missing, IsEmpty());

  Tree unpacked;
  unpack(plain, unpacked.top());
  std::string archive = segment.bytes;
  if (GetParam().compression == Compression::kLz4) {
    archive = filter({"lz4", "-q", "-d", "-c"}, archive);
    // One stream after the other, as the kernel reads them.
    EXPECT_EQ(filter({"lz4", "-q", "-d", "-c"}, packed + segment.bytes), plain + archive);
  } else {
    std::size_t padding = (4 - packed.size() % 4) % 4;
    EXPECT_EQ(archive.substr(0, padding), std::string(padding, '\0'));
    archive.erase(0, padding);
  }
  unpack(archive, unpacked.top());
  EXPECT_EQ(std::filesystem::read_symlink(unpacked.path("/lib")), "usr/lib");
  EXPECT_EQ(unpacked.read("/lib/modules/6.1.0-test/kernel/drivers/block/virtio_blk.ko"),
            module_bytes("virtio_blk.ko"));
  EXPECT_EQ(unpacked.read("/lib/modules/6.1.0-test/kernel/drivers/scsi/vmw_pvscsi.ko"),
            module_bytes("vmw_pvscsi.ko"));
  EXPECT_EQ(unpacked.read("/conf/modules"),
            "vmw_pvscsi\nsd_mod\nvirtio_pci\nvirtio_blk\nvirtio_scsi\nvirtio_net\n");
  EXPECT_EQ(unpacked.read("/etc/systemd/network/10-a.link"), "[Match]\n");
  EXPECT_THAT(unpacked.read("/lib/modules/6.1.0-test/modules.dep"),
              HasSubstr("kernel/drivers/scsi/virtio_scsi.ko: kernel/drivers/scsi/scsi_mod.ko "
                        "kernel/drivers/scsi/scsi_common.ko kernel/drivers/virtio/virtio_ring.ko "
                        "kernel/drivers/virtio/virtio.ko\n"));
  // modprobe itself finds the driver by its hardware's name, in the binary indexes.
  std::string found = os::run_program(
      {.arguments = {"modprobe", "-d", unpacked.top(), "-S", kVersion, "-R", "virtio:d00000002v00001AF4"}});
  EXPECT_EQ(found, "virtio_blk\n");
  std::string old = os::run_program({.arguments = {"modprobe", "-d", unpacked.top(), "-S", kVersion, "-R",
                                                   "pci:v000015ADd000007C0sv0sd0bc0sc0i0"}});
  EXPECT_EQ(old, "vmw_pvscsi\n");
}

INSTANTIATE_TEST_SUITE_P(Initramfs, PackedImage, testing::ValuesIn(packers()),
                         [](const auto& packer) { return std::string(packer.param.name); });

class PackedModules : public testing::TestWithParam<const char*> {};

TEST_P(PackedModules, AreUnpackedIntoTheSegment) {
  Tree tree;
  add_modules(tree, "/lib/modules/6.1.0-test", usual_modules(), GetParam());
  GuestRoot root(tree.top());
  ModuleTree modules = *ModuleTree::load(root, kVersion);
  EXPECT_EQ(modules.read_module(root, "virtio_blk"), module_bytes("virtio_blk.ko"));
  EXPECT_THAT(*modules.closure("virtio_scsi"),
              ElementsAre("virtio", "virtio_ring", "scsi_common", "scsi_mod", "virtio_scsi"));
}

INSTANTIATE_TEST_SUITE_P(Initramfs, PackedModules, testing::Values("", ".gz", ".xz", ".zst"));

TEST(Initramfs, ThatHasEverythingGetsNoSegment) {
  Tree tree, image;
  add_modules(tree, "/lib/modules/6.1.0-test", usual_modules());
  add_modules(image, "/lib/modules/6.1.0-test", usual_modules());
  GuestRoot root(tree.top());
  Initramfs contents = read_initramfs(open_image(tree, pack(image.top())));
  ModuleTree modules = *ModuleTree::load(root, kVersion);
  EXPECT_TRUE(driver_state(modules, &contents).ready);
  EXPECT_EQ(make_segment(root, contents, modules, {}).bytes, "");
}

TEST(Initramfs, OfAKernelWithBuiltInDriversNeedsNone) {
  Tree tree;
  add_modules(tree, "/lib/modules/6.1.0-test", {}, "",
              "kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/block/virtio_blk.ko\nkernel/drivers/scsi/"
              "sd_mod.ko\n"
              "kernel/drivers/scsi/virtio_scsi.ko\nkernel/drivers/net/virtio_net.ko\n");
  ModuleTree modules = *ModuleTree::load(GuestRoot(tree.top()), kVersion);
  EXPECT_TRUE(driver_state(modules, nullptr).ready);
  EXPECT_THAT(driver_state(modules, nullptr).missing, IsEmpty());
}

TEST(Initramfs, AKernelWithoutVirtioModulesIsNotCapable) {
  Tree tree;
  add_modules(tree, "/lib/modules/6.1.0-test", only(usual_modules(), {"scsi_common", "scsi_mod", "sd_mod"}));
  GuestRoot root(tree.top());
  ModuleTree modules = *ModuleTree::load(root, kVersion);
  Initramfs image = read_initramfs(open_image(tree, vmware_image(kVersion)));
  DriverState state = driver_state(modules, &image);
  EXPECT_FALSE(state.ready);
  EXPECT_FALSE(state.capable);
  EXPECT_THAT(state.unavailable, ElementsAre("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net"));
}

TEST(Initramfs, WithoutAnyModulesGetsAllOfThem) {
  Tree tree, image;
  add_modules(tree, "/lib/modules/6.1.0-test", usual_modules());
  image.file("/init", "#!/bin/sh\n", 0755).directory("/usr/lib").link("/lib", "usr/lib");
  GuestRoot root(tree.top());
  Initramfs contents = read_initramfs(open_image(tree, pack(image.top())));
  ModuleTree modules = *ModuleTree::load(root, kVersion);
  Segment segment = make_segment(root, contents, modules, {});
  Tree unpacked;
  unpack(pack(image.top()), unpacked.top());
  unpack(segment.bytes.substr((4 - contents.size % 4) % 4), unpacked.top());
  EXPECT_TRUE(std::filesystem::is_symlink(unpacked.path("/lib")));
  EXPECT_TRUE(unpacked.exists("/usr/lib/modules/6.1.0-test/kernel/drivers/scsi/scsi_mod.ko"));
  EXPECT_EQ(unpacked.read("/usr/lib/modules/6.1.0-test/modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
}

struct Generator {
  const char* name;
  std::vector<std::pair<const char*, const char*>> files;
  const char* list;
  const char* text;  // nullptr: an index that names virtio's devices
};

class LoadList : public testing::TestWithParam<Generator> {};

TEST_P(LoadList, IsWrittenWhereTheGeneratorsImagesReadIt) {
  Tree tree, image;
  add_modules(tree, "/lib/modules/6.1.0-test", usual_modules());
  for (const auto& [path, text] : GetParam().files) image.file(path, text);
  GuestRoot root(tree.top());
  Initramfs contents = read_initramfs(open_image(tree, pack(image.top())));
  Segment segment = make_segment(root, contents, *ModuleTree::load(root, kVersion), {});
  Tree unpacked;
  unpack(segment.bytes.substr((4 - contents.size % 4) % 4), unpacked.top());
  if (GetParam().text != nullptr) {
    EXPECT_EQ(unpacked.read(GetParam().list), GetParam().text);
  } else {
    EXPECT_THAT(unpacked.read(GetParam().list), HasSubstr("alias virtio:d00000002v* virtio_blk\n"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Initramfs, LoadList,
    testing::Values(
        Generator{"InitramfsTools",
                  {{"/scripts/functions", ""}, {"/conf/initramfs.conf", ""}, {"/conf/modules", "dm_mod"}},
                  "/conf/modules",
                  "dm_mod\nvirtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\nvirtio_net\n"},
        Generator{"Dracut",
                  {{"/usr/lib/dracut/hooks/empty", ""}, {"/usr/lib/dracut-lib.sh", ""}},
                  "/etc/cmdline.d/90-hyper2kvm.conf",
                  "rd.driver.pre=virtio_pci,virtio_blk,virtio_scsi,sd_mod,virtio_net\n"},
        Generator{"Mkinitcpio",
                  {{"/init_functions", ""}, {"/config", "MODULES=\"ext4\"\nHOOKS=\"udev\"\n"}},
                  "/config",
                  "MODULES=\"ext4\"\nHOOKS=\"udev\"\n"
                  "MODULES=\"${MODULES} virtio_pci virtio_blk virtio_scsi sd_mod virtio_net\"\n"},
        // Old images without a list that can be added to: udev, or mkinitfs' own search, finds the drivers by
        // the indexes.
        Generator{"SuseMkinitrd",
                  {{"/run_all.sh", ""}, {"/mkinitrd.config", "a"}},
                  "/lib/modules/6.1.0-test/modules.alias",
                  nullptr},
        Generator{"Mkinitfs",
                  {{"/sbin/nlplug-findfs", "x"}, {"/etc/mdev.conf", ""}},
                  "/lib/modules/6.1.0-test/modules.alias",
                  nullptr},
        Generator{"SystemdInTheImage",
                  {{"/usr/lib/systemd/systemd", "x"}},
                  "/etc/modules-load.d/hyper2kvm.conf",
                  "virtio_pci\nvirtio_blk\nvirtio_scsi\nsd_mod\nvirtio_net\n"}),
    [](const auto& generator) { return std::string(generator.param.name); });

TEST(Initramfs, RefusesWhatIsNoArchive) {
  Tree tree;
  EXPECT_THAT(error_of([&] { read_initramfs(open_image(tree, "hello, world, this is text")); }),
              HasSubstr("is no initramfs that we know"));
  EXPECT_THAT(error_of([&] { read_initramfs(open_image(tree, std::string(4096, '\0'))); }),
              HasSubstr("is empty"));
  EXPECT_THAT(error_of([&] { read_initramfs(open_image(tree, "070701" + std::string(200, 'z'))); }),
              HasSubstr("not valid"));
}

TEST(Initramfs, RefusesANameOfFourGigabytes) {
  Tree tree;
  std::string header = "070701";
  for (int field = 0; field < 11; ++field) header += "00000001";
  header += "FFFFFFFF00000000";
  EXPECT_THAT(error_of([&] { read_initramfs(open_image(tree, header + std::string(100, 'x'))); }),
              HasSubstr("too long"));
}

TEST(Initramfs, AHugeContentThatIsNotThereTakesNoMemory) {
  Tree tree;
  std::string header = "070701";
  for (int field = 0; field < 11; ++field)
    header += field == 6 ? "FFFFFFFF" : field == 1 ? "000081A4" : "00000001";
  header += "0000000700000000";
  Initramfs image = read_initramfs(open_image(tree, header + "conf/a" + std::string(4, '\0')));
  EXPECT_TRUE(image.entries.empty());
}

TEST(Initramfs, LinksInCirclesLeadNowhere) {
  Tree tree, image;
  image.link("/lib", "usr/lib").link("/usr", "lib/usr").file("/init", "x");
  Initramfs contents = read_initramfs(open_image(tree, pack(image.top())));
  EXPECT_EQ(contents.resolve("lib/modules"), "");
  EXPECT_FALSE(contents.has("lib/modules"));
}

// The indexes that depmod made for a real kernel's modules, and ours of the same texts, must answer alike.
TEST(ModuleIndex, AnswersAsDepmodsDoes) {
  const std::filesystem::path real = "/usr/lib/uml/modules";
  if (!std::filesystem::exists(real))
    GTEST_SKIP() << "user-mode-linux, whose modules are compared, is not installed";
  const std::filesystem::path source = std::filesystem::directory_iterator(real)->path();
  std::string dep = os::read_text(source / "modules.dep", 1 << 26);
  std::string alias = os::read_text(source / "modules.alias", 1 << 26);
  std::string softdep = os::read_text(source / "modules.softdep", 1 << 26);
  DependencyMap dependencies = parse_dependencies(dep);
  ASSERT_GT(dependencies.size(), 500u);
  std::map<std::string, std::string> present;
  for (const auto& [name, module] : dependencies) present[name] = module.path;
  Tree ours, theirs;
  for (const auto& [name, text] : make_indexes(present, dependencies, alias, softdep))
    ours.file("/lib/modules/6.1/" + name, text);
  // modprobe leaves out what is not there.
  for (const auto& [name, path] : present) ours.file("/lib/modules/6.1/" + path, "");
  theirs.directory("/lib/modules");
  std::filesystem::create_directory_symlink(source, theirs.path("/lib/modules/6.1"));
  // The dump of the whole index of aliases, and the chains of some modules with long ones.
  auto ask = [](const Tree& tree, std::vector<std::string> question) {
    std::vector<std::string> arguments = {"modprobe", "-d", tree.top(), "-S", "6.1"};
    arguments.insert(arguments.end(), question.begin(), question.end());
    std::string text = os::run_program({.arguments = arguments});
    // The trees are in different places.
    for (std::size_t at; (at = text.find(tree.top().string())) != std::string::npos;)
      text.erase(at, tree.top().string().size());
    return text;
  };
  for (const char* name : {"nfsv4", "ocfs2", "virtio_net", "dm-crypt", "ceph", "cifs", "raid456", "vfat"}) {
    EXPECT_EQ(ask(ours, {"--show-depends", name}), ask(theirs, {"--show-depends", name})) << name;
  }
  for (const char* name : {"virtio:d00000002v00001AF4", "fs-vfat", "crypto-xts", "net-pf-16-proto-16"}) {
    std::string expected;
    try {
      expected = ask(theirs, {"-R", name});
    } catch (const os::Error&) {
      continue;
    }
    EXPECT_EQ(ask(ours, {"-R", name}), expected) << name;
  }
}

TEST(ModuleIndex, TakesKeysThatArePrefixesOfEachOther) {
  std::string index =
      binary_index({{"ab", "two"}, {"a", "one"}, {"abc", "three"}, {"abd", "four"}, {"b", "five"}});
  Tree tree;
  tree.file("/lib/modules/1/modules.alias.bin", index)
      .file("/lib/modules/1/modules.dep.bin", binary_index({}));
  for (const auto& [key, value] : std::map<std::string, std::string>{
           {"a", "one"}, {"ab", "two"}, {"abc", "three"}, {"abd", "four"}, {"b", "five"}})
    EXPECT_EQ(os::run_program({.arguments = {"modprobe", "-d", tree.top(), "-S", "1", "-R", key}}),
              value + "\n");
}

TEST(Compression, StopsAtItsLimit) {
  std::string bomb = filter({"gzip", "-c"}, std::string(10 << 20, '\0'));
  EXPECT_THAT(error_of([&] { decompress(Compression::kGzip, bomb, 1 << 20, "bomb.ko.gz"); }),
              HasSubstr("more than can be right"));
}

}  // namespace
}  // namespace hyper2kvm::guest
