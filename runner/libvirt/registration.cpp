#include "runner/libvirt/registration.h"

#include <libvirt/virterror.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include "runner/libvirt/connection.h"
#include "runner/libvirt/definition.h"
#include "runner/libvirt/failure.h"
#include "runner/libvirt/handle.h"
#include "runner/libvirt/host.h"
#include "runner/libvirt/kvm.h"
#include "runner/libvirt/text.h"
#include "runner/libvirt/undo.h"
#include "runner/libvirt/volume.h"
#include "runner/os/error.h"

namespace hyper2kvm::libvirt {
namespace {

// What is known before anything is changed.
struct Plan {
  DomainFacts facts;
  HostFacts host;
  std::optional<ExistingDomain> existing;
  std::optional<StoragePool> pool;
  std::vector<std::string> warnings;
};

// The room's edge: nothing but os::Error leaves it.
template <typename Function>
auto guarded(Function function) {
  try {
    return function();
  } catch (const os::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw os::Error(os::ErrorKind::kInternal, "libvirt", error.what());
  }
}

// A socket's name has little room, and the embedded driver makes the agent's deep below its root. libvirt
// says so only when the machine starts.
void check_embedded_root(const ConnectionUri& uri, const std::string& name) {
  if (!uri.is_embedded()) return;
  // libvirt takes 20 bytes of the name; a trial's name is 10 long.
  std::string part(std::clamp<std::size_t>(name.size(), 10, 20), 'x');
  std::string below = "/lib/qemu/channel/target/domain-99-" + part + "/org.qemu.guest_agent.0";
  std::size_t room = sizeof(sockaddr_un::sun_path) - 1 - below.size();
  if (uri.embedded_root.string().size() > room)
    throw os::Error(os::ErrorKind::kInvalid, "libvirt.uri",
                    "has a root directory whose path is too long for the sockets below it (" +
                        one_line(uri.embedded_root.string(), 400) + ")",
                    "Use one of at most " + std::to_string(room) + " bytes.");
}

std::string capabilities_xml(const Connection& connection, const char* type) {
  return taken(virConnectGetDomainCapabilities(connection.get(), nullptr, "x86_64", "q35", type, 0));
}

void choose_host(const Connection& connection, Plan& plan, const os::StopToken& stop) {
  std::string kvm = capabilities_xml(connection, "kvm");
  KvmVerdict verdict;
  if (!kvm.empty() && connection.uri().is_local())
    verdict = kvm_verdict(parse_domain_capabilities(kvm).emulator, stop);
  DomainType choice = choose_domain_type(!kvm.empty(), connection.uri().is_local(), verdict);
  std::string xml = choice.type == "kvm" ? kvm : capabilities_xml(connection, "qemu");
  if (xml.empty())
    throw libvirt_error("run x86_64 machines on its host", "libvirt",
                        "Install the emulator there (Debian: qemu-system-x86).");
  if (!choice.warning.empty()) plan.warnings.push_back(choice.warning);
  plan.host = host_facts(parse_domain_capabilities(xml), choice.type, plan.facts);
}

void choose_networks(const contract::Libvirt& settings, Plan& plan) {
  if (!settings.network.empty() && !settings.bridge.empty())
    throw os::Error(os::ErrorKind::kInvalid, "libvirt.network and libvirt.bridge", "are both set",
                    "Name a libvirt network or a bridge of the host, not both.");
  if (settings.network.empty() && settings.bridge.empty()) return;
  for (DomainNic& nic : plan.facts.nics) {
    nic.network = settings.network;
    nic.bridge = settings.bridge;
  }
}

void check_networks(const Connection& connection, const contract::Libvirt& settings, Plan& plan) {
  std::vector<std::string> names;
  for (const DomainNic& nic : plan.facts.nics)
    if (!nic.network.empty() && std::ranges::find(names, nic.network) == names.end())
      names.push_back(nic.network);
  for (const std::string& name : names) {
    std::string subject = "network " + one_line(name, 200);
    NetworkHandle network(virNetworkLookupByName(connection.get(), name.c_str()));
    // The embedded driver asks the system's libvirtd when the machine starts.
    if (!network && last_error_code() == VIR_ERR_NO_SUPPORT) continue;
    if (!network)
      throw libvirt_error("be found", subject,
                          "Name one that `virsh net-list --all` shows in libvirt.network, or a bridge of the "
                          "host in libvirt.bridge.");
    if (virNetworkIsActive(network.get()) != 0) continue;
    const std::string advice = "Start it with `virsh net-start`.";
    if (settings.start) throw os::Error(os::ErrorKind::kInvalid, subject, "is not active", advice);
    plan.warnings.push_back("The network " + one_line(name, 200) +
                            " is not active, so the machine cannot start yet. " + advice);
  }
}

std::string wanted_name(const contract::Libvirt& settings, const DomainFacts& facts) {
  return settings.name.empty() ? facts.name : settings.name;
}

Connection connect(const contract::Libvirt& settings, const DomainFacts& facts, const os::StopToken& stop) {
  check_embedded_root(parse_uri(settings.uri), domain_name(wanted_name(settings, facts)));
  return Connection::open(settings.uri, stop);
}

Plan make_plan(const Connection& connection, const contract::Libvirt& settings, const DomainFacts& facts,
               const os::StopToken& stop) {
  Plan plan;
  plan.facts = facts;
  std::string wanted = wanted_name(settings, facts);
  plan.facts.name = domain_name(wanted);
  if (plan.facts.name != wanted)
    plan.warnings.push_back("libvirt does not take the name \"" + one_line(wanted, 200) +
                            "\"; the domain is called \"" + plan.facts.name + "\".");
  plan.existing = find_replaceable(connection, plan.facts.name, settings.overwrite);
  stop.throw_if_stopped();
  choose_networks(settings, plan);
  check_networks(connection, settings, plan);
  if (!settings.pool.empty()) {
    plan.pool = find_pool(connection, settings.pool);
    for (const DomainDisk& disk : facts.disks) check_pool_format(*plan.pool, disk.format);
  }
  stop.throw_if_stopped();
  choose_host(connection, plan, stop);
  return plan;
}

std::string quoted(const std::filesystem::path& path) { return one_line(path.string(), 400); }

// The first directory above the file that others may not enter; an access list may say otherwise, so one is
// taken as permission.
std::optional<std::filesystem::path> closed_directory(const std::filesystem::path& file) {
  std::filesystem::path directory;
  for (const std::filesystem::path& part : file.parent_path()) {
    directory /= part;
    struct stat status {};
    if (::stat(directory.c_str(), &status) != 0) return std::nullopt;
    bool listed = ::getxattr(directory.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
    if ((status.st_mode & S_IXOTH) == 0 && !listed) return directory;
  }
  return std::nullopt;
}

void warn_of_places(const Connection& connection, Plan& plan) {
  if (!connection.uri().is_local()) {
    plan.warnings.push_back(
        "The disks stay on this machine: libvirt's host must see them under the same paths, or name a "
        "storage "
        "pool in libvirt.pool.");
    return;
  }
  // Only a privileged libvirt has the emulator run as a user of its own.
  if (connection.uri().path == "/session" || (connection.uri().is_embedded() && ::geteuid() != 0)) return;
  for (const DomainDisk& disk : plan.facts.disks)
    if (auto directory = closed_directory(disk.path))
      plan.warnings.push_back(
          quoted(disk.path) + " is below " + quoted(*directory) +
          ", which the emulator's own user may not enter. Name a storage pool in libvirt.pool, "
          "or let that user in: setfacl -m u:libvirt-qemu:x " +
          quoted(*directory) + ".");
}

// Bytes that a file takes up, which is what its volume will take up.
std::uint64_t allocated(const std::filesystem::path& path, bool whole) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) throw os::system_error(errno, "read", path.string());
  auto size = static_cast<std::uint64_t>(status.st_size);
  return whole ? size : std::min(size, static_cast<std::uint64_t>(status.st_blocks) * 512);
}

// Puts the disks into the pool and their new places into the plan. Returns what was made.
std::vector<OwnedVolume> place_disks(const Connection& connection, Plan& plan, Undo& undo,
                                     const UploadProgress& progress, const BeforeTransfer& before_transfer,
                                     const os::StopToken& stop) {
  const StoragePool& pool = *plan.pool;
  std::vector<DomainDisk>& disks = plan.facts.disks;
  std::vector<std::size_t> missing;
  std::uint64_t needed = 0;
  for (std::size_t index = 0; index < disks.size(); ++index) {
    if (auto present = disk_in_pool(connection, pool, disks[index])) {
      disks[index] = *present;
      continue;
    }
    needed += allocated(disks[index].path, pool.holds_block_devices());
    missing.push_back(index);
  }
  if (!missing.empty() && needed > pool.available)
    throw os::Error(os::ErrorKind::kSystem, "storage pool " + pool.name,
                    "has " + std::to_string(pool.available >> 20) + " MiB free, and the disks need " +
                        std::to_string((needed >> 20) + 1) + " MiB",
                    "Make room in it, or use another pool.", ENOSPC);
  std::vector<OwnedVolume> made;
  for (std::size_t index : missing) {
    stop.throw_if_stopped();
    const DomainDisk disk = disks[index];
    std::uint64_t size = allocated(disk.path, true);
    auto claim = std::make_shared<VolumeClaim>();
    undo.add(
        "Look for a volume that it left in the pool " + pool.name + " (virsh vol-list, virsh vol-delete).",
        [claim](const Connection& current) { delete_claimed(current, *claim); });
    VolumeHandle volume = create_volume(pool, plan.facts.name, disk, size, *claim);
    made.push_back(claim->volume);
    upload(
        connection, pool, volume.get(), disk.path,
        [&](std::uint64_t done) {
          if (progress) progress(index, done, size);
        },
        before_transfer, stop);
    disks[index] = disk_of_volume(volume.get(), disk.format);
  }
  return made;
}

void make_domain(const Connection& connection, const contract::Libvirt& settings, const Plan& plan,
                 const std::vector<OwnedVolume>& volumes, Undo& undo, const os::StopToken& stop) {
  const DomainFacts& facts = plan.facts;
  if (plan.existing) {
    DomainFacts trial = facts;
    trial.uuid = random_uuid();
    trial.name = "trial-" + trial.uuid.substr(0, 4);  // short: it becomes part of the names of sockets
    undo.add("Remove the trial with `virsh undefine --nvram " + trial.name + "`.",
             [uuid = trial.uuid](const Connection& current) { remove_domain(current, uuid); });
    try_domain(connection, domain_xml(trial, plan.host, volumes), trial.uuid, settings.start);
    stop.throw_if_stopped();
    undo.add("The domain " + facts.name + " that was there before could not be put back.",
             [existing = *plan.existing](const Connection& current) { restore_domain(current, existing); });
    remove_domain(connection, plan.existing->uuid);
  }
  stop.throw_if_stopped();
  undo.add("Remove the domain it left with `virsh undefine --nvram " + facts.name + "`.",
           [uuid = facts.uuid](const Connection& current) { remove_domain(current, uuid); });
  define_domain(connection, domain_xml(facts, plan.host, volumes));
  if (settings.autostart) set_autostart(connection, facts.uuid);
  stop.throw_if_stopped();
  if (settings.start) start_domain(connection, facts.uuid);
}

// The volumes that were made for the domain that was replaced, but for those that the new one uses.
void remove_replaced_volumes(const Connection& connection, const Plan& plan,
                             std::vector<std::string>& warnings) {
  for (const OwnedVolume& volume : owned_volumes(plan.existing->xml)) {
    try {
      PoolHandle pool(virStoragePoolLookupByName(connection.get(), volume.pool.c_str()));
      VolumeHandle handle(pool ? virStorageVolLookupByName(pool.get(), volume.name.c_str()) : nullptr);
      if (!handle) continue;
      std::string path = taken(virStorageVolGetPath(handle.get()));
      bool used = std::ranges::any_of(plan.facts.disks,
                                      [&](const DomainDisk& disk) { return disk.path.string() == path; });
      if (used) continue;
      delete_volume(connection, volume);
      warnings.push_back("The volume " + one_line(volume.name, 200) + " of pool " +
                         one_line(volume.pool, 200) +
                         " was removed together with the domain that was replaced.");
    } catch (const os::Error& error) {
      warnings.push_back("A volume of the domain that was replaced is left. " + error.sentence());
    }
  }
}

Registered register_over(Connection& connection, const contract::Libvirt& settings, const DomainFacts& facts,
                         const os::StopToken& stop, const UploadProgress& progress,
                         const BeforeTransfer& before_transfer) {
  Plan plan = make_plan(connection, settings, facts, stop);
  // Known beforehand, so that a domain can be found again whose definition was not confirmed. A domain that
  // is replaced hands its UUID on: to the host's tools, and to licences inside the guest, it is the same
  // machine.
  if (plan.existing)
    plan.facts.uuid = plan.existing->uuid;
  else if (plan.facts.uuid.empty())
    plan.facts.uuid = random_uuid();
  Undo undo;
  Registered registered;
  try {
    // Refused now rather than after an upload.
    domain_xml(plan.facts, plan.host);
    std::vector<OwnedVolume> volumes;
    if (plan.pool)
      volumes = place_disks(connection, plan, undo, progress, before_transfer, stop);
    else
      warn_of_places(connection, plan);
    make_domain(connection, settings, plan, volumes, undo, stop);
    registered.xml = xml_of(connection, plan.facts.uuid);
  } catch (const os::Error& error) {
    throw undo.roll_back(connection, error);
  } catch (const std::exception& error) {
    throw undo.roll_back(connection, os::Error(os::ErrorKind::kInternal, "libvirt", error.what()));
  }
  undo.dismiss();
  registered.name = plan.facts.name;
  registered.uuid = plan.facts.uuid;
  registered.domain_type = plan.host.domain_type;
  registered.started = settings.start;
  registered.disks = plan.facts.disks;
  registered.warnings = std::move(plan.warnings);
  if (plan.existing) remove_replaced_volumes(connection, plan, registered.warnings);
  return registered;
}

}  // namespace

Registered register_machine(const contract::Libvirt& settings, const DomainFacts& facts,
                            const os::StopToken& stop, const UploadProgress& progress,
                            const BeforeTransfer& before_transfer) {
  return guarded([&] {
    Connection connection = connect(settings, facts, stop);
    return register_over(connection, settings, facts, stop, progress, before_transfer);
  });
}

void check_registration(const contract::Libvirt& settings, const DomainFacts& facts,
                        const os::StopToken& stop) {
  guarded([&] {
    Connection connection = connect(settings, facts, stop);
    make_plan(connection, settings, facts, stop);
  });
}

}  // namespace hyper2kvm::libvirt
