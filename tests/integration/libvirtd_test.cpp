// Registration with a libvirtd of the test's own: pools, uploads, remote connections, and daemons that die.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "runner/libvirt/registration.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/libvirt_host.h"
#include "tests/integration/small_guests.h"

namespace hyper2kvm::libvirt {
namespace {

namespace fs = std::filesystem;
using integration::LibvirtDaemon;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

os::Error error_of(const contract::Libvirt& settings, const DomainFacts& facts,
                   const os::StopToken& stop = {}, const UploadProgress& progress = {}) {
  try {
    register_machine(settings, facts, stop, progress);
  } catch (const os::Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return os::Error(os::ErrorKind::kInternal, "", "");
}

std::uint64_t allocated(const fs::path& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
}

bool same_content(const fs::path& a, const fs::path& b) {
  try {
    os::run_program({.arguments = {"cmp", a.string(), b.string()}});
    return true;
  } catch (const os::Error&) {
    return false;
  }
}

// A raw disk that boots, with this much of data that does not compress after its first MiB and a hole behind
// it.
DomainFacts machine(const fs::path& directory, const std::string& name, std::size_t data_mebibytes = 3) {
  DomainFacts facts;
  facts.name = name;
  facts.memory_bytes = 64 << 20;
  facts.cpus = 1;
  facts.disks = {{directory / (name + ".raw"), contract::OutputFormat::kRaw}};
  integration::make_bios_disk(facts.disks[0].path, name + " boots", (data_mebibytes + 65) << 20);
  os::File disk = os::File::open(facts.disks[0].path, os::File::Mode::kReadWrite);
  os::File random = os::File(os::UniqueFd(::open("/dev/urandom", O_RDONLY | O_CLOEXEC)), "/dev/urandom");
  std::vector<std::byte> buffer(1 << 20);
  for (std::size_t index = 0; index < data_mebibytes; ++index) {
    if (::read(random.fd(), buffer.data(), buffer.size()) != static_cast<ssize_t>(buffer.size()))
      throw os::system_error(errno, "read", "/dev/urandom");
    disk.write_at((index + 1) << 20, buffer);
  }
  return facts;
}

class LibvirtdTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!LibvirtDaemon::can_run()) GTEST_SKIP() << "needs root, libvirtd and unshare";
    daemon_.emplace();
  }
  contract::Libvirt settings(const std::string& pool = "") {
    contract::Libvirt settings = daemon_->settings();
    settings.pool = pool;
    return settings;
  }
  const fs::path& place() { return daemon_->path(); }
  std::optional<LibvirtDaemon> daemon_;
};

TEST_F(LibvirtdTest, ADiskGoesIntoThePoolAndBootsFromThere) {
  fs::path pool = daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "pooled");
  contract::Libvirt start = settings("disks");
  start.start = true;
  std::vector<std::uint64_t> told;
  std::uint64_t total = 0;
  std::uint64_t moved = 0;
  Registered registered = register_machine(
      start, facts, {},
      [&](std::size_t disk, std::uint64_t done, std::uint64_t of) {
        EXPECT_EQ(disk, 0u);
        told.push_back(done);
        total = of;
      },
      [&](std::uint64_t bytes) { moved += bytes; });
  // What is there is read and sent; holes are neither.
  EXPECT_GT(moved, 0u);
  EXPECT_LE(moved, 2 * total);
  ASSERT_THAT(told, Not(IsEmpty()));
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(total, fs::file_size(facts.disks[0].path));
  EXPECT_EQ(told.back(), total);
  ASSERT_EQ(registered.disks.size(), 1u);
  EXPECT_EQ(registered.disks[0].path, pool / "pooled.raw");
  auto machines = daemon_->machines();
  EXPECT_THAT(machines.wait_for_console("pooled", {"pooled boots"}), HasSubstr("pooled boots"));
  machines.end("pooled");
  EXPECT_TRUE(same_content(facts.disks[0].path, pool / "pooled.raw"));
}

