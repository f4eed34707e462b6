// The short form of a report that fits a container's termination message, which Kubernetes cuts at 4096 bytes
// (https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/): what the operator
// needs to go on. Source: docs/report.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runner/contract/report.h"

namespace hyper2kvm::contract {

inline constexpr std::size_t kTerminationMessageBytes = 4096;

struct TerminationResult {
  bool success = false;
  double duration_seconds = 0;
  std::string failed_stage;  // empty after a success, and where the job failed outside of any stage
  std::string error;         // the sentence; empty after a success
  bool may_pass = false;     // of a failure: the same job may succeed later with nothing changed
  std::string manifest_path;
  std::string source_vm_name;
  struct Disk {
    std::string disk_id, path, format;
    std::uint64_t size_bytes = 0;          // of the file
    std::uint64_t virtual_size_bytes = 0;  // of the disk in it
    int boot_order_hint = 999;
  };
  bool dry_run = false;                 // the disks are those that would be made
  std::vector<Disk> disks;              // those that fitted
  std::size_t total_disks = 0;          // all
  std::vector<std::string> warnings;    // those that fitted
  std::size_t total_warnings = 0;       // all
  std::optional<MachineFacts> machine;  // of a success
  // The domain that libvirt has of it; empty where none was made.
  std::string domain;
};

// One JSON object of at most kTerminationMessageBytes. What is cut, in this order: warnings, then the end of
// the error's sentence (256 bytes of it always stay), then disks from the last.
// may_pass: of a failure, as in the job's result event.
std::string to_termination_message(const Report& report, bool may_pass = false);
// The other direction. Hostile input: throws os::Error (kInvalid); keys it does not know are ignored.
TerminationResult parse_termination_message(std::string_view text);

}  // namespace hyper2kvm::contract
