// What libvirt's qemu driver takes as a name: at least one character that is no space, no slash, no line
// break, and short enough that NAME.xml, NAME.log and NAME_VARS.fd are file names. Control characters cannot
// be written in XML.
#include <algorithm>

#include "runner/libvirt/domain.h"
#include "runner/libvirt/text.h"

namespace hyper2kvm::libvirt {
namespace {

constexpr std::size_t kLongestName = 200;  // bytes; with room for what is added to it in file names

bool libvirt_takes(const std::string& name) {
  return name.size() <= kLongestName && is_plain_text(name) && name.find('/') == std::string::npos &&
         name.find_first_not_of(' ') != std::string::npos && name != "." && name != "..";
}

bool is_kept(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

}  // namespace

std::string domain_name(const std::string& wanted) {
  if (libvirt_takes(wanted)) return wanted;
  std::string name;
  for (char c : wanted) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == ' ') c = '-';
    if (is_kept(c)) name += c;
  }
  name.resize(std::min(name.size(), kLongestName));
  // Nothing but separators is no name, and a leading dash would be an option to every command line tool.
  std::size_t begin = name.find_first_not_of('-');
  name = begin == std::string::npos ? "" : name.substr(begin);
  return name.find_first_not_of("-_.") == std::string::npos ? "vm" : name;
}

}  // namespace hyper2kvm::libvirt
