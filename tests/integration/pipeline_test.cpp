// The promises of a job as a whole: the source never changes, copy and repair overlap, nothing is published
// that is not whole and checked, and a failure or a signal at any moment leaves nothing but the report.
#include "runner/pipeline/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/program.h"
#include "tests/unit/image/loop_device.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using contract::Event;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Events : public contract::EventSink {
 public:
  void emit(const Event& event) override {
    std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  std::vector<Event> all() {
    std::lock_guard lock(mutex_);
    return events_;
  }
  // The position of a stage's start or end; -1 where there is none.
  int position(Event::Kind kind, const std::string& stage) {
    auto events = all();
    for (std::size_t i = 0; i < events.size(); ++i)
      if (events[i].kind == kind && events[i].stage == stage) return static_cast<int>(i);
    return -1;
  }

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
};

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    make_disk(in("a.raw"), 16, 1);
    manifest_ = manifest_for(in("a.raw"));
  }
  void TearDown() override { os::set_fault_hook(nullptr); }
  fs::path in(const std::string& name) const { return directory_.path() / name; }
  fs::path output() const { return in("output"); }

  pipeline::Outcome run(const os::StopToken& stop = {}) {
    write_json(in("manifest.json"), manifest_);
    return pipeline::run(pipeline::open_inputs({in("manifest.json")}), {}, events_, stop);
  }
  void add_second_disk() {
    make_disk(in("b.raw"), 12, 2);
    auto second = manifest_for(in("b.raw"))["disks"][0];
    second["id"] = "disk-1";
    manifest_["disks"].push_back(second);
  }

  os::TemporaryDirectory directory_{"pipeline"};
  nlohmann::json manifest_;
  Events events_;
};

// Looks at, and may spoil, what is written while a job runs.
class Watcher : public os::FaultHook {
 public:
  using Look = std::function<int(Operation, const fs::path&)>;
  explicit Watcher(Look look) : look_(std::move(look)) { os::set_fault_hook(this); }
  ~Watcher() override { os::set_fault_hook(nullptr); }
  int before(Operation operation, const fs::path& path, std::uint64_t, std::size_t) override {
    return look_(operation, path);
  }

 private:
  Look look_;
};

TEST_F(PipelineTest, ConvertsAndReportsWhatItDid) {
  pipeline::Outcome outcome = run();
  ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
  EXPECT_EQ(outcome.boot_disk, output() / "disk-0.qcow2");
  EXPECT_THAT(names_in(output()), ElementsAre("disk-0.qcow2", "report.json"));
  must_run({"qemu-img", "compare", in("a.raw").string(), outcome.boot_disk.string()});
  nlohmann::json report = read_json(outcome.report_path);
  EXPECT_TRUE(report["pipeline"]["success"].get<bool>());
  EXPECT_TRUE(report["pipeline"]["stages"]["convert"]["success"].get<bool>());
  EXPECT_EQ(report["artifacts"][0]["checksum"], "sha256:" + sha256(outcome.boot_disk));
}

TEST_F(PipelineTest, ARegistrationThatCannotWorkIsAFailureOfItsOwnStage) {
  manifest_["libvirt"] = {{"enabled", true}, {"uri", "qemu+unix:///system?socket=/nonexistent/socket"}};
  pipeline::Outcome outcome = run();
  EXPECT_EQ(outcome.exit_status, 1);
  ASSERT_FALSE(outcome.report.errors.empty());
  EXPECT_EQ(outcome.report.errors[0].stage, "register");
  EXPECT_THAT(outcome.report.errors[0].message, HasSubstr("/nonexistent/socket"));
  EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
}

TEST_F(PipelineTest, TheSourceIsTheSameBitForBitAndKeepsItsTime) {
  std::string before = sha256(in("a.raw"));
  auto time = fs::last_write_time(in("a.raw"));
  fs::permissions(in("a.raw"), fs::perms::owner_read, fs::perm_options::replace);
  EXPECT_EQ(run().exit_status, 0);
  EXPECT_EQ(sha256(in("a.raw")), before);
  EXPECT_EQ(fs::last_write_time(in("a.raw")), time);
}

TEST_F(PipelineTest, EveryFormatComesOutIdentical) {
  for (const char* format : {"qcow2", "raw", "vdi"}) {
    manifest_["output"] = {{"format", format}, {"directory", in(format).string()}};
    pipeline::Outcome outcome = run();
    ASSERT_EQ(outcome.exit_status, 0) << format << ": " << outcome.report.errors[0].message;
    must_run({"qemu-img", "compare", in("a.raw").string(), outcome.boot_disk.string()});
  }
}

