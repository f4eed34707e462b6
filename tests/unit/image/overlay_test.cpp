// Overlays: made by us, written by QEMU over every kind of source, applied to every kind of target.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "runner/image/byte_order.h"
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

class Overlay : public testing::WithDirectory {
 protected:
  // The overlay on top of a raw disk, as one json: name for QEMU's tools.
  std::string stacked(const std::filesystem::path& overlay, const std::filesystem::path& below) const {
    nlohmann::json graph = {{"driver", "qcow2"},
                            {"discard", "unmap"},
                            {"file", {{"driver", "file"}, {"filename", overlay.string()}}},
                            {"backing",
                             {{"driver", "raw"},
                              {"read-only", true},
                              {"file", {{"driver", "file"}, {"filename", below.string()}}}}}};
    return "json:" + graph.dump();
  }

  // Random writes, zeroes and discards, as a guest's kernel does them.
  void change(const std::string& stack, std::uint64_t size, testing::Random& random) {
    os::ProcessOptions process;
    process.arguments = {"qemu-io"};
    for (int i = 0; i < 40; ++i) {
      std::uint64_t offset = random() % (size / 4096) * 4096;
      std::uint64_t length = std::min<std::uint64_t>(size - offset, 4096 * (1 + random() % 64));
      if (random() % 8 == 0) length = std::min<std::uint64_t>(size - offset, std::uint64_t{4} << 20);
      std::string range = std::to_string(offset) + " " + std::to_string(length);
      std::string pattern = std::to_string(1 + random() % 255);
      const std::string commands[] = {"write -P " + pattern + " " + range, "write -z " + range,
                                      "write -z -u " + range, "discard " + range};
      process.arguments.push_back("-c");
      process.arguments.push_back(commands[random() % 4]);
    }
    process.arguments.push_back(stack);
    os::run_program(process);
  }

  // What the disk is with the overlay on it.
  void flatten(const std::string& stack, const std::filesystem::path& to) {
    os::ProcessOptions process;
    process.arguments = {"qemu-img", "convert", "-O", "raw", stack, to.string()};
    os::run_program(process);
  }

  // One disk, one overlay, every target, from every kind of source.
  void try_all_targets(std::uint64_t seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    testing::Random random(seed);
    os::TemporaryDirectory own("image-test");
    auto here = [&](const std::string& name) { return own.path() / name; };
    std::uint64_t size = (16u << 20) + random() % 64 * 4096;
    testing::write_random_disk(here("disk.raw"), size, random);
    testing::convert_with_qemu(here("disk.raw"), here("disk.vmdk"), "vmdk", "subformat=streamOptimized");
    create_overlay(here("overlay.qcow2"), size);
    testing::expect_sound(here("overlay.qcow2"), "qcow2");
    change(stacked(here("overlay.qcow2"), here("disk.raw")), size, random);
    flatten(stacked(here("overlay.qcow2"), here("disk.raw")), here("expected.raw"));
    // Packed clusters that are passed on, and some that are packed anew, are overwritten too.
    testing::convert_with_qemu(here("disk.raw"), here("disk.qcow2"), "qcow2",
                               "compression_type=zstd,compressed");
    for (const auto& [source_name, source_format] :
         {std::pair{"disk.raw", SourceFormat::kRaw}, std::pair{"disk.vmdk", SourceFormat::kVmdk},
          std::pair{"disk.qcow2", SourceFormat::kQcow2}})
      for (const ConversionOptions& target :
           {ConversionOptions{.format = OutputFormat::kQcow2}, ConversionOptions{.compress = true},
            ConversionOptions{.compress = true, .compression = ClusterCompression::kZstd},
            ConversionOptions{.format = OutputFormat::kRaw},
            ConversionOptions{.format = OutputFormat::kVdi}}) {
        SCOPED_TRACE(std::string(source_name) + " to " + testing::qemu_name(target.format));
        ConversionOptions options = target;
        options.scratch = own.path();
        SourceImage source = open_source(testing::whole(here(source_name)), source_format, "disk0");
        auto conversion = Conversion::create(source, here("out"), options);
        conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
        conversion->apply_overlay(here("overlay.qcow2"), {});
        EXPECT_GT(conversion->finish().overlay_bytes, 0u);
        const std::string name = testing::qemu_name(options.format);
        if (options.format != OutputFormat::kRaw) testing::expect_sound(here("out"), name);
        testing::expect_same_disk(here("expected.raw"), "raw", here("out"), name);
        std::filesystem::remove(here("out"));
      }
  }
};

