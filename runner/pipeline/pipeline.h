// A conversion from end to end: the one door that the command line, the daemon and the operator's pod come
// through.
//
//   verify ─► (convert ‖ fix) ─► validate ─► boot ─► publish ─► register ─► report
//
// Errors: open_inputs throws os::Error before there is a job (exit status 1 or 2 by its kind). run() never
// throws for what goes wrong within a job: the outcome and the report say it. Thread-safety: one job a
// thread; jobs share nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "runner/contract/events.h"
#include "runner/contract/manifest.h"
#include "runner/contract/report.h"
#include "runner/os/stop.h"

namespace hyper2kvm::pipeline {

// Where the bytes of one disk are: a whole file, or a member of an OVA, read in place.
struct DiskLocation {
  std::filesystem::path file;
  std::uint64_t offset = 0;  // bytes
  std::uint64_t length = 0;  // bytes
};

struct Job {
  contract::ParsedManifest parsed;
  std::filesystem::path input;  // the manifest, OVA, OVF or first disk, as given
  std::vector<DiskLocation>
      locations;  // one a disk; empty: the manifest's paths are resolved and checked by verify
};

// What is given: one manifest (JSON or YAML), one OVA, one OVF, or disks in order. Told by content, not by
// name. For anything but a manifest all four stages are on, the output is qcow2 and goes to the current
// directory until the caller says otherwise.
Job open_inputs(const std::vector<std::filesystem::path>& inputs);

// A passphrase or a key, read from a file so that it never stands on a command line.
struct KeyFile {
  std::string device;  // UUID of the LUKS header; empty: tried on every encrypted volume
  std::filesystem::path path;
};

struct Settings {
  std::string guest_root;  // which root where a guest has several
  std::vector<KeyFile> keys;
  bool check_grains = true;                       // Adler-32 of every grain of a streamOptimized VMDK
  std::uint64_t rate_limit = 0;                   // bytes a second, read and written; 0 none
  std::filesystem::path temporary_directory;      // scratch; empty: $TMPDIR or /tmp
  std::uint64_t appliance_memory = 512ull << 20;  // bytes
  std::chrono::seconds appliance_time{600};
};

struct Outcome {
  contract::Report report;
  std::filesystem::path report_path;  // empty where none was written
  std::filesystem::path boot_disk;    // the published boot disk; empty where nothing was published
  int exit_status = 0;
  bool cancelled = false;
  bool may_pass = false;  // of a failure: the same job may succeed later unchanged
};

Outcome run(const Job& job, const Settings& settings, contract::EventSink& events, const os::StopToken& stop);

// What is in it, and what a repair would change. Changes nothing. Throws os::Error. The object's keys are
// those of docs/inspect.md.
nlohmann::json inspect(const Job& job, const Settings& settings, contract::EventSink& events,
                       const os::StopToken& stop);

}  // namespace hyper2kvm::pipeline
