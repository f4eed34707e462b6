// Tables of which a few are in memory and the others are somewhere else: none is lost, and none is read or
// written more often than it must be.
#include "runner/image/table_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <stdexcept>

namespace hyper2kvm::image {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::size_t kTables = 3;
constexpr std::size_t kEntries = 4;

class TablesInMemory : public ::testing::Test {
 protected:
  using Cache = TableCache<std::uint32_t>;

  Cache::Table& at(std::uint64_t number) {
    return cache_.at(
        number, [this](Cache::Table& table) { load(table); },
        [this](const Cache::Table& table) { store(table); });
  }
  void set(std::uint64_t number, std::size_t entry, std::uint32_t value) {
    Cache::Table& table = at(number);
    table.entries[entry] = value;
    table.changed = true;
  }
  void store_changed() {
    cache_.store_changed([this](const Cache::Table& table) { store(table); });
  }

  Cache cache_{kTables, kEntries};
  std::map<std::uint64_t, std::vector<std::uint32_t>> file_;
  std::vector<std::uint64_t> loaded_, stored_;
  bool is_broken_ = false;

 private:
  void load(Cache::Table& table) {
    if (is_broken_) throw std::runtime_error("cannot be read");
    loaded_.push_back(table.number);
    ASSERT_EQ(table.entries.size(), kEntries);
    auto found = file_.find(table.number);
    table.entries = found == file_.end() ? std::vector<std::uint32_t>(kEntries) : found->second;
  }
  void store(const Cache::Table& table) {
    if (is_broken_) throw std::runtime_error("cannot be written");
    stored_.push_back(table.number);
    file_[table.number] = table.entries;
  }
};

TEST_F(TablesInMemory, ATableIsLoadedOnce) {
  for (std::uint64_t number : {0, 0, 1, 0, 2, 1, 0, 2}) EXPECT_EQ(at(number).number, number);
  EXPECT_THAT(loaded_, ElementsAre(0, 1, 2));
  EXPECT_THAT(stored_, IsEmpty());
}

TEST_F(TablesInMemory, TheOneThatWasNotUsedForLongestMakesRoom) {
  for (std::uint64_t number : {0, 1, 2, 0, 3}) at(number);
  EXPECT_THAT(loaded_, ElementsAre(0, 1, 2, 3));
  for (std::uint64_t number : {0, 2, 3}) at(number);
  EXPECT_THAT(loaded_, ElementsAre(0, 1, 2, 3));
  at(1);
  EXPECT_THAT(loaded_, ElementsAre(0, 1, 2, 3, 1));
}

TEST_F(TablesInMemory, OnlyWhatWasChangedIsStored) {
  set(0, 1, 7);
  for (std::uint64_t number : {1, 2, 3, 4, 5}) at(number);
  EXPECT_THAT(stored_, ElementsAre(0));
  EXPECT_THAT(file_[0], ElementsAre(0, 7, 0, 0));
  // Come back, and gone again as it was.
  EXPECT_EQ(at(0).entries[1], 7u);
  for (std::uint64_t number : {1, 2, 3}) at(number);
  EXPECT_THAT(stored_, ElementsAre(0));
}

TEST_F(TablesInMemory, WhatIsInMemoryIsStoredWhenThatIsAskedForAndOnce) {
  set(4, 0, 1);
  set(5, 3, 2);
  at(6);
  store_changed();
  EXPECT_THAT(stored_, ::testing::UnorderedElementsAre(4, 5));
  stored_.clear();
  store_changed();
  EXPECT_THAT(stored_, IsEmpty());
  set(4, 1, 9);
  store_changed();
  EXPECT_THAT(stored_, ElementsAre(4));
  EXPECT_THAT(file_[4], ElementsAre(1, 9, 0, 0));
}

TEST_F(TablesInMemory, EveryTableHoldsWhatWasWrittenToIt) {
  std::mt19937 random(17);
  std::map<std::pair<std::uint64_t, std::size_t>, std::uint32_t> expected;
  for (int step = 0; step < 5000; ++step) {
    const std::uint64_t number = random() % 8;
    const std::size_t entry = random() % kEntries;
    if (random() % 2 == 0) {
      const auto value = static_cast<std::uint32_t>(random());
      set(number, entry, value);
      expected[{number, entry}] = value;
    } else {
      ASSERT_EQ(at(number).entries[entry], (expected[{number, entry}])) << "step " << step;
    }
  }
  store_changed();
  for (const auto& [place, value] : expected) {
    // What was only asked for is nowhere.
    if (value != 0) {
      EXPECT_EQ(file_[place.first].at(place.second), value);
    }
  }
}

TEST_F(TablesInMemory, WhatCannotBeStoredStaysUntilItCan) {
  set(0, 0, 5);
  at(1);
  at(2);
  is_broken_ = true;
  EXPECT_THROW(at(3), std::runtime_error);
  EXPECT_THROW(store_changed(), std::runtime_error);
  is_broken_ = false;
  at(3);
  EXPECT_THAT(stored_, ElementsAre(0));
  EXPECT_THAT(file_[0], ElementsAre(5, 0, 0, 0));
}

TEST_F(TablesInMemory, WhatCannotBeLoadedIsNotThereAndHarmsNoOther) {
  set(0, 0, 5);
  file_[1] = {1, 2, 3, 4};
  is_broken_ = true;
  EXPECT_THROW(at(1), std::runtime_error);
  EXPECT_THROW(at(1), std::runtime_error);
  is_broken_ = false;
  EXPECT_THAT(at(1).entries, ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(at(0).entries[0], 5u);
  for (std::uint64_t number : {2, 3, 4}) at(number);
  EXPECT_THAT(stored_, ElementsAre(0));
  // When the room for it was made already.
  is_broken_ = true;
  EXPECT_THROW(at(1), std::runtime_error);
  is_broken_ = false;
  EXPECT_THAT(at(1).entries, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(at(4).entries, ElementsAre(0, 0, 0, 0));
}

}  // namespace
}  // namespace hyper2kvm::image