TEST_F(Overlay, WhatQemuWroteIsInEveryTarget) {
  for (std::uint64_t seed : {1, 2, 3}) try_all_targets(seed);
  // More of the same for who has the time: HYPER2KVM_SEEDS=100 unit_image
  if (const char* more = std::getenv("HYPER2KVM_SEEDS"); more != nullptr)
    for (int seed = 0; seed < std::atoi(more); ++seed)
      try_all_targets(1000 + static_cast<std::uint64_t>(seed));
}

TEST_F(Overlay, ADiscardedClusterIsAHoleAfterwards) {
  const std::uint64_t size = 8u << 20;
  testing::Random random(5);
  testing::write_all(at("disk.raw"), testing::make_content(testing::Content::kNoise, size, random));
  create_overlay(at("overlay.qcow2"), size);
  os::ProcessOptions process;
  process.arguments = {"qemu-io", "-c", "discard 0 4M", stacked(at("overlay.qcow2"), at("disk.raw"))};
  os::run_program(process);
  for (OutputFormat format : {OutputFormat::kQcow2, OutputFormat::kRaw}) {
    SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
    auto conversion = Conversion::create(source, at("out"), {.format = format});
    conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
    conversion->apply_overlay(at("overlay.qcow2"), {});
    EXPECT_LT(conversion->finish().file_size, 5u << 20);
    std::filesystem::remove(at("out"));
  }
}

TEST_F(Overlay, AnOverlayOfAnotherSizeIsRefused) {
  testing::Random random(6);
  testing::write_random_disk(at("disk.raw"), 1u << 20, random);
  create_overlay(at("overlay.qcow2"), 2u << 20);
  SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
  auto conversion = Conversion::create(source, at("out"), {});
  conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
  EXPECT_THROW(conversion->apply_overlay(at("overlay.qcow2"), {}), os::Error);
}

TEST_F(Overlay, TablesThatPointPastTheEndAreRefused) {
  testing::Random random(7);
  testing::write_random_disk(at("disk.raw"), 1u << 20, random);
  create_overlay(at("overlay.qcow2"), 1u << 20);
  os::ProcessOptions process;
  process.arguments = {"qemu-io", "-c", "write -P 3 0 64k", stacked(at("overlay.qcow2"), at("disk.raw"))};
  os::run_program(process);
  const std::vector<std::byte> good = testing::read_all(at("overlay.qcow2"));
  const std::uint64_t l1 = load_big<std::uint64_t>(good, 40);
  const std::uint64_t l2 = load_big<std::uint64_t>(good, l1) & 0x00fffffffffffe00;
  for (std::uint64_t where : {l1, l2}) {
    std::vector<std::byte> bad = good;
    store_big<std::uint64_t>(std::span(bad), where, (std::uint64_t{1} << 63) | (std::uint64_t{1} << 40));
    testing::write_all(at("overlay.qcow2"), bad);
    std::filesystem::remove(at("out"));
    SourceImage source = open_source(testing::whole(at("disk.raw")), SourceFormat::kRaw, "disk0");
    auto conversion = Conversion::create(source, at("out"), {});
    conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
    try {
      conversion->apply_overlay(at("overlay.qcow2"), {});
      FAIL() << "not refused";
    } catch (const os::Error& error) {
      EXPECT_THAT(error.sentence(), HasSubstr("past the end of the file"));
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::image
