// The error that a call to the API ends with; a test fails when it ends with none.
#pragma once

#include <stdexcept>

#include "operator/kube/api_error.h"

namespace hyper2kvm::kube {

template <class Call>
ApiError api_error_of(Call call) {
  try {
    call();
  } catch (const ApiError& error) {
    return error;
  }
  throw std::runtime_error("no ApiError was thrown");
}

}  // namespace hyper2kvm::kube
