// Domains by the API: what is there, the trial, the definition, and the way back.
#pragma once

#include <optional>
#include <string>

#include "runner/libvirt/connection.h"

namespace hyper2kvm::libvirt {

struct ExistingDomain {
  std::string name;
  std::string uuid;
  std::string xml;  // with its secrets, as it would be defined again
  bool autostart = false;
};

// The domain of this name; nullopt where there is none. Throws os::Error (kInvalid) with the way out where
// there is one and overwrite is false, or it runs, is saved, or has snapshots or checkpoints.
std::optional<ExistingDomain> find_replaceable(const Connection& connection, const std::string& name,
                                               bool overwrite);

// Defines it, and with start also starts it without letting its processors run; then takes it away again. The
// XML must have a name and a UUID of its own. Throws os::Error where libvirt or the emulator refuses.
void try_domain(const Connection& connection, const std::string& xml, const std::string& uuid, bool start);

// All throw os::Error.
void define_domain(const Connection& connection, const std::string& xml);
void set_autostart(const Connection& connection, const std::string& uuid);
void start_domain(const Connection& connection, const std::string& uuid);
// The inactive XML, as libvirt keeps it.
std::string xml_of(const Connection& connection, const std::string& uuid);
// Ends it if it runs, undefines it with its UEFI variables. One that does not exist is fine.
void remove_domain(const Connection& connection, const std::string& uuid);
// Defines it again as it was.
void restore_domain(const Connection& connection, const ExistingDomain& domain);

// A random UUID (RFC 4122, version 4).
std::string random_uuid();

}  // namespace hyper2kvm::libvirt
