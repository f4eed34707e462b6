// Opening sources: every format by its own maker, and headers that lie.
#include "runner/image/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "runner/image/byte_order.h"
#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/vmware_stream.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// An image whose tables are changed after QEMU has made it.
struct BentTable {
  const char* driver;
  const char* options;
  SourceFormat format;
  std::function<void(std::span<std::byte>)> bend;
};

class Sources : public testing::WithDirectory {
 protected:
  testing::Random random{1};
  void write(const std::string& name, const std::string& text) {
    testing::write_all(at(name), std::as_bytes(std::span(text.data(), text.size())));
  }
  void make(const std::string& name, const std::string& format, const std::string& options = "",
            std::uint64_t size = 4u << 20) {
    std::filesystem::remove(at("disk.raw"));
    testing::write_random_disk(at("disk.raw"), size, random);
    testing::convert_with_qemu(at("disk.raw"), at(name), format, options);
  }
  std::string problem_of(const std::string& name, SourceFormat format) {
    try {
      open_source(testing::whole(at(name)), format, "disk0");
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid) << error.sentence();
      return error.sentence();
    }
    return "";
  }
  // Copies "full.raw" in that format, bent, from "disk" to "out".
  ConversionResult convert_bent(const BentTable& table) {
    std::filesystem::remove(at("disk"));
    testing::convert_with_qemu(at("full.raw"), at("disk"), table.driver, table.options);
    std::vector<std::byte> bytes = testing::read_all(at("disk"));
    table.bend(bytes);
    testing::write_all(at("disk"), bytes);
    std::filesystem::remove(at("out"));
    return testing::convert(at("disk"), table.format, at("out"), {});
  }
  void expect_bent_refused(const BentTable& table, const char* reason) {
    try {
      convert_bent(table);
      ADD_FAILURE() << "not refused";
    } catch (const os::Error& error) {
      EXPECT_THAT(error.sentence(), HasSubstr(reason));
    }
  }
  // The image with one number changed, at an offset from its beginning or, negative, from its end.
  template <typename T>
  std::string problem_with_big(const std::string& name, SourceFormat format, std::ptrdiff_t offset, T value) {
    std::vector<std::byte> bytes = testing::read_all(at(name));
    store_big<T>(
        std::span(bytes),
        offset >= 0 ? static_cast<std::size_t>(offset) : bytes.size() - static_cast<std::size_t>(-offset),
        value);
    testing::write_all(at("bent"), bytes);
    return problem_of("bent", format);
  }
  template <typename T>
  std::string problem_with_little(const std::string& name, SourceFormat format, std::ptrdiff_t offset,
                                  T value) {
    return problem_with_big<T>(name, format, offset, swap_bytes(value));
  }
};

TEST_F(Sources, EveryFormatIsToldByItsMagicAndOpenedWithItsSize) {
  testing::write_random_disk(at("disk.raw"), 9u << 20, random);
  for (const testing::Kind& kind : testing::every_kind()) {
    SCOPED_TRACE(kind.title());
    os::TemporaryDirectory own("image-test");
    const std::filesystem::path disk = testing::make_kind(kind, at("disk.raw"), own.path());
    EXPECT_EQ(detect_format(testing::whole(disk)), kind.format);
    SourceImage source = open_source(testing::whole(disk), kind.format, "disk0");
    EXPECT_EQ(source.virtual_size, 9u << 20);
    EXPECT_EQ(source.layout, kind.layout);
    EXPECT_EQ(source.files.front(), disk);
    ASSERT_FALSE(source.blockdevs.empty());
    for (const std::string& text : source.blockdevs) {
      nlohmann::json node = nlohmann::json::parse(text);
      EXPECT_EQ(node["read-only"], true);
      EXPECT_LE(node["node-name"].get<std::string>().size(), 31u);
      EXPECT_EQ(node.value("locking", "off"), "off");
      EXPECT_EQ(node.contains("filename"), node["driver"] == "file");
    }
    EXPECT_EQ(nlohmann::json::parse(source.blockdevs.back())["node-name"], source.node_name);
  }
}

