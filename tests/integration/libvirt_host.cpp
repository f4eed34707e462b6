#include "tests/integration/libvirt_host.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pugixml.hpp>
#include <thread>

#include "runner/libvirt/failure.h"
#include "runner/libvirt/handle.h"
#include "runner/os/error.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using libvirt::DomainHandle;
using libvirt::taken;

constexpr auto kTick = std::chrono::milliseconds(20);

void check(bool success, const std::string& operation, const std::string& subject = "test") {
  if (!success) throw libvirt::libvirt_error(operation, subject);
}

fs::path shared_capabilities() {
  return fs::read_symlink("/proc/self/exe").parent_path() / "libvirt-capabilities";
}

// libvirt itself tells whether what it finds there is out of date. What cannot be read is found out anew.
void seed_capabilities(const fs::path& cache) {
  std::error_code ignored;
  fs::create_directories(cache / "qemu" / "capabilities");
  for (const fs::directory_entry& entry : fs::directory_iterator(shared_capabilities(), ignored))
    if (entry.path().extension() == ".xml")
      fs::copy_file(entry.path(), cache / "qemu" / "capabilities" / entry.path().filename(), ignored);
}

void keep_capabilities(const fs::path& cache) {
  std::error_code ignored;
  fs::create_directories(shared_capabilities(), ignored);
  for (const fs::directory_entry& entry : fs::directory_iterator(cache / "qemu" / "capabilities", ignored)) {
    fs::path part = shared_capabilities() / (entry.path().filename().string() + std::to_string(::getpid()));
    fs::copy_file(entry.path(), part, fs::copy_options::overwrite_existing, ignored);
    fs::rename(part, shared_capabilities() / entry.path().filename(), ignored);
  }
}

sockaddr_in loopback(unsigned port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

unsigned free_port() {
  os::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw os::system_error(errno, "find a free port", "loopback");
  return ntohs(address.sin_port);
}

// No other daemon: what a machine prints goes straight into a file. The tests may run in a container or a
// chroot, where libvirt cannot give a machine a /dev of its own, and where /dev/kvm may belong to a group
// that is not the system's group kvm. There libvirt finds KVM when it asks QEMU, cannot open it itself, and
// asks QEMU again, for seconds, at each and every call: so the machines get the group that /dev/kvm has.
std::string emulator_settings() {
  std::string settings = "stdio_handler = \"file\"\nnamespaces = []\n";
  struct stat kvm {};
  if (::stat("/dev/kvm", &kvm) == 0) settings += "group = \"+" + std::to_string(kvm.st_gid) + "\"\n";
  return settings;
}

DomainHandle find(virConnectPtr connection, const std::string& name) {
  DomainHandle domain(virDomainLookupByName(connection, name.c_str()));
  check(domain != nullptr, "be found", name);
  return domain;
}

}  // namespace

OpenDirectory::OpenDirectory(const char* prefix) : directory_(prefix) {
  fs::permissions(directory_.path(), fs::perms(0755));
}

Machines::Machines(const std::string& uri) : connection_(libvirt::Connection::open(uri, {})) {}

std::vector<std::string> Machines::names() const {
  virDomainPtr* domains = nullptr;
  int count = virConnectListAllDomains(connection(), &domains, 0);
  check(count >= 0, "list the domains");
  std::vector<std::string> names;
  for (int index = 0; index < count; ++index) {
    names.emplace_back(virDomainGetName(domains[index]));
    virDomainFree(domains[index]);
  }
  std::free(domains);
  return names;
}

bool Machines::runs(const std::string& name) const {
  return virDomainIsActive(find(connection(), name).get()) == 1;
}

bool Machines::has_autostart(const std::string& name) const {
  int autostart = 0;
  check(virDomainGetAutostart(find(connection(), name).get(), &autostart) == 0, "ask for autostart");
  return autostart == 1;
}

std::string Machines::uuid(const std::string& name) const {
  char text[VIR_UUID_STRING_BUFLEN] = {};
  check(virDomainGetUUIDString(find(connection(), name).get(), text) == 0, "ask for the UUID");
  return text;
}

