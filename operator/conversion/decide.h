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
#include <string>
#include <variant>
#include <vector>

#include "operator/conversion/manifests.h"
#include "operator/conversion/observed.h"

namespace hyper2kvm::conversion {

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
