// Each variable of the configuration changes what the daemon does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/inotify.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <set>

#include "tests/integration/daemon_host.h"
#include "tests/integration/libvirt_host.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class DaemonSettings : public DaemonHost {
 protected:
  fs::path machine(const std::string& name) const { return path("output") / "machines" / name; }
  void convert(const std::string& name) {
    submit_and_wait(manifest(name));
    ASSERT_TRUE(eventually([&] { return ended(name); })) << log();
    ASSERT_TRUE(succeeded(name)) << error_of(name);
  }
  // The most conversions at the same time, of so many that are all there from the start.
  std::size_t most_at_once(unsigned jobs) {
    ask("pause");
    for (unsigned i = 0; i < jobs; ++i) submit_and_wait(slow_manifest("vm" + std::to_string(i)));
    ask("resume");
    std::size_t most = 0;
    eventually(
        [&] {
          json status = ask("status");
          most = std::max(most, status["running"].get<std::size_t>());
          return status["done"] == jobs;
        },
        300s);
    EXPECT_EQ(ask("status")["done"], jobs) << log();
    return most;
  }
};

TEST_F(DaemonSettings, WatchDirIsWhereManifestsAreTakenFromAndTheCommandLineWins) {
  fs::create_directory(path("other"));
  start({"--watch-dir=" + path("other").string()});
  std::ofstream(path("other") / "a.json") << manifest("other").dump();
  submit(manifest("usual"));
  ASSERT_TRUE(eventually([&] { return succeeded("other"); })) << log();
  EXPECT_FALSE(is_taken());
  EXPECT_FALSE(succeeded("usual"));
}

TEST_F(DaemonSettings, OutputDirIsWhereResultsAppearAndTheCommandLineWins) {
  fs::create_directory(path("results"));
  start({"--output-dir=" + path("results").string()});
  submit(manifest("web"));
  EXPECT_TRUE(eventually([&] { return fs::exists(path("results") / "web.qcow2"); })) << log();
  EXPECT_THAT(names_in(path("output")), IsEmpty());
}

TEST_F(DaemonSettings, LogLevelIsTheLeastThatIsTold) {
  configure("LOG_LEVEL=debug\n");
  start_and_wait();
  convert("web");
  stop();
  EXPECT_THAT(log(), HasSubstr("debug: ["));
  EXPECT_THAT(log(), HasSubstr("info: ["));
  fs::remove(path("log"));
  configure("LOG_LEVEL=error\n");
  start_and_wait();
  convert("web");
  json bad = manifest("bad");
  bad["disks"][0]["bytes"] = 1;
  submit_and_wait(bad);
  ASSERT_TRUE(eventually([&] { return failed("bad"); }));
  stop();
  EXPECT_THAT(log(), Not(HasSubstr("info: ")));
  EXPECT_THAT(log(), HasSubstr("error: ["));
}

TEST_F(DaemonSettings, PollIntervalIsWhenAFileSystemThatDoesNotNotifyIsLookedAtAgain) {
  configure("POLL_INTERVAL=3600\n");
  start_and_wait({{"LD_PRELOAD", WITHOUT_INOTIFY}});
  EXPECT_THAT(log(), HasSubstr("The queue is looked at every 3600 s instead."));
  submit(manifest("web"));
  std::this_thread::sleep_for(3s);
  EXPECT_FALSE(is_taken());
  ASSERT_EQ(stop(), 0);
  fs::remove(path("queue") / "artifact-manifest.json");
  configure("POLL_INTERVAL=1\n");
  start_and_wait({{"LD_PRELOAD", WITHOUT_INOTIFY}});
  submit(manifest("web"), true);
  EXPECT_TRUE(eventually([&] { return succeeded("web"); })) << log();
}

TEST_F(DaemonSettings, MaxConcurrentIsHowManyConversionsRunAtOnce) {
  configure("MAX_CONCURRENT=1\n");
  start_and_wait();
  EXPECT_EQ(most_at_once(3), 1u);
}

TEST_F(DaemonSettings, NoMaxConcurrentIsNoLimit) {
  configure("MAX_CONCURRENT=0\n");
  start_and_wait();
  EXPECT_EQ(most_at_once(4), 4u);
}