TEST_F(LibvirtdTest, HolesAndZeroesTakeNoSpaceInThePool) {
  fs::path pool = daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "sparse");
  os::File disk = os::File::open(facts.disks[0].path, os::File::Mode::kReadWrite);
  std::vector<std::byte> zeroes(16 << 20);
  disk.write_at(8 << 20, zeroes);
  register_machine(settings("disks"), facts, {});
  EXPECT_GT(allocated(facts.disks[0].path), 16u << 20);
  EXPECT_LT(allocated(pool / "sparse.raw"), 6u << 20);
  EXPECT_TRUE(same_content(facts.disks[0].path, pool / "sparse.raw"));
}

TEST_F(LibvirtdTest, AQcow2FileArrivesAsItIs) {
  fs::path pool = daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "image");
  fs::path image = place() / "disk-0.qcow2";
  os::run_program({.arguments = {"qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2",
                                 facts.disks[0].path.string(), image.string()}});
  facts.disks = {{image, contract::OutputFormat::kQcow2}};
  contract::Libvirt start = settings("disks");
  start.start = true;
  register_machine(start, facts, {});
  auto machines = daemon_->machines();
  EXPECT_THAT(machines.wait_for_console("image", {"image boots"}), HasSubstr("image boots"));
  machines.end("image");
  EXPECT_TRUE(same_content(image, pool / "image-disk-0.qcow2"));
}

TEST_F(LibvirtdTest, AFileThatLiesInThePoolIsNotUploaded) {
  fs::path pool = daemon_->make_pool("disks");
  DomainFacts facts = machine(pool, "there");
  bool uploaded = false;
  Registered registered = register_machine(
      settings("disks"), facts, {}, [&](std::size_t, std::uint64_t, std::uint64_t) { uploaded = true; });
  EXPECT_FALSE(uploaded);
  EXPECT_EQ(registered.disks[0].path, facts.disks[0].path);
  EXPECT_THAT(daemon_->volumes("disks"), ElementsAre("there.raw"));
  EXPECT_THAT(owned_volumes(registered.xml), IsEmpty());
}

TEST_F(LibvirtdTest, AVolumeThatIsThereIsNeverWrittenTo) {
  fs::path pool = daemon_->make_pool("disks");
  os::write_text_atomically(pool / "guest.raw", "somebody's data");
  Registered registered = register_machine(settings("disks"), machine(place(), "guest"), {});
  EXPECT_EQ(registered.disks[0].path, pool / "guest-2.raw");
  EXPECT_EQ(os::read_text(pool / "guest.raw", 100), "somebody's data");
}

TEST_F(LibvirtdTest, OverwriteRemovesTheVolumesThatWereMadeForTheOldMachineAndNoOthers) {
  fs::path pool = daemon_->make_pool("disks");
  os::write_text_atomically(pool / "other.raw", "somebody's data");
  DomainFacts facts = machine(place(), "again");
  Registered first = register_machine(settings("disks"), facts, {});
  contract::Libvirt overwrite = settings("disks");
  overwrite.overwrite = true;
  Registered second = register_machine(overwrite, facts, {});
  EXPECT_NE(first.disks[0].path, second.disks[0].path);
  EXPECT_THAT(daemon_->volumes("disks"),
              UnorderedElementsAre("other.raw", second.disks[0].path.filename().string()));
  EXPECT_THAT(second.warnings, testing::Contains(HasSubstr("again.raw")));
  EXPECT_TRUE(same_content(facts.disks[0].path, second.disks[0].path));
}

TEST_F(LibvirtdTest, AStopInTheMiddleOfAnUploadLeavesNothing) {
  daemon_->make_pool("disks");
  os::StopSource source;
  os::Error error = error_of(settings("disks"), machine(place(), "stopped", 300), source.token(),
                             [&](std::size_t, std::uint64_t, std::uint64_t) { source.request_stop(); });
  EXPECT_EQ(error.kind(), os::ErrorKind::kCancelled);
  EXPECT_THAT(daemon_->volumes("disks"), IsEmpty());
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
}

