// Mounting the guest's file systems in the appliance. Always nosuid, nodev and noexec: nothing of the guest
// is run and none of its device nodes opens. Throws os::Error.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "runner/guest/storage/storage.h"

namespace hyper2kvm::guest {

enum class MountAccess {
  kReadOnly,   // nothing is written, not even a journal replayed
  kReadWrite,  // replays the journal
};

// A mounted file system; unmounted when it goes out of scope.
class Mount {
 public:
  // data is the file system's own option text (subvol=@). The directory is made if need be.
  static Mount make(const Volume& volume, const std::filesystem::path& directory, MountAccess access,
                    const std::string& data, const std::function<void(const std::string&)>& load_module);
  Mount(Mount&& other) noexcept;
  Mount& operator=(Mount&& other) = delete;
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount();

  const std::filesystem::path& directory() const { return directory_; }
  const std::string& volume_name() const { return volume_; }
  // Tells the disk which blocks are free. Returns the bytes trimmed; 0 where file system or disk cannot.
  std::uint64_t trim() const;
  // Writes everything back and lets go; an error here means that the disk is not whole.
  void unmount();

 private:
  Mount() = default;
  std::filesystem::path directory_;
  std::string volume_;
  bool mounted_ = false;
};

// True for the types that Mount can mount and a Linux guest may live on.
bool is_linux_filesystem(const std::string& type);

}  // namespace hyper2kvm::guest
