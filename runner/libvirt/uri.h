// What a connection URI says about where its libvirt runs. Source: https://libvirt.org/uri.html.
#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace hyper2kvm::libvirt {

struct ConnectionUri {
  std::string text;                     // as given
  std::string driver;                   // "qemu"
  std::string transport;                // "", unix, ssh, libssh, libssh2, tls, tcp, ext
  std::string host;                     // empty: this machine
  std::string path;                     // "/system", "/session", "/embed"
  std::filesystem::path embedded_root;  // of "/embed"

  bool is_embedded() const { return path == "/embed"; }
  // The emulator is started on this machine's kernel: no host, and a socket or our own process.
  bool is_local() const { return host.empty() && (transport.empty() || transport == "unix"); }
  bool has_parameter(const std::string& name) const;
  // Its value, decoded; of several the last. Empty where there is none.
  std::string parameter(const std::string& name) const;
};

// Throws os::Error (kInvalid) for what is no URI of the qemu driver.
ConnectionUri parse_uri(const std::string& text);

// The text with one more query parameter; the value is encoded.
std::string with_parameter(const std::string& text, const std::string& name, const std::string& value);
// The text without the parameters of these names.
std::string without_parameters(const std::string& text, const std::set<std::string>& names);

}  // namespace hyper2kvm::libvirt
