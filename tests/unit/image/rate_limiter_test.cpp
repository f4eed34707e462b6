#include "runner/image/rate_limiter.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <thread>

namespace hyper2kvm::image {
namespace {

using namespace std::chrono_literals;

// Only lower bounds: a slow machine makes everything later, never earlier.
TEST(RateLimiter, IsNeverFasterThanItsRate) {
  RateLimiter limiter(10'000'000);
  auto started = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) limiter.pass(500'000, [] {});
  // The first two go at once (50 ms are made up for), each other waits for the one before it.
  EXPECT_GE(std::chrono::steady_clock::now() - started, 150ms);
}

TEST(RateLimiter, APauseIsNotMadeUpForByABurst) {
  RateLimiter limiter(10'000'000);
  limiter.pass(1, [] {});
  std::this_thread::sleep_for(300ms);
  auto started = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) limiter.pass(1'000'000, [] {});
  EXPECT_GE(std::chrono::steady_clock::now() - started, 150ms);
}

TEST(RateLimiter, WhoeverWaitsCanBeStopped) {
  RateLimiter limiter(1);
  limiter.pass(1'000'000, [] {});
  EXPECT_THROW(limiter.pass(1, [] { throw std::runtime_error("stop"); }), std::runtime_error);
}

}  // namespace
}  // namespace hyper2kvm::image