std::string Machines::xml(const std::string& name, bool live) const {
  return taken(virDomainGetXMLDesc(find(connection(), name).get(), live ? 0 : VIR_DOMAIN_XML_INACTIVE));
}

void Machines::define(const std::string& xml) const {
  DomainHandle domain(virDomainDefineXML(connection(), xml.c_str()));
  check(domain != nullptr, "define");
}

void Machines::start(const std::string& name) const {
  check(virDomainCreate(find(connection(), name).get()) == 0, "start", name);
}

void Machines::end(const std::string& name) const {
  check(virDomainDestroy(find(connection(), name).get()) == 0, "end", name);
}

void Machines::set_autostart(const std::string& name) const {
  check(virDomainSetAutostart(find(connection(), name).get(), 1) == 0, "set autostart", name);
}

void Machines::make_snapshot(const std::string& name) const {
  virDomainSnapshotPtr snapshot =
      virDomainSnapshotCreateXML(find(connection(), name).get(), "<domainsnapshot/>", 0);
  check(snapshot != nullptr, "make a snapshot", name);
  virDomainSnapshotFree(snapshot);
}

void Machines::save(const std::string& name) const {
  check(virDomainManagedSave(find(connection(), name).get(), 0) == 0, "save", name);
}

void Machines::end_all() const {
  for (const std::string& name : names()) {
    DomainHandle domain = find(connection(), name);
    // A machine that libvirt is just finding again after a restart is not to be ended yet.
    for (int attempt = 0; attempt < 250 && virDomainIsActive(domain.get()) == 1; ++attempt) {
      virDomainDestroy(domain.get());
      std::this_thread::sleep_for(kTick);
    }
  }
}

void Machines::forget_all() const {
  for (const std::string& name : names())
    check(virDomainUndefineFlags(find(connection(), name).get(),
                                 VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
                                     VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA) == 0,
          "undefine", name);
}

std::string Machines::wait_for_console(const std::string& name, const std::vector<std::string>& texts,
                                       std::chrono::seconds limit) const {
  pugi::xml_document document;
  document.load_string(xml(name, true).c_str());
  std::string terminal = document.select_node("/domain/devices/serial/source/@path").attribute().value();
  os::UniqueFd console(::open(terminal.c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!console) throw os::system_error(errno, "open", terminal);
  auto deadline = std::chrono::steady_clock::now() + limit;
  std::string seen;
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd wait{console.get(), POLLIN, 0};
    ::poll(&wait, 1, 200);
    char buffer[4096];
    ssize_t got = ::read(console.get(), buffer, sizeof buffer);
    if (got > 0) seen.append(buffer, static_cast<std::size_t>(got));
    for (const std::string& text : texts)
      if (seen.find(text) != std::string::npos) return seen;
    // A machine that ended is not waited for.
    if (got == 0 || (got < 0 && errno == EIO)) std::this_thread::sleep_for(kTick);
  }
  fprintf(stderr, "console of %s after %lld s: %s\n", name.c_str(), static_cast<long long>(limit.count()),
          seen.c_str());
  return "";
}

EmbeddedHost::EmbeddedHost() : uri_("qemu:///embed?root=" + root().string()) {
  seed_capabilities(root() / "cache");
  fs::create_directories(root() / "etc");
  os::write_text_atomically(root() / "etc" / "qemu.conf", emulator_settings());
}

EmbeddedHost::~EmbeddedHost() {
  try {
    machines().end_all();
  } catch (const os::Error& error) {
    fprintf(stderr, "%s\n", error.what());
  }
  keep_capabilities(root() / "cache");
}

contract::Libvirt EmbeddedHost::settings() const {
  contract::Libvirt settings;
  settings.enabled = true;
  settings.uri = uri_;
  return settings;
}

bool LibvirtDaemon::can_run() {
  return ::geteuid() == 0 && !os::find_program("libvirtd").empty() && !os::find_program("unshare").empty();
}

