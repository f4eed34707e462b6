// What the operator sees of the objects that it makes or that a conversion names: Jobs, their pods, claims.
// Each is read into the few fields that count, because a cache holds thousands of them.
#pragma once

#include <optional>
#include <string>

#include "operator/kube/object.h"

namespace hyper2kvm::conversion {

struct JobView {
  kube::ObjectKey key;
  std::string uid;
  std::string conversion_uid, conversion_name;
  bool is_complete = false;
  bool is_failed = false;
  std::string failure_reason, failure_message;  // of the condition Failed
  bool is_being_deleted = false;

  bool is_finished() const { return is_complete || is_failed; }
};

JobView read_job(const kube::Json& job);

struct PodView {
  kube::ObjectKey key;
  std::string uid;
  std::string conversion_uid, conversion_name;
  std::string job_name;
  std::string node;
  std::optional<std::size_t> node_slot;
  std::string phase;            // Pending, Running, Succeeded, Failed, Unknown
  std::string reason, message;  // why the pod as a whole failed: Evicted, NodeLost
  bool is_being_deleted = false;
  bool is_unschedulable = false;
  std::string scheduling_message;
  // The runner's container.
  bool has_started = false;
  std::string waiting_reason, waiting_message;
  struct Termination {
    int exit_code = 0;
    int signal = 0;
    std::string reason;   // Completed, Error, OOMKilled, ContainerCannotRun...
    std::string message;  // what the runner left: contract/termination.h, or whatever else
  };
  std::optional<Termination> terminated;

  bool is_finished() const { return phase == "Succeeded" || phase == "Failed"; }
};

PodView read_pod(const kube::Json& pod);

struct ClaimView {
  kube::ObjectKey key;
  std::string uid;
  std::string conversion_uid;  // of the conversion that it was made for
  bool is_block = false;
  bool is_being_deleted = false;
};

ClaimView read_claim(const kube::Json& claim);

// A DataVolume: CDI makes a claim of its name, and its phase tells when that may be written to.
struct DataVolumeView {
  kube::ObjectKey key;
  std::string uid;
  std::string conversion_uid;  // of the conversion that it was made for
  std::string phase;           // Pending, WaitForFirstConsumer, ImportInProgress, Succeeded, Failed...
  std::string problem;         // what CDI says of it where something is in the way
  bool is_being_deleted = false;
};

DataVolumeView read_data_volume(const kube::Json& data_volume);

// Which of a conversion's claims are block volumes.
struct BlockVolumes {
  bool source = false, output = false;
};

// A VirtualMachine of the name that the conversion's machine is to have.
struct MachineView {
  kube::ObjectKey key;
  std::string uid;
  std::string conversion_uid;  // of the conversion that it was made by
  bool is_being_deleted = false;
};

MachineView read_machine(const kube::Json& machine);

}  // namespace hyper2kvm::conversion
