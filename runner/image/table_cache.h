// The tables of an image that is being written, of which only the last used are in memory: the others are at
// their places in the file, so a disk of any size costs the same.
//
// A table that is in memory costs one lookup and no allocation; the one that was asked for last, which copies
// from the beginning of a disk to its end nearly always ask for again, a comparison. Not thread-safe.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <unordered_map>
#include <vector>

namespace hyper2kvm::image {

template <std::unsigned_integral Entry>
class TableCache {
 public:
  struct Table {
    std::uint64_t number = 0;
    bool changed = false;        // set by whoever changes an entry
    std::vector<Entry> entries;  // in the byte order of the machine
  };

  // tables: so many are in memory at most, and more than 0; entries: of each table.
  TableCache(std::size_t tables, std::size_t entries) : most_(tables), entries_(entries) {}

  // A table, which stays where it is until the next call. One that is not in memory is handed to load, which
  // sets all its entries: they may be those of another table. Where that needs room, the table that was not
  // used for longest goes, after store if it was changed. Throws what these two throw; then no change is
  // lost, and the table can be asked for again.
  template <std::invocable<Table&> Load, std::invocable<const Table&> Store>
  Table& at(std::uint64_t number, const Load& load, const Store& store) {
    if (!tables_.empty() && tables_.front().number == number) return tables_.front();
    if (auto found = by_number_.find(number); found != by_number_.end()) {
      tables_.splice(tables_.begin(), tables_, found->second);
      return tables_.front();
    }
    // Apart from the others until it holds what it must.
    std::list<Table> fresh;
    if (tables_.size() == most_) {
      store_if_changed(tables_.back(), store);
      by_number_.erase(tables_.back().number);
      fresh.splice(fresh.begin(), tables_, std::prev(tables_.end()));
    } else {
      fresh.emplace_back().entries.resize(entries_);
    }
    fresh.front().number = number;
    load(fresh.front());
    by_number_[number] = fresh.begin();
    tables_.splice(tables_.begin(), fresh);
    return tables_.front();
  }

  // Calls store for each table in memory that was changed.
  template <std::invocable<const Table&> Store>
  void store_changed(const Store& store) {
    for (Table& table : tables_) store_if_changed(table, store);
  }

 private:
  template <class Store>
  static void store_if_changed(Table& table, const Store& store) {
    if (!table.changed) return;
    store(table);
    table.changed = false;
  }

  const std::size_t most_;
  const std::size_t entries_;
  std::list<Table> tables_;  // the last used first
  std::unordered_map<std::uint64_t, typename std::list<Table>::iterator> by_number_;
};

}  // namespace hyper2kvm::image