TEST_F(DaemonSettings, QemuConvertOptionsAreHonoured) {
  configure("QEMU_CONVERT_OPTIONS=-O raw\n");
  start_and_wait();
  convert("web");
  EXPECT_TRUE(fs::exists(machine("web") / "disk-0.raw"));
  EXPECT_TRUE(fs::is_symlink(image_of("web")));
  stop();
  configure("QEMU_CONVERT_OPTIONS=\"-O qcow2 -c\"\n");
  start_and_wait();
  convert("web");
  EXPECT_TRUE(fs::exists(machine("web") / "disk-0.qcow2"));
  EXPECT_THAT(must_run({"qemu-img", "check", "--output=json", image_of("web").string()}),
              HasSubstr("\"compressed-clusters\""));
}

TEST_F(DaemonSettings, QemuConvertOptionsThatCannotBeHonouredAreAnErrorAtTheStart) {
  configure("QEMU_CONVERT_OPTIONS=-O vhdx\n");
  start();
  auto status = daemon_->wait_for(60s);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->code, 2);
  EXPECT_THAT(log(), HasSubstr("asks for the output format \"vhdx\", which hyper2kvm does not write"));
}

TEST_F(DaemonSettings, CompressLevelIsHowHardItTries) {
  make_text_disk(path("disk.raw"), 16);
  std::map<std::string, std::uintmax_t> sizes;
  for (const char* level : {"0", "1", "9"}) {
    configure("QEMU_CONVERT_OPTIONS=-c\nCOMPRESS_LEVEL=" + std::string(level) + "\n");
    start_and_wait();
    convert("web");
    sizes[level] = json::parse(must_run({"qemu-img", "check", "--output=json", image_of("web").string()}))
                       .at("image-end-offset");
    ASSERT_EQ(stop(), 0);
  }
  EXPECT_LT(sizes["9"], sizes["1"]);
  EXPECT_LT(sizes["1"], sizes["0"]);
}

TEST_F(DaemonSettings, CleanupSourceRemovesADiskWhoseResultWasFoundSound) {
  fs::copy_file(path("disk.raw"), path("copy.raw"));
  json document = manifest("web");
  document["disks"][0]["local_path"] = path("copy.raw").string();
  document["pipeline"].erase("validate");
  start_and_wait();
  submit(document);
  ASSERT_TRUE(eventually([&] { return succeeded("web"); })) << log();
  EXPECT_TRUE(fs::exists(path("copy.raw")));
  stop();

  configure("CLEANUP_SOURCE=true\n");
  start_and_wait();
  json bad = document;
  bad["source"]["vm_name"] = "bad";
  bad["disks"][0]["checksum"] = "sha256:" + std::string(64, '0');
  submit_and_wait(bad);
  ASSERT_TRUE(eventually([&] { return failed("bad"); })) << log();
  EXPECT_TRUE(fs::exists(path("copy.raw")));
  submit_and_wait(document);
  ASSERT_TRUE(eventually([&] { return ask("stats")["stats"]["done"] == 2; })) << log();
  EXPECT_FALSE(fs::exists(path("copy.raw")));
  // It was read back first, although the manifest did not ask for that.
  json stages = ask({{"command", "show"}, {"job", "web"}})["report"]["pipeline"]["stages"];
  EXPECT_EQ(stages["validate"]["success"], true);
  must_run({"qemu-img", "compare", image_of("web").string(), path("disk.raw").string()});
}