TEST_F(PipelineTest, SeveralDisksArePublishedTogether) {
  add_second_disk();
  pipeline::Outcome outcome = run();
  ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
  EXPECT_THAT(names_in(output()), ElementsAre("disk-0.qcow2", "disk-1.qcow2", "report.json"));
  must_run({"qemu-img", "compare", in("b.raw").string(), (output() / "disk-1.qcow2").string()});
}

// The first of them to be written waits for the other.
TEST_F(PipelineTest, SeveralDisksAreCopiedAtTheSameTime) {
  add_second_disk();
  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string> written;
  std::atomic<bool> one_after_the_other = false;
  Watcher watcher([&](os::FaultHook::Operation operation, const fs::path& path) {
    const std::string name = path.filename().string();
    if (operation != os::FaultHook::Operation::kWrite || !name.starts_with("disk-")) return 0;
    std::unique_lock lock(mutex);
    if (written.insert(name).second) changed.notify_all();
    if (!changed.wait_for(lock, 60s, [&] { return written.size() == 2 || one_after_the_other.load(); }))
      one_after_the_other = true;
    return 0;
  });
  pipeline::Outcome outcome = run();
  ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
  EXPECT_FALSE(one_after_the_other);
  EXPECT_EQ(written.size(), 2u);
}

TEST_F(PipelineTest, ManyLargeDisksTakeLittleMemoryTogether) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer takes several times the memory";
#endif
  manifest_["pipeline"]["convert"]["compress"] = true;
  for (int i = 1; i < 6; ++i) {
    const fs::path disk = in("more-" + std::to_string(i) + ".raw");
    make_disk(disk, 24, static_cast<unsigned>(i));
    fs::resize_file(disk, std::uint64_t{1} << 40);
    auto more = manifest_for(disk)["disks"][0];
    more["id"] = "disk-" + std::to_string(i);
    manifest_["disks"].push_back(more);
  }
  write_json(in("manifest.json"), manifest_);
  ASSERT_EQ(run_hyper2kvm({"convert", in("manifest.json").string()}).status, 0);
  EXPECT_EQ(names_in(output()).size(), 7u);
  // The largest of all programs that this test has run.
  rusage use{};
  ASSERT_EQ(::getrusage(RUSAGE_CHILDREN, &use), 0);
  EXPECT_LT(use.ru_maxrss / 1024, 256);
}

TEST_F(PipelineTest, TheLevelOfTheManifestIsUsed) {
  std::string text = os::read_text(program_path(), std::size_t{4} << 30);
  text.resize(4u << 20);
  os::write_text_atomically(in("a.raw"), text);
  manifest_ = manifest_for(in("a.raw"));
  std::map<std::string, std::uint64_t> sizes;
  for (const char* compression : {"deflate", "zstd"})
    for (int level : {1, 9}) {
      manifest_["pipeline"]["convert"] = {
          {"enabled", true}, {"compress", true}, {"compression", compression}, {"compress_level", level}};
      pipeline::Outcome outcome = run();
      ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
      sizes[compression + std::to_string(level)] = outcome.report.artifacts.at(0).size_bytes;
    }
  EXPECT_LT(sizes["deflate9"], sizes["deflate1"]);
  EXPECT_LT(sizes["zstd9"], sizes["zstd1"]);
}

// A hash of the holes would take a quarter of an hour.
TEST_F(PipelineTest, ARawDiskOfATebibyteCostsWhatItsDataCost) {
  fs::resize_file(in("a.raw"), std::uint64_t{1} << 40);
  manifest_ = manifest_for(in("a.raw"));
  manifest_["output"] = {{"format", "raw"}, {"directory", output().string()}};
  pipeline::Outcome outcome = run();
  ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
  EXPECT_EQ(fs::file_size(outcome.boot_disk), std::uint64_t{1} << 40);
  EXPECT_EQ(outcome.report.artifacts.at(0).checksum, "");
  nlohmann::json report = read_json(outcome.report_path);
  EXPECT_FALSE(report["artifacts"][0].contains("checksum"));
  EXPECT_TRUE(report["pipeline"]["stages"]["validate"]["success"].get<bool>());
  must_run(
      {"qemu-img", "compare", "-f", "raw", "-F", "raw", in("a.raw").string(), outcome.boot_disk.string()});
}

