// Do the grain tables of a streamOptimized VMDK list exactly the grains that its stream holds?
//
// The stream says of each grain where it belongs (the number in its marker), the tables say it a second time
// (number to sector). They are read at different times, the tables often last, and a disk of 16 TiB has 2^28
// grains, so keeping one list to compare with the other costs too much memory. Instead both sides are
// multiplied into one number each: the product over all grains of (r - x) modulo the prime 2^61 - 1, where x
// is made of grain number and sector, and r is random and secret. Equal multisets give equal products;
// different ones agree with a probability below 2^-32 a ledger, so two independent ones are kept. A table can
// list a grain number only once, so equality also means that no grain came twice.
#pragma once

#include <array>
#include <cstdint>

namespace hyper2kvm::image {

class GrainLedger {
 public:
  // Random numbers from the operating system.
  GrainLedger();
  void saw_grain(std::uint64_t grain, std::uint64_t sector) { seen_.add(keys_, grain, sector); }
  void table_lists(std::uint64_t grain, std::uint64_t sector) { listed_.add(keys_, grain, sector); }
  std::uint64_t grains_seen() const { return seen_.count; }
  std::uint64_t grains_listed() const { return listed_.count; }
  bool agree() const { return seen_.count == listed_.count && seen_.products == listed_.products; }

 private:
  struct Key {
    std::uint64_t point = 0;
    std::uint64_t factor = 0;
  };
  using Keys = std::array<Key, 2>;
  struct Side {
    std::array<std::uint64_t, 2> products{1, 1};
    std::uint64_t count = 0;
    void add(const Keys& keys, std::uint64_t grain, std::uint64_t sector);
  };
  Keys keys_;
  Side seen_;
  Side listed_;
};

}  // namespace hyper2kvm::image
