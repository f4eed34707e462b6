// A VMConversion as the operator reads it. Source: crds/vmconversions.hyper2kvm.io.yaml.
//
// Reading is tolerant of what the API server would never let through; what a schema cannot say, or older
// servers do not check (CEL rules), is checked by problem_of(). Values only; thread-safe as any value.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/conversion/status.h"
#include "operator/kube/object.h"
#include "operator/kubevirt/virtual_machine.h"

namespace hyper2kvm::conversion {

using kube::Json;

// spec.register.libvirt: which libvirt, and the manifest's own words for what is registered there.
struct LibvirtWishes {
  std::string uri;  // without what tells where the secret is
  std::string secret;
  std::string name, pool, network, bridge;
  bool autostart = false, start = false, overwrite = false;
};

struct Spec {
  std::string source_claim;
  // In the source claim, one of the two; neither where the claim is a block volume.
  std::string path;
  std::vector<std::string> disks;
  std::string key_secret;  // of encrypted guests; empty: none
  bool names_files() const { return !path.empty() || !disks.empty(); }
  Json vm;        // an object, or null: what is said over the input's own
  Json pipeline;  // the same
  bool compress = false;
  std::string format;             // empty: as the input says
  std::string output_claim;       // an existing one; empty where one is made
  std::optional<Json> template_;  // output.volumeClaimTemplate
  // output.diskClaimTemplates: for the disks in order, the last one for all further disks.
  std::vector<Json> disk_claims;
  std::string output_path;  // directory in the output claim; empty: the conversion's name
  unsigned retry_limit = 3;
  std::chrono::seconds retry_backoff{10};
  std::string timeout;  // as written
  bool suspend = false;
  std::optional<std::chrono::seconds> ttl;
  std::string image, image_pull_policy;
  Json resources;      // null: the default
  Json node_selector;  // null: none
  Json tolerations;    // null: none
  std::string rate_limit;
  std::optional<kubevirt::Wishes> kubevirt;  // spec.register.kubevirt
  std::optional<LibvirtWishes> libvirt;      // spec.register.libvirt
};

struct Conversion {
  kube::ObjectKey key;
  std::string uid;
  std::string resource_version;
  std::int64_t generation = 0;
  kube::Calendar created{};
  bool is_being_deleted = false;
  bool has_finalizer = false;
  Spec spec;
  Status status;

  // The claim that the disks go to, its own or an existing one. Of several, the first.
  std::string output_claim_name() const;
  bool makes_its_claim() const { return spec.template_.has_value(); }
  // Each disk has a claim of its own, which is made when it is known how large the disk is.
  bool makes_a_claim_for_each_disk() const { return !spec.disk_claims.empty(); }
  std::string disk_claim_name(std::size_t disk) const;
  const Json& disk_claim_template(std::size_t disk) const;
  // Whether CDI makes them, of DataVolumes of their names.
  bool output_is_data_volume() const;
  bool disk_is_data_volume(std::size_t disk) const;
  bool wants_data_volumes() const;
  bool disk_is_block(std::size_t disk) const;
  // The directory in it.
  std::string output_directory() const;
};

Conversion read_conversion(const Json& object);

// "1h30m", "90m", "3600s". Nothing for what is no such time.
std::optional<std::chrono::seconds> parse_timeout(const std::string& text);

// Why this spec cannot be converted, as a sentence; empty where it can.
std::string problem_of(const Spec& spec);

}  // namespace hyper2kvm::conversion
