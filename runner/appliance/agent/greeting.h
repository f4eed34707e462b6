// The two lines that the agent and its launcher say to each other before and beside the protocol of
// runner/guest/protocol.h. Compared byte for byte.
#pragma once

#include <string_view>

namespace hyper2kvm::appliance::agent {

// Sent when the agent can take its request.
inline constexpr std::string_view kReadyLine = "{\"ready\":1}";
// Sent in place of an answer, before anything was changed: the machine must start with RAID 6.
inline constexpr std::string_view kNeedsRaid6Line = "{\"needs\":\"raid6\"}";

}  // namespace hyper2kvm::appliance::agent