// Only a lower bound: a busy machine makes everything later, never earlier.
TEST_F(PipelineTest, ARateLimitHoldsForAllThatTheJobReadsAndWrites) {
  add_second_disk();
  write_json(in("manifest.json"), manifest_);
  pipeline::Settings settings;
  settings.rate_limit = 24u << 20;
  auto started = std::chrono::steady_clock::now();
  pipeline::Outcome outcome =
      pipeline::run(pipeline::open_inputs({in("manifest.json")}), settings, events_, {});
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
  ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
  double moved = 0;
  for (const auto& stage : outcome.report.stages)
    if (stage.name == "convert")
      for (const auto& disk : stage.result["disks"])
        moved += disk["bytes_read"].get<double>() + disk["size_bytes"].get<double>();
  // 28 MiB of disks, half of it holes, read and written.
  EXPECT_GT(moved, 20e6);
  EXPECT_GE(took.count(), 0.7 * moved / static_cast<double>(settings.rate_limit));
}

TEST_F(PipelineTest, OneBadDiskPublishesNone) {
  add_second_disk();
  manifest_["disks"][1]["checksum"] = "sha256:" + std::string(64, '1');
  EXPECT_EQ(run().exit_status, 1);
  EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
}

TEST_F(PipelineTest, NothingHasItsFinalNameBeforeItIsSynced) {
  std::atomic<int> syncs_of_the_disk = 0;
  std::atomic<bool> renamed = false;
  std::atomic<bool> published_before_sync = false;
  Watcher watcher([&](os::FaultHook::Operation operation, const fs::path& path) {
    if (operation == os::FaultHook::Operation::kSync && path.filename() == "disk-0.qcow2")
      ++syncs_of_the_disk;
    if (operation == os::FaultHook::Operation::kRename && path == output() / "disk-0.qcow2") {
      renamed = true;
      published_before_sync = syncs_of_the_disk == 0;
    }
    if (fs::exists(output() / "disk-0.qcow2") && !renamed) published_before_sync = true;
    return 0;
  });
  EXPECT_EQ(run().exit_status, 0);
  EXPECT_TRUE(renamed);
  EXPECT_FALSE(published_before_sync);
}

TEST_F(PipelineTest, AnImageThatIsDamagedBeforeItIsPublishedIsFoundByValidate) {
  // The disk's own fault, in the moment between the last write and the check: the first L1 entry is
  // overwritten with nonsense.
  std::atomic<bool> done = false;
  Watcher watcher([&](os::FaultHook::Operation operation, const fs::path& path) {
    if (operation == os::FaultHook::Operation::kOpen &&
        path.parent_path().filename().string().starts_with(".hyper2kvm-") && path.extension() == ".qcow2" &&
        fs::exists(path) && fs::file_size(path) > 65536 && path.filename().string().starts_with("disk-") &&
        events_.position(Event::Kind::kStageEnded, "convert") >= 0 && !done.exchange(true)) {
      std::string header = [&] {
        std::FILE* file = std::fopen(path.c_str(), "rb");
        std::string text(64, '\0');
        if (std::fread(text.data(), 1, text.size(), file) != text.size()) text.clear();
        std::fclose(file);
        return text;
      }();
      std::uint64_t l1 = 0;
      for (int i = 0; i < 8; ++i)
        l1 = l1 << 8 | static_cast<unsigned char>(header[static_cast<std::size_t>(40 + i)]);
      std::FILE* file = std::fopen(path.c_str(), "r+b");
      std::fseek(file, static_cast<long>(l1), SEEK_SET);
      std::fwrite("\x80\x00\x00\x00\x7f\xff\x00\x00", 1, 8, file);
      std::fclose(file);
    }
    return 0;
  });
  pipeline::Outcome outcome = run();
  ASSERT_TRUE(done) << "validate did not open the image";
  EXPECT_EQ(outcome.exit_status, 1);
  EXPECT_EQ(outcome.report.errors.at(0).stage, "validate");
  EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
}

