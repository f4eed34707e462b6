#include "operator/kube/end_process.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace hyper2kvm::kube {

void end_process(int status) {
  std::cout.flush();
  std::cerr.flush();
  std::fflush(nullptr);
  std::_Exit(status);
}

}  // namespace hyper2kvm::kube
