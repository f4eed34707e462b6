// From the command line to the job.
#include "runner/cli/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

pipeline::Job a_job() {
  pipeline::Job job;
  job.parsed.path = "/exports/m.json";
  contract::Manifest& manifest = job.parsed.manifest;
  manifest.source.vm_name = "web01";
  manifest.has_pipeline = true;
  manifest.pipeline.inspect.enabled = manifest.pipeline.fix.enabled = true;
  manifest.pipeline.convert.enabled = manifest.pipeline.validate.enabled = true;
  contract::Disk disk;
  disk.id = "disk-0";
  manifest.disks.push_back(disk);
  return job;
}

contract::Manifest applied(const ConvertArguments& arguments, pipeline::Job job = a_job()) {
  apply(arguments, job);
  return job.parsed.manifest;
}

template <class Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kUsage);
    return error.sentence();
  }
  return "(accepted)";
}

TEST(Apply, NothingWrittenLeavesTheManifestAsItIs) {
  contract::Manifest before = a_job().parsed.manifest;
  contract::Manifest after = applied({});
  after.options.verbose = before.options.verbose;
  EXPECT_EQ(contract::to_json(after), contract::to_json(before));
}

TEST(Apply, AnOutputDirectoryIsRelativeToWhereTheUserStands) {
  pipeline::Job job = a_job();
  apply({.output_directory = "out"}, job);
  EXPECT_EQ(contract::output_directory(job.parsed), std::filesystem::current_path() / "out");
}

TEST(Apply, TheMachineIsStartedWhereThatIsAskedFor) {
  EXPECT_FALSE(applied({}).pipeline.validate.boot.enabled);
  EXPECT_TRUE(applied({.validate_boot = true}).pipeline.validate.boot.enabled);
  contract::BootValidation boot = applied({.boot_timeout = 30}).pipeline.validate.boot;
  EXPECT_TRUE(boot.enabled);
  EXPECT_EQ(boot.timeout_seconds, 30u);
  EXPECT_EQ(
      applied({.overrides = R"({"pipeline": {"validate": {"boot": {"enabled": true, "mem_mb": 512}}}})"})
          .pipeline.validate.boot.mem_mb,
      512u);
}

TEST(Apply, AStatementIsWrittenWhereThatIsAskedFor) {
  EXPECT_FALSE(applied({}).options.attest);
  EXPECT_TRUE(applied({.attest = true}).options.attest);
}

TEST(Apply, FormatCompressionAndNameAreTaken) {
  contract::Manifest manifest = applied({.output_format = contract::OutputFormat::kRaw, .name = "db"});
  EXPECT_EQ(manifest.output.format, contract::OutputFormat::kRaw);
  EXPECT_EQ(manifest.source.vm_name, "db");
  EXPECT_FALSE(manifest.pipeline.convert.compress);
  EXPECT_TRUE(applied({.compress = true}).pipeline.convert.compress);
  contract::Manifest leveled = applied({.compress_level = 3});
  EXPECT_TRUE(leveled.pipeline.convert.compress);
  EXPECT_EQ(leveled.pipeline.convert.compress_level, 3);
}

TEST(Apply, OnlyAQcow2IsCompressed) {
  EXPECT_THAT(refusal([] { applied({.output_format = contract::OutputFormat::kRaw, .compress = true}); }),
              HasSubstr("an image of the format raw cannot be compressed"));
}

TEST(Apply, AMethodOfCompressionIsAWishToCompress) {
  contract::Manifest manifest = applied({.compression = contract::Compression::kZstd});
  EXPECT_TRUE(manifest.pipeline.convert.compress);
  EXPECT_EQ(manifest.pipeline.convert.compression, contract::Compression::kZstd);
}

TEST(Apply, DevicesAreForTheDisksInOrderOrByTheirIds) {
  pipeline::Job job = a_job();
  job.parsed.manifest.disks.push_back(job.parsed.manifest.disks[0]);
  job.parsed.manifest.disks[1].id = "disk-1";
  using Devices = std::map<std::string, std::string>;
  contract::Manifest manifest = applied({.output_devices = {"/dev/a", "/dev/b=c"}}, job);
  EXPECT_EQ(manifest.output.format, contract::OutputFormat::kRaw);
  EXPECT_EQ(manifest.output.devices, (Devices{{"disk-0", "/dev/a"}, {"disk-1", "/dev/b=c"}}));
  EXPECT_EQ(applied({.output_devices = {"disk-1=/dev/a"}}, job).output.devices,
            (Devices{{"disk-1", "/dev/a"}}));
  EXPECT_THAT(refusal([&] { applied({.output_devices = {"disk-2=/dev/a"}}, job); }),
              HasSubstr("\"disk-2\" is the id of no disk"));
  EXPECT_THAT(refusal([&] {
                applied({.output_devices = {"/dev/a", "/dev/b", "/dev/c"}}, job);
              }),
              HasSubstr("more often than the machine has disks (2)"));
  EXPECT_THAT(refusal([&] {
                applied({.output_devices = {"/dev/a", "disk-0=/dev/b"}}, job);
              }),
              HasSubstr("gives the disk disk-0 two places"));
}

