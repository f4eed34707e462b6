#include "operator/conversion/conversion_controller.h"

#include <mutex>

#include "operator/conversion/admission.h"
#include "operator/conversion/conversion_metrics.h"
#include "operator/conversion/decide.h"
#include "operator/conversion/kept_conversion.h"
#include "operator/conversion/node_slots.h"
#include "operator/conversion/progress_reader.h"
#include "operator/conversion/registration.h"
#include "operator/conversion/words.h"
#include "operator/kube/event_recorder.h"

namespace hyper2kvm::conversion {
namespace {

using kube::ApiError;
using kube::ObjectKey;
using kube::ReconcileOutcome;

constexpr const char* kByConversion = "conversion";
constexpr const char* kByClaim = "claim";

// The objects of other makers are not looked at.
kube::InformerOptions ours(const std::vector<std::string>& namespaces) {
  kube::InformerOptions options;
  options.namespaces = namespaces;
  options.label_selector = std::string(kManagedByLabel) + "=" + kOperatorName;
  return options;
}

kube::InformerOptions all(const std::vector<std::string>& namespaces) {
  kube::InformerOptions options;
  options.namespaces = namespaces;
  return options;
}

template <class View>
std::vector<std::string> uid_of_view(const View& view) {
  return {view.conversion_uid};
}

template <class View>
std::vector<View> values_of(const std::vector<std::shared_ptr<const View>>& shared) {
  std::vector<View> values;
  for (const auto& value : shared) values.push_back(*value);
  return values;
}

}  // namespace

struct ConversionController::Parts {
  Parts(const kube::Client& made_client, ConversionControllerOptions made_options, kube::Metrics& metrics,
        const kube::Logger& made_log)
      : client(made_client),
        options(std::move(made_options)),
        log(made_log),
        conversions(std::make_shared<kube::Informer<KeptConversion>>(
            kConversions, all(options.namespaces),
            [](Json&& object) { return KeptConversion(read_conversion(object)); }, log)),
        jobs(std::make_shared<kube::Informer<JobView>>(
            kube::types::kJobs, ours(options.namespaces), [](Json&& object) { return read_job(object); },
            log)),
        pods(std::make_shared<kube::Informer<PodView>>(
            kube::types::kPods, ours(options.namespaces), [](Json&& object) { return read_pod(object); },
            log)),
        claims(std::make_shared<kube::Informer<ClaimView>>(
            kube::types::kPersistentVolumeClaims, all(options.namespaces),
            [](Json&& object) { return read_claim(object); }, log)),
        measures(metrics, conversions->cache()),
        events(client, kOperatorName, options.host, log),
        admission(options.max_running),
        slots(options.max_running_per_node),
        progress(
            client, {100, options.progress_interval, options.clock},
            [this](const ObjectKey& key) { controller->queue().add(key); }, log) {
    kube::ControllerOptions controller_options;
    controller_options.name = "vmconversion";
    controller_options.kind = kConversions.kind;
    controller_options.workers = options.workers;
    controller_options.clock = options.clock;
    controller = std::make_shared<kube::Controller>(
        controller_options, [this](const kube::ReconcileRequest& request) { return reconcile(request); },
        metrics, log);
    listen();
  }

  // --- what leads to a look at a conversion ---
  void listen() {
    conversions->cache().add_index(kByClaim, [](const KeptConversion& kept) -> std::vector<std::string> {
      if (kept.open() == nullptr) return {};
      const Conversion& conversion = *kept.open();
      const std::string& name_space = conversion.key.name_space;
      std::vector<std::string> names = {name_space + "/" + conversion.spec.source_claim,
                                        name_space + "/" + conversion.output_claim_name()};
      for (std::size_t disk = 1; disk < conversion.status.disks.size(); ++disk)
        names.push_back(name_space + "/" + conversion.status.disks[disk].claim_name);
      return names;
    });
    claims->cache().add_index(kByConversion, uid_of_view<ClaimView>);
    jobs->cache().add_index(kByConversion, uid_of_view<JobView>);
    pods->cache().add_index(kByConversion, uid_of_view<PodView>);
    conversions->cache().on_change(
        [this](const ObjectKey& key, const auto&, const auto&) { controller->queue().add(key); });
    jobs->cache().on_change([this](const ObjectKey& key, const auto& before, const auto& after) {
      controller->queue().add({key.name_space, (after ? after : before)->conversion_name});
    });
    pods->cache().on_change([this](const ObjectKey& key, const auto& before, const auto& after) {
      controller->queue().add({key.name_space, (after ? after : before)->conversion_name});
    });
    claims->cache().on_change([this](const ObjectKey& key, const auto&, const auto&) {
      for (const auto& conversion : conversions->cache().by_index(kByClaim, key.to_string()))
        controller->queue().add(conversion->key());
    });
  }

