// A guest that is open: its storage found, its root chosen, its file systems mounted under one directory.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runner/guest/guest_root.h"
#include "runner/guest/serve.h"
#include "runner/guest/storage/activation.h"
#include "runner/guest/storage/mount.h"
#include "runner/guest/storage/storage.h"

namespace hyper2kvm::guest {

class OpenGuest {
 public:
  // Finds the one root (or the one that the request names) and mounts it with what its fstab says. In
  // Mode::kRepair writable, which replays journals; otherwise nothing is written. Throws os::Error with one
  // sentence for an unknown, encrypted, hibernated or damaged guest, for Windows, and for several roots of
  // which none is named; inspection holds by then what was found. Mode::kInspect does not throw where the
  // disks can be read.
  OpenGuest(const Request& request, const Environment& environment, Inspection& inspection);

  // False where Mode::kInspect found no root, or several of which none was named: warnings() says so.
  bool has_root() const { return root_ != nullptr; }
  GuestRoot& root() { return *root_; }
  const Storage& storage() const { return storage_; }
  const Volume& root_volume() const { return *storage_.find(root_name_); }
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Unmounts everything. After a repair: trims, and checks the file systems that were written to; after a dry
  // run checks those that a repair would write to. Throws where a disk could not be written back or is not
  // whole.
  void close(Mode mode);

 private:
  struct Candidate {
    std::string volume;
    std::string options;  // subvol=...
    std::string name;     // as Inspection::roots shows it
  };
  bool holds_windows(const Volume& volume) const;
  os::Error nothing_found(Inspection& inspection) const;
  void find_candidates(std::vector<Candidate>& candidates, std::string& failure);
  void choose_root(const Request& request, Inspection& inspection);
  void mount_all(const Request& request, Inspection& inspection);
  void name_mapped_volumes();
  void mount_root(MountAccess access);
  void require_sound_to_write(const Volume& volume);
  void trim_fresh(const Volume& volume) const;
  void progress(const std::string& what) const;

  const Environment& environment_;
  std::vector<std::string> warnings_;
  Storage storage_;
  ActivatedVolumes activated_;
  std::string root_name_;
  std::string root_options_;
  std::vector<Mount> mounts_;
  std::unique_ptr<GuestRoot> root_;
};

}  // namespace hyper2kvm::guest
