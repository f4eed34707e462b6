// Whether a file system was left in order, told from its superblock before anything is mounted.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runner/guest/storage/storage.h"

namespace hyper2kvm::guest {

enum class FilesystemState {
  kClean,
  kJournal,  // was in use; its journal makes it whole when it is mounted
  kUnclean,  // was in use and has no journal
  kErrors,   // the file system itself noted errors
};

// Knows ext2, ext3 and ext4 (superblock at 1024: s_state, s_feature_incompat) and XFS (sb_features_incompat);
// others are kClean, and mounting them tells. Throws os::Error where the volume cannot be read.
FilesystemState read_filesystem_state(const Volume& volume);

// Throws for a file system that must not be written to, with what to do in the source machine.
void require_sound(const Volume& volume);

// Checks, changing nothing, with each file system's own program (e2fsck, xfs_repair, btrfs, fsck.vfat); none
// of them may be mounted. Those of different types are checked beside each other. Throws os::Error where
// damage is found; a program that is not there is no error.
void check_filesystems(std::vector<const Volume*> volumes);

}  // namespace hyper2kvm::guest