// Every read, write, sync, rename and resize of a job fails once, each in a run of its own.
TEST_F(PipelineTest, AFailureAtAnyFileOperationLeavesOnlyTheReport) {
  std::string before = sha256(in("a.raw"));
  using Operation = os::FaultHook::Operation;
  int failed_runs = 0;
  for (Operation operation : {Operation::kWrite, Operation::kSync, Operation::kRename, Operation::kTruncate,
                              Operation::kRead, Operation::kOpen}) {
    for (int nth = 1; nth < 400; nth += nth < 4 ? 1 : nth / 2) {
      fs::remove_all(output());
      std::atomic<int> count = 0;
      std::atomic<bool> hit = false;
      pipeline::Outcome outcome;
      {
        write_json(in("manifest.json"), manifest_);
        pipeline::Job job = pipeline::open_inputs({in("manifest.json")});
        Watcher watcher([&](Operation which, const fs::path& path) {
          if (which != operation || path.filename().string().find("report.json") != std::string::npos ||
              path == output())
            return 0;
          if (++count != nth) return 0;
          hit = true;
          return operation == Operation::kWrite ? ENOSPC : EIO;
        });
        outcome = pipeline::run(job, {}, events_, {});
      }
      if (!hit) break;
      ++failed_runs;
      ASSERT_EQ(outcome.exit_status, 1) << "operation " << static_cast<int>(operation) << ", number " << nth;
      ASSERT_EQ(names_in(output()), std::vector<std::string>{"report.json"})
          << "operation " << static_cast<int>(operation) << ", number " << nth;
      ASSERT_THAT(outcome.report.errors.at(0).message,
                  AnyOf(HasSubstr("No space left"), HasSubstr("Input/output error")));
    }
  }
  EXPECT_GE(failed_runs, 8);
  EXPECT_EQ(sha256(in("a.raw")), before);
}

// The same for the other kinds of jobs, at whatever operation it is: a whole job at a time.
class FailingJob : public PipelineTest {
 protected:
  // Runs the job until it gets to its end without meeting the fault. device: what must hold nothing to boot.
  void fail_everywhere(const fs::path& device = {}) {
    const std::string before = sha256(in("a.raw"));
    const std::size_t threads = names_in("/proc/self/task").size();
    int failed_runs = 0;
    for (int number = 1;; number += 1 + number / 6) {
      SCOPED_TRACE("operation " + std::to_string(number));
      fs::remove_all(output());
      std::atomic<int> left = number;
      pipeline::Outcome outcome;
      {
        write_json(in("manifest.json"), manifest_);
        pipeline::Job job = pipeline::open_inputs({in("manifest.json")});
        Watcher watcher([&](os::FaultHook::Operation which, const fs::path& path) {
          if (path.filename().string().find("report.json") != std::string::npos || path == output()) return 0;
          if (left.fetch_sub(1) != 1) return 0;
          return which == os::FaultHook::Operation::kWrite ? ENOSPC : EIO;
        });
        outcome = pipeline::run(job, {}, events_, {});
      }
      if (left > 0) {
        EXPECT_EQ(outcome.exit_status, 0);
        break;
      }
      ++failed_runs;
      ASSERT_EQ(outcome.exit_status, 1);
      ASSERT_THAT(names_in(output()), ElementsAre("report.json"));
      ASSERT_THAT(outcome.report.errors.at(0).message,
                  AnyOf(HasSubstr("No space left"), HasSubstr("Input/output error")));
      // Nothing is left of what this process had started.
      ASSERT_EQ(names_in("/proc/self/task").size(), threads);
      if (!device.empty()) {
        std::vector<std::byte> head(1u << 20);
        os::File::open(device, os::File::Mode::kRead).read_exactly_at(0, head);
        ASSERT_TRUE(std::ranges::all_of(head, [](std::byte byte) { return byte == std::byte{0}; }));
      }
    }
    EXPECT_GE(failed_runs, 8);
    EXPECT_EQ(sha256(in("a.raw")), before);
  }
  void take_source(const char* driver, const std::vector<std::string>& options, const char* format) {
    std::vector<std::string> command = {"qemu-img", "convert", "-f", "raw", "-O", driver};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(in("a.raw").string());
    command.push_back(in("source").string());
    must_run(command);
    manifest_["disks"][0]["local_path"] = in("source").string();
    manifest_["disks"][0]["source_format"] = format;
    manifest_["disks"][0]["bytes"] = fs::file_size(in("source"));
  }
};

TEST_F(FailingJob, OfTwoDisksToRaw) {
  add_second_disk();
  manifest_["output"] = {{"format", "raw"}, {"directory", output().string()}};
  fail_everywhere();
}

TEST_F(FailingJob, OfAStreamToCompressedQcow2) {
  take_source("vmdk", {"-o", "subformat=streamOptimized"}, "vmdk");
  manifest_["pipeline"]["convert"]["compress"] = true;
  fail_everywhere();
}

