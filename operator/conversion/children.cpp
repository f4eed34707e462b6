#include "operator/conversion/children.h"

#include <charconv>

#include "operator/conversion/words.h"

namespace hyper2kvm::conversion {
namespace {

using kube::find_at;
using kube::integer_at;
using kube::Json;
using kube::text_at;

// The entry of a list of objects whose member has this value.
const Json* find_in(const Json* list, std::string_view member, std::string_view value) {
  if (list == nullptr || !list->is_array()) return nullptr;
  for (const Json& item : *list)
    if (text_at(item, {member}) == value) return &item;
  return nullptr;
}

// What is read of every one of them.
template <class View>
View read_child(const Json& object) {
  View view;
  view.key = kube::key_of(object);
  view.uid = kube::uid_of(object);
  view.conversion_uid = kube::label_of(object, kConversionLabel);
  view.is_being_deleted = kube::is_being_deleted(object);
  return view;
}

}  // namespace

JobView read_job(const Json& job) {
  auto view = read_child<JobView>(job);
  view.conversion_name = kube::annotation_of(job, kConversionAnnotation);
  for (const kube::Condition& condition : kube::conditions_of(job)) {
    if (condition.status != "True") continue;
    if (condition.type == "Complete") view.is_complete = true;
    if (condition.type != "Failed") continue;
    view.is_failed = true;
    view.failure_reason = condition.reason;
    view.failure_message = condition.message;
  }
  return view;
}

PodView read_pod(const Json& pod) {
  auto view = read_child<PodView>(pod);
  view.conversion_name = kube::annotation_of(pod, kConversionAnnotation);
  // Set by the Job's controller; newer ones write both names.
  view.job_name = kube::label_of(pod, "job-name");
  if (view.job_name.empty()) view.job_name = kube::label_of(pod, "batch.kubernetes.io/job-name");
  view.node = text_at(pod, {"spec", "nodeName"});
  std::string slot = kube::label_of(pod, kNodeSlotLabel);
  std::size_t number = 0;
  if (auto [end, error] = std::from_chars(slot.data(), slot.data() + slot.size(), number);
      !slot.empty() && error == std::errc() && end == slot.data() + slot.size())
    view.node_slot = number;
  view.phase = text_at(pod, {"status", "phase"});
  view.reason = text_at(pod, {"status", "reason"});
  view.message = text_at(pod, {"status", "message"});
  if (auto scheduled = kube::find_condition(kube::conditions_of(pod), "PodScheduled");
      scheduled && scheduled->status == "False") {
    view.is_unschedulable = scheduled->reason == "Unschedulable";
    view.scheduling_message = scheduled->message;
  }
  const Json* container = find_in(find_at(pod, {"status", "containerStatuses"}), "name", kRunnerContainer);
  if (container == nullptr) return view;
  view.waiting_reason = text_at(*container, {"state", "waiting", "reason"});
  view.waiting_message = text_at(*container, {"state", "waiting", "message"});
  view.has_started = find_at(*container, {"state", "running"}) != nullptr;
  if (const Json* ended = find_at(*container, {"state", "terminated"});
      ended != nullptr && ended->is_object()) {
    view.has_started = true;
    view.terminated = PodView::Termination{static_cast<int>(integer_at(*ended, {"exitCode"})),
                                           static_cast<int>(integer_at(*ended, {"signal"})),
                                           text_at(*ended, {"reason"}), text_at(*ended, {"message"})};
  }
  return view;
}

ClaimView read_claim(const Json& claim) {
  auto view = read_child<ClaimView>(claim);
  view.is_block = text_at(claim, {"spec", "volumeMode"}) == "Block";
  return view;
}

DataVolumeView read_data_volume(const Json& data_volume) {
  auto view = read_child<DataVolumeView>(data_volume);
  view.phase = text_at(data_volume, {"status", "phase"});
  // A claim that cannot be made or bound, and then an importer that cannot run.
  for (const char* type : {"Bound", "Running"})
    if (auto condition = kube::find_condition(kube::conditions_of(data_volume), type);
        view.problem.empty() && condition && condition->status != "True")
      view.problem = condition->message;
  return view;
}

MachineView read_machine(const Json& machine) { return read_child<MachineView>(machine); }

}  // namespace hyper2kvm::conversion