  void wake(const std::vector<ObjectKey>& keys, const ObjectKey& except = {}) {
    for (const ObjectKey& key : keys)
      if (key != except) controller->queue().add(key);
  }

  // --- what there is ---
  Observed observe(const Conversion& conversion, const kube::Client& server) const {
    Observed seen;
    seen.conversion = conversion;
    seen.now = options.clock->calendar();
    const ObjectKey& key = conversion.key;
    auto claim_named = [&](const std::string& name) {
      auto claim = claims->cache().get({key.name_space, name});
      return claim ? std::optional(*claim) : std::nullopt;
    };
    seen.source_claim = claim_named(conversion.spec.source_claim);
    seen.output_claim = claim_named(conversion.output_claim_name());
    if (conversion.makes_a_claim_for_each_disk()) {
      seen.disk_claims = values_of(claims->cache().by_index(kByConversion, conversion.uid));
      for (const PlannedDisk& disk : conversion.status.disks)
        if (auto claim = claim_named(disk.claim_name); claim && claim->conversion_uid != conversion.uid)
          seen.disk_claims.push_back(*claim);
    }
    seen.progress = progress.latest(key);
    if (conversion.spec.kubevirt && !conversion.status.is_finished()) see_machine(conversion, server, seen);
    if (conversion.is_being_deleted) {
      see_data_volumes(conversion, server, seen);
      // What the finalizer promises is verified on the server.
      for (const Json& job : server.list(kube::types::kJobs, made_for(conversion)))
        seen.jobs.push_back(read_job(job));
      seen.pods = pods_on_server(conversion, server);
      return seen;
    }
    seen.jobs = values_of(jobs->cache().by_index(kByConversion, conversion.uid));
    seen.pods = values_of(pods->cache().by_index(kByConversion, conversion.uid));
    const std::string& current = conversion.status.job_name;
    bool is_cached = std::any_of(seen.jobs.begin(), seen.jobs.end(),
                                 [&](const JobView& job) { return job.key.name == current; });
    if (!current.empty() && !is_cached)
      if (auto job = server.find(kube::types::kJobs, {key.name_space, current}))
        seen.jobs.push_back(read_job(*job));
    if (!conversion.status.is_finished() &&
        std::none_of(seen.jobs.begin(), seen.jobs.end(),
                     [&](const JobView& job) { return job.key.name == current; }))
      see_data_volumes(conversion, server, seen);
    // The two caches run apart: where the Job is known to have ended and its pod is not, the server knows
    // more. To take the pod for lost would convert once more.
    bool has_ended = std::any_of(seen.jobs.begin(), seen.jobs.end(), [&](const JobView& job) {
      return job.key.name == current && job.is_finished();
    });
    bool has_result = std::any_of(seen.pods.begin(), seen.pods.end(), [&](const PodView& pod) {
      return pod.job_name == current && pod.is_finished();
    });
    if (!current.empty() && has_ended && !has_result) seen.pods = pods_on_server(conversion, server);
    return seen;
  }

  // What was made for it and for no other.
  static kube::ListOptions made_for(const Conversion& conversion) {
    kube::ListOptions options;
    options.name_space = conversion.key.name_space;
    options.label_selector = std::string(kConversionLabel) + "=" + conversion.uid;
    return options;
  }
  static std::vector<PodView> pods_on_server(const Conversion& conversion, const kube::Client& server) {
    std::vector<PodView> views;
    for (const Json& pod : server.list(kube::types::kPods, made_for(conversion)))
      views.push_back(read_pod(pod));
    return views;
  }

