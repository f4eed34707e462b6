// What the operator's cache keeps of a conversion: all of it while something may still be done for it, and a
// few words of one that has ended, because thousands of those may lie about.
#pragma once

#include <memory>

#include "operator/conversion/conversion.h"

namespace hyper2kvm::conversion {

// A value that never changes; safe to read from any thread.
class KeptConversion {
 public:
  explicit KeptConversion(Conversion conversion);

  const kube::ObjectKey& key() const { return key_; }
  Phase phase() const { return phase_; }
  // Null of one that has ended and is not being deleted.
  const Conversion* open() const { return open_.get(); }
  // For decide(), which looks at no more of one that has ended than what is kept, and writes no status of it:
  // a status that was written from here would lack the rest.
  Conversion conversion() const;

 private:
  kube::ObjectKey key_;
  Phase phase_ = Phase::kNone;
  std::unique_ptr<const Conversion> open_;
  // Of one that has ended.
  std::string uid_, resource_version_, completion_time_;
  bool has_finalizer_ = false;
  std::optional<std::chrono::seconds> ttl_;
};

}  // namespace hyper2kvm::conversion
