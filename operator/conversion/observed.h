// Everything that is seen of one conversion when it is decided what to do next.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "operator/conversion/children.h"
#include "operator/conversion/conversion.h"
#include "operator/conversion/failure.h"

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

}  // namespace hyper2kvm::conversion
