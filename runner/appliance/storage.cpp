#include "runner/appliance/storage.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runner/os/error.h"

namespace hyper2kvm::appliance {
namespace {

// The overlay is scratch: what a crash of the host would do to it does not matter, so nothing waits for the
// disk. Who reads it after us reads through the same page cache.
nlohmann::json relaxed_cache() { return {{"direct", false}, {"no-flush", true}}; }

std::string overlay_blockdev(const DiskSource& disk, const std::string& node_name) {
  return nlohmann::json{
      {"driver", "qcow2"},
      {"node-name", node_name},
      // A discard of the guest must reach the overlay: the cluster becomes a zero cluster there.
      {"discard", "unmap"},
      {"cache", relaxed_cache()},
      {"backing", disk.node_name},
      {"file",
       {{"driver", "file"},
        {"filename", disk.overlay.string()},
        {"discard", "unmap"},
        {"cache", relaxed_cache()}}}}
      .dump();
}

}  // namespace

std::vector<std::string> storage_arguments(const std::vector<DiskSource>& disks, int first_descriptor) {
  std::vector<std::string> arguments = {"qemu-storage-daemon"};
  for (std::size_t index = 0; index < disks.size(); ++index) {
    const DiskSource& disk = disks[index];
    std::string number = std::to_string(index);
    std::string exported = disk.node_name;
    for (const std::string& blockdev : disk.blockdevs) {
      arguments.push_back("--blockdev");
      arguments.push_back(blockdev);
    }
    if (!disk.overlay.empty()) {
      exported = "appliance-overlay-" + number;
      arguments.push_back("--blockdev");
      arguments.push_back(overlay_blockdev(disk, exported));
    }
    arguments.push_back("--export");
    arguments.push_back(nlohmann::json{
        {"type", "vhost-user-blk"},
        {"id", "disk" + number},
        {"node-name", exported},
        {"writable", !disk.overlay.empty()},
        {"logical-block-size", 512},
        {"num-queues", 1},
        {"addr", {{"type", "fd"}, {"str", std::to_string(first_descriptor + static_cast<int>(index))}}}}
                            .dump());
  }
  return arguments;
}

os::UniqueFd listen_at(const std::filesystem::path& directory, const std::string& name) {
  os::UniqueFd place(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) throw os::system_error(errno, "open", directory.string());
  // sun_path holds 107 bytes, a scratch directory's name may be longer: it is named by its descriptor.
  std::string path = "/proc/self/fd/" + std::to_string(place.get()) + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw os::Error(os::ErrorKind::kInternal, name, "is too long for the name of a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  os::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) throw os::system_error(errno, "make a socket", name);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw os::system_error(errno, "bind a socket in", directory.string());
  if (::listen(listener.get(), 1) != 0)
    throw os::system_error(errno, "listen on a socket in", directory.string());
  return listener;
}

}  // namespace hyper2kvm::appliance