LibvirtDaemon::LibvirtDaemon(const Options& options) : tls_(options.tls) {
  for (const char* part : {"etc", "lib", "run", "cache", "log", "sock", "pools"})
    fs::create_directory(path() / part);
  seed_capabilities(path() / "cache");
  os::write_text_atomically(path() / "etc" / "qemu.conf", emulator_settings());
  std::string configuration = "unix_sock_dir = \"" + (path() / "sock").string() +
                              "\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nauth_tcp = \"none\"\n"
                              "unix_sock_rw_perms = \"0700\"\n";
  if (tls_) {
    make_certificates();
    tls_port_ = free_port();
    configuration += "listen_tls = 1\nlisten_addr = \"127.0.0.1\"\ntls_port = \"" +
                     std::to_string(tls_port_) + "\"\nca_file = \"" +
                     (path() / "server" / "cacert.pem").string() + "\"\ncert_file = \"" +
                     (path() / "server" / "servercert.pem").string() + "\"\nkey_file = \"" +
                     (path() / "server" / "serverkey.pem").string() + "\"\nauth_tls = \"none\"\n";
  } else {
    configuration += "listen_tls = 0\n";
  }
  os::write_text_atomically(path() / "libvirtd.conf", configuration);
  start();
}

LibvirtDaemon::~LibvirtDaemon() {
  try {
    thaw();
    if (!process_) start();
    machines().end_all();
  } catch (const os::Error& error) {
    fprintf(stderr, "%s\n", error.what());
  }
  crash();
  keep_capabilities(path() / "cache");
}

void LibvirtDaemon::start() {
  // The directories that are compiled into libvirtd become the test's own.
  const char* script =
      "set -e; cd \"$0\"; for pair in etc:/etc/libvirt lib:/var/lib/libvirt run:/run/libvirt "
      "cache:/var/cache/libvirt log:/var/log/libvirt; do "
      "mkdir -p \"${pair#*:}\"; mount --bind \"${pair%%:*}\" \"${pair#*:}\"; done; "
      "exec libvirtd --config \"$0/libvirtd.conf\" --pid-file \"$0/libvirtd.pid\" $1";
  fs::remove(socket());
  os::UniqueFd log(
      ::open((path() / "libvirtd.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  process_.emplace(os::Process::start(
      {.arguments = {"unshare", "--mount", "sh", "-c", script, path().string(), tls_ ? "--listen" : ""},
       .descriptors = {{log.get(), 1}, {log.get(), 2}},
       .no_new_privileges = false}));
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (true) {
    try {
      libvirt::Connection::open(uri(), {}, std::chrono::seconds(30));
      return;
    } catch (const os::Error& error) {
      if (std::chrono::steady_clock::now() > deadline || process_->wait_for(kTick))
        throw os::Error(os::ErrorKind::kSystem, "libvirtd",
                        "does not start: " + os::read_text(path() / "libvirtd.log", 1 << 20));
    }
  }
}

void LibvirtDaemon::crash() {
  if (!process_) return;
  process_->kill();
  process_.reset();
  fs::remove(path() / "libvirtd.pid");
}

void LibvirtDaemon::freeze() { process_->signal(SIGSTOP); }

void LibvirtDaemon::thaw() {
  if (process_) process_->signal(SIGCONT);
}

contract::Libvirt LibvirtDaemon::settings() const {
  contract::Libvirt settings;
  settings.enabled = true;
  settings.uri = uri();
  return settings;
}

fs::path LibvirtDaemon::make_pool(const std::string& name) const {
  fs::path directory = path() / "pools" / name;
  fs::create_directory(directory);
  std::string xml = "<pool type='dir'><name>" + name + "</name><target><path>" + directory.string() +
                    "</path></target></pool>";
  Machines connection(uri());
  libvirt::PoolHandle pool(virStoragePoolDefineXML(connection.connection(), xml.c_str(), 0));
  check(pool && virStoragePoolCreate(pool.get(), 0) == 0 && virStoragePoolSetAutostart(pool.get(), 1) == 0,
        "make a pool", name);
  return directory;
}

std::vector<std::string> LibvirtDaemon::volumes(const std::string& pool_name) const {
  Machines connection(uri());
  libvirt::PoolHandle pool(virStoragePoolLookupByName(connection.connection(), pool_name.c_str()));
  check(pool && virStoragePoolRefresh(pool.get(), 0) == 0, "refresh the pool", pool_name);
  virStorageVolPtr* volumes = nullptr;
  int count = virStoragePoolListAllVolumes(pool.get(), &volumes, 0);
  check(count >= 0, "list the volumes", pool_name);
  std::vector<std::string> names;
  for (int index = 0; index < count; ++index) {
    names.emplace_back(virStorageVolGetName(volumes[index]));
    virStorageVolFree(volumes[index]);
  }
  std::free(volumes);
  return names;
}

void LibvirtDaemon::make_certificates() {
  auto openssl = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    os::run_program({.arguments = std::move(arguments)});
  };
  fs::path authority = path() / "authority";
  for (const char* part : {"authority", "server", "client"}) fs::create_directory(path() / part);
  std::string authority_key = (authority / "key.pem").string();
  std::string authority_certificate = (authority / "cacert.pem").string();
  openssl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority",
           "-keyout", authority_key, "-out", authority_certificate});
  for (const char* who : {"server", "client"}) {
    fs::path place = path() / who;
    std::string request = (place / "request.pem").string();
    openssl({"req", "-newkey", "rsa:2048", "-nodes", "-subj", std::string("/CN=") + who, "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
             (place / (std::string(who) + "key.pem")).string(), "-out", request});
    openssl({"x509", "-req", "-days", "2", "-copy_extensions", "copy", "-in", request, "-CA",
             authority_certificate, "-CAkey", authority_key, "-CAcreateserial", "-out",
             (place / (std::string(who) + "cert.pem")).string()});
    fs::copy_file(authority_certificate, place / "cacert.pem");
  }
}