TEST_F(FailingJob, OfBlocksToVdi) {
  take_source("vhdx", {}, "vhdx");
  manifest_["output"] = {{"format", "vdi"}, {"directory", output().string()}};
  fail_everywhere();
}

TEST_F(FailingJob, ToQcow2WithZstd) {
  take_source("qcow2", {"-c"}, "qcow2");
  manifest_["pipeline"]["convert"]["compress"] = true;
  manifest_["pipeline"]["convert"]["compression"] = "zstd";
  fail_everywhere();
}

TEST_F(FailingJob, ToABlockDevice) {
  os::File::open(in("device"), os::File::Mode::kCreate).truncate(20u << 20);
  hyper2kvm::testing::LoopDevice device(in("device"));
  if (device.path().empty()) GTEST_SKIP() << "no loop devices here";
  manifest_["output"] = {
      {"format", "raw"}, {"directory", output().string()}, {"devices", {{"disk-0", device.path().string()}}}};
  fail_everywhere(device.path());
}

TEST_F(PipelineTest, AStopLeavesOnlyTheReport) {
  for (auto delay : {0ms, 5ms, 20ms, 60ms}) {
    fs::remove_all(output());
    os::StopSource source;
    std::thread stopper([&] {
      std::this_thread::sleep_for(delay);
      source.request_stop();
    });
    pipeline::Outcome outcome = run(source.token());
    stopper.join();
    if (outcome.exit_status == 0) continue;  // it was quicker
    EXPECT_TRUE(outcome.cancelled);
    EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
  }
}

