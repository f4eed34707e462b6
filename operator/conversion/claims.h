// What the claims of a conversion, and the DataVolumes that CDI makes claims of, still lack before a runner
// may use them. Pure functions of what is seen.
//
// What has one of their names and was not made for this conversion is never taken.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "operator/conversion/observed.h"

namespace hyper2kvm::conversion {

struct Lack {
  // What takes it away: that the operator makes the object, time, or somebody who reads the message.
  enum class Remedy { kMake, kTime, kPerson };

  std::string reason;  // one word in CamelCase, of a condition
  std::string message;
  Remedy remedy = Remedy::kPerson;
};

// The claim with the exported machine.
std::optional<Lack> lack_of_source(const Observed& seen);

// The claim for all disks, of a conversion that has one.
std::optional<Lack> lack_of_output(const Observed& seen);

// The claim of one disk of status.disks.
std::optional<Lack> lack_of_disk_claim(const Observed& seen, std::size_t disk);

}  // namespace hyper2kvm::conversion
