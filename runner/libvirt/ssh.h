// SSH with a key and the keys of known hosts from files: qemu+ssh://...?keyfile=FILE&known_hosts=FILE.
//
// libvirt's transport `ssh` starts the OpenSSH client with the user's own configuration, and has no word for
// a file of known hosts. (Its transport `libssh` has, and crashes now and then.) So libvirt is given a
// program of ours to start in place of `ssh`, in a directory that is ours alone:
//
//   start-ssh          fixed text: goes to its own directory and starts the OpenSSH client with `config`
//   config             fixed text: ask nobody, trust what stands in `known_hosts` only, offer `key` only
//   known_hosts, key   symbolic links to the files that the URI names
//
// Nothing that a URI says stands in a script or a configuration. Source: ssh_config(5),
// https://libvirt.org/uri.html.
#pragma once

#include <string>

#include "runner/libvirt/uri.h"
#include "runner/os/file.h"

namespace hyper2kvm::libvirt {

// True where the URI names known hosts, so that it has to be opened with an SshProgram.
bool needs_ssh_program(const ConnectionUri& uri);

// Must outlive the opening of the connection; what is open needs it no more.
class SshProgram {
 public:
  // Throws os::Error (kInvalid) where a file cannot be read or a key is open to others.
  explicit SshProgram(const ConnectionUri& uri);
  // The URI with the program, and without what libvirt does not know.
  const std::string& uri() const { return uri_; }

 private:
  os::TemporaryDirectory directory_;
  std::string uri_;
};

}  // namespace hyper2kvm::libvirt