TEST_F(Sources, EveryFormatBecomesEveryOther) {
  testing::write_random_disk(at("disk.raw"), 5u << 20, random);
  for (const testing::Kind& kind : testing::every_kind()) {
    os::TemporaryDirectory own("image-test");
    const std::filesystem::path disk = testing::make_kind(kind, at("disk.raw"), own.path());
    const ConversionOptions targets[] = {
        {.format = OutputFormat::kQcow2},
        {.format = OutputFormat::kRaw},
        {.format = OutputFormat::kVdi},
        {.compress = true},
        {.compress = true, .compress_level = 1},
        {.compress = true, .compression = ClusterCompression::kZstd},
        {.compress = true, .compression = ClusterCompression::kZstd, .compress_level = 9}};
    for (const ConversionOptions& options : targets) {
      SCOPED_TRACE(kind.title() + " to " + testing::qemu_name(options.format));
      std::filesystem::remove(at("out"));
      testing::convert(disk, kind.format, at("out"), options);
      testing::expect_same_disk(at("disk.raw"), "raw", at("out"), testing::qemu_name(options.format));
      if (options.format != OutputFormat::kRaw)
        testing::expect_sound(at("out"), testing::qemu_name(options.format));
    }
  }
}

TEST_F(Sources, AFileThatIsTooShortIsRefusedInEveryFormat) {
  for (std::size_t size : {0, 1, 511, 512, 600, 1024, 65536}) {
    write("short", std::string(size, '\0'));
    for (SourceFormat format : {SourceFormat::kVmdk, SourceFormat::kQcow2, SourceFormat::kVhd,
                                SourceFormat::kVhdx, SourceFormat::kVdi})
      EXPECT_NE(problem_of("short", format), "") << size;
  }
  write("odd", std::string(1000, 'x'));
  EXPECT_THAT(problem_of("odd", SourceFormat::kRaw), HasSubstr("no whole sectors"));
}

TEST_F(Sources, AVmdkHeaderThatLiesIsRefused) {
  make("disk.vmdk", "vmdk", "subformat=streamOptimized");
  const SourceFormat vmdk = SourceFormat::kVmdk;
  EXPECT_EQ(problem_with_little<std::uint32_t>("disk.vmdk", vmdk, 4, 3), "");
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vmdk", vmdk, 4, 9), HasSubstr("of version 9"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 12, 0), HasSubstr("of size 0"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 12, std::uint64_t{1} << 54),
              HasSubstr("more than a VMDK can have"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 12, std::uint64_t{1} << 36),
              HasSubstr("grain directory past the end"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 20, 3), HasSubstr("grains of 3 sectors"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 20, 1u << 20), HasSubstr("power of two"));
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vmdk", vmdk, 44, 0xffffffff),
              HasSubstr("grain tables of"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 56, ~std::uint64_t{0}),
              HasSubstr("truncated"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 56, std::uint64_t{1} << 60),
              HasSubstr("grain directory past the end"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 64, std::uint64_t{1} << 60),
              HasSubstr("first grain past the end"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 36, std::uint64_t{1} << 40),
              HasSubstr("too large to be one"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vmdk", vmdk, 28, std::uint64_t{1} << 60),
              HasSubstr("descriptor past the end"));
  EXPECT_THAT(problem_with_little<std::uint16_t>("disk.vmdk", vmdk, 77, 7),
              HasSubstr("compressed by a method"));
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vmdk", vmdk, 73, 0x0a0a0a0a), HasSubstr("text mode"));
}

TEST_F(Sources, ADeltaOfASnapshotIsRefused) {
  testing::StreamMaker maker;
  maker.capacity_sectors = 128;
  maker.descriptor_extra = "parentCID=deadbeef\nparentFileNameHint=\"base.vmdk\"\n";
  testing::write_all(at("delta.vmdk"), maker.make(std::vector<std::byte>(65536, std::byte{1})));
  EXPECT_THAT(problem_of("delta.vmdk", SourceFormat::kVmdk), HasSubstr("the difference to base.vmdk"));
}

