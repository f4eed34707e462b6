// pipeline.validate.boot: whether and how the converted machine is started before it is published. Source:
// docs/boot-validation.md. A value; thread-safe as any.
#pragma once

#include <cstdint>
#include <optional>

namespace hyper2kvm::contract {

struct BootValidation {
  bool enabled = false;
  std::uint32_t timeout_seconds = 600;
  std::optional<std::uint32_t> mem_mb;  // MiB; absent: as the machine has, at most 1 GiB
  std::optional<std::uint32_t> cpu;     // absent: as the machine has, at most 2
};

}  // namespace hyper2kvm::contract
