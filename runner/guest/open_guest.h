// A guest that is open: its storage found, its root chosen, its file systems mounted under one directory.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runner/guest/guest_root.h"
#include "runner/guest/serve.h"
#include "runner/guest/storage/mount.h"
#include "runner/guest/storage/storage.h"

namespace hyper2kvm::guest {

class OpenGuest {
 public:
  // Finds the one root (or the one that the request names) and mounts it with what its fstab says. In
  // Mode::kRepair writable, which replays journals; otherwise nothing is written. Throws os::Error with one
  // sentence for an unknown, encrypted, hibernated or damaged guest, for Windows, and for several roots of
  // which none is named; inspection holds by then what was found.
  OpenGuest(const Request& request, const Environment& environment, Inspection& inspection);

  GuestRoot& root() { return *root_; }
  const Storage& storage() const { return storage_; }
  const Volume& root_volume() const { return *storage_.find(root_name_); }
  // Trims what may be trimmed and unmounts everything; throws where the disk could not be written back.
  void close(bool trim);

 private:
  void choose_root(const Request& request, Inspection& inspection);
  void mount_all(const Request& request, Inspection& inspection);
  void progress(const std::string& what) const;

  const Environment& environment_;
  Storage storage_;
  std::string root_name_;
  std::string root_options_;
  std::vector<Mount> mounts_;
  std::unique_ptr<GuestRoot> root_;
};

}  // namespace hyper2kvm::guest
