// The agent's one job: take a request, open the guest's disks, look or repair, close them, answer.
//
// Called in the appliance by the agent, which is alone there: serve mounts and unmounts in the process's own
// mount namespace and is not thread-safe. It never throws: what goes wrong is Answer::error.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "runner/guest/protocol.h"

namespace hyper2kvm::guest {

struct Environment {
  // Block devices in the manifest's order, as "/dev/vda". /dev, /proc and /sys are mounted.
  std::vector<std::string> disk_devices;
  // Told what is being done, a few words at a time.
  std::function<void(const std::string&)> progress;
  // Loads a module of the appliance's kernel and what it depends on; throws os::Error. Asked for: vfat (and
  // nls_cp437, nls_ascii, nls_iso8859-1, nls_utf8), dm-mod, dm-crypt, dm-thin-pool, dm-snapshot, dm-mirror,
  // dm-raid, raid0, raid1, raid10, raid456, fuse, crypto modules (xts, ecb, cbc, sha512_generic, ...).
  std::function<void(const std::string&)> load_module;
  // An existing, empty, writable directory; the guest is mounted below it.
  std::filesystem::path workspace = "/run";
};

Answer serve(const Request& request, const Environment& environment);

}  // namespace hyper2kvm::guest
