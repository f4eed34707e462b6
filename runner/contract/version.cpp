#include "runner/contract/version.h"

namespace hyper2kvm::contract {

std::string_view hyper2kvm_version() { return HYPER2KVM_VERSION; }

}  // namespace hyper2kvm::contract
