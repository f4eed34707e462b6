#include "operator/conversion/conversion.h"

#include <algorithm>
#include <charconv>

#include "operator/conversion/registration.h"
#include "operator/conversion/words.h"
#include "operator/kube/timestamp.h"

namespace hyper2kvm::conversion {
namespace {

using kube::find_at;
using kube::flag_at;
using kube::integer_at;
using kube::text_at;

Json member(const Json& object, std::initializer_list<std::string_view> path) {
  const Json* found = find_at(object, path);
  return found != nullptr ? *found : Json();
}

kubevirt::Reference read_reference(const Json& object, std::string_view member) {
  return {text_at(object, {member, "kind"}), text_at(object, {member, "name"})};
}

kubevirt::NetworkMapping read_network(const Json& object) {
  kubevirt::NetworkMapping network;
  network.source = text_at(object, {"source"});
  bool is_pod = find_at(object, {"pod"}) != nullptr;
  network.kind = is_pod ? kubevirt::NetworkKind::kPod : kubevirt::NetworkKind::kMultus;
  // Where both are named, the one that is not taken tells of it.
  network.multus = text_at(object, {"multus", "networkName"});
  std::string binding = text_at(object, {"binding"});
  if (binding.empty()) binding = is_pod ? "masquerade" : "bridge";
  network.binding =
      binding == "bridge" ? kubevirt::NetworkBinding::kBridge : kubevirt::NetworkBinding::kMasquerade;
  return network;
}

kubevirt::Wishes read_wishes(const Json& object) {
  kubevirt::Wishes wishes;
  wishes.name = text_at(object, {"name"});
  if (std::string strategy = text_at(object, {"runStrategy"}); !strategy.empty())
    wishes.run_strategy = strategy;
  if (const Json* networks = find_at(object, {"networks"}); networks != nullptr && networks->is_array())
    for (const Json& network : *networks) wishes.networks.push_back(read_network(network));
  wishes.instance_type = read_reference(object, "instancetype");
  wishes.preference = read_reference(object, "preference");
  wishes.preference_of_guest = flag_at(object, {"preference", "fromGuest"});
  wishes.disk_bus = text_at(object, {"diskBus"});
  wishes.tpm = flag_at(object, {"tpm"});
  if (const Json* labels = find_at(object, {"labels"}); labels != nullptr && labels->is_object())
    for (const auto& [name, value] : labels->items())
      if (value.is_string()) wishes.labels[name] = value.get<std::string>();
  return wishes;
}

LibvirtWishes read_libvirt(const Json& object) {
  LibvirtWishes wishes;
  wishes.uri = text_at(object, {"uri"});
  wishes.secret = text_at(object, {"secretName"});
  wishes.name = text_at(object, {"name"});
  wishes.pool = text_at(object, {"pool"});
  wishes.network = text_at(object, {"network"});
  wishes.bridge = text_at(object, {"bridge"});
  wishes.autostart = flag_at(object, {"autostart"});
  wishes.start = flag_at(object, {"start"});
  wishes.overwrite = flag_at(object, {"overwrite"});
  return wishes;
}

Spec read_spec(const Json& object) {
  Spec spec;
  spec.source_claim = text_at(object, {"spec", "source", "persistentVolumeClaim", "claimName"});
  spec.path = text_at(object, {"spec", "source", "path"});
  if (const Json* disks = find_at(object, {"spec", "source", "disks"}); disks != nullptr && disks->is_array())
    for (const Json& disk : *disks)
      if (disk.is_string()) spec.disks.push_back(disk.get<std::string>());
  spec.key_secret = text_at(object, {"spec", "source", "keys", "secretName"});
  spec.vm = member(object, {"spec", "vm"});
  spec.pipeline = member(object, {"spec", "pipeline"});
  // A level is a wish for compression, unless it is said that there shall be none.
  spec.compress = flag_at(object, {"spec", "pipeline", "convert", "compress"},
                          find_at(object, {"spec", "pipeline", "convert", "compress_level"}) != nullptr);
  spec.format = text_at(object, {"spec", "output", "format"});
  spec.output_claim = text_at(object, {"spec", "output", "persistentVolumeClaim", "claimName"});
  spec.output_path = text_at(object, {"spec", "output", "path"});
  if (Json made = member(object, {"spec", "output", "volumeClaimTemplate"}); made.is_object())
    spec.template_ = std::move(made);
  if (const Json* list = find_at(object, {"spec", "output", "diskClaimTemplates"});
      list != nullptr && list->is_array())
    for (const Json& one : *list) spec.disk_claims.push_back(one.is_object() ? one : Json::object());
  spec.retry_limit = static_cast<unsigned>(
      std::clamp<std::int64_t>(integer_at(object, {"spec", "retry", "limit"}, 3), 0, 100));
  spec.retry_backoff = std::chrono::seconds(
      std::clamp<std::int64_t>(integer_at(object, {"spec", "retry", "backoffSeconds"}, 10), 1, 86400));
  spec.timeout = text_at(object, {"spec", "timeout"});
  spec.suspend = flag_at(object, {"spec", "suspend"});
  if (std::int64_t ttl = integer_at(object, {"spec", "ttlSecondsAfterFinished"}, -1); ttl >= 0)
    spec.ttl = std::chrono::seconds(std::min<std::int64_t>(ttl, 10LL * 365 * 86400));
  spec.image = text_at(object, {"spec", "runner", "image"});
  spec.image_pull_policy = text_at(object, {"spec", "runner", "imagePullPolicy"});
  spec.resources = member(object, {"spec", "runner", "resources"});
  spec.node_selector = member(object, {"spec", "runner", "nodeSelector"});
  spec.tolerations = member(object, {"spec", "runner", "tolerations"});
  spec.rate_limit = text_at(object, {"spec", "runner", "rateLimit"});
  if (const Json* wishes = find_at(object, {"spec", "register", "kubevirt"});
      wishes != nullptr && wishes->is_object())
    spec.kubevirt = read_wishes(*wishes);
  if (const Json* wishes = find_at(object, {"spec", "register", "libvirt"});
      wishes != nullptr && wishes->is_object())
    spec.libvirt = read_libvirt(*wishes);
  return spec;
}

// A path that stays in its volume: relative, without "..", and without what a terminal or a log takes for
// something else.
std::string problem_of_path(const std::string& name, const std::string& path) {
  if (path.empty()) return name + " is empty. Name a path in the claim.";
  if (path.size() > 1024) return name + " is longer than 1024 bytes. Name a shorter path.";
  if (path.front() == '/') return name + " is absolute. Name it relative to the claim's root.";
  for (unsigned char c : path)
    if (c < 0x20 || c == 0x7f) return name + " holds a control character. Rename the file.";
  for (std::size_t begin = 0; begin <= path.size();) {
    std::size_t end = std::min(path.find('/', begin), path.size());
    if (path.compare(begin, end - begin, "..") == 0)
      return name + " leads out of the claim by \"..\". Name it relative to the claim's root.";
    begin = end + 1;
  }
  return "";
}

bool asks_for_data_volume(const Json& claim_template) { return flag_at(claim_template, {"dataVolume"}); }

// CDI puts a blank disk.img into a file system: what is of no use beside other files.
std::string problem_of_data_volume(const Spec& spec) {
  if (!spec.template_ || !asks_for_data_volume(*spec.template_) || spec.kubevirt ||
      text_at(*spec.template_, {"volumeMode"}) == "Block")
    return "";
  return "spec.output.volumeClaimTemplate.dataVolume is true, and a DataVolume holds one disk of a machine, "
         "raw, and no directory of files. Leave it out, or set volumeMode to Block, or use "
         "spec.output.diskClaimTemplates or spec.register.kubevirt.";
}

// Such a claim holds disk.img, or is the disk.
std::string problem_of_disk_claims(const Spec& spec) {
  if (!spec.format.empty() && spec.format != "raw")
    return "spec.output.format is " + spec.format +
           ", and a disk with a claim of its own is raw. Set it to raw, or leave it out.";
  if (spec.compress)
    return "spec.pipeline.convert asks for compression, and a disk with a claim of its own is raw. Leave it "
           "out.";
  if (!spec.output_path.empty())
    return "spec.output.path is set, and a disk with a claim of its own is at its root. Leave it out.";
  return "";
}

}  // namespace

std::string Conversion::disk_claim_name(std::size_t disk) const {
  return key.name.substr(0, 240) + "-disk-" + std::to_string(disk);
}

const Json& Conversion::disk_claim_template(std::size_t disk) const {
  return spec.disk_claims.at(std::min(disk, spec.disk_claims.size() - 1));
}

bool Conversion::disk_is_block(std::size_t disk) const {
  return text_at(disk_claim_template(disk), {"volumeMode"}) == "Block";
}

bool Conversion::output_is_data_volume() const {
  return makes_its_claim() && asks_for_data_volume(*spec.template_);
}

bool Conversion::disk_is_data_volume(std::size_t disk) const {
  return asks_for_data_volume(disk_claim_template(disk));
}

bool Conversion::wants_data_volumes() const {
  return output_is_data_volume() ||
         std::any_of(spec.disk_claims.begin(), spec.disk_claims.end(), asks_for_data_volume);
}

std::string Conversion::output_claim_name() const {
  if (!spec.output_claim.empty()) return spec.output_claim;
  if (makes_a_claim_for_each_disk()) return disk_claim_name(0);
  // Together with the suffix within the 253 bytes of a name.
  return key.name.substr(0, 240) + "-disks";
}

std::string Conversion::output_directory() const {
  return spec.output_path.empty() ? key.name : spec.output_path;
}

Conversion read_conversion(const Json& object) {
  Conversion conversion;
  conversion.key = kube::key_of(object);
  conversion.uid = kube::uid_of(object);
  conversion.resource_version = kube::resource_version_of(object);
  conversion.generation = kube::generation_of(object);
  conversion.created =
      kube::parse_time(text_at(object, {"metadata", "creationTimestamp"})).value_or(kube::Calendar{});
  conversion.is_being_deleted = kube::is_being_deleted(object);
  conversion.has_finalizer = kube::has_finalizer(object, kFinalizer);
  conversion.spec = read_spec(object);
  conversion.status = read_status(object);
  return conversion;
}

std::optional<std::chrono::seconds> parse_timeout(const std::string& text) {
  static constexpr std::pair<char, int> kUnits[] = {{'h', 3600}, {'m', 60}, {'s', 1}};
  std::size_t next_unit = 0;
  std::int64_t seconds = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::uint32_t number = 0;
    auto [after, failed] = std::from_chars(at, end, number);
    if (failed != std::errc() || after == end) return std::nullopt;
    while (next_unit < std::size(kUnits) && kUnits[next_unit].first != *after) ++next_unit;
    if (next_unit == std::size(kUnits)) return std::nullopt;
    seconds += static_cast<std::int64_t>(number) * kUnits[next_unit++].second;
    at = after + 1;
  }
  // Ten years are as good as no limit, and leave calendars room.
  if (seconds <= 0 || seconds > 10LL * 365 * 86400) return std::nullopt;
  return std::chrono::seconds(seconds);
}

