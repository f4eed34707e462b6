// Where a disk goes and how it is packed, as a user asks for it: block devices, zstd, VDI.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <optional>
#include <random>

#include "runner/os/file.h"
#include "tests/integration/program.h"
#include "tests/unit/image/loop_device.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OutputTargets : public ::testing::Test {
 protected:
  void SetUp() override { make_disk(in("a.raw"), 16, 1); }
  fs::path in(const std::string& name) const { return directory_.path() / name; }
  fs::path out() const { return in("out"); }

  os::TemporaryDirectory directory_{"targets"};
};

TEST_F(OutputTargets, ZstdAtAChosenLevelByOptionAndByManifest) {
  Ran ran = run_hyper2kvm({"convert", in("a.raw").string(), "--no-fix", "--compression=zstd",
                           "--compress-level=9", "-o", out().string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const fs::path image = out() / read_json(out() / "report.json")["artifacts"][0]["path"].get<std::string>();
  EXPECT_THAT(must_run({"qemu-img", "info", "-f", "qcow2", image.string()}),
              HasSubstr("compression type: zstd"));
  must_run({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", in("a.raw").string(), image.string()});

  nlohmann::json manifest = manifest_for(in("a.raw"));
  manifest["pipeline"]["convert"].update(
      {{"compress", true}, {"compression", "zstd"}, {"compress_level", 1}});
  write_json(in("manifest.json"), manifest);
  ran = run_hyper2kvm({in("manifest.json").string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const fs::path fast = in("output") / "disk-0.qcow2";
  EXPECT_THAT(must_run({"qemu-img", "info", "-f", "qcow2", fast.string()}),
              HasSubstr("compression type: zstd"));
  must_run({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", in("a.raw").string(), fast.string()});
}

TEST_F(OutputTargets, AVdi) {
  Ran ran = run_hyper2kvm({"convert", in("a.raw").string(), "--no-fix", "-O", "vdi", "-o", out().string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const fs::path image = read_json(out() / "report.json")["artifacts"][0]["path"].get<std::string>();
  EXPECT_EQ(image.extension(), ".vdi");
  must_run({"qemu-img", "compare", "-f", "raw", "-F", "vdi", in("a.raw").string(), image.string()});
}

TEST_F(OutputTargets, ADeviceThatIsAFileIsRefused) {
  os::write_text_atomically(in("device"), "precious");
  Ran ran = run_hyper2kvm({"convert", in("a.raw").string(), "--no-fix", "--output-device",
                           in("device").string(), "-o", out().string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("is no block device"));
  EXPECT_EQ(os::read_text(in("device"), 100), "precious");
}

// Three disks of 1 TiB with data far apart, copied beside each other.
TEST_F(OutputTargets, SeveralLargeDisksTogetherTakeLittleMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer takes several times the memory";
#endif
  std::mt19937_64 random(7);
  std::vector<std::string> arguments{"convert", "--no-fix", "--compress", "-o", out().string()};
  std::vector<std::byte> bytes(100'000);
  for (const char* name : {"1.raw", "2.raw", "3.raw"}) {
    os::File file = os::File::open(in(name), os::File::Mode::kCreate);
    file.truncate(std::uint64_t{1} << 40);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 64);
    for (int i = 0; i < 300; ++i) file.write_at(random() % ((std::uint64_t{1} << 24) - 2) * 65536, bytes);
    arguments.push_back(in(name).string());
  }
  Ran ran = run_hyper2kvm(arguments);
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(read_json(out() / "report.json")["artifacts"].size(), 3u);
  rusage use{};
  ASSERT_EQ(::getrusage(RUSAGE_CHILDREN, &use), 0);
  EXPECT_LT(use.ru_maxrss / 1024, 256) << "MiB";
}

// Two disks of one machine, each to a directory of its own; /dev/shm is another file system.
class OutputFile : public OutputTargets {
 protected:
  void SetUp() override {
    OutputTargets::SetUp();
    make_disk(in("b.raw"), 12, 2);
    os::make_directories(in("first"));
  }
  fs::path first() const { return in("first") / "disk.img"; }
  fs::path second() const { return other_.path() / "disk.img"; }
  Ran convert(const fs::path& second, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"convert",
                                       in("a.raw").string(),
                                       in("b.raw").string(),
                                       "--no-fix",
                                       "-O",
                                       "raw",
                                       "-o",
                                       out().string(),
                                       "--output-file=" + first().string(),
                                       "--output-file=disk-1=" + second.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_hyper2kvm(arguments);
  }

  os::TemporaryDirectory other_{"targets", "/dev/shm"};
};

TEST_F(OutputFile, IsWhereTheDiskIsAndTheReportNamesIt) {
  os::write_text_atomically(second(), "what was there before");
  Ran ran = convert(second());
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(sha256(first()), sha256(in("a.raw")));
  EXPECT_EQ(sha256(second()), sha256(in("b.raw")));
  EXPECT_THAT(names_in(out()), ElementsAre("report.json"));
  EXPECT_THAT(names_in(in("first")), ElementsAre("disk.img"));
  EXPECT_THAT(names_in(other_.path()), ElementsAre("disk.img"));
  const nlohmann::json artifacts = read_json(out() / "report.json")["artifacts"];
  EXPECT_EQ(artifacts[0]["path"], first().string());
  EXPECT_EQ(artifacts[1]["path"], second().string());
}

TEST_F(OutputFile, IsThereForAllDisksOrForNone) {
  nlohmann::json manifest = manifest_for(in("a.raw"));
  nlohmann::json disk = manifest_for(in("b.raw"))["disks"][0];
  disk["id"] = "disk-1";
  disk["checksum"] = "sha256:" + std::string(64, '1');
  manifest["disks"].push_back(disk);
  manifest["output"] = {{"format", "raw"},
                        {"directory", out().string()},
                        {"files", {{"disk-0", first().string()}, {"disk-1", second().string()}}}};
  write_json(in("manifest.json"), manifest);
  Ran ran = run_hyper2kvm({in("manifest.json").string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("was promised"));
  EXPECT_TRUE(fs::is_empty(in("first")));
  EXPECT_TRUE(fs::is_empty(other_.path()));
}

TEST_F(OutputFile, NeedsADirectoryThatIsThere) {
  Ran ran = convert(in("not-mounted") / "disk.img");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err,
              HasSubstr("not-mounted: is no directory, and a disk is to be published in it. Make the "
                        "directory, or mount the volume."));
  EXPECT_TRUE(fs::is_empty(in("first")));
  ran = convert(first());
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("would be the output of two disks"));
}

TEST_F(OutputFile, IsNotThereAfterADryRunWhoseTerminationMessageSaysHowLargeItWouldBe) {
  Ran ran = convert(second(), {"--dry-run", "--termination-message=" + in("termination").string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(fs::is_empty(in("first")));
  EXPECT_FALSE(fs::exists(out()));
  const nlohmann::json said = read_json(in("termination"));
  EXPECT_EQ(said["success"], true);
  EXPECT_EQ(said["dry_run"], true);
  ASSERT_EQ(said["disks"].size(), 2u) << said;
  EXPECT_EQ(said["disks"][0]["disk_id"], "disk-0");
  EXPECT_EQ(said["disks"][0]["virtual_size_bytes"], 16u << 20);
  EXPECT_EQ(said["disks"][1]["virtual_size_bytes"], 12u << 20);
}

class OutputDevice : public OutputTargets {
 protected:
  static constexpr std::size_t kSize = 24u << 20;
  void SetUp() override {
    OutputTargets::SetUp();
    attach(first_, "first");
    attach(second_, "second");
    if (first_->path().empty() || second_->path().empty()) GTEST_SKIP() << "no loop devices here";
  }
  void attach(std::optional<hyper2kvm::testing::LoopDevice>& device, const std::string& name) {
    os::File::open(in(name), os::File::Mode::kCreate)
        .write_at(0, std::vector<std::byte>(kSize, std::byte{0xaa}));
    device.emplace(in(name));
  }
  Ran convert(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"convert", in("a.raw").string(), "--no-fix", "-o", out().string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_hyper2kvm(arguments);
  }
  static std::vector<std::byte> bytes_of(const fs::path& path, std::size_t size, std::uint64_t offset = 0) {
    std::vector<std::byte> bytes(size);
    os::File::open(path, os::File::Mode::kRead).read_exactly_at(offset, bytes);
    return bytes;
  }
  std::vector<std::byte> disk() const { return bytes_of(in("a.raw"), 16u << 20); }
  static bool holds(const std::vector<std::byte>& bytes, std::byte value) {
    return std::all_of(bytes.begin(), bytes.end(), [&](std::byte byte) { return byte == value; });
  }

  std::optional<hyper2kvm::testing::LoopDevice> first_, second_;
};

TEST_F(OutputDevice, HoldsTheDiskAndTheReportNamesIt) {
  Ran ran = convert({"--output-device", first_->path().string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("Output: " + first_->path().string()));
  EXPECT_TRUE(bytes_of(first_->path(), 16u << 20) == disk());
  EXPECT_TRUE(holds(bytes_of(first_->path(), 8u << 20, 16u << 20), std::byte{0xaa})) << "behind the disk";
  EXPECT_THAT(names_in(out()), ElementsAre("report.json"));
  const nlohmann::json artifact = read_json(out() / "report.json")["artifacts"][0];
  EXPECT_EQ(artifact["path"], first_->path().string());
  EXPECT_EQ(artifact["format"], "raw");
  EXPECT_EQ(artifact["checksum"], "sha256:" + sha256(in("a.raw"))) << "was read back";
}

TEST_F(OutputDevice, IsRefusedWhereItIsTooSmallInUseOrAnInput) {
  make_disk(in("large.raw"), 25);
  Ran ran = run_hyper2kvm({"convert", in("large.raw").string(), "--no-fix", "-o", out().string(),
                           "--output-device", first_->path().string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err,
              HasSubstr("is a device of 25165824 bytes, and the disk has 26214400. Use a larger device."));
  {
    os::File claimed = os::File::open(first_->path(), os::File::Mode::kDevice);
    ran = convert({"--output-device", first_->path().string()});
    EXPECT_EQ(ran.status, 1);
    EXPECT_THAT(ran.err, HasSubstr("is in use: it is mounted, or another program has claimed it"));
  }
  ran = run_hyper2kvm({"convert", first_->path().string(), "--no-fix", "-o", out().string(),
                       "--output-device", first_->path().string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("is an input of this job"));
  make_disk(in("b.raw"), 12, 2);
  ran = convert({in("b.raw").string(), "--output-device", first_->path().string(), "--output-device",
                 first_->path().string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("would be the output of two disks"));
  EXPECT_TRUE(holds(bytes_of(first_->path(), kSize), std::byte{0xaa})) << "nothing was written";
}

// A guest may write what it likes to its own disk.
TEST_F(OutputDevice, AsAnInputIsARawDiskWhateverItsBytesLookLike) {
  os::File device = os::File::open(first_->path(), os::File::Mode::kReadWrite);
  device.write_at(0, std::as_bytes(std::span(std::string_view("QFI\xfb\0\0\0\3", 8))));
  device.write_at(257, std::as_bytes(std::span(std::string_view("ustar"))));
  Ran ran =
      run_hyper2kvm({"convert", first_->path().string(), "--no-fix", "-O", "raw", "-o", out().string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(bytes_of(out() / "disk-0.raw", kSize) == bytes_of(first_->path(), kSize));
}

TEST_F(OutputDevice, HoldsNothingToBootWhenAnotherDiskOfTheMachineFails) {
  make_disk(in("b.raw"), 12, 2);
  nlohmann::json manifest = manifest_for(in("a.raw"));
  nlohmann::json second = manifest_for(in("b.raw"))["disks"][0];
  second["id"] = "disk-1";
  second["checksum"] = "sha256:" + std::string(64, '1');
  manifest["disks"].push_back(second);
  manifest["output"] = {{"format", "raw"},
                        {"directory", out().string()},
                        {"devices", {{"disk-0", first_->path()}, {"disk-1", second_->path()}}}};
  write_json(in("manifest.json"), manifest);
  Ran ran = run_hyper2kvm({in("manifest.json").string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("was promised"));
  EXPECT_TRUE(holds(bytes_of(first_->path(), 1u << 20), std::byte{0}));
  EXPECT_TRUE(holds(bytes_of(second_->path(), 1u << 20), std::byte{0}));
  EXPECT_THAT(names_in(out()), ElementsAre("report.json"));

  manifest["disks"][1].erase("checksum");
  manifest["output"]["devices"].erase("disk-1");
  write_json(in("manifest.json"), manifest);
  ran = run_hyper2kvm({in("manifest.json").string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(bytes_of(first_->path(), 16u << 20) == disk());
  EXPECT_THAT(names_in(out()), ElementsAre("disk-1.raw", "report.json"));
}

}  // namespace
}  // namespace hyper2kvm::integration
