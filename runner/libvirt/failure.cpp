#include "runner/libvirt/failure.h"

#include <libvirt/virterror.h>

#include <string_view>

#include "runner/libvirt/text.h"

namespace hyper2kvm::libvirt {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// What the OpenSSH client says, which libvirt hands on with the code of any lost connection.
bool is_unknown_host(std::string_view message) {
  return contains(message, "Host key verification failed") || contains(message, "IDENTIFICATION HAS CHANGED");
}
bool is_unknown_key(std::string_view message) {
  return contains(message, "Permission denied (") && !is_unknown_host(message);
}

// A certificate or its key is missing, not trusted, or over.
bool is_about_certificates(std::string_view message) {
  return contains(message, "certificate") || contains(message, "private key") ||
         contains(message, "TLS confirmation");
}

// What another attempt may overcome: the daemon, the network or the host, not what was asked for.
os::ErrorKind kind_of(int code, std::string_view message) {
  if (is_unknown_host(message) || is_unknown_key(message) || is_about_certificates(message))
    return os::ErrorKind::kInvalid;
  switch (code) {
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_XML_INVALID_SCHEMA:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_CONF_SYNTAX:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_INVALID_ARG:
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_NETWORK:
    case VIR_ERR_NO_STORAGE_POOL:
    case VIR_ERR_NO_STORAGE_VOL:
    case VIR_ERR_DOM_EXIST:
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_OPERATION_INVALID:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_PARSE_FAILED:
      return os::ErrorKind::kInvalid;
    default:
      return os::ErrorKind::kSystem;
  }
}

std::string advice_for(int code, std::string_view message) {
  if (is_unknown_host(message))
    return "Compare the host's key (`ssh-keyscan HOST`) with the one that the host itself shows, and put it "
           "into the file of known hosts.";
  if (is_unknown_key(message))
    return "Add the public half of the key to authorized_keys of that user on libvirt's host.";
  if (is_about_certificates(message))
    return "Give the connection cacert.pem, clientcert.pem and clientkey.pem that both sides trust "
           "(pkipath=DIRECTORY in the URI).";
  switch (code) {
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
    case VIR_ERR_AUTH_UNAVAILABLE:
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
      return "Run it as root or as a member of the group libvirt, or use qemu:///session.";
    default:
      break;
  }
  if (contains(message, "Failed to connect socket"))
    return contains(message, "Permission denied")
               ? "Run it as root or as a member of the group libvirt, or use qemu:///session."
               : "Start libvirt (systemctl start libvirtd), or name another connection in libvirt.uri.";
  if (contains(message, "Permission denied") || contains(message, "Could not open"))
    return "The emulator runs as a user of its own (libvirt-qemu or qemu), who must be able to reach the "
           "disks: let "
           "them be put into a storage pool (libvirt.pool), or give that user the right to enter their "
           "directory "
           "(setfacl -m u:libvirt-qemu:x DIRECTORY).";
  if (contains(message, "unable to find any emulator") || contains(message, "no emulator"))
    return "Install the emulator on libvirt's host (Debian: qemu-system-x86).";
  return "";
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '.' || text.back() == ' ' || text.back() == '\n')) text.pop_back();
  return text;
}

}  // namespace

int last_error_code() {
  virErrorPtr error = virGetLastError();
  return error == nullptr ? static_cast<int>(VIR_ERR_OK) : error->code;
}

os::Error libvirt_error(const std::string& operation, const std::string& subject, std::string advice) {
  virErrorPtr error = virGetLastError();
  int code = error == nullptr ? static_cast<int>(VIR_ERR_OK) : error->code;
  std::string message = error == nullptr || error->message == nullptr ? "unknown reason" : error->message;
  const os::ErrorKind kind = kind_of(code, message);
  const std::string known = advice_for(code, message);
  // OpenSSH draws a box around this one.
  if (contains(message, "IDENTIFICATION HAS CHANGED"))
    message = "the host shows another key than the one that is known of it";
  // All that libvirt knows when the other side hangs up.
  if (contains(message, "Unable to read TLS confirmation"))
    message = "the host does not accept the client's certificate";
  message = trimmed(one_line(trimmed(message), 1000));
  if (!known.empty()) advice = known;
  return os::Error(kind, subject, "cannot " + operation + ": " + message, std::move(advice));
}

}  // namespace hyper2kvm::libvirt