TEST_F(Sources, ExtentsAreFollowedOnlyUnderPlainNamesBesideTheDescriptor) {
  write("disk-flat.vmdk", std::string(1u << 20, 'x'));
  auto descriptor = [&](const std::string& extent) {
    write("disk.vmdk",
          "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"custom\"\n" + extent +
              "\n");
    return problem_of("disk.vmdk", SourceFormat::kVmdk);
  };
  EXPECT_EQ(descriptor("RW 2048 FLAT \"disk-flat.vmdk\" 0"), "");
  EXPECT_EQ(descriptor("RW 2048 VMFS \"disk-flat.vmdk\""), "");
  for (const std::string name :
       {"/etc/passwd", "../disk-flat.vmdk", "json:{}", "nbd://host", "..", "a/b", "a\\b"})
    EXPECT_THAT(descriptor("RW 2048 FLAT \"" + name + "\" 0"),
                HasSubstr("\"" + name + "\", which is no plain file name"));
  // Other blanks than usual are blanks for qemu too.
  EXPECT_THAT(descriptor("\fRW\v2048 FLAT \"../x\" 0"), HasSubstr("no plain file name"));
  EXPECT_NE(descriptor("RW\n2048 FLAT \"disk-flat.vmdk\" 0"), "");
  EXPECT_NE(descriptor("RW 2048 FLAT \"\" 0"), "");
  EXPECT_NE(descriptor("RW 2048 FLAT disk-flat.vmdk 0"), "");
  EXPECT_THAT(descriptor("RW 2048 FLAT \"disk-flat.vmdk\" 1"), HasSubstr("ends too early"));
  EXPECT_THAT(descriptor("RW 4096 FLAT \"disk-flat.vmdk\" 0"), HasSubstr("ends too early"));
  EXPECT_NE(descriptor("RW 99999999999999999999 FLAT \"disk-flat.vmdk\" 0"), "");
  EXPECT_NE(descriptor("RW 9999999999999999 FLAT \"disk-flat.vmdk\" 0"), "");
  EXPECT_THAT(descriptor("RW 2048 VMFSSPARSE \"disk-flat.vmdk\""), HasSubstr("kind VMFSSPARSE"));
  EXPECT_THAT(descriptor("RW 2048 ZERO"), HasSubstr("kind ZERO"));
  EXPECT_THAT(descriptor("RW 2048 SPARSE \"disk-flat.vmdk\""), HasSubstr("has no VMDK header"));
  EXPECT_THAT(descriptor("RW 2048 FLAT \"missing.vmdk\" 0"), HasSubstr("missing.vmdk"));
  EXPECT_THAT(descriptor(""), HasSubstr("lists no extents"));
  std::filesystem::create_symlink("/etc/passwd", at("link.vmdk"));
  EXPECT_THAT(descriptor("RW 1 FLAT \"link.vmdk\" 0"), HasSubstr("symbolic link"));
  std::string many;
  for (int i = 0; i < 70000; ++i) many += "RW 1 FLAT \"disk-flat.vmdk\" 0\n";
  EXPECT_NE(descriptor(many), "");
}

TEST_F(Sources, AQcow2HeaderThatLiesIsRefused) {
  make("disk.qcow2", "qcow2");
  const SourceFormat qcow2 = SourceFormat::kQcow2;
  EXPECT_EQ(problem_of("disk.qcow2", qcow2), "");
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 4, 9), HasSubstr("of version 9"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 20, 63), HasSubstr("clusters of 2^63"));
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.qcow2", qcow2, 24, ~std::uint64_t{0}),
              HasSubstr("larger than 4 EiB"));
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.qcow2", qcow2, 24, std::uint64_t{1} << 60),
              HasSubstr("too small for its disk"));
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.qcow2", qcow2, 24, 0), HasSubstr("of size 0"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 32, 2), HasSubstr("is encrypted"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 36, 0xffffffff),
              HasSubstr("which is too large"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 36, 4u << 20),
              HasSubstr("past the end of the file"));
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.qcow2", qcow2, 40, std::uint64_t{1} << 62),
              HasSubstr("past the end of the file"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 60, 1u << 30), HasSubstr("snapshots"));
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.qcow2", qcow2, 72, 2), HasSubstr("marked as corrupt"));
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.qcow2", qcow2, 72, std::uint64_t{1} << 40),
              HasSubstr("features of qcow2"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 96, 60), HasSubstr("refcounts"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 100, 0xfffffff8),
              HasSubstr("a header of"));
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.qcow2", qcow2, 8, std::uint64_t{1} << 62),
              HasSubstr("impossible place"));
  EXPECT_THAT(problem_with_big<std::uint32_t>("disk.qcow2", qcow2, 116, 0xffffffff),
              HasSubstr("header extension"));
}

