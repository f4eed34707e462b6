// The two spellings of a moment in Kubernetes objects: Time ("2024-05-01T12:00:00Z", metadata and conditions)
// and MicroTime ("2024-05-01T12:00:00.000000Z", leases). Source: RFC 3339; apimachinery's meta/v1.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/kube/clock.h"

namespace hyper2kvm::kube {

std::string to_time(Calendar moment);
std::string to_micro_time(Calendar moment);
// Reads either, with any number of fractional digits (kept to the microsecond) and with Z or a numeric
// offset. Nothing when the text is not such a moment, or lies outside the years 1970 to 9999.
std::optional<Calendar> parse_time(std::string_view text);

}  // namespace hyper2kvm::kube