TEST_F(DaemonSettings, LibvirtVariablesRegisterTheMachineAsTheySay) {
  if (!LibvirtDaemon::can_run()) GTEST_SKIP() << "needs root, libvirtd and unshare";
  LibvirtDaemon libvirtd;
  libvirtd.start();
  libvirtd.make_pool("vsphere-vms");
  json document = manifest("web");
  document["nics"] = {{{"id", "nic-0"}, {"mac", "00:50:56:aa:bb:01"}, {"network", "VM Network"}}};
  std::string common = "LIBVIRT_URI=" + libvirtd.uri() +
                       "\nLIBVIRT_BRIDGE=br-vsphere\nLIBVIRT_POOL=vsphere-vms\nLIBVIRT_AUTOSTART=true\n";
  configure(common);
  start_and_wait();
  submit(document);
  ASSERT_TRUE(eventually([&] { return ended("web"); }));
  stop();
  EXPECT_THAT(libvirtd.machines().names(), IsEmpty());

  configure(common + "LIBVIRT_INTEGRATION=true\n");
  start_and_wait();
  submit_and_wait(document);
  ASSERT_TRUE(eventually([&] { return ask("stats")["stats"]["done"] == 2 || failed("web"); })) << log();
  ASSERT_FALSE(failed("web")) << error_of("web");
  EXPECT_THAT(libvirtd.machines().names(), ElementsAre("web"));
  EXPECT_THAT(libvirtd.machines().xml("web"), HasSubstr("<source bridge='br-vsphere'/>"));
  EXPECT_THAT(libvirtd.machines().xml("web"), HasSubstr("00:50:56:aa:bb:01"));
  EXPECT_TRUE(libvirtd.machines().has_autostart("web"));
  EXPECT_THAT(libvirtd.volumes("vsphere-vms"), SizeIs(1));
}

TEST_F(DaemonSettings, ConversionTimeoutEndsAnAttemptThatTakesLonger) {
  configure("CONVERSION_TIMEOUT=2s\nRETRY_LIMIT=1\n");
  start_and_wait();
  submit(slow_manifest("slow"));
  ASSERT_TRUE(eventually([&] { return !conversions().empty() || ended("slow"); })) << log();
  for (pid_t child : conversions()) ::kill(child, SIGSTOP);
  ASSERT_TRUE(eventually([&] { return failed("slow"); })) << log();
  EXPECT_THAT(error_of("slow"), HasSubstr("took longer than"));
  EXPECT_THAT(error_of("slow"), HasSubstr("Raise CONVERSION_TIMEOUT"));
  EXPECT_THAT(conversions(), IsEmpty());
  EXPECT_THAT(names_in(path("temp")), IsEmpty());
}

TEST_F(DaemonSettings, TempDirIsWhereScratchFilesAre) {
  fs::create_directory(path("scratch"));
  os::UniqueFd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ::inotify_add_watch(watch.get(), path("scratch").c_str(), IN_CREATE);
  configure("TEMP_DIR=" + path("scratch").string() + "\n");
  start_and_wait();
  convert("web");
  std::string seen(65536, '\0');
  ssize_t got = ::read(watch.get(), seen.data(), seen.size());
  ASSERT_GT(got, 0);
  EXPECT_THAT(seen.substr(0, static_cast<std::size_t>(got)),
              HasSubstr("job-" + ask("list")["jobs"][0]["id"].get<std::string>()));
  EXPECT_THAT(names_in(path("scratch")), IsEmpty());
}

TEST_F(DaemonSettings, KeyDirHasTheKeysOfEncryptedGuests) {
  fs::create_directory(path("keys"));
  os::write_text_atomically(path("keys") / "passphrase", "another");
  json job = manifest("locked");
  job["pipeline"]["fix"] = {{"enabled", true}};
  fs::path disk = job["disks"][0]["local_path"].get<std::string>();
  fs::resize_file(disk, 16u << 20);  // more than the header takes
  os::write_text_atomically(path("key"), "secret");
  must_run({"cryptsetup", "luksFormat", "--batch-mode", "--type", "luks1", "--iter-time", "10", "--key-file",
            path("key").string(), disk.string()});
  job["disks"][0]["bytes"] = fs::file_size(disk);
  start_and_wait();
  submit_and_wait(job);
  ASSERT_TRUE(eventually([&] { return failed("locked"); })) << log();
  EXPECT_THAT(error_of("locked"), HasSubstr("no key was given for it"));
  stop();
  configure("KEY_DIR=" + path("keys").string() + "\n");
  start_and_wait();
  job["source"]["vm_name"] = "with-another-key";
  submit_and_wait(job);
  ASSERT_TRUE(eventually([&] { return failed("with-another-key"); })) << log();
  EXPECT_THAT(error_of("with-another-key"), HasSubstr("none of the given keys opens it"));
  // It opens, and there is nothing inside.
  os::write_text_atomically(path("keys") / "right", "secret");
  job["source"]["vm_name"] = "open";
  submit_and_wait(job);
  ASSERT_TRUE(eventually([&] { return failed("open"); })) << log();
  EXPECT_THAT(error_of("open"), HasSubstr("no operating system was found"));
  EXPECT_THAT(log(), Not(HasSubstr("secret")));
}

