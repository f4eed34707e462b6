// The version of this hyper2kvm, as --version prints it and the report carries it.
#pragma once

#include <string_view>

namespace hyper2kvm::contract {

std::string_view hyper2kvm_version();

}  // namespace hyper2kvm::contract