TEST(Apply, FilesAreForTheDisksInOrderOrByTheirIds) {
  pipeline::Job job = a_job();
  job.parsed.manifest.disks.push_back(job.parsed.manifest.disks[0]);
  job.parsed.manifest.disks[1].id = "disk-1";
  contract::Manifest manifest = applied({.output_files = {"disk-1=/b/disk.img", "/a/disk.img"}}, job);
  EXPECT_EQ(manifest.output.files,
            (std::map<std::string, std::string>{{"disk-0", "/a/disk.img"}, {"disk-1", "/b/disk.img"}}));
  EXPECT_THAT(refusal([&] { applied({.output_devices = {"/dev/a"}, .output_files = {"/a/disk.img"}}, job); }),
              HasSubstr("--output-file: the disk disk-0 goes to a block device. Give each disk one place."));
}

TEST(Apply, ADeviceHoldsARawDisk) {
  EXPECT_THAT(refusal([] {
                applied({.output_format = contract::OutputFormat::kQcow2, .output_devices = {"/dev/a"}});
              }),
              HasSubstr("-O raw"));
  pipeline::Job job = a_job();
  job.parsed.manifest.output.format = contract::OutputFormat::kRaw;
  job.parsed.manifest.output.devices = {{"disk-0", "/dev/a"}};
  EXPECT_THAT(refusal([&] { applied({.output_format = contract::OutputFormat::kVdi}, job); }),
              HasSubstr("raw"));
}

TEST(Apply, NoFixLeavesTheGuestClosed) {
  contract::Manifest manifest = applied({.no_fix = true});
  EXPECT_FALSE(manifest.pipeline.fix.enabled);
  EXPECT_FALSE(manifest.pipeline.inspect.enabled);
  EXPECT_TRUE(manifest.pipeline.convert.enabled);
  EXPECT_TRUE(manifest.pipeline.validate.enabled);
}

TEST(Apply, DryRunIsNeverTakenBack) {
  EXPECT_TRUE(applied({.dry_run = true}).options.dry_run);
  pipeline::Job job = a_job();
  job.parsed.manifest.options.dry_run = true;
  EXPECT_TRUE(applied({}, job).options.dry_run);
}

TEST(Apply, TheReportGoesWhereItIsWanted) {
  contract::Manifest manifest = applied({.report = "/var/log/r.json"});
  EXPECT_EQ(manifest.options.report_path, "/var/log/r.json");
  EXPECT_FALSE(applied({.no_report = true}).options.report_enabled);
}

TEST(Apply, RegistersOnlyWhenAskedTo) {
  EXPECT_FALSE(applied({}).libvirt.has_value());
  contract::Libvirt libvirt = applied({.name = "db", .registers = true}).libvirt.value();
  EXPECT_TRUE(libvirt.enabled);
  EXPECT_EQ(libvirt.uri, "qemu:///system");
  EXPECT_EQ(libvirt.name, "db");
  EXPECT_THAT(refusal([] { applied({.start = true}); }), HasSubstr("Add --register"));
  EXPECT_THAT(refusal([] { applied({.pool = "p"}); }), HasSubstr("Add --register"));
}

TEST(Apply, OptionsOfLibvirtStandOverTheManifests) {
  pipeline::Job job = a_job();
  job.parsed.manifest.libvirt =
      contract::Libvirt{.enabled = true, .uri = "qemu:///session", .network = "lab", .autostart = true};
  contract::Libvirt libvirt =
      applied(
          {.libvirt_uri = "qemu:///system", .bridge = "br0", .pool = "p", .start = true, .overwrite = true},
          job)
          .libvirt.value();
  EXPECT_EQ(libvirt.uri, "qemu:///system");
  EXPECT_EQ(libvirt.network, "");
  EXPECT_EQ(libvirt.bridge, "br0");
  EXPECT_EQ(libvirt.pool, "p");
  EXPECT_TRUE(libvirt.autostart && libvirt.start && libvirt.overwrite);
  EXPECT_EQ(applied({}, job).libvirt->network, "lab");
}

