#include "runner/image/grain_ledger.h"

#include <random>

namespace hyper2kvm::image {
namespace {

__extension__ using Wide = unsigned __int128;
constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;

std::uint64_t reduce(Wide value) {
  Wide folded = (value & kPrime) + (value >> 61);
  folded = (folded & kPrime) + (folded >> 61);
  return folded >= kPrime ? static_cast<std::uint64_t>(folded - kPrime) : static_cast<std::uint64_t>(folded);
}

}  // namespace

GrainLedger::GrainLedger() {
  std::random_device random;
  for (Key& key : keys_) {
    key.point = reduce((Wide{random()} << 32) | random());
    key.factor = reduce((Wide{random()} << 32) | random());
  }
}

void GrainLedger::Side::add(const Keys& keys, std::uint64_t grain, std::uint64_t sector) {
  ++count;
  for (std::size_t i = 0; i < products.size(); ++i) {
    std::uint64_t x = reduce(Wide{keys[i].factor} * (sector % kPrime) + grain % kPrime);
    std::uint64_t factor = reduce(Wide{keys[i].point} + kPrime - x);
    products[i] = reduce(Wide{products[i]} * factor);
  }
}

}  // namespace hyper2kvm::image
