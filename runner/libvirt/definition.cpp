#include "runner/libvirt/definition.h"

#include <libvirt/virterror.h>

#include <array>
#include <random>

#include "runner/libvirt/failure.h"
#include "runner/libvirt/handle.h"
#include "runner/libvirt/text.h"
#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

// A domain and what it is called in messages. The name is asked for once: every call of libvirt forgets the
// error of the one before.
struct NamedDomain {
  DomainHandle handle;
  std::string subject;
  explicit operator bool() const { return static_cast<bool>(handle); }
  virDomainPtr get() const { return handle.get(); }
};

NamedDomain named(virDomainPtr domain) {
  NamedDomain result{DomainHandle(domain), ""};
  if (domain != nullptr) result.subject = "domain " + one_line(virDomainGetName(domain), 250);
  return result;
}

std::string uuid_of(const NamedDomain& domain) {
  char text[VIR_UUID_STRING_BUFLEN] = {};
  if (virDomainGetUUIDString(domain.get(), text) != 0) throw libvirt_error("be looked at", domain.subject);
  return text;
}

// None where there is none.
NamedDomain find_by_uuid(const Connection& connection, const std::string& uuid) {
  virDomainPtr domain = virDomainLookupByUUIDString(connection.get(), uuid.c_str());
  if (domain == nullptr && last_error_code() != VIR_ERR_NO_DOMAIN)
    throw libvirt_error("be looked for", "domain " + uuid);
  return named(domain);
}

NamedDomain get_by_uuid(const Connection& connection, const std::string& uuid) {
  virDomainPtr domain = virDomainLookupByUUIDString(connection.get(), uuid.c_str());
  if (domain == nullptr) throw libvirt_error("be looked for", "domain " + uuid);
  return named(domain);
}

[[noreturn]] void refuse(const NamedDomain& domain, std::string problem, std::string advice) {
  throw os::Error(os::ErrorKind::kInvalid, domain.subject, std::move(problem), std::move(advice));
}

// What a definition alone does not hold, and would be lost or left without an owner.
void refuse_state(const NamedDomain& domain) {
  if (virDomainIsActive(domain.get()) != 0)
    refuse(domain, "exists and runs, so it is not overwritten",
           "Shut it down first (virsh shutdown), or register under another name (libvirt.name).");
  if (virDomainHasManagedSaveImage(domain.get(), 0) != 0)
    refuse(domain, "exists and is saved in the middle of its work, so it is not overwritten",
           "Let it finish (virsh start, then shutdown) or drop what it had in memory (virsh "
           "managedsave-remove).");
  if (virDomainSnapshotNum(domain.get(), 0) > 0)
    refuse(domain, "exists and has snapshots, so it is not overwritten",
           "Delete them first (virsh snapshot-delete), or register under another name (libvirt.name).");
  virDomainCheckpointPtr* checkpoints = nullptr;
  int count = virDomainListAllCheckpoints(domain.get(), &checkpoints, 0);
  for (int index = 0; index < count; ++index) virDomainCheckpointFree(checkpoints[index]);
  std::free(checkpoints);
  if (count > 0)
    refuse(domain, "exists and has backup checkpoints, so it is not overwritten",
           "Delete them first (virsh checkpoint-delete), or register under another name (libvirt.name).");
}

}  // namespace

std::optional<ExistingDomain> find_replaceable(const Connection& connection, const std::string& name,
                                               bool overwrite) {
  virDomainPtr found = virDomainLookupByName(connection.get(), name.c_str());
  if (found == nullptr && last_error_code() == VIR_ERR_NO_DOMAIN) return std::nullopt;
  if (found == nullptr) throw libvirt_error("be looked for", "domain " + name);
  NamedDomain domain = named(found);
  if (!overwrite)
    refuse(domain, "exists already",
           "Choose another name (libvirt.name), or set libvirt.overwrite to replace it.");
  refuse_state(domain);
  ExistingDomain existing;
  existing.name = name;
  existing.uuid = uuid_of(domain);
  existing.xml = taken(virDomainGetXMLDesc(domain.get(), VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE));
  int autostart = 0;
  if (existing.xml.empty() || virDomainGetAutostart(domain.get(), &autostart) != 0)
    throw libvirt_error("be looked at", domain.subject);
  existing.autostart = autostart != 0;
  return existing;
}

void try_domain(const Connection& connection, const std::string& xml, const std::string& uuid, bool start) {
  define_domain(connection, xml);
  if (!start) return remove_domain(connection, uuid);
  NamedDomain domain = get_by_uuid(connection, uuid);
  if (virDomainCreateWithFlags(domain.get(), VIR_DOMAIN_START_PAUSED) != 0) {
    os::Error error = libvirt_error("start", "the new machine");
    remove_domain(connection, uuid);
    throw error;
  }
  remove_domain(connection, uuid);
}

void define_domain(const Connection& connection, const std::string& xml) {
  DomainHandle domain(virDomainDefineXML(connection.get(), xml.c_str()));
  if (!domain) throw libvirt_error("define the machine", "libvirt");
}

void set_autostart(const Connection& connection, const std::string& uuid) {
  NamedDomain domain = get_by_uuid(connection, uuid);
  if (virDomainSetAutostart(domain.get(), 1) != 0) throw libvirt_error("set autostart", domain.subject);
}

void start_domain(const Connection& connection, const std::string& uuid) {
  NamedDomain domain = get_by_uuid(connection, uuid);
  if (virDomainCreate(domain.get()) != 0)
    throw libvirt_error("start", domain.subject,
                        "Register it without libvirt.start to look at it with `virsh edit`.");
}

std::string xml_of(const Connection& connection, const std::string& uuid) {
  NamedDomain domain = get_by_uuid(connection, uuid);
  std::string xml = taken(virDomainGetXMLDesc(domain.get(), VIR_DOMAIN_XML_INACTIVE));
  if (xml.empty()) throw libvirt_error("be read back", domain.subject);
  return xml;
}

void remove_domain(const Connection& connection, const std::string& uuid) {
  NamedDomain domain = find_by_uuid(connection, uuid);
  if (!domain) return;
  if (virDomainIsActive(domain.get()) == 1 && virDomainDestroy(domain.get()) != 0) {
    os::Error error = libvirt_error("be ended", domain.subject);
    // It may have ended by itself meanwhile.
    if (virDomainIsActive(domain.get()) == 1) throw error;
  }
  if (virDomainUndefineFlags(domain.get(), VIR_DOMAIN_UNDEFINE_NVRAM) != 0 &&
      last_error_code() != VIR_ERR_NO_DOMAIN)
    throw libvirt_error("be removed", domain.subject);
}

void restore_domain(const Connection& connection, const ExistingDomain& domain) {
  define_domain(connection, domain.xml);
  if (domain.autostart) set_autostart(connection, domain.uuid);
}

std::string random_uuid() {
  std::random_device source;
  std::array<unsigned, 16> bytes;
  for (unsigned& byte : bytes) byte = source() & 0xff;
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  std::string text;
  for (std::size_t index = 0; index < bytes.size(); ++index) {
    if (index == 4 || index == 6 || index == 8 || index == 10) text += '-';
    text += "0123456789abcdef"[bytes[index] >> 4];
    text += "0123456789abcdef"[bytes[index] & 15];
  }
  return text;
}

}  // namespace hyper2kvm::libvirt
