#include "runner/guest/storage/raid_array.h"

#include <fcntl.h>
#include <linux/major.h>
#include <linux/raid/md_p.h>
#include <linux/raid/md_u.h>
#include <sys/ioctl.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <vector>

#include "runner/guest/little_endian.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::guest {
namespace {

constexpr std::uint64_t kKiB = 1024;
// Bytes from the beginning of a superblock: of version 0.90, and of the others.
constexpr std::size_t kLevelOfOld = 28;
constexpr std::size_t kLevelOfNew = 72;

const char* module_of_level(std::int32_t level) {
  switch (level) {
    case -1:
      return "linear";
    case 0:
      return "raid0";
    case 1:
      return "raid1";
    case 10:
      return "raid10";
    case 4:
    case 5:
    case 6:
      return "raid456";
    default:
      return nullptr;
  }
}

}  // namespace

std::optional<std::string> raid_module(const ReadVolume& read, std::uint64_t size) {
  struct Place {
    std::uint64_t offset;
    std::uint32_t version;
    std::size_t level;
  };
  std::vector<Place> places{{0, 1, kLevelOfNew}, {4 * kKiB, 1, kLevelOfNew}};
  // The two that lie at the end: 8 to 12 KiB before it at a multiple of 4 KiB, 64 to 128 KiB before it at one
  // of 64 KiB.
  if (size >= 8 * kKiB) places.push_back({(size - 8 * kKiB) & ~(4 * kKiB - 1), 1, kLevelOfNew});
  if (size >= 64 * kKiB) places.push_back({(size & ~(64 * kKiB - 1)) - 64 * kKiB, 0, kLevelOfOld});
  const char* found = nullptr;
  for (const Place& place : places) {
    std::array<std::byte, 128> superblock{};
    if (read(place.offset, superblock) != superblock.size()) continue;
    if (load_little(superblock, 0) != MD_SB_MAGIC || load_little(superblock, 4) != place.version) continue;
    const char* module = module_of_level(static_cast<std::int32_t>(load_little(superblock, place.level)));
    // One of an older array may be left.
    if (module == nullptr || (found != nullptr && std::string_view(found) != module)) return std::nullopt;
    found = module;
  }
  if (found == nullptr) return std::nullopt;
  return found;
}

void stop_raid_array(const std::string& node) {
  os::UniqueFd array(::open(node.c_str(), O_RDONLY | O_CLOEXEC));
  if (!array) throw os::system_error(errno, "open", node);
  if (::ioctl(array.get(), STOP_ARRAY, nullptr) != 0) throw os::system_error(errno, "stop", node);
}

}  // namespace hyper2kvm::guest