TEST_F(LibvirtdTest, AMachineThatDoesNotStartLeavesNoVolume) {
  daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "huge");
  facts.memory_bytes = 1ull << 50;
  contract::Libvirt start = settings("disks");
  start.start = true;
  error_of(start, facts);
  EXPECT_THAT(daemon_->volumes("disks"), IsEmpty());
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
}

TEST_F(LibvirtdTest, AReplacementThatDoesNotStartLeavesTheOldMachineAndItsVolume) {
  fs::path pool = daemon_->make_pool("disks");
  Registered first = register_machine(settings("disks"), machine(place(), "kept"), {});
  DomainFacts facts = machine(place(), "kept");
  facts.memory_bytes = 1ull << 50;
  contract::Libvirt start = settings("disks");
  start.start = true;
  start.overwrite = true;
  error_of(start, facts);
  EXPECT_EQ(daemon_->machines().xml("kept"), first.xml);
  EXPECT_THAT(daemon_->volumes("disks"), ElementsAre("kept.raw"));
}

TEST_F(LibvirtdTest, APoolWithoutRoomIsRefusedBeforeTheUpload) {
  fs::path pool = daemon_->make_pool("disks");
  auto unmount = [](const fs::path* path) { ::umount2(path->c_str(), MNT_DETACH); };
  std::unique_ptr<const fs::path, decltype(unmount)> mounted(&pool, unmount);
  // The daemon must see the small file system: it is mounted before the daemon's own mount namespace is made.
  daemon_->crash();
  ASSERT_EQ(::mount("small", pool.c_str(), "tmpfs", 0, "size=2m"), 0);
  daemon_->start();
  os::Error error = error_of(settings("disks"), machine(place(), "large"));
  EXPECT_EQ(error.errno_value(), ENOSPC);
  EXPECT_THAT(error.sentence(), HasSubstr("MiB free"));
  EXPECT_THAT(daemon_->volumes("disks"), IsEmpty());
  daemon_->crash();
}

TEST_F(LibvirtdTest, ADaemonThatDiesInTheMiddleAndComesBackKeepsNothing) {
  daemon_->make_pool("disks");
  // The thread stays until the end: a child process dies with the thread that started it.
  std::promise<void> finished;
  std::thread restart;
  os::Error error = error_of(settings("disks"), machine(place(), "unlucky", 300), {},
                             [&](std::size_t, std::uint64_t, std::uint64_t) {
                               if (restart.joinable()) return;
                               daemon_->crash();
                               restart = std::thread([&] {
                                 daemon_->start();
                                 finished.get_future().wait();
                               });
                             });
  EXPECT_TRUE(error.may_pass()) << error.sentence();
  EXPECT_THAT(error.advice(), Not(HasSubstr("vol-delete"))) << error.sentence();
  EXPECT_THAT(daemon_->volumes("disks"), IsEmpty());
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
  finished.set_value();
  restart.join();
  daemon_->crash();
}

TEST_F(LibvirtdTest, ADaemonThatDiesForGoodIsAnErrorThatNamesWhatIsLeft) {
  daemon_->make_pool("disks");
  bool dead = false;
  os::Error error = error_of(settings("disks"), machine(place(), "unlucky", 300), {},
                             [&](std::size_t, std::uint64_t, std::uint64_t) {
                               if (!dead) daemon_->crash();
                               dead = true;
                             });
  EXPECT_TRUE(error.may_pass()) << error.sentence();
  EXPECT_THAT(error.advice(), HasSubstr("pool disks"));
}

TEST_F(LibvirtdTest, ADaemonThatIsNotThereIsAnErrorWithTheNextStep) {
  contract::Libvirt nowhere = settings();
  nowhere.uri = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";
  os::Error error = error_of(nowhere, machine(place(), "nobody"));
  EXPECT_TRUE(error.may_pass());
  EXPECT_THAT(error.sentence(), HasSubstr("systemctl start libvirtd"));
}

