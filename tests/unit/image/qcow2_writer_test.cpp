// Our qcow2 against QEMU's and 7-Zip's reading of it: random allocation, contents and changes afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "runner/image/byte_order.h"
#include "runner/image/cluster_packing.h"
#include "runner/image/conversion.h"
#include "runner/image/target.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/unit/image/disks.h"
#include "tests/unit/image/vmware_stream.h"
#include "tests/unit/image/with_directory.h"

namespace hyper2kvm::image {
namespace {

using testing::Content;

class Qcow2Writer : public testing::WithDirectory {
 protected:
  // Places random pieces in random batches, then overwrites and zeroes some; the same goes to a raw file.
  void try_random_image(std::uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    testing::Random random(seed);
    std::filesystem::remove(at("out.qcow2"));
    std::filesystem::remove(at("expected.raw"));
    // Up to 64 GiB, so that L1 has several entries and tables lie far apart.
    const std::uint64_t size = 512 * (1 + random() % (std::uint64_t{1} << (12 + random() % 16)));
    const std::uint64_t clusters = (size + kClusterSize - 1) / kClusterSize;
    os::File expected = os::File::open(at("expected.raw"), os::File::Mode::kCreate);
    expected.truncate(size);
    const ClusterCompression compression =
        seed % 2 == 0 ? ClusterCompression::kZstd : ClusterCompression::kDeflate;
    auto target = create_qcow2_target(at("out.qcow2"), size, compression);
    auto expect_at = [&](std::uint64_t offset, std::span<const std::byte> bytes) {
      expected.write_at(
          offset,
          bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), size - offset))));
    };
    ClusterPacker packer(compression, 1 + static_cast<int>(seed % 9));
    std::uint64_t cluster = 0;
    while (cluster < clusters) {
      std::vector<std::vector<std::byte>> memory;
      std::vector<Piece> pieces;
      for (int piece = 0; piece < 20 && cluster < clusters; ++piece) {
        cluster += random() % 4 == 0 ? random() % (clusters / 20 + 2) : random() % 2;
        if (cluster >= clusters) break;
        std::uint64_t run = std::min<std::uint64_t>(clusters - cluster, 1 + random() % 5);
        std::vector<std::byte> data = testing::make_content(
            random() % 2 == 0 ? Content::kText : Content::kNoise, run * kClusterSize, random);
        expect_at(cluster * kClusterSize, data);
        if (random() % 2 == 0) {
          pieces.push_back(Piece{cluster * kClusterSize, Piece::Encoding::kPlain, data});
          memory.push_back(std::move(data));
        } else {
          for (std::uint64_t i = 0; i < run; ++i) {
            std::vector<std::byte> packed(kClusterSize - 1);
            auto plain = std::span(data).subspan(i * kClusterSize, kClusterSize);
            std::size_t packed_size = packer.pack(plain, packed);
            bool fits = packed_size > 0;
            packed.resize(fits ? packed_size : 0);
            if (!fits) packed.assign(plain.begin(), plain.end());
            pieces.push_back(Piece{(cluster + i) * kClusterSize,
                                   fits ? Piece::Encoding::kCompressed : Piece::Encoding::kPlain, packed});
            memory.push_back(std::move(packed));
          }
        }
        cluster += run;
      }
      std::vector<Placed> placed;
      target->place(pieces, placed);
      target->write(placed);
    }
    target->flush();
    for (int change = 0; change < 60; ++change) {
      std::uint64_t first = random() % clusters;
      std::uint64_t offset = first * kClusterSize;
      if (random() % 2 == 0) {
        std::size_t length = static_cast<std::size_t>(std::min<std::uint64_t>(kClusterSize, size - offset));
        std::vector<std::byte> data =
            testing::make_content(static_cast<Content>(random() % 4), length, random);
        target->overwrite(offset, data);
        expect_at(offset, data);
      } else {
        std::uint64_t length = std::min<std::uint64_t>(size - offset, kClusterSize * (1 + random() % 10));
        target->zero(offset, length);
        expected.zero_at(offset, length);
      }
    }
    target->finish();
    testing::expect_sound(at("out.qcow2"), "qcow2");
    testing::expect_same_disk(at("expected.raw"), "raw", at("out.qcow2"), "qcow2");
  }
};

