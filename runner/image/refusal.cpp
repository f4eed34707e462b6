#include "runner/image/refusal.h"

#include "runner/os/error.h"

namespace hyper2kvm::image {

void refuse(const std::string& name, const std::string& problem, const std::string& advice) {
  throw os::Error(os::ErrorKind::kInvalid, name, problem, advice);
}

}  // namespace hyper2kvm::image