bool SshServer::can_run() {
  for (const char* program : {"dropbear", "dropbearkey", "ssh", "ssh-keygen", "virt-ssh-helper", "unshare"})
    if (os::find_program(program).empty()) return false;
  return ::geteuid() == 0;
}

SshServer::SshServer(const fs::path& directory, const LibvirtDaemon& daemon)
    : directory_(directory), port_(free_port()) {
  fs::path home = directory / "home";
  fs::create_directories(home / ".ssh");
  fs::permissions(home, fs::perms(0700));
  fs::path host_key = directory / "host_key";
  std::string text =
      os::run_program({.arguments = {"dropbearkey", "-t", "ed25519", "-f", host_key.string()}});
  std::size_t begin = text.find("ssh-ed25519 ");
  std::string public_key = text.substr(begin, text.find('\n', begin) - begin);
  os::write_text_atomically(known_hosts(), "[127.0.0.1]:" + std::to_string(port_) + " " + public_key + "\n",
                            0600);
  os::run_program(
      {.arguments = {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", client_key().string()}});
  os::write_text_atomically(home / ".ssh" / "authorized_keys",
                            os::read_text(client_key().string() + ".pub", 4096), 0600);
  // Root's home, where the server looks for keys, is the test's own in the server's mount namespace.
  const char* script =
      "set -e; mount --bind \"$0/home\" ~root; "
      "mkdir -p /run/libvirt; mount --bind \"$2\" /run/libvirt; "
      "exec dropbear -F -E -s -m -p \"127.0.0.1:$1\" -r \"$0/host_key\" -P \"$0/dropbear.pid\"";
  os::UniqueFd log(
      ::open((directory_ / "dropbear.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  process_.emplace(
      os::Process::start({.arguments = {"unshare", "--mount", "sh", "-c", script, directory_.string(),
                                        std::to_string(port_), daemon.socket().parent_path().string()},
                          .descriptors = {{log.get(), 1}, {log.get(), 2}},
                          .no_new_privileges = false}));
  const sockaddr_in address = loopback(port_);
  for (int attempt = 0; attempt < 500; ++attempt) {
    os::UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
    if (process_->wait_for(kTick)) break;
  }
  throw os::Error(os::ErrorKind::kSystem, "dropbear",
                  "does not start: " + os::read_text(directory_ / "dropbear.log", 1 << 20));
}

}  // namespace hyper2kvm::integration