TEST_F(Sources, BackingFilesAreFollowedOnlyUnderPlainNames) {
  auto create = [&](const std::string& name, const std::string& backing, const std::string& format) {
    os::ProcessOptions process;
    process.arguments = {"qemu-img", "create",          "-q", "-u", "-f", "qcow2", "-b", backing, "-F",
                         format,     at(name).string(), "4M"};
    os::run_program(process);
  };
  make("base.qcow2", "qcow2");
  create("middle.qcow2", "base.qcow2", "qcow2");
  create("top.qcow2", "middle.qcow2", "qcow2");
  SourceImage source = open_source(testing::whole(at("top.qcow2")), SourceFormat::kQcow2, "disk0");
  EXPECT_THAT(source.files, ElementsAre(at("top.qcow2"), at("middle.qcow2"), at("base.qcow2")));
  testing::convert(at("top.qcow2"), SourceFormat::kQcow2, at("out"), {});
  testing::expect_same_disk(at("disk.raw"), "raw", at("out"), "qcow2");

  create("on-raw.qcow2", "disk.raw", "raw");
  EXPECT_EQ(problem_of("on-raw.qcow2", SourceFormat::kQcow2), "");
  for (const std::string name :
       {"/etc/passwd", "../disk.raw", "nbd://localhost/x", "json:{\"driver\":\"null-co\"}", "a/b"}) {
    create("bad.qcow2", name, "raw");
    EXPECT_THAT(problem_of("bad.qcow2", SourceFormat::kQcow2), HasSubstr("refers to the backing file"));
    std::filesystem::remove(at("bad.qcow2"));
  }
  create("vmdk.qcow2", "disk.raw", "vmdk");
  EXPECT_THAT(problem_of("vmdk.qcow2", SourceFormat::kQcow2), HasSubstr("of the format \"vmdk\""));
  create("loop.qcow2", "loop.qcow2", "qcow2");
  EXPECT_THAT(problem_of("loop.qcow2", SourceFormat::kQcow2), HasSubstr("leads back to"));
  create("gone.qcow2", "missing.qcow2", "qcow2");
  EXPECT_THAT(problem_of("gone.qcow2", SourceFormat::kQcow2), HasSubstr("missing.qcow2"));
  std::filesystem::create_symlink("/etc/passwd", at("link.raw"));
  create("link.qcow2", "link.raw", "raw");
  EXPECT_THAT(problem_of("link.qcow2", SourceFormat::kQcow2), HasSubstr("symbolic link"));
}

TEST_F(Sources, ADataFileIsFollowedOnlyUnderAPlainName) {
  os::ProcessOptions process;
  process.arguments = {"qemu-img",
                       "create",
                       "-q",
                       "-f",
                       "qcow2",
                       "-o",
                       "data_file=" + at("data.raw").string(),
                       at("outside.qcow2").string(),
                       "4M"};
  os::run_program(process);
  EXPECT_THAT(problem_of("outside.qcow2", SourceFormat::kQcow2), HasSubstr("refers to the data file"));
  process.arguments = {"qemu-img",           "create",       "-q", "-f", "qcow2", "-o",
                       "data_file=data.raw", "inside.qcow2", "4M"};
  process.working_directory = directory.path();
  os::run_program(process);
  process.arguments = {"qemu-io", "-c", "write -P 9 64k 300k", "inside.qcow2"};
  os::run_program(process);
  SourceImage source = open_source(testing::whole(at("inside.qcow2")), SourceFormat::kQcow2, "disk0");
  EXPECT_THAT(source.files, ElementsAre(at("inside.qcow2"), at("data.raw")));
  process.arguments = {"qemu-img", "convert", "-f", "qcow2", "-O", "raw", "inside.qcow2", "expected.raw"};
  os::run_program(process);
  testing::convert(at("inside.qcow2"), SourceFormat::kQcow2, at("out"), {.format = OutputFormat::kRaw});
  testing::expect_same_disk(at("expected.raw"), "raw", at("out"), "raw");
}

TEST_F(Sources, AVhdFooterThatLiesIsRefused) {
  const SourceFormat vhd = SourceFormat::kVhd;
  os::File::open(at("empty.raw"), os::File::Mode::kCreate).truncate(4u << 20);
  testing::convert_with_qemu(at("empty.raw"), at("disk.vhd"), "vpc", "subformat=dynamic,force_size=on");
  EXPECT_EQ(problem_of("disk.vhd", vhd), "");
  EXPECT_THAT(problem_with_big<std::uint64_t>("disk.vhd", vhd, -512 + 48, 1), HasSubstr("checksum is wrong"));
  std::vector<std::byte> bytes = testing::read_all(at("disk.vhd"));
  auto with = [&](std::size_t offset, auto value, const std::string& creator = "qem2") {
    std::vector<std::byte> bent = bytes;
    std::span<std::byte> footer = std::span(bent).last(512);
    for (std::size_t i = 0; i < 4; ++i) footer[28 + i] = static_cast<std::byte>(creator[i]);
    store_big(footer, offset, value);
    store_big<std::uint32_t>(footer, 64, 0);
    std::uint32_t sum = 0;
    for (std::byte byte : footer) sum += std::to_integer<std::uint32_t>(byte);
    store_big<std::uint32_t>(footer, 64, ~sum);
    testing::write_all(at("bent"), bent);
    return problem_of("bent", vhd);
  };
  EXPECT_EQ(with(24, std::uint32_t{0}), "");  // a time stamp means nothing
  EXPECT_THAT(with(60, std::uint32_t{4}), HasSubstr("the difference to another disk"));
  EXPECT_THAT(with(60, std::uint32_t{77}), HasSubstr("does not exist"));
  EXPECT_THAT(with(48, std::uint64_t{0}), HasSubstr("which no VHD can have"));
  EXPECT_THAT(with(48, ~std::uint64_t{0}), HasSubstr("which no VHD can have"));
  EXPECT_THAT(with(60, std::uint32_t{2}), HasSubstr("ends too early"));
  // Azure's: qemu would go by the geometry, and lose the end of the disk.
  EXPECT_THAT(with(56, std::uint16_t{1}, std::string("wa\0\0", 4)), HasSubstr("its geometry says"));
}

