// Disks that are read by their blocks, and what is done with holes, hashes and failures on the way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;
using ::testing::HasSubstr;

class BlockConversion : public testing::WithDirectory {
 protected:
  testing::Random random{11};

  // Bytes of an image of "disk.raw", packed by conversions of from at the lowest level and the highest.
  std::pair<std::uint64_t, std::uint64_t> lowest_and_highest(const std::string& from, SourceFormat format,
                                                             ClusterCompression compression) {
    auto size_at = [&](int level) {
      std::filesystem::remove(at("out"));
      const ConversionResult result =
          testing::convert(at(from), format, at("out"),
                           {.compress = true, .compression = compression, .compress_level = level});
      EXPECT_TRUE(result.compressed);
      testing::expect_sound(at("out"), "qcow2");
      testing::expect_same_disk(at("disk.raw"), "raw", at("out"), "qcow2");
      return result.file_size;
    };
    const std::uint64_t lowest = size_at(1);
    return {lowest, size_at(9)};
  }
};

TEST_F(BlockConversion, ACompressedTargetHoldsTheSameDisk) {
  for (std::uint64_t size : {std::uint64_t{30} << 20, (std::uint64_t{5} << 20) + 512}) {
    std::filesystem::remove(at("disk.raw"));
    testing::write_random_disk(at("disk.raw"), size, random);
    lowest_and_highest("disk.raw", SourceFormat::kRaw, ClusterCompression::kDeflate);
  }
}

TEST_F(BlockConversion, HolesAndZeroesStayHoles) {
  os::File file = os::File::open(at("disk.raw"), os::File::Mode::kCreate);
  file.truncate(std::uint64_t{1} << 40);
  file.write_at(std::uint64_t{1} << 39, testing::make_content(testing::Content::kNoise, 100000, random));
  file.write_at(std::uint64_t{1} << 30, std::vector<std::byte>(1u << 20));
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi}) {
    ConversionResult result =
        testing::convert(at("disk.raw"), SourceFormat::kRaw, at("out"), {.format = format});
    EXPECT_EQ(result.virtual_size, std::uint64_t{1} << 40);
    EXPECT_LT(result.file_size, 8u << 20);
    EXPECT_LT(result.bytes_read, 4u << 20);
    std::filesystem::remove(at("out"));
  }
}

// Nor does it matter how large the disk is in which a format has its holes.
TEST_F(BlockConversion, AnImageOfATebibyteCostsWhatItsDataCost) {
  os::File file = os::File::open(at("disk.raw"), os::File::Mode::kCreate);
  file.truncate(std::uint64_t{1} << 40);
  for (std::uint64_t place : {std::uint64_t{0}, std::uint64_t{1} << 39, (std::uint64_t{1} << 40) - 131072})
    file.write_at(place, testing::make_content(testing::Content::kNoise, 100000, random));
  const testing::Kind kinds[] = {{"vmdk", "subformat=monolithicSparse", SourceFormat::kVmdk, Layout::kMapped},
                                 {"qcow2", "", SourceFormat::kQcow2, Layout::kMapped},
                                 {"vpc", "force_size=on", SourceFormat::kVhd, Layout::kMapped},
                                 {"vhdx", "block_size=1M", SourceFormat::kVhdx, Layout::kMapped},
                                 {"vdi", "", SourceFormat::kVdi, Layout::kMapped}};
  for (const testing::Kind& kind : kinds) {
    std::filesystem::remove(at("disk"));
    testing::convert_with_qemu(at("disk.raw"), at("disk"), kind.driver, kind.options);
    for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi}) {
      SCOPED_TRACE(kind.title() + " to " + testing::qemu_name(format));
      std::filesystem::remove(at("out"));
      ConversionResult result = testing::convert(at("disk"), kind.format, at("out"), {.format = format});
      EXPECT_EQ(result.virtual_size, std::uint64_t{1} << 40);
      EXPECT_LT(result.bytes_read, 8u << 20);  // blocks of up to 2 MiB
      EXPECT_LT(result.file_size, 8u << 20);   // the map of a VDI has 4 MiB
      testing::expect_same_disk(at("disk.raw"), "raw", at("out"), testing::qemu_name(format));
    }
  }
}

TEST_F(BlockConversion, TheHashOfPlainDataComesFromTheOneRead) {
  testing::write_random_disk(at("disk.raw"), 10u << 20, random);
  const std::string right = sha256_of(testing::whole(at("disk.raw")), {}, {});
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw}) {
    ConversionResult result = testing::convert(at("disk.raw"), SourceFormat::kRaw, at("out"),
                                               {.format = format, .expected_sha256 = right});
    EXPECT_EQ(result.source_sha256, right);
    testing::expect_same_disk(at("disk.raw"), "raw", at("out"), testing::qemu_name(format));
    std::filesystem::remove(at("out"));
  }
}

