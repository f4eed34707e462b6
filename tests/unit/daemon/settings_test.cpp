#include "runner/daemon/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::daemon {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() { source.configuration_directory = directory.path(); }
  void base(const std::string& text) { os::write_text_atomically(directory.path() / "hyper2kvm.conf", text); }
  void own(const std::string& text) {
    os::write_text_atomically(directory.path() / ("hyper2kvm-" + source.instance + ".conf"), text);
  }
  Settings load() { return load_settings(source).settings; }
  std::string refusal() {
    try {
      load();
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kUsage);
      return error.sentence();
    }
    return "accepted";
  }
  os::TemporaryDirectory directory{"settings-test"};
  SettingsSource source;
};

TEST_F(SettingsTest, WithoutAnythingTheDocumentedDefaultsHold) {
  EXPECT_THAT(describe(load()),
              ::testing::ElementsAre(
                  "WATCH_DIR=/var/lib/hyper2kvm/queue", "OUTPUT_DIR=/var/lib/hyper2kvm/output",
                  "LOG_LEVEL=info", "POLL_INTERVAL=5s", "MAX_CONCURRENT=2", "QEMU_CONVERT_OPTIONS=",
                  "COMPRESS_LEVEL=6", "CLEANUP_SOURCE=false", "LIBVIRT_INTEGRATION=false",
                  "LIBVIRT_URI=qemu:///system", "LIBVIRT_BRIDGE=virbr0", "LIBVIRT_POOL=default",
                  "LIBVIRT_AUTOSTART=false", "CONVERSION_TIMEOUT=3600s", "TEMP_DIR=/var/cache/hyper2kvm",
                  "KEY_DIR=", "VERBOSE_PROGRESS=false", "NOTIFY_EMAIL=", "WEBHOOK_URL=", "RETENTION_DAYS=7",
                  "FAILED_RETENTION_DAYS=3", "METRICS_ADDRESS=", "RETRY_LIMIT=3", "RETRY_DELAY=30s"));
}

TEST_F(SettingsTest, EveryVariableOfTheFileIsRead) {
  base(R"(WATCH_DIR=/q
OUTPUT_DIR=/o/
LOG_LEVEL=debug
POLL_INTERVAL=7
MAX_CONCURRENT=0
QEMU_CONVERT_OPTIONS="-O raw"
COMPRESS_LEVEL=9
CLEANUP_SOURCE=true
LIBVIRT_INTEGRATION=yes
LIBVIRT_URI=qemu:///session
LIBVIRT_BRIDGE=br0
LIBVIRT_POOL=vms
LIBVIRT_AUTOSTART=1
CONVERSION_TIMEOUT=120
TEMP_DIR=/t
KEY_DIR=/k
VERBOSE_PROGRESS=on
NOTIFY_EMAIL=ops@example.com
WEBHOOK_URL=https://hooks.example.com/services/SECRET
RETENTION_DAYS=14
FAILED_RETENTION_DAYS=8
METRICS_ADDRESS=127.0.0.1:9477
RETRY_LIMIT=5
RETRY_DELAY=2
)");
  EXPECT_THAT(describe(load()),
              ::testing::ElementsAre(
                  "WATCH_DIR=/q", "OUTPUT_DIR=/o", "LOG_LEVEL=debug", "POLL_INTERVAL=7s", "MAX_CONCURRENT=0",
                  "QEMU_CONVERT_OPTIONS=-O raw", "COMPRESS_LEVEL=9", "CLEANUP_SOURCE=true",
                  "LIBVIRT_INTEGRATION=true", "LIBVIRT_URI=qemu:///session", "LIBVIRT_BRIDGE=br0",
                  "LIBVIRT_POOL=vms", "LIBVIRT_AUTOSTART=true", "CONVERSION_TIMEOUT=7200s", "TEMP_DIR=/t",
                  "KEY_DIR=/k", "VERBOSE_PROGRESS=true", "NOTIFY_EMAIL=ops@example.com",
                  "WEBHOOK_URL=https://hooks.example.com/...", "RETENTION_DAYS=14", "FAILED_RETENTION_DAYS=8",
                  "METRICS_ADDRESS=127.0.0.1:9477", "RETRY_LIMIT=5", "RETRY_DELAY=2s"));
}

TEST_F(SettingsTest, ANamedInstanceHasDirectoriesOfItsOwnWhateverTheBaseFileSays) {
  source.instance = "azure";
  base("WATCH_DIR=/var/lib/hyper2kvm/queue\nOUTPUT_DIR=/var/lib/hyper2kvm/output\nMAX_CONCURRENT=9\n");
  Settings settings = load();
  EXPECT_EQ(settings.watch_dir, "/var/lib/hyper2kvm/azure/queue");
  EXPECT_EQ(settings.output_dir, "/var/lib/hyper2kvm/azure/output");
  EXPECT_EQ(settings.max_concurrent, 9u);
}

TEST_F(SettingsTest, AnInstancesOwnFileWinsOverTheBaseFile) {
  source.instance = "aws";
  base("MAX_CONCURRENT=9\nLOG_LEVEL=warn\n");
  own("MAX_CONCURRENT=3\nWATCH_DIR=/srv/aws\n");
  Settings settings = load();
  EXPECT_EQ(settings.max_concurrent, 3u);
  EXPECT_EQ(settings.log_level, contract::Severity::kWarning);
  EXPECT_EQ(settings.watch_dir, "/srv/aws");
}

