#include "runner/image/zeroes.h"

#include <gtest/gtest.h>

#include <vector>

namespace hyper2kvm::image {
namespace {

TEST(Zeroes, AreToldFromDataWhereverThatIs) {
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{512}}) {
    std::vector<std::byte> bytes(size);
    EXPECT_TRUE(is_zero(bytes)) << size;
    for (std::byte& byte : bytes) {
      byte = std::byte{1};
      EXPECT_FALSE(is_zero(bytes)) << &byte - bytes.data() << " of " << size;
      byte = std::byte{0};
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::image
