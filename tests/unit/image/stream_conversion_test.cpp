// streamOptimized VMDK, whole and damaged, to every target.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "runner/image/conversion.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/vmware_stream.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using contract::OutputFormat;
using contract::SourceFormat;
using testing::Content;
using ::testing::HasSubstr;

class StreamConversion : public testing::WithDirectory {
 protected:
  testing::Random random{20240101};

  // A disk of 40 grains with text, noise and nothing in it, written as VMware does.
  std::vector<std::byte> small_disk() {
    std::vector<std::byte> disk;
    for (int grain = 0; grain < 40; ++grain) {
      auto content = testing::make_content(static_cast<Content>(grain % 4), 65536, random);
      disk.insert(disk.end(), content.begin(), content.end());
    }
    return disk;
  }
  testing::StreamMaker maker_for(const std::vector<std::byte>& disk) const {
    testing::StreamMaker maker;
    maker.capacity_sectors = disk.size() / 512;
    return maker;
  }

  // What copying this image says; empty when it succeeds.
  std::string problem_of(const std::vector<std::byte>& image, ConversionOptions options = {}) {
    testing::write_all(at("bad.vmdk"), image);
    std::filesystem::remove(at("bad.out"));
    try {
      testing::convert(at("bad.vmdk"), SourceFormat::kVmdk, at("bad.out"), options);
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid) << error.sentence();
      return error.sentence();
    }
    return "";
  }
};

TEST_F(StreamConversion, EveryTargetHoldsWhatQemuImgsStreamHeld) {
  testing::write_random_disk(at("disk.raw"), 200u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vmdk"), "vmdk", "subformat=streamOptimized");
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi})
    for (bool compress : {false, true}) {
      std::string name = "out-" + testing::qemu_name(format) + (compress ? "-c" : "");
      ConversionResult result = testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at(name),
                                                 {.format = format, .compress = compress});
      if (format != OutputFormat::kRaw) testing::expect_sound(at(name), testing::qemu_name(format));
      testing::expect_same_disk(at("disk.raw"), "raw", at(name), testing::qemu_name(format));
      EXPECT_EQ(result.virtual_size, 200u << 20);
      EXPECT_EQ(result.bytes_read, std::filesystem::file_size(at("disk.vmdk")));
      EXPECT_EQ(result.compressed, compress && format == OutputFormat::kQcow2);
      EXPECT_EQ(result.source_sha256, sha256_of(testing::whole(at("disk.vmdk")), {}, {}));
    }
}

TEST_F(StreamConversion, AStreamAsVmwareWritesItIsReadToo) {
  std::vector<std::byte> disk(80u << 20);
  for (std::size_t offset = 0; offset < disk.size(); offset += 65536 * (1 + random() % 8)) {
    auto content = testing::make_content(static_cast<Content>(random() % 4), 65536, random);
    std::copy(content.begin(), content.end(), disk.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  testing::write_all(at("disk.raw"), disk);
  testing::write_all(at("disk.vmdk"), maker_for(disk).make(disk));
  for (bool compress : {false, true}) {
    std::filesystem::remove(at("out.qcow2"));
    testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at("out.qcow2"), {.compress = compress});
    testing::expect_sound(at("out.qcow2"), "qcow2");
    testing::expect_same_disk(at("disk.raw"), "raw", at("out.qcow2"), "qcow2");
  }
}

TEST_F(StreamConversion, ADiskThatEndsInsideAGrainIsComplete) {
  for (std::size_t more : {std::size_t{512}, std::size_t{65536 - 512}}) {
    std::vector<std::byte> disk = small_disk();
    auto tail = testing::make_content(Content::kText, more, random);
    disk.insert(disk.end(), tail.begin(), tail.end());
    testing::write_all(at("disk.raw"), disk);
    testing::write_all(at("disk.vmdk"), maker_for(disk).make(disk));
    for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi}) {
      std::filesystem::remove(at("out"));
      testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at("out"), {.format = format, .compress = true});
      testing::expect_same_disk(at("disk.raw"), "raw", at("out"), testing::qemu_name(format));
    }
  }
}

TEST_F(StreamConversion, IsReadInPlaceFromInsideAnotherFile) {
  std::vector<std::byte> disk = small_disk();
  std::vector<std::byte> image = maker_for(disk).make(disk);
  std::vector<std::byte> archive(1536, std::byte{'x'});
  archive.insert(archive.end(), image.begin(), image.end());
  archive.insert(archive.end(), 1024, std::byte{'y'});
  testing::write_all(at("archive"), archive);
  testing::write_all(at("disk.raw"), disk);
  SourceImage source =
      open_source({at("archive"), 1536, image.size(), "disk.vmdk"}, SourceFormat::kVmdk, "disk0");
  EXPECT_EQ(source.layout, Layout::kStreamOptimized);
  auto conversion = Conversion::create(source, at("out.qcow2"), {.compress = true});
  conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
  conversion->finish();
  testing::expect_same_disk(at("disk.raw"), "raw", at("out.qcow2"), "qcow2");
}