  // Asked for only where it counts, and not watched: a cluster may have no KubeVirt.
  void see_machine(const Conversion& conversion, const kube::Client& server, Observed& seen) const {
    bool is_converting = conversion.status.is_in_flight() && !conversion.is_being_deleted;
    auto pods_of_it = pods->cache().by_index(kByConversion, conversion.uid);
    if (is_converting && std::none_of(pods_of_it.begin(), pods_of_it.end(),
                                      [](const auto& pod) { return pod->is_finished(); }))
      return;
    if (auto machine = server.find(kubevirt::kVirtualMachines, machine_key(conversion)))
      seen.machine = read_machine(*machine);
    else
      seen.has_kubevirt = serves(server, kubevirt::kVirtualMachines);
  }
  static bool serves(const kube::Client& server, const kube::ResourceType& type) {
    try {
      // A group may be there before all of its kinds are.
      const Json known = server.get_path("/apis/" + type.api_version());
      const Json* list = kube::find_at(known, {"resources"});
      return list != nullptr && list->is_array() &&
             std::any_of(list->begin(), list->end(),
                         [&](const Json& one) { return kube::text_at(one, {"name"}) == type.plural; });
    } catch (const ApiError& error) {
      if (error.is_not_found()) return false;
      throw;
    }
  }

  // The same, until there is a runner that writes to them.
  static void see_data_volumes(const Conversion& conversion, const kube::Client& server, Observed& seen) {
    if (!conversion.wants_data_volumes()) return;
    if (!conversion.status.is_in_flight()) seen.has_cdi = serves(server, kDataVolumes);
    auto look_for = [&](const std::string& name) {
      if (auto found = server.find(kDataVolumes, {conversion.key.name_space, name}))
        seen.data_volumes.push_back(read_data_volume(*found));
    };
    if (conversion.output_is_data_volume()) look_for(conversion.output_claim_name());
    for (std::size_t disk = 0; disk < conversion.status.disks.size(); ++disk)
      if (conversion.makes_a_claim_for_each_disk() && conversion.disk_is_data_volume(disk))
        look_for(conversion.status.disks[disk].claim_name);
  }

  // Whoever led before has given out places.
  void remember_places() {
    for (const auto& kept : conversions->cache().list()) {
      const Conversion* conversion = kept->open();
      if (conversion == nullptr) continue;
      Place place = conversion->status.is_in_flight()            ? Place::kHolds
                    : conversion->status.phase == Phase::kQueued ? Place::kWaits
                                                                 : Place::kNone;
      admission.set(conversion->key, conversion->created, place);
    }
    std::lock_guard lock(placing);
    for (const auto& pod : pods->cache().list())
      if (!pod->is_finished() && pod->node_slot)
        slots.note({pod->key.name_space, pod->conversion_name}, *pod->node_slot);
  }

  // --- one look at one conversion ---
  ReconcileOutcome reconcile(const kube::ReconcileRequest& request) {
    std::call_once(places_are_known, [this] { remember_places(); });
    kube::Client server = client.bound_to(request.stop);
    auto cached = conversions->cache().get(request.key);
    if (!cached) {
      progress.forget(request.key);
      {
        std::lock_guard lock(placing);
        slots.release(request.key);
      }
      wake(admission.forget(request.key));
      return ReconcileOutcome::done();
    }
    try {
      return step(cached->conversion(), std::nullopt, server, request.log);
    } catch (const ApiError& error) {
      if (error.is_conflict()) return ReconcileOutcome::again();   // the cache was old
      if (error.is_not_found()) return ReconcileOutcome::again();  // gone meanwhile; the cache will tell
      throw;
    }
  }