TEST(Settings, AreRead) {
  pipeline::Settings settings =
      settings_of(ConvertArguments{.rate_limit = "4M",
                                   .no_check_grains = true,
                                   .guest = {.root = "vg/root",
                                             .keys = {"11-22:file:/k:1", "all:file:b"},
                                             .key_files = {"c"},
                                             .temporary_directory = "/scratch"}});
  EXPECT_EQ(settings.rate_limit, 4u << 20);
  EXPECT_FALSE(settings.check_grains);
  EXPECT_EQ(settings.guest_root, "vg/root");
  EXPECT_EQ(settings.temporary_directory, "/scratch");
  ASSERT_EQ(settings.keys.size(), 3u);
  EXPECT_EQ(settings.keys[0].device, "11-22");
  EXPECT_EQ(settings.keys[0].path, "/k:1");
  EXPECT_EQ(settings.keys[1].device, "");
  EXPECT_EQ(settings.keys[1].path, "b");
  EXPECT_EQ(settings.keys[2].device, "");
  EXPECT_EQ(settings.keys[2].path, "c");
}

// As a Secret is mounted: its keys are links into a directory that begins with a dot.
TEST(Settings, KeysOfADirectoryAreReadByTheirNames) {
  os::TemporaryDirectory place("keys");
  const std::string uuid = "4c1a2bd7-0f7c-4b52-9a44-5f3f7b1f2d10";
  std::filesystem::create_directories(place.path() / "..data");
  for (const std::string& name : {uuid, std::string("passphrase")}) {
    std::ofstream(place.path() / "..data" / name) << "secret";
    std::filesystem::create_symlink("..data/" + name, place.path() / name);
  }
  pipeline::Settings settings =
      settings_of(ConvertArguments{.guest = {.key_directory = place.path().string()}});
  ASSERT_EQ(settings.keys.size(), 2u);
  EXPECT_EQ(settings.keys[0].device, uuid);
  EXPECT_EQ(settings.keys[0].path, place.path() / uuid);
  EXPECT_EQ(settings.keys[1].device, "");
  EXPECT_EQ(settings.keys[1].path, place.path() / "passphrase");
  try {
    settings_of(ConvertArguments{.guest = {.key_directory = (place.path() / "elsewhere").string()}});
    ADD_FAILURE() << "a directory that is not there is accepted";
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kUsage);
    EXPECT_THAT(error.sentence(), HasSubstr("cannot be read as a directory of keys"));
  }
}

TEST(Settings, HaveDefaults) {
  pipeline::Settings settings = settings_of(ConvertArguments{});
  EXPECT_EQ(settings.rate_limit, 0u);
  EXPECT_TRUE(settings.check_grains);
  EXPECT_TRUE(settings.keys.empty());
  EXPECT_TRUE(settings.temporary_directory.empty());
}

TEST(Settings, ASecretOnTheCommandLineIsRefusedAndNotRepeated) {
  std::string sentence = refusal([] { settings_of(GuestOptions{.keys = {"all:key:hunter2"}}); });
  EXPECT_THAT(sentence, HasSubstr("a secret is never taken from the command line"));
  EXPECT_THAT(sentence, Not(HasSubstr("hunter2")));
  for (const char* key : {"", "file", "a:file", ":file:b", "a:file:"})
    EXPECT_THAT(refusal([&] { settings_of(GuestOptions{.keys = {key}}); }), HasSubstr("UUID:file:PATH"))
        << key;
}

TEST(Verbosity, IsTheHigherOfTheManifestsAndTheCommandLines) {
  EXPECT_EQ(verbosity_of({}, 0), Verbosity::kNormal);
  EXPECT_EQ(verbosity_of({}, 1), Verbosity::kNormal);
  EXPECT_EQ(verbosity_of({}, 2), Verbosity::kVerbose);
  EXPECT_EQ(verbosity_of({}, 3), Verbosity::kDebug);
  EXPECT_EQ(verbosity_of({.verbose = 1}, 0), Verbosity::kVerbose);
  EXPECT_EQ(verbosity_of({.verbose = 2}, 1), Verbosity::kDebug);
  EXPECT_EQ(verbosity_of({.verbose = 9}, 0), Verbosity::kDebug);
  EXPECT_EQ(verbosity_of({.verbose = 2, .quiet = true}, 3), Verbosity::kQuiet);
}

}  // namespace
}  // namespace hyper2kvm::cli
