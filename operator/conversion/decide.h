// What to do next for one conversion: a pure function of what is seen.
//
//   Pending ──► Queued ──► Running ──► Succeeded
//      ▲                      │  │
//      └── retry, resumed ────┘  └────► Failed          Suspended: from and to Pending, Queued, Running
//   Deleting: from anywhere, until nothing that was half made is left
//
// Level-based: nothing is remembered between two calls but what stands in the status, so a crash at any
// moment loses nothing. The status is written before the actions are done, and refused by the server when it
// is based on an old version of the conversion; an action that was done already does nothing the second time.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "operator/conversion/children.h"
#include "operator/conversion/conversion.h"
#include "operator/conversion/failure.h"
#include "operator/conversion/manifests.h"

namespace hyper2kvm::conversion {

struct Observed {
  Conversion conversion;
  // Everything that carries this conversion's UID. The Job of the attempt in flight was looked for on the
  // server where the cache did not have it.
  std::vector<JobView> jobs;
  std::vector<PodView> pods;
  std::optional<ClaimView> source_claim, output_claim;
  // For a conversion that makes a claim for each disk: those of status.disks that are there, by their names.
  std::vector<ClaimView> disk_claims;
  // For a conversion that registers its machine: whether the cluster has KubeVirt, and the VirtualMachine
  // that has its name already.
  bool has_kubevirt = true;
  std::optional<MachineView> machine;
  // For a conversion that makes DataVolumes: whether the cluster has CDI, looked at before an attempt, and
  // those of its names that are there, looked at while they are waited for and when it is deleted.
  bool has_cdi = true;
  std::vector<DataVolumeView> data_volumes;
  // A place is free for it, now.
  bool may_start = false;
  std::size_t ahead_in_queue = 0;
  // From the runner's log, where it is read.
  std::optional<Progress> progress;
  // The server refused to make what was asked for last: the Job, the claim or the machine.
  std::optional<Failure> refusal;
  kube::Calendar now{};
};

// --- actions; all of them are safe to do again ---
struct AddFinalizer {};
struct RemoveFinalizer {};
// A claim, or the DataVolume that CDI makes one of.
struct CreateClaim {};
// The same for one disk of status.disks.
struct CreateDiskClaim {
  std::size_t disk = 0;
};
struct CreateJob {
  std::int64_t attempt = 0;
  BlockVolumes block;
  Work work = Work::kConvert;
};
struct ApplyMachine {
  Json machine;
  // It gets the first of these preferences that the cluster has, if any.
  std::vector<std::string> preferences;
};
struct DeleteMachine {
  kube::ObjectKey key;
  std::string uid;
};
struct DeleteJob {
  kube::ObjectKey key;
  std::string uid;
};
struct DeleteClaim {
  kube::ObjectKey key;
  std::string uid;
};
// And the claim that CDI made of it, before it.
struct DeleteDataVolume {
  kube::ObjectKey key;
  std::string uid;
};
// Its time to live is over.
struct DeleteConversion {};
using Action =
    std::variant<AddFinalizer, RemoveFinalizer, CreateClaim, CreateDiskClaim, CreateJob, ApplyMachine,
                 DeleteMachine, DeleteJob, DeleteClaim, DeleteDataVolume, DeleteConversion>;

// For people who watch the conversion.
struct Announcement {
  bool is_warning = false;
  std::string reason, message;
};

// Its claim on one of the places that the operator's limits leave.
enum class Place { kNone, kWaits, kHolds };

struct Decision {
  Status status;  // to be written where it differs, before the actions
  std::vector<Action> actions;
  std::vector<Announcement> announcements;
  std::optional<std::chrono::seconds> again_after;
  Place place = Place::kNone;
  // The pod whose log tells the progress; none where there is nothing to follow.
  std::optional<kube::ObjectKey> follow;
};

Decision decide(const Observed& observed);

}  // namespace hyper2kvm::conversion