TEST_F(DaemonSettings, VerboseProgressTellsHowFarAConversionIs) {
  start_and_wait();
  submit_and_wait(slow_manifest("quiet"));
  ASSERT_TRUE(eventually([&] { return succeeded("quiet"); })) << log();
  EXPECT_THAT(log(), Not(HasSubstr(" MB/s")));
  stop();
  configure("VERBOSE_PROGRESS=true\n");
  start_and_wait();
  submit_and_wait(slow_manifest("told"));
  ASSERT_TRUE(eventually([&] { return succeeded("told"); })) << log();
  EXPECT_THAT(log(), HasSubstr(" MB/s"));
}

TEST_F(DaemonSettings, NotifyEmailSendsAMailThroughSendmail) {
  fs::create_directory(path("bin"));
  std::ofstream(path("bin") / "sendmail") << "#!/bin/sh\necho \"arguments: $*\" >>" << path("mails").string()
                                          << "\ncat >>" << path("mails").string() << "\n";
  fs::permissions(path("bin") / "sendmail", fs::perms(0755));
  configure("NOTIFY_EMAIL=ops@example.com\n");
  start_and_wait({{"PATH", path("bin").string() + ":" + std::getenv("PATH")}});
  convert("web");
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0]["mailed"] == true; })) << log();
  std::string mail = os::read_text(path("mails"), 65536);
  EXPECT_THAT(mail, HasSubstr("arguments: -i -- ops@example.com"));
  EXPECT_THAT(mail, HasSubstr("\nSubject: hyper2kvm: web was converted\n"));
  EXPECT_THAT(mail, HasSubstr("\nImage: " + (machine("web") / "disk-0.qcow2").string()));
}

// A server for webhooks: answers with the statuses in turn, the last one again and again.
class Hooks {
 public:
  Hooks(const fs::path& directory, const std::string& statuses, bool tls) : directory_(directory) {
    std::ofstream(directory / "hooks.py") << R"(
import http.server, ssl, sys
statuses = sys.argv[2].split(",")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[1] + "/calls", "ab") as calls:
            calls.write(body + b"\n")
        self.send_response(int(statuses.pop(0) if len(statuses) > 1 else statuses[0]))
        self.send_header("Location", "http://127.0.0.1/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
if sys.argv[3] == "tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1] + "/certificate", sys.argv[1] + "/key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(sys.argv[1] + "/port.new", "w") as port:
    port.write(str(server.server_port))
import os
os.rename(sys.argv[1] + "/port.new", sys.argv[1] + "/port")
server.serve_forever()
)";
    if (tls)
      must_run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-days", "1", "-subj", "/CN=127.0.0.1", "-keyout", (directory / "key").string(), "-out",
                (directory / "certificate").string()});
    process_.emplace(
        os::Process::start({.arguments = {"python3", (directory / "hooks.py").string(), directory.string(),
                                          statuses, tls ? "tls" : "plain"}}));
    for (int i = 0; i < 3000 && !fs::exists(directory / "port"); ++i) std::this_thread::sleep_for(20ms);
    address_ = (tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + os::read_text(directory / "port", 16);
  }
  const std::string& address() const { return address_; }
  std::vector<json> calls() const {
    std::vector<json> calls;
    std::ifstream file(directory_ / "calls");
    for (std::string line; std::getline(file, line);) calls.push_back(json::parse(line));
    return calls;
  }

 private:
  fs::path directory_;
  std::optional<os::Process> process_;
  std::string address_;
};

TEST_F(DaemonSettings, WebhookUrlIsToldOfEveryJobAndAgainWhereItWasNotHeard) {
  Hooks hooks(directory_.path(), "503,200", false);
  configure("WEBHOOK_URL=" + hooks.address() + "/services/SECRET\n");
  start_and_wait();
  convert("web");
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0]["hooked"] == true; })) << log();
  ASSERT_THAT(hooks.calls(), SizeIs(2));
  json call = hooks.calls()[1];
  EXPECT_EQ(call["event"], "job_ended");
  EXPECT_EQ(call["vm_name"], "web");
  EXPECT_EQ(call["outcome"], "done");
  EXPECT_EQ(call["job"], ask("list")["jobs"][0]["id"]);
  EXPECT_EQ(call["output_path"], (machine("web") / "disk-0.qcow2").string());
  // The address is a secret: it is in no log and no answer.
  EXPECT_THAT(log(), Not(HasSubstr("SECRET")));
  EXPECT_THAT(ask("status").dump(), Not(HasSubstr("SECRET")));
}

