// Tests that use the client runtime end as its programs do.
#include <gmock/gmock.h>

#include "operator/kube/end_process.h"

int main(int count, char** words) {
  testing::InitGoogleMock(&count, words);
  hyper2kvm::kube::end_process(RUN_ALL_TESTS());
}