TEST_F(LibvirtdTest, ADaemonThatDoesNotAnswerIsGivenUp) {
  daemon_->freeze();
  try {
    Connection::open(daemon_->uri(), {}, std::chrono::seconds(1));
    ADD_FAILURE() << "no error";
  } catch (const os::Error& error) {
    EXPECT_THAT(error.sentence(), HasSubstr("did not answer within 1 s"));
  }
  os::StopSource source;
  source.request_stop();
  EXPECT_THROW(Connection::open(daemon_->uri(), source.token()), os::Error);
  daemon_->thaw();
}

TEST_F(LibvirtdTest, APoolThatIsUnknownOrOffIsRefusedEarly) {
  daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "early");
  EXPECT_THAT(error_of(settings("nowhere"), facts).sentence(),
              HasSubstr("storage pool nowhere: cannot be found"));
  auto machines = daemon_->machines();
  os::run_program({.arguments = {"virsh", "-c", daemon_->uri(), "pool-destroy", "disks"}});
  EXPECT_THAT(error_of(settings("disks"), facts).sentence(), HasSubstr("virsh pool-start"));
  EXPECT_THROW(check_registration(settings("disks"), facts, {}), os::Error);
}

TEST_F(LibvirtdTest, ANetworkThatIsUnknownOrOffIsRefusedEarly) {
  DomainFacts facts = machine(place(), "early");
  facts.nics = {{"", "lan", ""}};
  EXPECT_THAT(error_of(settings(), facts).sentence(), HasSubstr("network lan: cannot be found"));
  os::write_text_atomically(place() / "lan.xml",
                            "<network><name>lan</name><bridge name='h2ktest0'/></network>");
  os::run_program(
      {.arguments = {"virsh", "-c", daemon_->uri(), "net-define", (place() / "lan.xml").string()}});
  contract::Libvirt start = settings();
  start.start = true;
  EXPECT_THAT(error_of(start, facts).sentence(), HasSubstr("virsh net-start"));
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
  Registered registered = register_machine(settings(), facts, {});
  EXPECT_THAT(registered.warnings, testing::Contains(HasSubstr("network lan is not active")));
  EXPECT_THAT(registered.xml, HasSubstr("<source network='lan'/>"));
}

TEST_F(LibvirtdTest, ADiskThatTheEmulatorCannotReachIsSaidAndExplained) {
  fs::path closed = place() / "closed";
  fs::create_directory(closed);
  fs::permissions(closed, fs::perms(0700));
  DomainFacts facts = machine(closed, "hidden");
  Registered registered = register_machine(settings(), facts, {});
  EXPECT_THAT(registered.warnings, testing::Contains(HasSubstr(closed.string() + ", which")));
  contract::Libvirt start = settings();
  start.start = true;
  start.overwrite = true;
  os::Error error = error_of(start, facts);
  EXPECT_THAT(error.sentence(), HasSubstr("Permission denied"));
  EXPECT_THAT(error.advice(), HasSubstr("libvirt.pool"));
}

// Over TLS with certificates on both sides. The daemon counts as remote: its word on KVM is taken.
class LibvirtdTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!LibvirtDaemon::can_run()) GTEST_SKIP() << "needs root, libvirtd and unshare";
    daemon_.emplace(LibvirtDaemon::Options{.tls = true});
  }
  contract::Libvirt settings(const fs::path& certificates) {
    contract::Libvirt settings;
    settings.uri = "qemu+tls://127.0.0.1:" + std::to_string(daemon_->tls_port()) +
                   "/system?pkipath=" + certificates.string();
    return settings;
  }
  std::optional<LibvirtDaemon> daemon_;
};

TEST_F(LibvirtdTlsTest, ADiskIsUploadedAndTheMachineDefined) {
  fs::path pool = daemon_->make_pool("disks");
  DomainFacts facts = machine(daemon_->path(), "far");
  contract::Libvirt tls = settings(daemon_->client_certificates());
  tls.pool = "disks";
  tls.autostart = true;
  EXPECT_NO_THROW(check_registration(tls, facts, {}));
  Registered registered = register_machine(tls, facts, {});
  EXPECT_TRUE(same_content(facts.disks[0].path, pool / "far.raw"));
  EXPECT_THAT(daemon_->machines().names(), ElementsAre("far"));
  EXPECT_TRUE(daemon_->machines().has_autostart("far"));
}