TEST_F(DaemonSettings, AWebhookThatIsNeverHeardIsGivenUp) {
  Hooks hooks(directory_.path(), "503", false);
  configure("WEBHOOK_URL=" + hooks.address() + "/\n");
  start_and_wait();
  convert("web");
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0]["hooked"] == true; })) << log();
  EXPECT_THAT(hooks.calls(), SizeIs(5));
  EXPECT_THAT(log(), HasSubstr("WEBHOOK_URL: answered with status 503"));
}

TEST_F(DaemonSettings, AWebhookThatRefusesIsNotAskedAgainAndLeadsNowhereElse) {
  Hooks hooks(directory_.path(), "302,404", false);
  configure("WEBHOOK_URL=" + hooks.address() + "/\n");
  start_and_wait();
  convert("web");
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0]["hooked"] == true; })) << log();
  EXPECT_THAT(hooks.calls(), SizeIs(1));
  EXPECT_THAT(log(), HasSubstr("WEBHOOK_URL: answered with status 302"));
}

TEST_F(DaemonSettings, AWebhookWhoseCertificateNobodyTrustsIsToldNothing) {
  Hooks hooks(directory_.path(), "200", true);
  configure("WEBHOOK_URL=" + hooks.address() + "/\n");
  start_and_wait();
  convert("web");
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0]["hooked"] == true; })) << log();
  EXPECT_THAT(hooks.calls(), IsEmpty());
  EXPECT_THAT(log(), HasSubstr("its certificate is not trusted"));
}

TEST_F(DaemonSettings, RetentionDaysAreHowLongJobsAreRememberedAndNotImages) {
  start_and_wait();
  convert("web");
  ASSERT_EQ(stop(), 0);
  start_and_wait();
  EXPECT_THAT(ask("list")["jobs"], SizeIs(1));
  ASSERT_EQ(stop(), 0);
  configure("RETENTION_DAYS=0\n");
  start_and_wait();
  EXPECT_THAT(ask("list")["jobs"], SizeIs(0));
  EXPECT_TRUE(succeeded("web"));
  EXPECT_EQ(ask("stats")["stats"]["done"], 1);
}

TEST_F(DaemonSettings, FailedRetentionDaysAreHowLongFailuresAreRemembered) {
  json bad = manifest("bad");
  bad["disks"][0]["bytes"] = 1;
  start_and_wait();
  submit_and_wait(bad);
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0]["phase"] == "failed"; }));
  std::ofstream(path("queue") / "test.json") << "{\"test\": true}\n";
  ASSERT_TRUE(eventually([&] { return ask("status")["refused"] == 1; }));
  ASSERT_EQ(stop(), 0);
  configure("RETENTION_DAYS=0\n");
  start_and_wait();
  EXPECT_THAT(ask("list")["jobs"], SizeIs(1));
  EXPECT_TRUE(failed("bad"));
  ASSERT_EQ(stop(), 0);
  std::this_thread::sleep_for(1100ms);  // what was refused in this second is kept
  configure("FAILED_RETENTION_DAYS=0\n");
  start_and_wait();
  EXPECT_THAT(ask("list")["jobs"], SizeIs(0));
  EXPECT_FALSE(failed("bad"));
  EXPECT_EQ(ask("status")["refused"], 0);
}

TEST_F(DaemonSettings, RetryLimitIsHowOftenWhatMayPassIsTried) {
  configure("RETRY_LIMIT=2\nRETRY_DELAY=1\n");
  start_and_wait();
  submit(slow_manifest("unlucky"));
  std::set<pid_t> killed;
  // Whoever is killed has met something that may pass: want of memory, usually.
  ASSERT_TRUE(eventually([&] {
    for (pid_t child : conversions())
      if (killed.insert(child).second) ::kill(child, SIGKILL);
    return ended("unlucky");
  })) << log();
  EXPECT_TRUE(failed("unlucky"));
  EXPECT_THAT(killed, SizeIs(2));
  EXPECT_THAT(error_of("unlucky"), HasSubstr("was killed by signal 9"));
  EXPECT_THAT(log(), HasSubstr("Attempt 1 of 2 failed; the next begins in 1 s."));
  EXPECT_EQ(ask("list")["jobs"][0]["attempts"], 2);
}