TEST_F(StreamConversion, TheResultIsTheSameForAnyNumberOfThreads) {
  std::vector<std::byte> disk = small_disk();
  testing::write_all(at("disk.vmdk"), maker_for(disk).make(disk));
  for (bool compress : {false, true}) {
    std::vector<std::vector<std::byte>> results;
    for (unsigned threads : {1u, 3u, 16u}) {
      std::filesystem::remove(at("out.qcow2"));
      testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at("out.qcow2"),
                       {.compress = compress, .threads = threads});
      results.push_back(testing::read_all(at("out.qcow2")));
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST_F(StreamConversion, GrainsOfZeroesTakeNoRoom) {
  testing::StreamMaker maker;
  maker.capacity_sectors = 64 * 128;
  std::vector<std::byte> disk(64 * 65536, std::byte{1});
  // The grains say 1 and hold zeroes: nobody but the reader knows before it has inflated them.
  maker.bend_grain = [](std::uint64_t, std::vector<std::byte>& zlib) {
    zlib = testing::zlib_stream(std::vector<std::byte>(65536));
  };
  testing::write_all(at("disk.vmdk"), maker.make(disk));
  for (bool check : {true, false}) {
    std::filesystem::remove(at("out.qcow2"));
    ConversionResult result = testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at("out.qcow2"),
                                               {.compress = true, .check_grains = check});
    testing::expect_sound(at("out.qcow2"), "qcow2");
    EXPECT_LE(result.file_size, 6u * 65536);
  }
}

TEST_F(StreamConversion, WithoutTheGrainCheckTheHashStaysWhenItIsPromised) {
  std::vector<std::byte> disk = small_disk();
  testing::write_all(at("disk.vmdk"), maker_for(disk).make(disk));
  std::string right = sha256_of(testing::whole(at("disk.vmdk")), {}, {});
  EXPECT_EQ(testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at("a"),
                             {.expected_sha256 = right, .check_grains = false})
                .source_sha256,
            right);
  EXPECT_EQ(
      testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at("b"), {.check_grains = false}).source_sha256,
      "");
}

TEST_F(StreamConversion, AWrongChecksumOfTheFileIsAnErrorThatSaysBoth) {
  std::vector<std::byte> disk = small_disk();
  std::string wrong(64, 'a');
  EXPECT_THAT(problem_of(maker_for(disk).make(disk), {.expected_sha256 = wrong}),
              HasSubstr("and " + wrong + " was promised"));
}

TEST_F(StreamConversion, ADamagedGrainIsFoundByItsChecksum) {
  std::vector<std::byte> disk = small_disk();
  testing::StreamMaker maker = maker_for(disk);
  maker.bend_grain = [](std::uint64_t number, std::vector<std::byte>& zlib) {
    if (number == 7) zlib.back() ^= std::byte{1};
  };
  std::vector<std::byte> image = maker.make(disk);
  EXPECT_THAT(problem_of(image), HasSubstr("does not match its checksum"));
  EXPECT_THAT(problem_of(image, {.compress = true}), HasSubstr("does not match its checksum"));
}

TEST_F(StreamConversion, AGrainThatInflatesToTooMuchOrTooLittleIsRefused) {
  std::vector<std::byte> disk = small_disk();
  for (std::size_t size : {std::size_t{65536 + 512}, std::size_t{512}, std::size_t{100} << 20}) {
    testing::StreamMaker maker = maker_for(disk);
    maker.bend_grain = [&](std::uint64_t number, std::vector<std::byte>& zlib) {
      if (number == 6) zlib = testing::zlib_stream(std::vector<std::byte>(size));
    };
    EXPECT_NE(problem_of(maker.make(disk), {.compress = true}), "") << size;
  }
}

TEST_F(StreamConversion, AGrainThatIsLongerThanAnyCanBeIsRefused) {
  std::vector<std::byte> disk = small_disk();
  for (std::size_t size : {std::size_t{200} << 10, std::size_t{5} << 20}) {
    testing::StreamMaker maker = maker_for(disk);
    maker.bend_grain = [&](std::uint64_t number, std::vector<std::byte>& zlib) {
      if (number == 6) zlib.resize(size, std::byte{1});
    };
    for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw})
      EXPECT_THAT(problem_of(maker.make(disk), {.format = format, .compress = true}),
                  HasSubstr("bytes long, and no compressed grain can be that"))
          << size;
  }
}