TEST_F(Sources, AVhdxHeaderThatLiesIsRefused) {
  const SourceFormat vhdx = SourceFormat::kVhdx;
  make("disk.vhdx", "vhdx");
  EXPECT_EQ(problem_of("disk.vhdx", vhdx), "");
  std::vector<std::byte> bytes = testing::read_all(at("disk.vhdx"));
  std::vector<std::byte> bent = bytes;
  for (std::size_t header : {64u << 10, 128u << 10}) bent[header + 100] ^= std::byte{1};
  testing::write_all(at("bent"), bent);
  EXPECT_THAT(problem_of("bent", vhdx), HasSubstr("no valid VHDX header"));
  bent = bytes;
  for (std::size_t table : {192u << 10, 256u << 10}) bent[table + 100] ^= std::byte{1};
  testing::write_all(at("bent"), bent);
  EXPECT_THAT(problem_of("bent", vhdx), HasSubstr("no valid region table"));
  bent.assign(bytes.begin(), bytes.begin() + (1 << 20));
  testing::write_all(at("bent"), bent);
  EXPECT_THAT(problem_of("bent", vhdx), HasSubstr("past the end of the file"));
}

TEST_F(Sources, AVdiHeaderThatLiesIsRefused) {
  const SourceFormat vdi = SourceFormat::kVdi;
  make("disk.vdi", "vdi");
  EXPECT_EQ(problem_of("disk.vdi", vdi), "");
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vdi", vdi, 68, 0x00020000), HasSubstr("version 2.0"));
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vdi", vdi, 76, 4),
              HasSubstr("the difference to another disk"));
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vdi", vdi, 424, 1),
              HasSubstr("the difference to another disk"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vdi", vdi, 368, ~std::uint64_t{0}),
              HasSubstr("contradict each other"));
  EXPECT_THAT(problem_with_little<std::uint64_t>("disk.vdi", vdi, 368, 0),
              HasSubstr("contradict each other"));
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vdi", vdi, 384, 0xffffffff),
              HasSubstr("block map past the end"));
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vdi", vdi, 388, 1u << 30),
              HasSubstr("ends too early"));
  EXPECT_THAT(problem_with_little<std::uint32_t>("disk.vdi", vdi, 376, 4096), HasSubstr("blocks of 4096"));
}

