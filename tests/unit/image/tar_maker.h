// Tar archives for the tests: ustar and pax, and members that no honest program would write.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hyper2kvm::image::testing {

struct TarMember {
  std::string name;
  std::string data;
  char type = '0';        // '0' file, '1' hard link, '2' symbolic link, '3' device, '5' directory
  std::string link = "";  // target of a link
  bool pax = false;       // name and size in a pax header
  std::uint64_t claimed_size = ~std::uint64_t{0};  // instead of the data's own
};

std::string make_tar(const std::vector<TarMember>& members, bool end_marker = true);

}  // namespace hyper2kvm::image::testing