TEST_F(PipelineTest, SigtermEndsTheProgramWithinTheSecondAndLeavesOnlyTheReport) {
  // Half of it compressed at the highest level takes seconds.
  fs::remove(in("a.raw"));
  make_disk(in("a.raw"), 768);
  manifest_ = manifest_for(in("a.raw"));
  manifest_["pipeline"]["convert"]["compress"] = true;
  manifest_["pipeline"]["convert"]["compress_level"] = 9;
  write_json(in("manifest.json"), manifest_);
  os::Process process = os::Process::start(
      {.arguments = {program_path().string(), "convert", in("manifest.json").string(), "--log-format=json"}});
  auto deadline = std::chrono::steady_clock::now() + 60s;
  while (!fs::exists(output()) && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(5ms);
  std::this_thread::sleep_for(300ms);
  ::kill(process.pid(), SIGTERM);
  auto status = process.wait_for(30s);
  ASSERT_TRUE(status);
  EXPECT_FALSE(status->signalled);
  EXPECT_EQ(status->code, 1);
  EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
}

TEST_F(PipelineTest, DryRunWritesNothingAnywhere) {
  manifest_["options"] = {{"dry_run", true}};
  EXPECT_EQ(run().exit_status, 0);
  EXPECT_FALSE(fs::exists(output()));
}

TEST_F(PipelineTest, WithoutAPipelineTheChecksumsAreVerifiedAndReported) {
  manifest_.erase("pipeline");
  manifest_["disks"][0]["checksum"] = "sha256:" + sha256(in("a.raw"));
  EXPECT_EQ(run().exit_status, 0);
  EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
}

TEST_F(PipelineTest, ReplacesAnOlderResultOnlyByACompleteOne) {
  os::make_directories(output());
  os::write_text_atomically(output() / "disk-0.qcow2", "an older result");
  manifest_["disks"][0]["checksum"] = "sha256:" + std::string(64, '1');
  EXPECT_EQ(run().exit_status, 1);
  EXPECT_EQ(os::read_text(output() / "disk-0.qcow2", 100), "an older result");
  manifest_["disks"][0].erase("checksum");
  EXPECT_EQ(run().exit_status, 0);
  must_run({"qemu-img", "compare", in("a.raw").string(), (output() / "disk-0.qcow2").string()});
}

// Needs a guest that can be repaired; HYPER2KVM_TEST_GUESTS is the folder of the generated ones.
class RepairTest : public PipelineTest {
 protected:
  void SetUp() override { take_guest("demo"); }
  void take_guest(const std::string& name) {
    fs::path guest = generated_guest(name);
    if (guest.empty()) GTEST_SKIP() << kNoGuests;
    ova_ = guest / (name + ".ova");
    ASSERT_TRUE(fs::exists(ova_)) << ova_;
  }
  pipeline::Job job() {
    pipeline::Job job = pipeline::open_inputs({ova_});
    job.parsed.manifest.output.directory = output().string();
    return job;
  }
  fs::path ova_;
};

TEST_F(RepairTest, CopyAndRepairOverlap) {
  pipeline::Outcome outcome = pipeline::run(job(), {}, events_, {});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
  int fix_started = events_.position(Event::Kind::kStageStarted, "fix");
  int fix_ended = events_.position(Event::Kind::kStageEnded, "fix");
  int convert_started = events_.position(Event::Kind::kStageStarted, "convert");
  int convert_ended = events_.position(Event::Kind::kStageEnded, "convert");
  ASSERT_GE(fix_started, 0);
  EXPECT_LT(fix_started, convert_ended);
  EXPECT_LT(convert_started, fix_ended);
  nlohmann::json report = read_json(outcome.report_path);
  EXPECT_FALSE(report["pipeline"]["stages"]["fix"]["result"].contains("printed")) << "nobody asked for it";
}

TEST_F(RepairTest, TheReportHasFstabBeforeAndAfterWhereItIsAskedFor) {
  pipeline::Job printing = job();
  printing.parsed.manifest.pipeline.fix.print_fstab = true;
  pipeline::Outcome outcome = pipeline::run(printing, {}, events_, {});
  ASSERT_EQ(outcome.exit_status, 0) << outcome.report.errors[0].message;
  nlohmann::json report = read_json(outcome.report_path);
  nlohmann::json printed = report["pipeline"]["stages"]["fix"]["result"]["printed"];
  EXPECT_THAT(printed["fstab before"].get<std::string>(), ::testing::ContainsRegex("/dev/sda1[ \t]+/[ \t]"));
  std::string after = printed["fstab after"].get<std::string>();
  EXPECT_THAT(after, ::testing::ContainsRegex("UUID=[0-9a-f-]{36}[ \t]+/[ \t]"));
  EXPECT_THAT(after, ::testing::Not(HasSubstr("/dev/sda")));
}

class RehearsalTest : public RepairTest, public ::testing::WithParamInterface<std::string> {
  void SetUp() override { take_guest(GetParam()); }
};

TEST_P(RehearsalTest, NamesTheEditsOfTheRealRunAndChangesNothing) {
  std::string before = sha256(ova_);
  pipeline::Outcome real = pipeline::run(job(), {}, events_, {});
  ASSERT_EQ(real.exit_status, 0) << real.report.errors[0].message;
  pipeline::Job rehearsal = job();
  rehearsal.parsed.manifest.options.dry_run = true;
  rehearsal.parsed.manifest.output.directory = in("elsewhere").string();
  pipeline::Outcome dry = pipeline::run(rehearsal, {}, events_, {});
  ASSERT_EQ(dry.exit_status, 0) << dry.report.errors[0].message;
  auto edits = [](const pipeline::Outcome& outcome) {
    for (const auto& stage : outcome.report.stages)
      if (stage.name == "fix") return stage.result["edits"];
    return nlohmann::json();
  };
  EXPECT_GE(edits(real).size(), 4u);
  EXPECT_EQ(edits(real).dump(2), edits(dry).dump(2));
  std::size_t diffs = 0;
  for (const auto& edit : edits(dry)) diffs += edit["diff"].get<std::string>().starts_with("--- ") ? 1 : 0;
  EXPECT_GE(diffs, 4u) << edits(dry).dump(2);
  EXPECT_FALSE(fs::exists(in("elsewhere")));
  EXPECT_EQ(sha256(ova_), before);
}

INSTANTIATE_TEST_SUITE_P(Guests, RehearsalTest, ::testing::Values("demo", "demo-uefi"),
                         [](const auto& name) { return name.param == "demo" ? "Bios" : "Uefi"; });

TEST_F(RepairTest, AStopInTheMiddleOfTheRepairLeavesOnlyTheReport) {
  os::StopSource source;
  std::thread stopper([&] {
    while (events_.position(Event::Kind::kStageStarted, "fix") < 0) std::this_thread::sleep_for(5ms);
    std::this_thread::sleep_for(500ms);
    source.request_stop();
  });
  pipeline::Outcome outcome = pipeline::run(job(), {}, events_, source.token());
  stopper.join();
  EXPECT_TRUE(outcome.cancelled);
  EXPECT_THAT(names_in(output()), ElementsAre("report.json"));
}

}  // namespace
}  // namespace hyper2kvm::integration
