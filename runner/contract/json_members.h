// The members of a structure and what they are called in JSON, said once for both directions: a table is a
// tuple of pairs {"since", &Totals::since}.
#pragma once

#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

namespace hyper2kvm::contract {

template <class T, class... Members>
nlohmann::json write_members(const T& value, const std::tuple<Members...>& table) {
  nlohmann::json object = nlohmann::json::object();
  std::apply([&](const auto&... one) { ((object[one.first] = value.*one.second), ...); }, table);
  return object;
}

// A list of objects.
template <class T, class... Members>
nlohmann::json write_members(const std::vector<T>& values, const std::tuple<Members...>& table) {
  nlohmann::json list = nlohmann::json::array();
  for (const T& value : values) list.push_back(write_members(value, table));
  return list;
}

// Every one of them must be there. What comes from elsewhere is measured first, or read in another way:
// nothing here has a limit. Throws nlohmann::json::exception.
template <class T, class... Members>
void read_members(const nlohmann::json& object, const std::tuple<Members...>& table, T& value) {
  std::apply([&](const auto&... one) { (object.at(one.first).get_to(value.*one.second), ...); }, table);
}

}  // namespace hyper2kvm::contract
