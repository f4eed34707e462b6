#include "operator/conversion/kept_conversion.h"

namespace hyper2kvm::conversion {

KeptConversion::KeptConversion(Conversion conversion)
    : key_(conversion.key), phase_(conversion.status.phase) {
  if (!conversion.status.is_finished() || conversion.is_being_deleted) {
    open_ = std::make_unique<const Conversion>(std::move(conversion));
    return;
  }
  uid_ = std::move(conversion.uid);
  resource_version_ = std::move(conversion.resource_version);
  completion_time_ = std::move(conversion.status.completion_time);
  has_finalizer_ = conversion.has_finalizer;
  ttl_ = conversion.spec.ttl;
}

Conversion KeptConversion::conversion() const {
  if (open_) return *open_;
  Conversion ended;
  ended.key = key_;
  ended.uid = uid_;
  ended.resource_version = resource_version_;
  ended.has_finalizer = has_finalizer_;
  ended.spec.ttl = ttl_;
  ended.status.phase = phase_;
  ended.status.completion_time = completion_time_;
  return ended;
}

}  // namespace hyper2kvm::conversion