// Tables are read while the disk is copied: what is wrong in them is found then.
TEST_F(Sources, TablesThatPointPastTheEndAreOneSentence) {
  const BentTable tables[] = {
      {"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk,
       [](std::span<std::byte> image) {  // the directory's first entry
         store_little<std::uint32_t>(image, load_little<std::uint64_t>(image, 56) * 512, 0x7fffffff);
       }},
      {"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk,
       [](std::span<std::byte> image) {  // the first table's first entry
         std::uint64_t table = load_little<std::uint32_t>(image, load_little<std::uint64_t>(image, 56) * 512);
         store_little<std::uint32_t>(image, table * 512, 0x7fffffff);
       }},
      {"qcow2", "", SourceFormat::kQcow2,
       [](std::span<std::byte> image) {
         store_big<std::uint64_t>(image, load_big<std::uint64_t>(image, 40), std::uint64_t{1} << 50);
       }},
      {"qcow2", "", SourceFormat::kQcow2,
       [](std::span<std::byte> image) {
         std::uint64_t table =
             load_big<std::uint64_t>(image, load_big<std::uint64_t>(image, 40)) & 0x00fffffffffffe00;
         store_big<std::uint64_t>(image, table, std::uint64_t{1} << 50);
       }},
      {"qcow2", "compressed", SourceFormat::kQcow2,
       [](std::span<std::byte> image) {
         std::uint64_t table =
             load_big<std::uint64_t>(image, load_big<std::uint64_t>(image, 40)) & 0x00fffffffffffe00;
         store_big<std::uint64_t>(image, table, (std::uint64_t{1} << 62) | (std::uint64_t{1} << 50));
       }},
      {"vpc", "subformat=dynamic,force_size=on", SourceFormat::kVhd,
       [](std::span<std::byte> image) { store_big<std::uint32_t>(image, 512 + 1024, 0x7fffffff); }},
      {"vdi", "", SourceFormat::kVdi,
       [](std::span<std::byte> image) {
         store_little<std::uint32_t>(image, load_little<std::uint32_t>(image, 340), 0x3fffffff);
       }},
      {"vhdx", "", SourceFormat::kVhdx, [](std::span<std::byte> image) {
         // QEMU puts the block table behind its log.
         store_little<std::uint64_t>(image, 2u << 20, 6 | (std::uint64_t{1} << 50));
       }}};
  testing::write_all(at("full.raw"), testing::make_content(testing::Content::kText, 4u << 20, random));
  for (const BentTable& table : tables) {
    SCOPED_TRACE(table.driver);
    expect_bent_refused(table, "past the end of the file");
  }
}

// A small file must not become a disk that fills the target.
TEST_F(Sources, TablesThatNameTheSameBlocksAgainAndAgainAreRefused) {
  auto repeat = [](std::span<std::byte> image, std::uint64_t table, std::size_t entry_size,
                   std::size_t entries) {
    const std::size_t first = static_cast<std::size_t>(table);
    for (std::size_t i = 1; i < entries; ++i)
      std::copy_n(image.data() + first, entry_size, image.data() + first + i * entry_size);
  };
  const BentTable tables[] = {
      {"qcow2", "", SourceFormat::kQcow2,
       [&](std::span<std::byte> image) {
         repeat(image,
                load_big<std::uint64_t>(image, load_big<std::uint64_t>(image, 40)) & 0x00fffffffffffe00, 8,
                8192);
       }},
      {"qcow2", "compressed", SourceFormat::kQcow2,
       [&](std::span<std::byte> image) {
         repeat(image,
                load_big<std::uint64_t>(image, load_big<std::uint64_t>(image, 40)) & 0x00fffffffffffe00, 8,
                8192);
       }},
      {"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk,
       [&](std::span<std::byte> image) {
         repeat(image, load_little<std::uint64_t>(image, 56) * 512, 4, 32);
       }},
      {"vpc", "subformat=dynamic,force_size=on", SourceFormat::kVhd,
       [&](std::span<std::byte> image) { repeat(image, 512 + 1024, 4, 512); }},
      {"vdi", "", SourceFormat::kVdi,
       [&](std::span<std::byte> image) { repeat(image, load_little<std::uint32_t>(image, 340), 4, 1024); }},
      {"vhdx", "", SourceFormat::kVhdx, [&](std::span<std::byte> image) { repeat(image, 2u << 20, 8, 64); }}};
  testing::write_all(at("full.raw"), testing::make_content(testing::Content::kText, 4u << 20, random));
  std::filesystem::resize_file(at("full.raw"), 1u << 30);
  for (const BentTable& table : tables) {
    SCOPED_TRACE(std::string(table.driver) + " " + table.options);
    expect_bent_refused(table, "more than once");
    EXPECT_LT(os::File::open(at("out"), os::File::Mode::kRead).size(), 1u << 20);
  }
}

