// Real libvirts for tests: the embedded driver, and a libvirtd of the test's own.
//
// Each has all of its state in a temporary directory and ends every machine that it started when it goes out
// of scope. What libvirt finds out about the emulator (4-9 s) is kept beside the test program and shared.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runner/contract/manifest.h"
#include "runner/libvirt/connection.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::integration {

// A directory that the emulator's own user can enter, too.
class OpenDirectory {
 public:
  explicit OpenDirectory(const char* prefix);
  const std::filesystem::path& path() const { return directory_.path(); }

 private:
  os::TemporaryDirectory directory_;
};

// What a test asks libvirt about the machines on a connection.
class Machines {
 public:
  explicit Machines(const std::string& uri);
  std::vector<std::string> names() const;
  bool runs(const std::string& name) const;
  bool has_autostart(const std::string& name) const;
  std::string uuid(const std::string& name) const;
  // Its persistent definition, or with live the running one.
  std::string xml(const std::string& name, bool live = false) const;
  void define(const std::string& xml) const;
  void start(const std::string& name) const;
  void end(const std::string& name) const;
  void set_autostart(const std::string& name) const;
  void make_snapshot(const std::string& name) const;
  void save(const std::string& name) const;
  void end_all() const;
  // Undefines every machine, with all that hangs on it.
  void forget_all() const;
  // Reads the serial console until one of the texts stands in it; what was read, empty if none did in time.
  std::string wait_for_console(const std::string& name, const std::vector<std::string>& texts,
                               std::chrono::seconds limit = std::chrono::seconds(180)) const;
  virConnectPtr connection() const { return connection_.get(); }

 private:
  libvirt::Connection connection_;
};

class EmbeddedHost {
 public:
  EmbeddedHost();
  ~EmbeddedHost();
  const std::string& uri() const { return uri_; }
  std::filesystem::path root() const { return directory_.path() / "root"; }
  // For disks.
  const std::filesystem::path& path() const { return directory_.path(); }
  contract::Libvirt settings() const;
  Machines machines() const { return Machines(uri_); }

 private:
  OpenDirectory directory_{"embed"};
  std::string uri_;
};

// `libvirtd` with the system driver, in a mount namespace in which its directories are its own. Needs root.
class LibvirtDaemon {
 public:
  struct Options {
    bool tls = false;  // also listen on a port with certificates, which its clients must have too
  };
  static bool can_run();
  LibvirtDaemon() : LibvirtDaemon(Options{}) {}
  explicit LibvirtDaemon(const Options& options);
  ~LibvirtDaemon();

  void start();
  // SIGKILL, as a crash would; machines and state stay.
  void crash();
  // SIGSTOP and SIGCONT.
  void freeze();
  void thaw();

  const std::filesystem::path& path() const { return directory_.path(); }
  std::filesystem::path socket() const { return directory_.path() / "sock" / "libvirt-sock"; }
  std::string uri() const { return "qemu+unix:///system?socket=" + socket().string(); }
  unsigned tls_port() const { return tls_port_; }
  // pkipath for a client whose certificate the daemon trusts.
  std::filesystem::path client_certificates() const { return directory_.path() / "client"; }
  contract::Libvirt settings() const;
  Machines machines() const { return Machines(uri()); }

  // Defines and starts a pool of type dir over a new directory.
  std::filesystem::path make_pool(const std::string& name) const;
  std::vector<std::string> volumes(const std::string& pool) const;

 private:
  void make_certificates();
  OpenDirectory directory_{"libvirtd"};
  bool tls_;
  unsigned tls_port_ = 0;
  std::optional<os::Process> process_;
};

// An SSH server on a port of the loopback device that lets root in with one key. Who logs in finds the daemon
// where every host has it.
class SshServer {
 public:
  static bool can_run();
  // directory: for its keys and root's home.
  SshServer(const std::filesystem::path& directory, const LibvirtDaemon& daemon);
  unsigned port() const { return port_; }
  std::filesystem::path client_key() const { return directory_ / "client"; }
  std::filesystem::path known_hosts() const { return directory_ / "known_hosts"; }

 private:
  std::filesystem::path directory_;
  unsigned port_;
  std::optional<os::Process> process_;
};

}  // namespace hyper2kvm::integration