TEST_F(LibvirtdTlsTest, DisksThatStayWhereTheyAreAreWarnedOf) {
  Registered registered =
      register_machine(settings(daemon_->client_certificates()), machine(daemon_->path(), "far"), {});
  EXPECT_THAT(registered.warnings, testing::Contains(HasSubstr("must see them under the same paths")));
}

TEST_F(LibvirtdTlsTest, AClientWithoutATrustedCertificateIsRefused) {
  LibvirtDaemon stranger(LibvirtDaemon::Options{.tls = true});
  os::Error error = error_of(settings(stranger.client_certificates()), machine(daemon_->path(), "stranger"));
  EXPECT_THAT(error.sentence(), HasSubstr("certificate"));
  EXPECT_FALSE(error.may_pass()) << error.sentence();
  EXPECT_THAT(error.advice(), HasSubstr("pkipath=DIRECTORY"));
  // It trusts the server, and the server does not trust it.
  fs::path mixed = daemon_->path() / "mixed";
  fs::copy(stranger.client_certificates(), mixed);
  os::write_text_atomically(mixed / "cacert.pem",
                            os::read_text(stranger.client_certificates() / "cacert.pem", 1 << 16) +
                                os::read_text(daemon_->client_certificates() / "cacert.pem", 1 << 16));
  os::Error refused = error_of(settings(mixed), machine(daemon_->path(), "stranger"));
  EXPECT_THAT(refused.sentence(), HasSubstr("does not accept the client's certificate"));
  EXPECT_FALSE(refused.may_pass()) << refused.sentence();
  EXPECT_THAT(refused.advice(), HasSubstr("pkipath=DIRECTORY"));
  os::Error none = error_of(settings("/nonexistent"), machine(daemon_->path(), "nobody"));
  EXPECT_FALSE(none.may_pass()) << none.sentence();
  EXPECT_THAT(none.sentence(), HasSubstr("/nonexistent/cacert.pem"));
  EXPECT_THAT(none.sentence(), HasSubstr("pkipath=DIRECTORY"));
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
}

// Over SSH with files that a URI names. Whoever logs in finds the daemon where every host has it.
class LibvirtdSshTest : public LibvirtdTest {
 protected:
  void SetUp() override {
    LibvirtdTest::SetUp();
    if (IsSkipped()) return;
    if (!integration::SshServer::can_run())
      GTEST_SKIP() << "needs root, dropbear-bin, openssh-client and virt-ssh-helper";
    server_.emplace(place() / "ssh", *daemon_);
  }
  contract::Libvirt over_ssh(const fs::path& known_hosts, const fs::path& key) {
    contract::Libvirt ssh = settings("disks");
    ssh.uri = "qemu+ssh://root@127.0.0.1:" + std::to_string(server_->port()) +
              "/system?keyfile=" + key.string() + "&known_hosts=" + known_hosts.string();
    return ssh;
  }
  // Beside what the server has.
  fs::path file(const std::string& name, const std::string& text, unsigned mode = 0600) {
    os::write_text_atomically(place() / name, text, mode);
    return place() / name;
  }
  std::optional<integration::SshServer> server_;
};

TEST_F(LibvirtdSshTest, ADiskIsUploadedAndTheMachineDefined) {
  fs::path pool = daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "far");
  contract::Libvirt ssh = over_ssh(server_->known_hosts(), server_->client_key());
  EXPECT_NO_THROW(check_registration(ssh, facts, {}));
  register_machine(ssh, facts, {});
  EXPECT_TRUE(same_content(facts.disks[0].path, pool / "far.raw"));
  EXPECT_THAT(daemon_->machines().names(), ElementsAre("far"));
}

