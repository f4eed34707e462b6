#include "tests/unit/image/tar_maker.h"

#include <cstdio>
#include <cstring>

namespace hyper2kvm::image::testing {
namespace {

std::string header(const std::string& name, std::uint64_t size, char type, const std::string& link) {
  std::string block(512, '\0');
  auto put = [&](std::size_t at, const std::string& text) {
    std::memcpy(block.data() + at, text.data(), text.size());
  };
  char number[16];
  put(0, name.substr(0, 100));
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  std::snprintf(number, sizeof number, "%011llo", static_cast<unsigned long long>(size & 077777777777ull));
  put(124, number);
  put(136, "00000000000");
  block[156] = type;
  put(157, link.substr(0, 100));
  put(257, std::string("ustar\0"
                       "00",
                       8));
  put(148, "        ");
  unsigned sum = 0;
  for (unsigned char byte : block) sum += byte;
  std::snprintf(number, sizeof number, "%06o", sum);
  put(148, std::string(number) + '\0' + ' ');
  return block;
}

std::string padded(std::string data) {
  data.resize((data.size() + 511) / 512 * 512);
  return data;
}

std::string pax_record(const std::string& key, const std::string& value) {
  std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + std::to_string(rest).size();
  if (std::to_string(length).size() != std::to_string(rest).size()) ++length;
  return std::to_string(length) + " " + key + "=" + value + "\n";
}

}  // namespace

std::string make_tar(const std::vector<TarMember>& members, bool end_marker) {
  std::string archive;
  for (const TarMember& member : members) {
    std::uint64_t size = member.claimed_size != ~std::uint64_t{0} ? member.claimed_size : member.data.size();
    if (member.pax) {
      std::string records = pax_record("path", member.name) + pax_record("size", std::to_string(size));
      archive += header("PaxHeaders/x", records.size(), 'x', "") + padded(records);
    }
    archive += header(member.pax ? "short" : member.name, member.pax ? 0 : size, member.type, member.link);
    archive += padded(member.data);
  }
  if (end_marker) archive += std::string(1024, '\0');
  return archive;
}

}  // namespace hyper2kvm::image::testing