// Plain and packed clusters, by deflate and by zstd, changed afterwards as an overlay does it.
TEST_F(Qcow2Writer, RandomImagesAreSoundAndHoldWhatWasWritten) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) try_random_image(seed);
  // More of the same for who has the time: HYPER2KVM_SEEDS=1000 unit_image
  if (const char* more = std::getenv("HYPER2KVM_SEEDS"); more != nullptr)
    for (int seed = 0; seed < std::atoi(more); ++seed)
      try_random_image(1000 + static_cast<std::uint64_t>(seed));
}

TEST_F(Qcow2Writer, AVeryLargeDiskWithDataFarApartIsSound) {
  // 16 TiB with data in 700 L2 tables: more than are kept in memory.
  const std::uint64_t size = std::uint64_t{16} << 40;
  auto target = create_qcow2_target(at("out.qcow2"), size, ClusterCompression::kDeflate);
  os::File expected = os::File::open(at("expected.raw"), os::File::Mode::kCreate);
  // ext4's largest file is a little below 16 TiB.
  expected.truncate(size - (1u << 20));
  testing::Random random(1);
  std::vector<std::byte> data = testing::make_content(Content::kText, kClusterSize, random);
  auto at_table = [&](std::uint64_t table) { return table * (size / 700) / kClusterSize * kClusterSize; };
  for (std::uint64_t table = 0; table < 700; ++table) {
    data[0] = static_cast<std::byte>(table);
    Piece piece{at_table(table), Piece::Encoding::kPlain, data};
    std::vector<Placed> placed;
    target->place(std::span(&piece, 1), placed);
    target->write(placed);
    expected.write_at(at_table(table), data);
  }
  // Back to a table that is long out of memory.
  target->overwrite(at_table(3), std::vector<std::byte>(kClusterSize, std::byte{9}));
  expected.write_at(at_table(3), std::vector<std::byte>(kClusterSize, std::byte{9}));
  EXPECT_LT(target->finish(), 100u << 20);
  testing::expect_sound(at("out.qcow2"), "qcow2");
  testing::expect_same_disk(at("expected.raw"), "raw", at("out.qcow2"), "qcow2");
}

TEST_F(Qcow2Writer, AnEmptyDiskIsSound) {
  for (std::uint64_t size : {std::uint64_t{512}, std::uint64_t{65536}, std::uint64_t{1} << 44}) {
    create_qcow2_target(at("out.qcow2"), size, ClusterCompression::kDeflate)->finish();
    testing::expect_sound(at("out.qcow2"), "qcow2");
    std::filesystem::remove(at("out.qcow2"));
  }
}

// As docs/interop/qcow2 of QEMU has it, and QEMU's own reading of it.
TEST_F(Qcow2Writer, TheHeaderIsOfVersionThreeAndSaysHowClustersArePacked) {
  for (ClusterCompression compression : {ClusterCompression::kDeflate, ClusterCompression::kZstd}) {
    const bool zstd = compression == ClusterCompression::kZstd;
    std::filesystem::remove(at("out.qcow2"));
    create_qcow2_target(at("out.qcow2"), 1u << 20, compression)->finish();
    const std::vector<std::byte> header = testing::read_all(at("out.qcow2"));
    EXPECT_EQ(load_big<std::uint32_t>(header, 4), 3u);
    EXPECT_EQ(load_big<std::uint64_t>(header, 8), 0u) << "a backing file";
    EXPECT_EQ(load_big<std::uint32_t>(header, 20), 16u);
    EXPECT_EQ(load_big<std::uint64_t>(header, 72), zstd ? 8u : 0u) << "incompatible features";
    EXPECT_EQ(load_big<std::uint32_t>(header, 96), 4u) << "refcounts of 16 bits";
    os::ProcessOptions process;
    process.arguments = {"qemu-img", "info", "-f", "qcow2", "--output=json", at("out.qcow2").string()};
    const nlohmann::json info = nlohmann::json::parse(os::run_program(process));
    const nlohmann::json& data = info["format-specific"]["data"];
    EXPECT_EQ(data["compat"], "1.1");
    EXPECT_EQ(data["refcount-bits"], 16);
    EXPECT_EQ(data["compression-type"], zstd ? "zstd" : "zlib");
    EXPECT_EQ(data["corrupt"], false);
  }
}

