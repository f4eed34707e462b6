#include "runner/libvirt/ssh.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

namespace fs = std::filesystem;

// OpenSSH looks for a user's files in the home of /etc/passwd, whatever $HOME says: so it is told where it
// is.
constexpr const char* kProgram = "#!/bin/sh\ncd \"${0%/*}\" && exec ssh -F config \"$@\"\n";
constexpr const char* kConfiguration =
    "BatchMode yes\n"
    "StrictHostKeyChecking yes\n"
    "UserKnownHostsFile known_hosts\n"
    "GlobalKnownHostsFile none\n"
    "UpdateHostKeys no\n"
    "ControlMaster no\n"
    "ConnectTimeout 60\n";
constexpr const char* kConfigurationOfKey =
    "IdentityFile key\n"
    "IdentitiesOnly yes\n";

// A link to a file that is there and can be read.
void link_to(const std::string& file, const char* key, const fs::path& link) {
  if (file.empty())
    throw os::Error(os::ErrorKind::kInvalid, "libvirt.uri", "has no value for " + std::string(key),
                    "Name a file.");
  const fs::path path = fs::absolute(file);
  os::File::open(path, os::File::Mode::kRead);
  std::error_code failed;
  fs::create_symlink(path, link, failed);
  if (failed) throw os::system_error(failed.value(), "make a link to", path.string());
}

// OpenSSH would refuse it with a text of many lines.
void check_is_private(const fs::path& key) {
  struct stat status {};
  if (::stat(key.c_str(), &status) != 0) throw os::system_error(errno, "look at", key.string());
  if (status.st_uid == ::geteuid() && (status.st_mode & 077) != 0)
    throw os::Error(os::ErrorKind::kInvalid, key.string(),
                    "is a private key that others may read, which SSH does not accept",
                    "Take the rights away with `chmod 600`.");
}

}  // namespace

bool needs_ssh_program(const ConnectionUri& uri) {
  return uri.transport == "ssh" && uri.has_parameter("known_hosts");
}

SshProgram::SshProgram(const ConnectionUri& uri) : directory_("ssh") {
  if (uri.has_parameter("no_verify"))
    throw os::Error(os::ErrorKind::kInvalid, "libvirt.uri", "has both known_hosts and no_verify",
                    "Leave no_verify out: the host is then known by its key.");
  const fs::path directory = fs::absolute(directory_.path());
  link_to(uri.parameter("known_hosts"), "known_hosts", directory / "known_hosts");
  std::string configuration = kConfiguration;
  if (uri.has_parameter("keyfile")) {
    link_to(uri.parameter("keyfile"), "keyfile", directory / "key");
    check_is_private(uri.parameter("keyfile"));
    configuration += kConfigurationOfKey;
  }
  os::write_text_atomically(directory / "config", configuration, 0600);
  os::write_text_atomically(directory / "start-ssh", kProgram, 0700);
  uri_ = without_parameters(uri.text, {"known_hosts", "keyfile", "no_tty"});
  uri_ = with_parameter(uri_, "no_tty", "1");
  uri_ = with_parameter(uri_, "command", (directory / "start-ssh").string());
}

}  // namespace hyper2kvm::libvirt