std::string problem_of(const Spec& spec) {
  if (spec.source_claim.empty())
    return "spec.source.persistentVolumeClaim.claimName is empty. Name the claim with the exported machine.";
  // Neither of them is named where the claim is a block volume, which is the disk itself.
  if (!spec.path.empty() && !spec.disks.empty())
    return "Name either spec.source.path or spec.source.disks, and not both.";
  if (!spec.path.empty())
    if (std::string problem = problem_of_path("spec.source.path", spec.path); !problem.empty())
      return problem;
  for (std::size_t i = 0; i < spec.disks.size(); ++i)
    if (std::string problem = problem_of_path("spec.source.disks[" + std::to_string(i) + "]", spec.disks[i]);
        !problem.empty())
      return problem;
  if ((spec.output_claim.empty() ? 0 : 1) + (spec.template_ ? 1 : 0) + (spec.disk_claims.empty() ? 0 : 1) !=
      1)
    return "Name one of spec.output.persistentVolumeClaim, spec.output.volumeClaimTemplate and "
           "spec.output.diskClaimTemplates.";
  if (std::string problem = problem_of_data_volume(spec); !problem.empty()) return problem;
  if (!spec.disk_claims.empty())
    if (std::string problem = problem_of_disk_claims(spec); !problem.empty()) return problem;
  if (!spec.output_path.empty())
    if (std::string problem = problem_of_path("spec.output.path", spec.output_path); !problem.empty())
      return problem;
  if (!spec.timeout.empty() && !parse_timeout(spec.timeout))
    return "spec.timeout is \"" + spec.timeout + "\", which is no time. Write it like 90m, 2h or 1h30m.";
  if (spec.compress && !spec.format.empty() && spec.format != "qcow2")
    return "spec.pipeline.convert asks for compression, which only the format qcow2 has. Set "
           "spec.output.format to qcow2, or leave the compression out.";
  return problem_of_registration(spec);
}

}  // namespace hyper2kvm::conversion
