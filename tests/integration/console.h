// A machine that a test boots and whose serial console it reads and types on, as an administrator would.
//
// QEMU runs it under emulation unless a probe shows that KVM runs guests here: a /dev/kvm that opens is no
// promise. The disk is never changed (snapshot). PCI hot-plug is PCI Express's own, as on VMware, so a card
// in slot 192 makes Linux call its interface ens192. All functions throw os::Error, with the end of the
// transcript where the guest is the cause; one object belongs to one thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::integration {

enum class DiskBus { kVirtioBlk, kVirtioScsi, kPvscsi, kNvme };

struct NetworkCard {
  enum class Model { kVirtio, kVmxnet3 };
  Model model = Model::kVirtio;
  // Six pairs of hex digits.
  std::string mac;
  // The number of its PCI Express slot; 0 puts it on the root bus, without one. The network behind it is
  // QEMU's user network, cut off from the host: 10.0.2.2 answers, nothing else does.
  unsigned slot = 0;
};

struct Hardware {
  struct Disk {
    std::filesystem::path path;
    // As qemu calls it: qcow2, raw, vmdk...
    std::string format;
  };
  std::vector<Disk> disks;
  DiskBus bus = DiskBus::kVirtioBlk;
  std::vector<NetworkCard> cards;
  unsigned memory_mebibytes = 1024;
  bool uefi = false;
  // Nobody looks at it, but GRUB 0.97 does not start without one.
  bool screen = false;
};

class Console {
 public:
  // Powers the machine on.
  static Console start(const Hardware& hardware);

  // Waits until one of the texts stands in what the machine has written since the last text that was waited
  // for, and returns its index. Where several do, the one that came first.
  std::size_t wait_for(const std::vector<std::string>& texts,
                       std::chrono::seconds limit = std::chrono::seconds(600));
  void type(std::string_view text);

  // From the login prompt, which must have been waited for, to a shell that answers run().
  void log_in(const std::string& user, const std::string& password);
  struct Answer {
    int status = 0;
    std::string text;  // stdout and stderr, without the final line end
  };
  // Runs a line of shell in the machine.
  Answer run(const std::string& command, std::chrono::seconds limit = std::chrono::seconds(120));

  // All that the machine has written so far, without what moves the cursor or sets colours.
  const std::string& transcript() const { return text_; }

 private:
  Console(os::Process process, os::UniqueFd input, os::UniqueFd output);
  // False when the machine is off.
  bool read_some(std::chrono::milliseconds limit);
  [[noreturn]] void give_up(const std::string& problem);

  os::TemporaryDirectory scratch_{"console"};
  os::Process process_;
  os::UniqueFd input_;
  os::UniqueFd output_;
  std::string text_;
  std::size_t seen_ = 0;
  // Bytes of a control sequence that has not come to its end.
  std::string unfinished_;
  unsigned commands_ = 0;
};

// Takes the terminal's control sequences and carriage returns out of bytes; what may go on in the next bytes
// is left in unfinished and belongs in front of them.
std::string plain_text(std::string_view bytes, std::string& unfinished);

}  // namespace hyper2kvm::integration