TEST_F(BlockConversion, TheHashOfAFixedVhdCoversItsFooter) {
  testing::write_random_disk(at("disk.raw"), 4u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vhd"), "vpc", "subformat=fixed,force_size=on");
  const std::string right = sha256_of(testing::whole(at("disk.vhd")), {}, {});
  testing::convert(at("disk.vhd"), SourceFormat::kVhd, at("out"), {.expected_sha256 = right});
  testing::expect_same_disk(at("disk.raw"), "raw", at("out"), "qcow2");
}

TEST_F(BlockConversion, AnImageWithAMapIsHashedBesideTheCopy) {
  testing::write_random_disk(at("disk.raw"), 10u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vdi"), "vdi");
  const std::string right = sha256_of(testing::whole(at("disk.vdi")), {}, {});
  EXPECT_EQ(testing::convert(at("disk.vdi"), SourceFormat::kVdi, at("out"), {.expected_sha256 = right})
                .source_sha256,
            right);
  std::filesystem::remove(at("out"));
  try {
    testing::convert(at("disk.vdi"), SourceFormat::kVdi, at("out"),
                     {.expected_sha256 = std::string(64, '0')});
    FAIL() << "not refused";
  } catch (const os::Error& error) {
    EXPECT_THAT(error.sentence(), HasSubstr("was promised"));
  }
}

// An image on top of another: those go through qemu-storage-daemon.
class ThroughQemu : public BlockConversion {
 protected:
  void stack(const std::string& top, const std::string& base) {
    os::ProcessOptions process;
    process.arguments = {"qemu-img", "create",         "-q", "-u", "-f", "qcow2", "-b", base, "-F",
                         "qcow2",    at(top).string(), "64M"};
    os::run_program(process);
  }
};

TEST_F(ThroughQemu, ADamagedImageIsOneSentence) {
  testing::write_all(at("disk.raw"), testing::make_content(testing::Content::kText, 64u << 20, random));
  testing::convert_with_qemu(at("disk.raw"), at("base.qcow2"), "qcow2", "compressed");
  std::vector<std::byte> bytes = testing::read_all(at("base.qcow2"));
  // Compressed clusters begin behind the first clusters, which hold metadata.
  std::fill(bytes.begin() + 6 * 65536, bytes.begin() + 8 * 65536, std::byte{0xff});
  testing::write_all(at("base.qcow2"), bytes);
  stack("top.qcow2", "base.qcow2");
  for (const char* name : {"top.qcow2", "base.qcow2"}) {
    std::filesystem::remove(at("out"));
    try {
      testing::convert(at(name), SourceFormat::kQcow2, at("out"), {});
      FAIL() << "not refused";
    } catch (const os::Error& error) {
      EXPECT_THAT(error.sentence(), HasSubstr(name));
      EXPECT_THAT(error.sentence(), HasSubstr("damaged"));
    }
  }
}

TEST_F(ThroughQemu, AStopEndsIt) {
  testing::write_random_disk(at("disk.raw"), 64u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("base.qcow2"), "qcow2");
  stack("top.qcow2", "base.qcow2");
  SourceImage source = open_source(testing::whole(at("top.qcow2")), SourceFormat::kQcow2, "disk0");
  ASSERT_EQ(source.layout, Layout::kOther);
  auto conversion = Conversion::create(source, at("out"), {.scratch = directory.path()});
  os::StopSource stop;
  try {
    conversion->copy([&](std::uint64_t, std::uint64_t) { stop.request_stop(); }, stop.token());
    FAIL() << "not stopped";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled) << error.sentence();
  }
}

TEST_F(BlockConversion, AStopEndsIt) {
  testing::write_random_disk(at("disk.raw"), 64u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vdi"), "vdi");
  SourceImage source = open_source(testing::whole(at("disk.vdi")), SourceFormat::kVdi, "disk0");
  auto conversion = Conversion::create(source, at("out"), {.scratch = directory.path()});
  os::StopSource stop;
  try {
    conversion->copy([&](std::uint64_t, std::uint64_t) { stop.request_stop(); }, stop.token());
    FAIL() << "not stopped";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled) << error.sentence();
  }
}

TEST_F(BlockConversion, PackedClustersArePassedOn) {
  // What qemu-img has packed comes out byte for byte as large, whatever level is asked for.
  testing::write_all(at("disk.raw"), testing::make_content(testing::Content::kText, 4u << 20, random));
  for (const auto& [options, compression] :
       {std::pair{"compressed", ClusterCompression::kDeflate},
        std::pair{"compression_type=zstd,compressed", ClusterCompression::kZstd}}) {
    testing::convert_with_qemu(at("disk.raw"), at("packed"), "qcow2", options);
    const auto [lowest, highest] = lowest_and_highest("packed", SourceFormat::kQcow2, compression);
    EXPECT_EQ(lowest, highest);
    std::filesystem::remove(at("packed"));
  }
}

TEST_F(BlockConversion, AHigherLevelMakesASmallerImage) {
  // A program: more to find for who looks longer.
  std::vector<std::byte> text = testing::read_all("/proc/self/exe");
  text.resize(6u << 20);
  testing::write_all(at("disk.raw"), text);
  for (ClusterCompression compression : {ClusterCompression::kDeflate, ClusterCompression::kZstd}) {
    const auto [lowest, highest] = lowest_and_highest("disk.raw", SourceFormat::kRaw, compression);
    EXPECT_LT(highest, lowest);
  }
}

TEST_F(BlockConversion, ATargetThatExistsIsNotTouched) {
  testing::write_random_disk(at("disk.raw"), 1u << 20, random);
  testing::write_all(at("out"), std::vector<std::byte>(5, std::byte{'x'}));
  EXPECT_THROW(testing::convert(at("disk.raw"), SourceFormat::kRaw, at("out"), {}), os::Error);
  EXPECT_EQ(std::filesystem::file_size(at("out")), 5u);
}

}  // namespace
}  // namespace hyper2kvm::image