TEST_F(StreamConversion, ATableThatLiesIsNamed) {
  std::vector<std::byte> disk = small_disk();
  testing::StreamMaker maker = maker_for(disk);
  maker.bend_table = [](std::uint64_t, std::vector<std::uint32_t>& entries) {
    std::swap(entries[2], entries[3]);
  };
  EXPECT_THAT(problem_of(maker.make(disk)), HasSubstr("grain table 0 puts grain 2 at sector"));
  maker.bend_table = [](std::uint64_t, std::vector<std::uint32_t>& entries) { entries[2] = 0; };
  EXPECT_THAT(problem_of(maker.make(disk)), HasSubstr("do not agree with the grains"));
  maker.bend_table = [](std::uint64_t, std::vector<std::uint32_t>& entries) { entries[2] = 0x7fffffff; };
  EXPECT_THAT(problem_of(maker.make(disk)), HasSubstr("grain table 0 points past the end of the file"));
  maker.bend_table = [](std::uint64_t, std::vector<std::uint32_t>& entries) { entries[500] = entries[2]; };
  EXPECT_THAT(problem_of(maker.make(disk)), HasSubstr("lists a grain past the end of the disk"));
  maker.bend_table = nullptr;
  maker.bend_directory = [](std::vector<std::uint32_t>& entries) { entries[0] = 0; };
  EXPECT_THAT(problem_of(maker.make(disk)), HasSubstr("do not agree with the grains"));
  maker.bend_directory = [](std::vector<std::uint32_t>& entries) { entries[0] = 0xfffffff0; };
  EXPECT_THAT(problem_of(maker.make(disk)), HasSubstr("grain table 0 is past the end of the file"));
}

TEST_F(StreamConversion, AGrainThatComesTwiceIsRefusedByEveryTarget) {
  std::vector<std::byte> disk = small_disk();
  testing::StreamMaker maker = maker_for(disk);
  maker.twice = {6};
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw, OutputFormat::kVdi})
    EXPECT_NE(problem_of(maker.make(disk), {.format = format}), "");
}

TEST_F(StreamConversion, AGrainOutsideTheDiskOrBetweenGrainsIsRefused) {
  std::vector<std::byte> disk = small_disk();
  for (std::uint64_t sector : {std::uint64_t{40 * 128}, std::uint64_t{129}, ~std::uint64_t{0}}) {
    testing::StreamMaker maker = maker_for(disk);
    maker.marker_sectors[2] = sector;
    EXPECT_THAT(problem_of(maker.make(disk)), HasSubstr("where no grain of this disk begins"));
  }
}

TEST_F(StreamConversion, ATruncatedFileIsRefusedWhereverItEnds) {
  std::vector<std::byte> disk = small_disk();
  std::vector<std::byte> image = maker_for(disk).make(disk);
  for (std::size_t size = 0; size < image.size(); size += 512 * (1 + random() % 128))
    EXPECT_NE(problem_of({image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size)}), "") << size;
  // The kind that qemu-img makes has no end marker: only its tables tell.
  testing::write_all(at("disk.raw"), disk);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vmdk"), "vmdk", "subformat=streamOptimized");
  image = testing::read_all(at("disk.vmdk"));
  for (std::size_t size = 0; size < image.size(); size += 512 * (1 + random() % 128))
    EXPECT_NE(problem_of({image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size)}), "") << size;
}

TEST_F(StreamConversion, OtherGrainSizesGoThroughQemu) {
  std::vector<std::byte> disk = small_disk();
  testing::StreamMaker maker = maker_for(disk);
  maker.grain_sectors = 64;
  testing::write_all(at("disk.vmdk"), maker.make(disk));
  testing::write_all(at("disk.raw"), disk);
  EXPECT_EQ(open_source(testing::whole(at("disk.vmdk")), SourceFormat::kVmdk, "disk0").layout,
            Layout::kOther);
  testing::convert(at("disk.vmdk"), SourceFormat::kVmdk, at("out.qcow2"), {});
  testing::expect_same_disk(at("disk.raw"), "raw", at("out.qcow2"), "qcow2");
}

TEST_F(StreamConversion, AStopEndsItAndLeavesNoThread) {
  std::vector<std::byte> disk = small_disk();
  testing::write_all(at("disk.vmdk"), maker_for(disk).make(disk));
  SourceImage source = open_source(testing::whole(at("disk.vmdk")), SourceFormat::kVmdk, "disk0");
  auto conversion = Conversion::create(source, at("out.qcow2"), {.compress = true});
  os::StopSource stop;
  try {
    conversion->copy([&](std::uint64_t, std::uint64_t) { stop.request_stop(); }, stop.token());
    FAIL() << "not stopped";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled);
  }
}

}  // namespace
}  // namespace hyper2kvm::image