  ReconcileOutcome step(const Conversion& conversion, const std::optional<Failure>& refusal,
                        const kube::Client& server, const kube::Logger& to) {
    Observed seen = observe(conversion, server);
    seen.refusal = refusal;
    Decision decision;
    std::optional<std::size_t> slot;
    std::vector<ObjectKey> next;
    {
      // A place is asked for and taken in one go.
      std::lock_guard lock(placing);
      Admission::Answer answer = admission.ask(conversion.key, conversion.created);
      seen.may_start = answer.may_start;
      seen.ahead_in_queue = answer.ahead;
      decision = decide(seen);
      if (decision.place == Place::kHolds) {
        next = admission.set(conversion.key, conversion.created, decision.place);
        slot = slots.take(conversion.key);
      }
    }
    Conversion current = conversion;
    bool has_written = false;
    if (decision.status != conversion.status) {
      Json patch = {{"metadata", {{"resourceVersion", conversion.resource_version}}},
                    {"status", to_json(decision.status)}};
      current = read_conversion(
          server.patch(kConversions, conversion.key, kube::PatchKind::kMerge, patch, "status"));
      has_written = true;
      if (decision.status.phase != conversion.status.phase)
        to.info("phase", {{"phase", std::string(to_string(decision.status.phase))},
                          {"message", decision.status.message}});
      if (decision.status.is_finished() && !conversion.status.is_finished())
        measures.count_end(decision.status);
    }
    // Only now, because the write may have been refused: a place that was given up for what an old version of
    // the conversion looks like would be one too many.
    if (decision.place != Place::kHolds) {
      std::lock_guard lock(placing);
      next = admission.set(conversion.key, conversion.created, decision.place);
      slots.release(conversion.key);
    }
    wake(next, conversion.key);
    for (const Announcement& said : decision.announcements)
      events.record({reference_to(current), said.is_warning, said.reason, said.message});
    if (decision.follow)
      progress.follow(conversion.key, *decision.follow);
    else
      progress.forget(conversion.key);
    Doing doing{current, server, slot, has_written};
    for (const Action& action : decision.actions) {
      try {
        std::visit([&](const auto& one) { perform(one, doing); }, action);
      } catch (const ApiError& error) {
        auto refused = refusal_of(current, action, error);
        if (!refused || refusal) throw;
        return step(current, refused, server, to);
      }
    }
    return decision.again_after ? ReconcileOutcome::again_after(*decision.again_after)
                                : ReconcileOutcome::done();
  }

  static Json reference_to(const Conversion& conversion) {
    return {{"apiVersion", kConversions.api_version()},
            {"kind", kConversions.kind},
            {"namespace", conversion.key.name_space},
            {"name", conversion.key.name},
            {"uid", conversion.uid},
            {"resourceVersion", conversion.resource_version}};
  }

  // What the server will refuse again unless somebody changes something.
  static std::optional<Failure> refusal_of(const Conversion& conversion, const Action& action,
                                           const ApiError& error) {
    bool is_machine = std::holds_alternative<ApplyMachine>(action);
    if (is_machine && error.is_not_found())
      return Failure{"KubeVirtMissing", "register",
                     "The cluster has no VirtualMachines (kubevirt.io/v1) any more.", false};
    bool is_claim =
        std::holds_alternative<CreateClaim>(action) || std::holds_alternative<CreateDiskClaim>(action);
    if (is_claim && error.is_not_found() && conversion.wants_data_volumes())
      return Failure{"CDIMissing", "", "The cluster has no DataVolumes (cdi.kubevirt.io/v1beta1) any more.",
                     false};
    bool is_making = is_machine || is_claim || std::holds_alternative<CreateJob>(action);
    if (!is_making || (error.code() != 400 && error.code() != 403 && error.code() != 422))
      return std::nullopt;
    const char* reason = is_machine                                  ? "MachineRefused"
                         : std::holds_alternative<CreateJob>(action) ? "JobRefused"
                                                                     : "ClaimRefused";
    // 403 is also a quota that is used up.
    return Failure{reason, is_machine ? "register" : "", error.sentence(), error.code() == 403};
  }

  // --- actions ---
  struct Doing {
    const Conversion& conversion;  // as it was written
    const kube::Client& server;
    std::optional<std::size_t> node_slot;
    bool has_written;  // so the conversion was the newest a moment ago
  };

  void perform(const AddFinalizer&, const Doing& doing) const { change_finalizers(doing, true); }
  void perform(const RemoveFinalizer&, const Doing& doing) const { change_finalizers(doing, false); }
  static void change_finalizers(const Doing& doing, bool add) {
    Json object = doing.server.get(kConversions, doing.conversion.key);
    if (kube::uid_of(object) != doing.conversion.uid) return;
    if (add ? !kube::add_finalizer(object, kFinalizer) : !kube::remove_finalizer(object, kFinalizer)) return;
    Json patch = {{"metadata",
                   {{"resourceVersion", kube::resource_version_of(object)},
                    {"finalizers", object["metadata"]["finalizers"]}}}};
    doing.server.patch(kConversions, doing.conversion.key, kube::PatchKind::kMerge, patch);
  }

  void perform(const CreateClaim&, const Doing& doing) const {
    if (doing.conversion.output_is_data_volume())
      doing.server.create_or_get(kDataVolumes, make_data_volume(doing.conversion));
    else
      doing.server.create_or_get(kube::types::kPersistentVolumeClaims, make_claim(doing.conversion));
  }