TEST_F(LibvirtdSshTest, AFileMayHaveAnyName) {
  daemon_->make_pool("disks");
  fs::path odd = place() / "a \"$(touch oh)' %h;b";
  fs::create_directory(odd);
  fs::copy_file(server_->client_key(), odd / "key");
  fs::copy_file(server_->known_hosts(), odd / "known");
  contract::Libvirt ssh = over_ssh("", "");
  ssh.uri = "qemu+ssh://root@127.0.0.1:" + std::to_string(server_->port()) + "/system";
  ssh.uri = with_parameter(ssh.uri, "keyfile", (odd / "key").string());
  ssh.uri = with_parameter(ssh.uri, "known_hosts", (odd / "known").string());
  EXPECT_NO_THROW(check_registration(ssh, machine(place(), "far"), {}));
}

TEST_F(LibvirtdSshTest, AHostThatIsNotKnownIsRefusedForGood) {
  daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "far");
  os::Error none = error_of(over_ssh(file("nobody", ""), server_->client_key()), facts);
  EXPECT_FALSE(none.may_pass()) << none.sentence();
  EXPECT_THAT(none.sentence(), HasSubstr("Host key verification failed"));
  EXPECT_THAT(none.advice(), HasSubstr("file of known hosts"));
  // The key of somebody else under the host's name.
  std::string theirs = os::read_text(server_->client_key().string() + ".pub", 4096);
  os::Error other =
      error_of(over_ssh(file("another", "[127.0.0.1]:" + std::to_string(server_->port()) + " " + theirs),
                        server_->client_key()),
               facts);
  EXPECT_FALSE(other.may_pass()) << other.sentence();
  EXPECT_THAT(other.sentence(), HasSubstr("another key than the one that is known of it"));
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
  EXPECT_THAT(daemon_->volumes("disks"), IsEmpty());
}

TEST_F(LibvirtdSshTest, AKeyThatTheHostDoesNotKnowOrThatIsOpenToOthersIsRefusedForGood) {
  daemon_->make_pool("disks");
  DomainFacts facts = machine(place(), "far");
  fs::path stranger = place() / "stranger";
  os::run_program({.arguments = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger.string()}});
  os::Error unknown = error_of(over_ssh(server_->known_hosts(), stranger), facts);
  EXPECT_FALSE(unknown.may_pass()) << unknown.sentence();
  EXPECT_THAT(unknown.advice(), HasSubstr("authorized_keys"));
  fs::path open = file("open", os::read_text(server_->client_key(), 4096), 0644);
  EXPECT_THAT(error_of(over_ssh(server_->known_hosts(), open), facts).sentence(), HasSubstr("chmod 600"));
  os::Error missing = error_of(over_ssh(server_->known_hosts(), place() / "missing"), facts);
  EXPECT_FALSE(missing.may_pass());
  EXPECT_THAT(missing.sentence(), HasSubstr("missing"));
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
}

TEST_F(LibvirtdSshTest, ADaemonThatDiesInTheMiddleAndComesBackKeepsNothing) {
  daemon_->make_pool("disks");
  bool died = false;
  os::Error error =
      error_of(over_ssh(server_->known_hosts(), server_->client_key()), machine(place(), "unlucky", 300), {},
               [&](std::size_t, std::uint64_t, std::uint64_t) {
                 if (std::exchange(died, true)) return;
                 daemon_->crash();
                 daemon_->start();
               });
  EXPECT_TRUE(error.may_pass()) << error.sentence();
  EXPECT_THAT(error.advice(), Not(HasSubstr("vol-delete"))) << error.sentence();
  EXPECT_THAT(daemon_->volumes("disks"), IsEmpty());
  EXPECT_THAT(daemon_->machines().names(), IsEmpty());
}

TEST_F(LibvirtdTest, SshThatCannotLogInAsksNobodyAndFails) {
  if (os::find_program("ssh").empty()) GTEST_SKIP() << "needs openssh-client";
  contract::Libvirt ssh = settings();
  ssh.uri = "qemu+ssh://nobody@127.0.0.1:1/system";
  os::Error error = error_of(ssh, machine(place(), "far"));
  EXPECT_TRUE(error.may_pass()) << error.sentence();
  EXPECT_THAT(error.sentence(), HasSubstr("cannot connect"));
}

}  // namespace
}  // namespace hyper2kvm::libvirt