TEST_F(DaemonSettings, AttemptsAreCountedOverACrashOfTheDaemon) {
  // The delay is long enough that the daemon dies between two attempts, also where everything is slow.
  configure("RETRY_LIMIT=2\nRETRY_DELAY=15\n");
  start_and_wait();
  submit(slow_manifest("unlucky"));
  auto kill_one = [&] {
    ASSERT_TRUE(eventually([&] { return !conversions().empty(); })) << log();
    for (pid_t child : conversions()) ::kill(child, SIGKILL);
  };
  kill_one();
  ASSERT_TRUE(eventually([&] { return log().find("Attempt 1 of 2 failed") != std::string::npos; })) << log();
  daemon_->kill();
  start_and_wait();
  kill_one();
  ASSERT_TRUE(eventually([&] { return failed("unlucky"); })) << log();
  ASSERT_TRUE(eventually([&] { return ask("list")["jobs"][0]["phase"] == "failed"; }));
  EXPECT_EQ(ask("list")["jobs"][0]["attempts"], 2);
  EXPECT_EQ(ask("list")["jobs"][0]["failures"], 2);
}

TEST_F(DaemonSettings, ABadManifestIsNotTriedAgain) {
  configure("RETRY_LIMIT=5\nRETRY_DELAY=1\n");
  start_and_wait();
  json bad = manifest("bad");
  bad["disks"][0]["checksum"] = "sha256:" + std::string(64, '0');
  submit_and_wait(bad);
  ASSERT_TRUE(eventually([&] { return failed("bad"); })) << log();
  EXPECT_EQ(ask("list")["jobs"][0]["attempts"], 1);
}

TEST_F(DaemonSettings, MetricsAddressServesWhatPrometheusReads) {
  auto metrics = [](const std::string& address) {
    return must_run({"python3", "-c",
                     "import sys, urllib.request\n"
                     "print(urllib.request.urlopen('http://' + sys.argv[1] + '/metrics').read().decode())",
                     address});
  };
  std::string address = "127.0.0.1:" + std::to_string(20000 + ::getpid() % 12000);
  configure("METRICS_ADDRESS=" + address + "\n");
  start_and_wait();
  convert("web");
  ASSERT_TRUE(eventually([&] {
    return metrics(address).find("hyper2kvm_jobs_total{instance_name=\"default\",outcome=\"done\"} 1") !=
           std::string::npos;
  })) << metrics(address);
  for (const char* name : {"hyper2kvm_jobs{instance_name=\"default\",state=\"queued\"} 0",
                           "hyper2kvm_source_bytes_total", "hyper2kvm_output_free_bytes",
                           "hyper2kvm_build_info", "hyper2kvm_attempts_total{instance_name=\"default\"} 1"})
    EXPECT_THAT(metrics(address), HasSubstr(name));
  // The example dashboard asks for nothing that is not there.
  std::string dashboard = os::read_text(DASHBOARD, 1u << 20);
  std::set<std::string> asked;
  std::regex metric("hyper2kvm_[a-z_]+");
  for (std::sregex_iterator at(dashboard.begin(), dashboard.end(), metric), end; at != end; ++at)
    asked.insert(at->str());
  EXPECT_GE(asked.size(), 10u);
  std::string page = metrics(address);
  for (const std::string& name : asked) EXPECT_THAT(page, HasSubstr("\n" + name + "{"));
  // They go on where they were, and are off where no address is given.
  ASSERT_EQ(stop(), 0);
  start_and_wait();
  EXPECT_TRUE(eventually([&] { return metrics(address).find("outcome=\"done\"} 1") != std::string::npos; }));
  configure("");
  daemon_->signal(SIGHUP);
  EXPECT_TRUE(eventually([&] {
    try {
      metrics(address);
      return false;
    } catch (const std::exception&) {
      return true;
    }
  }));
}

}  // namespace
}  // namespace hyper2kvm::integration
