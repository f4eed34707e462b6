// Disks of guests, made and looked into without this machine's kernel: inside the appliance, by the tests'
// own agent. And the repair of them by the real one.
//
// Nothing here needs root, a loop device or a device mapper. One object belongs to one thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "runner/appliance/appliance.h"
#include "runner/os/file.h"

namespace hyper2kvm::integration {

struct GuestDisk {
  std::filesystem::path path;
  contract::SourceFormat format = contract::SourceFormat::kRaw;
};

// What is to be compared of a file before and after: one string each, so that a difference shows itself.
struct FileFacts {
  std::string kind, mode, owner, size, time, attributes, content;
};

class GuestDisks {
 public:
  // A raw disk of zeros.
  GuestDisk empty(const std::string& name, unsigned mebibytes);
  // A raw disk that is one ext4 with all that lies in the directory.
  GuestDisk ext4(const std::string& name, const std::filesystem::path& tree, unsigned mebibytes,
                 const std::vector<std::string>& options = {});

  // Runs the commands (tests/integration/probe_disks.h) with the disks; they are afterwards what the
  // commands made of them.
  void lay_out(const std::vector<GuestDisk>& disks, const std::string& commands);

  // What the real agent answers. disks_after, where given, gets raw copies of the disks with what was
  // written; the disks themselves are never changed. Throws os::Error where the appliance fails.
  guest::Answer serve(const guest::Request& request, const std::vector<GuestDisk>& disks,
                      std::vector<GuestDisk>* disks_after = nullptr);

  // Every file of the guest, by its path.
  std::map<std::string, FileFacts> files(const guest::Request& request, const std::vector<GuestDisk>& disks);

  const std::filesystem::path& path() const { return place_.path(); }
  // What the console of the last machine said.
  std::string console() const;

 private:
  guest::Answer run(const appliance::Installation& installation, guest::Request request,
                    const std::vector<GuestDisk>& disks, bool writable);
  void flatten(std::size_t number, const GuestDisk& disk, const std::filesystem::path& target);
  std::filesystem::path overlay(std::size_t number) const;

  os::TemporaryDirectory place_{"guest-disks"};
};

}  // namespace hyper2kvm::integration