// A table that is a part of itself, or two that are one: there is an end to it, and no more on the disk than
// a sentence or a small file.
TEST_F(Sources, TablesThatAreEachOtherComeToAnEnd) {
  auto l1_of = [](std::span<std::byte> image) { return load_big<std::uint64_t>(image, 40); };
  auto l2_of = [&](std::span<std::byte> image) {
    return load_big<std::uint64_t>(image, l1_of(image)) & 0x00fffffffffffe00;
  };
  const BentTable tables[] = {
      // The L1 table is its own L2 table; an L2 table maps itself, and the header; all L2 tables are one.
      {"qcow2", "", SourceFormat::kQcow2,
       [&](std::span<std::byte> image) { store_big<std::uint64_t>(image, l1_of(image), l1_of(image)); }},
      {"qcow2", "", SourceFormat::kQcow2,
       [&](std::span<std::byte> image) { store_big<std::uint64_t>(image, l2_of(image), l2_of(image)); }},
      {"qcow2", "cluster_size=4k", SourceFormat::kQcow2,
       [&](std::span<std::byte> image) {
         for (std::uint64_t i = 1; i < 8; ++i)
           store_big<std::uint64_t>(image, l1_of(image) + i * 8, l2_of(image));
       }},
      // The directory is its own first table; a table maps itself; all tables are one.
      {"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk,
       [](std::span<std::byte> image) {
         const std::uint64_t sector = load_little<std::uint64_t>(image, 56);
         store_little<std::uint32_t>(image, sector * 512, static_cast<std::uint32_t>(sector));
       }},
      {"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk,
       [](std::span<std::byte> image) {
         const std::uint32_t table =
             load_little<std::uint32_t>(image, load_little<std::uint64_t>(image, 56) * 512);
         store_little<std::uint32_t>(image, std::uint64_t{table} * 512, table);
       }},
      {"vpc", "subformat=dynamic,force_size=on", SourceFormat::kVhd,
       [](std::span<std::byte> image) { store_big<std::uint32_t>(image, 512 + 1024, 3); }},
      {"vdi", "", SourceFormat::kVdi, [](std::span<std::byte> image) {
         // The blocks begin where the map does.
         store_little<std::uint32_t>(image, 344, load_little<std::uint32_t>(image, 340));
       }}};
  testing::write_all(at("full.raw"), testing::make_content(testing::Content::kText, 8u << 20, random));
  for (const BentTable& table : tables) {
    SCOPED_TRACE(std::string(table.driver) + " " + table.options);
    try {
      EXPECT_LE(convert_bent(table).file_size, 10u << 20);
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid) << error.sentence();
      EXPECT_THAT(error.sentence(), HasSubstr("disk"));
    }
  }
}

// What a cluster of 64 KiB is packed from may be 64 KiB and no more.
TEST_F(Sources, APackedClusterThatIsABombIsRefused) {
  testing::write_all(at("full.raw"), testing::make_content(testing::Content::kText, 4u << 20, random));
  const std::vector<std::byte> zeroes(64u << 20);
  std::vector<std::byte> zlib = testing::zlib_stream(zeroes, 9);
  std::vector<std::byte> zstd(ZSTD_compressBound(zeroes.size()));
  zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), zeroes.data(), zeroes.size(), 19));
  for (const auto& [options, bomb] :
       {std::pair{"compressed", std::span<const std::byte>(zlib).subspan(2)},
        std::pair{"compression_type=zstd,compressed", std::span<const std::byte>(zstd)}}) {
    SCOPED_TRACE(options);
    std::filesystem::remove(at("disk"));
    testing::convert_with_qemu(at("full.raw"), at("disk"), "qcow2", options);
    std::vector<std::byte> bytes = testing::read_all(at("disk"));
    const std::uint64_t l2 =
        load_big<std::uint64_t>(bytes, load_big<std::uint64_t>(bytes, 40)) & 0x00fffffffffffe00;
    // The first cluster is one of as many sectors as an entry can say, at the end of the file.
    const std::uint64_t place = (bytes.size() + 511) / 512 * 512;
    bytes.resize(place + (128u << 10));
    std::copy_n(bomb.begin(), std::min<std::size_t>(bomb.size(), 127u << 10),
                bytes.begin() + static_cast<std::ptrdiff_t>(place));
    store_big<std::uint64_t>(std::span(bytes), l2,
                             (std::uint64_t{1} << 62) | (std::uint64_t{255} << 54) | place);
    testing::write_all(at("disk"), bytes);
    for (bool compress : {false, true}) {
      std::filesystem::remove(at("out"));
      try {
        testing::convert(at("disk"), SourceFormat::kQcow2, at("out"), {.compress = compress});
        ADD_FAILURE() << "not refused";
      } catch (const os::Error& error) {
        EXPECT_THAT(error.sentence(), HasSubstr("its compressed cluster for byte 0 of the disk is damaged"));
      }
    }
  }
}