  void perform(const CreateDiskClaim& action, const Doing& doing) const {
    if (doing.conversion.disk_is_data_volume(action.disk))
      doing.server.create_or_get(kDataVolumes, make_disk_data_volume(doing.conversion, action.disk));
    else
      doing.server.create_or_get(kube::types::kPersistentVolumeClaims,
                                 make_disk_claim(doing.conversion, action.disk));
  }

  void perform(const CreateJob& action, const Doing& doing) const {
    const Conversion& conversion = doing.conversion;
    if (!doing.has_written) {
      auto newest = doing.server.find(kConversions, conversion.key);
      if (!newest || kube::resource_version_of(*newest) != conversion.resource_version) {
        controller->queue().add_after(conversion.key, std::chrono::milliseconds(200));
        return;
      }
    }
    doing.server.create_or_get(kube::types::kJobs, make_job(conversion, action.attempt, options.runner,
                                                            doing.node_slot, action.block, action.work));
  }

  void perform(const ApplyMachine& action, const Doing& doing) const {
    Json machine = action.machine;
    for (const std::string& name : action.preferences) {
      if (!has_preference(doing.server, name)) continue;
      machine["spec"]["preference"] = {{"name", name}, {"kind", kubevirt::kClusterPreferences.kind}};
      break;
    }
    doing.server.apply(kubevirt::kVirtualMachines, machine, kOperatorName);
  }
  static bool has_preference(const kube::Client& server, const std::string& name) {
    try {
      return server.find(kubevirt::kClusterPreferences, {"", name}).has_value();
    } catch (const ApiError& error) {
      // An operator for some namespaces may see nothing of the whole cluster's: a machine needs no
      // preference.
      if (error.is_forbidden()) return false;
      throw;
    }
  }
  void perform(const DeleteMachine& action, const Doing& doing) const {
    remove(doing, kubevirt::kVirtualMachines, action.key, action.uid);
  }
  void perform(const DeleteJob& action, const Doing& doing) const {
    remove(doing, kube::types::kJobs, action.key, action.uid);
  }
  void perform(const DeleteClaim& action, const Doing& doing) const {
    remove(doing, kube::types::kPersistentVolumeClaims, action.key, action.uid);
  }
  void perform(const DeleteDataVolume& action, const Doing& doing) const {
    // One that is gone leaves no claim of its own behind.
    remove(doing, kDataVolumes, action.key, action.uid, kube::DeleteOptions::Propagation::kForeground);
  }
  void perform(const DeleteConversion&, const Doing& doing) const {
    remove(doing, kConversions, doing.conversion.key, doing.conversion.uid);
  }
  static void remove(
      const Doing& doing, const kube::ResourceType& type, const ObjectKey& key, const std::string& uid,
      kube::DeleteOptions::Propagation propagation = kube::DeleteOptions::Propagation::kBackground) {
    kube::DeleteOptions only_this;
    only_this.uid = uid;
    only_this.propagation = propagation;
    doing.server.remove(type, key, only_this);
  }

  const kube::Client client;
  const ConversionControllerOptions options;
  const kube::Logger log;
  std::shared_ptr<kube::Informer<KeptConversion>> conversions;
  std::shared_ptr<kube::Informer<JobView>> jobs;
  std::shared_ptr<kube::Informer<PodView>> pods;
  std::shared_ptr<kube::Informer<ClaimView>> claims;
  std::shared_ptr<kube::Controller> controller;
  ConversionMetrics measures;
  kube::EventRecorder events;
  Admission admission;
  NodeSlots slots;  // guarded by placing, as soon as reconciling has begun
  std::mutex placing;
  std::once_flag places_are_known;
  // The last, because its threads use the rest.
  ProgressReader progress;
};

ConversionController::ConversionController(const kube::Client& client, ConversionControllerOptions options,
                                           kube::Metrics& metrics, const kube::Logger& log)
    : parts_(std::make_unique<Parts>(client, std::move(options), metrics, log)) {}

ConversionController::~ConversionController() = default;

void ConversionController::add_to(kube::Manager& manager) {
  manager.add(parts_->conversions);
  manager.add(parts_->jobs);
  manager.add(parts_->pods);
  manager.add(parts_->claims);
  manager.add(parts_->controller);
  // Readers end with the leadership, not with the process.
  manager.add_task("progress", [parts = parts_.get()](const std::stop_token& stop) {
    while (!stop.stop_requested()) parts->options.clock->sleep(std::chrono::hours(1), stop);
    parts->progress.stop();
  });
}

}  // namespace hyper2kvm::conversion