TEST_F(SettingsTest, TheCommandLineWinsOverFilesAndFilesOverTheEnvironment) {
  base("WATCH_DIR=/file\nLOG_LEVEL=warn\n");
  source.environment = {{"WATCH_DIR", "/env"}, {"MAX_CONCURRENT", "5"}};
  source.log_level = "error";
  Settings settings = load();
  EXPECT_EQ(settings.watch_dir, "/file");
  EXPECT_EQ(settings.max_concurrent, 5u);
  EXPECT_EQ(settings.log_level, contract::Severity::kError);
}

TEST_F(SettingsTest, WhatSystemdPutIntoTheEnvironmentFromAFileIsNotTakenForTheDaemonsOwn) {
  source.instance = "gcp";
  base("WATCH_DIR=/var/lib/hyper2kvm/queue\nMAX_CONCURRENT=4\n");
  ::setenv("WATCH_DIR", "/var/lib/hyper2kvm/queue", 1);
  ::setenv("MAX_CONCURRENT", "4", 1);
  ::setenv("RETRY_LIMIT", "6", 1);
  Variables own_variables = own_environment(source);
  for (const char* name : {"WATCH_DIR", "MAX_CONCURRENT", "RETRY_LIMIT"}) ::unsetenv(name);
  EXPECT_EQ(own_variables, (Variables{{"RETRY_LIMIT", "6"}}));
}

TEST_F(SettingsTest, ARefusedValueIsNamedWithItsFileAndWhatIsAllowed) {
  base("MAX_CONCURRENT=many\n");
  EXPECT_THAT(refusal(), HasSubstr("hyper2kvm.conf: MAX_CONCURRENT: is \"many\". Set it to a whole number"));
  base("LOG_LEVEL=loud\n");
  EXPECT_THAT(refusal(), HasSubstr("debug, info, warn or error"));
  base("CLEANUP_SOURCE=perhaps\n");
  EXPECT_THAT(refusal(), HasSubstr("true or false"));
  base("COMPRESS_LEVEL=10\n");
  EXPECT_THAT(refusal(), HasSubstr("from 0 to 9"));
  base("WATCH_DIR=queue\n");
  EXPECT_THAT(refusal(), HasSubstr("an absolute path"));
  base("CONVERSION_TIMEOUT=-1\n");
  EXPECT_THAT(refusal(), HasSubstr("a number of minutes"));
  base("CONVERSION_TIMEOUT=99999999999999999999\n");
  EXPECT_THAT(refusal(), HasSubstr("a number of minutes"));
  base("WEBHOOK_URL=http://hooks.example.com/\n");
  EXPECT_THAT(refusal(), HasSubstr("https://"));
  base("NOTIFY_EMAIL=-oQ/tmp\n");
  EXPECT_THAT(refusal(), HasSubstr("one mail address"));
  base("METRICS_ADDRESS=9477\n");
  EXPECT_THAT(refusal(), HasSubstr("HOST:PORT"));
  base("OUTPUT_DIR=/var/lib/hyper2kvm/queue\n");
  EXPECT_THAT(refusal(), HasSubstr("the same directory as WATCH_DIR"));
  base("QEMU_CONVERT_OPTIONS=\"-O vmdk\"\n");
  EXPECT_THAT(refusal(), HasSubstr("QEMU_CONVERT_OPTIONS"));
}

TEST_F(SettingsTest, DurationsMaySayTheirUnit) {
  base("CONVERSION_TIMEOUT=90s\nPOLL_INTERVAL=2min\nRETENTION_DAYS=12h\n");
  Settings settings = load();
  EXPECT_EQ(settings.conversion_timeout, std::chrono::seconds(90));
  EXPECT_EQ(settings.poll_interval, std::chrono::seconds(120));
  EXPECT_EQ(settings.retention, std::chrono::hours(12));
}

TEST_F(SettingsTest, AnUnknownVariableIsToldAndAnEmptyOneIsUnset) {
  base("MAX_CONCURENT=3\nMAX_CONCURRENT=\n");
  LoadedSettings loaded = load_settings(source);
  EXPECT_THAT(loaded.warnings, Contains(HasSubstr("MAX_CONCURENT is not a setting")));
  EXPECT_EQ(loaded.settings.max_concurrent, 2u);
}

TEST_F(SettingsTest, ProgressOptionOfQemuTurnsProgressLinesOn) {
  base("QEMU_CONVERT_OPTIONS=-p\n");
  EXPECT_TRUE(load().verbose_progress);
}

TEST(InstanceName, PathsAndTheDefaultInstancesDirectoriesAreNoNames) {
  for (const char* bad : {"", ".", "..", "a/b", "-x", "queue", "output", "a b", "a\n"})
    EXPECT_THROW(check_instance_name(bad), os::Error) << bad;
  for (const char* good : {"vsphere", "aws", "site-2", "a.b_c"}) EXPECT_NO_THROW(check_instance_name(good));
}

}  // namespace
}  // namespace hyper2kvm::daemon