TEST_F(Qcow2Writer, TheSameClusterTwiceIsRefused) {
  auto target = create_qcow2_target(at("out.qcow2"), 1u << 20, std::nullopt);
  std::vector<std::byte> data(kClusterSize, std::byte{1});
  const Piece pieces[] = {{65536, Piece::Encoding::kPlain, data}, {65536, Piece::Encoding::kPlain, data}};
  std::vector<Placed> placed;
  EXPECT_THROW(target->place(pieces, placed), os::Error);
}

TEST_F(Qcow2Writer, DataPastTheEndOfTheDiskAreRefusedByEveryTarget) {
  std::vector<std::byte> data(kClusterSize, std::byte{1});
  const Piece piece{1u << 20, Piece::Encoding::kPlain, data};
  auto make = [&](int kind) {
    std::filesystem::remove(at("out"));
    if (kind == 0) return create_qcow2_target(at("out"), 1u << 20, std::nullopt);
    return kind == 1 ? create_raw_target(at("out"), 1u << 20) : create_vdi_target(at("out"), 1u << 20);
  };
  for (int kind = 0; kind < 3; ++kind) {
    auto target = make(kind);
    std::vector<Placed> placed;
    EXPECT_THROW(target->place(std::span(&piece, 1), placed), os::Error) << kind;
  }
}

// QEMU opens a deflate cluster with a window of 4 KiB, and zlib does not hold a stream to it when the whole
// output is one buffer. Grains refer back up to 32 KiB: this must go on working.
TEST_F(Qcow2Writer, GrainsThatReferFarBackAreReadByQemu) {
  testing::Random random(4);
  std::vector<std::byte> disk;
  for (int grain = 0; grain < 64; ++grain) {
    std::vector<std::byte> noise = testing::make_content(Content::kNoise, 1000 + random() % 31000, random);
    for (std::size_t i = 0; i < kClusterSize; ++i) disk.push_back(noise[i % noise.size()]);
  }
  testing::StreamMaker maker;
  maker.capacity_sectors = disk.size() / 512;
  testing::write_all(at("disk.vmdk"), maker.make(disk));
  testing::write_all(at("disk.raw"), disk);
  ConversionResult result =
      testing::convert(at("disk.vmdk"), contract::SourceFormat::kVmdk, at("out.qcow2"), {.compress = true});
  EXPECT_LT(result.file_size, disk.size() / 2) << "nothing was passed through";
  testing::expect_sound(at("out.qcow2"), "qcow2");
  testing::expect_same_disk(at("disk.raw"), "raw", at("out.qcow2"), "qcow2");
}

TEST_F(Qcow2Writer, SevenZipReadsPassedThroughClustersToo) {
  if (os::find_program("7zz").empty()) GTEST_SKIP() << "7zz is not installed (package 7zip)";
  testing::Random random(5);
  testing::write_random_disk(at("disk.raw"), 20u << 20, random);
  testing::convert_with_qemu(at("disk.raw"), at("disk.vmdk"), "vmdk", "subformat=streamOptimized");
  for (bool compress : {true, false}) {
    std::filesystem::remove(at("out.qcow2"));
    testing::convert(at("disk.vmdk"), contract::SourceFormat::kVmdk, at("out.qcow2"), {.compress = compress});
    std::filesystem::remove_all(at("unpacked"));
    os::ProcessOptions process;
    process.arguments = {"7zz", "x", "-tqcow", "-o" + at("unpacked").string(), at("out.qcow2").string()};
    os::run_program(process);
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(at("unpacked")))
      files.push_back(entry.path());
    ASSERT_EQ(files.size(), 1u);
    EXPECT_TRUE(testing::read_all(files[0]) == testing::read_all(at("disk.raw")));
  }
}

}  // namespace
}  // namespace hyper2kvm::image