// Eight exbibytes that take no room: on a file system that has files of that size.
TEST_F(Sources, ASparseFileOfTwoToTheSixtyThreeBytesIsRefusedAtOnce) {
  std::error_code code;
  const std::filesystem::path memory = "/dev/shm";
  if (!std::filesystem::is_directory(memory, code)) GTEST_SKIP() << "there is no /dev/shm here";
  os::TemporaryDirectory own("image-test", memory);
  const std::filesystem::path disk = own.path() / "disk";
  try {
    os::File::open(disk, os::File::Mode::kCreate).truncate((std::uint64_t{1} << 63) - 4096);
  } catch (const os::Error& error) {
    GTEST_SKIP() << error.sentence();
  }
  auto problem = [&](SourceFormat format) {
    try {
      open_source(testing::whole(disk), format, "disk0");
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid) << error.sentence();
      return error.sentence();
    }
    return std::string();
  };
  EXPECT_THAT(problem(SourceFormat::kRaw), HasSubstr("more than 2 PiB cannot be converted"));
  for (SourceFormat format : {SourceFormat::kVmdk, SourceFormat::kQcow2, SourceFormat::kVhd,
                              SourceFormat::kVhdx, SourceFormat::kVdi})
    EXPECT_NE(problem(format), "");
  // The largest that is not: no table of it may be in memory before it is used.
  std::filesystem::resize_file(disk, kLargestDisk);
  EXPECT_EQ(problem(SourceFormat::kRaw), "");
}

TEST_F(Sources, AQcow2HeaderThatSaysMoreThanCanBeConvertedIsRefused) {
  os::ProcessOptions process;
  process.arguments = {
      "qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", at("disk.qcow2").string(), "1G"};
  os::run_program(process);
  // 2^61 bytes are 4 Mi entries of an L1 table of 32 MiB, which a sparse file has room for.
  std::vector<std::byte> bytes = testing::read_all(at("disk.qcow2"));
  store_big<std::uint64_t>(std::span(bytes), 24, std::uint64_t{1} << 61);
  store_big<std::uint32_t>(std::span(bytes), 36, 4u << 20);
  testing::write_all(at("disk.qcow2"), bytes);
  std::filesystem::resize_file(at("disk.qcow2"), 256u << 20);
  EXPECT_THAT(problem_of("disk.qcow2", SourceFormat::kQcow2),
              HasSubstr("more than 2 PiB cannot be converted"));
}

// The end of a file may be missing inside its last cluster, and nowhere else: what is gone are no zeroes.
TEST_F(Sources, AQcow2ImageWithoutItsEndIsRefusedAlsoBelowAnother) {
  testing::write_all(at("full.raw"), testing::make_content(testing::Content::kNoise, 4u << 20, random));
  testing::convert_with_qemu(at("full.raw"), at("base.qcow2"), "qcow2");
  os::ProcessOptions process;
  process.arguments = {"qemu-img", "create",     "-q", "-f",    "qcow2",
                       "-b",       "base.qcow2", "-F", "qcow2", "top.qcow2"};
  process.working_directory = directory.path();
  os::run_program(process);
  process.arguments = {"qemu-img",
                       "create",
                       "-q",
                       "-f",
                       "qcow2",
                       "-o",
                       "extended_l2=on,cluster_size=64k,data_file=data.raw",
                       "apart.qcow2",
                       "4M"};
  os::run_program(process);
  process.arguments = {"qemu-io", "-f", "qcow2", "-c", "write -P 5 0 4M", "apart.qcow2"};
  os::run_program(process);
  auto problem = [&](const char* name) {
    std::filesystem::remove(at("out"));
    try {
      testing::convert(at(name), SourceFormat::kQcow2, at("out"), {});
    } catch (const os::Error& error) {
      return error.sentence();
    }
    return std::string();
  };
  for (const char* name : {"base.qcow2", "top.qcow2", "apart.qcow2"}) EXPECT_EQ(problem(name), "") << name;
  // Three clusters are gone.
  std::filesystem::resize_file(at("base.qcow2"), std::filesystem::file_size(at("base.qcow2")) - 3 * 65536);
  std::filesystem::resize_file(at("data.raw"), (4u << 20) - 3 * 65536);
  for (const char* name : {"base.qcow2", "top.qcow2", "apart.qcow2"})
    EXPECT_THAT(problem(name), HasSubstr("past the end of the file")) << name;
}

TEST_F(Sources, ALocationOutsideItsFileIsRefused) {
  write("small", std::string(4096, 'x'));
  EXPECT_THROW(open_source({at("small"), 0, 8192, {}}, SourceFormat::kRaw, "d"), os::Error);
  EXPECT_THROW(open_source({at("small"), 8192, 512, {}}, SourceFormat::kRaw, "d"), os::Error);
  EXPECT_THROW(open_source({at("small"), 512, ~std::uint64_t{0}, {}}, SourceFormat::kRaw, "d"), os::Error);
  EXPECT_EQ(open_source({at("small"), 512, 3584, {}}, SourceFormat::kRaw, "d").virtual_size, 3584u);
}

}  // namespace
}  // namespace hyper2kvm::image
