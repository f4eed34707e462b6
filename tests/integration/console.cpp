#include "tests/integration/console.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "runner/os/error.h"

namespace hyper2kvm::integration {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

namespace {

constexpr const char* kQemu = "qemu-system-x86_64";
constexpr const char* kUefiCode = "/usr/share/OVMF/OVMF_CODE_4M.fd";
constexpr const char* kUefiVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd";

// A path in one of qemu's comma-separated options.
std::string option_value(const fs::path& path) {
  std::string value;
  for (char c : path.string()) value += c == ',' ? ",," : std::string(1, c);
  return value;
}

// KVM may be there and not work, so the firmware of an empty machine has to say something first.
bool kvm_runs_guests() {
  if (access("/dev/kvm", R_OK | W_OK) != 0) return false;
  os::Pipe output = os::make_pipe();
  os::ProcessOptions options;
  options.arguments = {kQemu,
                       "-machine",
                       "q35,accel=kvm",
                       "-cpu",
                       "max",
                       "-m",
                       "128",
                       "-display",
                       "none",
                       "-nodefaults",
                       "-no-user-config",
                       "-device",
                       "isa-debugcon,iobase=0x402,chardev=out",
                       "-chardev",
                       "stdio,id=out"};
  options.descriptors = {{output.write_end.get(), 1}};
  os::Process process = os::Process::start(options);
  output.write_end.reset();
  std::string said;
  auto deadline = std::chrono::steady_clock::now() + 10s;
  while (std::chrono::steady_clock::now() < deadline && said.find("SeaBIOS") == std::string::npos) {
    pollfd ready{output.read_end.get(), POLLIN, 0};
    if (poll(&ready, 1, 100) <= 0) continue;
    char buffer[4096];
    ssize_t got = read(output.read_end.get(), buffer, sizeof buffer);
    if (got <= 0) return false;
    said.append(buffer, static_cast<std::size_t>(got));
  }
  return said.find("SeaBIOS") != std::string::npos;
}

std::string accelerator() {
  static const bool kvm = kvm_runs_guests();
  return kvm ? "kvm" : "tcg,thread=multi";
}

void add_disks(const Hardware& hardware, std::vector<std::string>& arguments) {
  auto add = [&arguments](std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
  };
  if (hardware.bus == DiskBus::kVirtioScsi) add({"-device", "virtio-scsi-pci,id=scsi"});
  if (hardware.bus == DiskBus::kPvscsi) add({"-device", "pvscsi,id=scsi"});
  for (std::size_t i = 0; i < hardware.disks.size(); ++i) {
    const auto& disk = hardware.disks[i];
    std::string id = "disk" + std::to_string(i);
    add({"-drive", "if=none,id=" + id + ",format=" + disk.format +
                       ",snapshot=on,cache=unsafe,file=" + option_value(disk.path)});
    std::string boot = ",bootindex=" + std::to_string(i);
    if (hardware.bus == DiskBus::kVirtioBlk)
      add({"-device", "virtio-blk-pci,drive=" + id + boot});
    else if (hardware.bus == DiskBus::kNvme)
      add({"-device", "nvme,serial=" + id + ",drive=" + id + boot});
    else
      add({"-device", "scsi-hd,bus=scsi.0,scsi-id=" + std::to_string(i) + ",drive=" + id + boot});
  }
}

void add_cards(const Hardware& hardware, std::vector<std::string>& arguments) {
  auto add = [&arguments](std::initializer_list<std::string> more) {
    arguments.insert(arguments.end(), more);
  };
  for (std::size_t i = 0; i < hardware.cards.size(); ++i) {
    const auto& card = hardware.cards[i];
    std::string number = std::to_string(i);
    std::string device = card.model == NetworkCard::Model::kVmxnet3 ? "vmxnet3" : "virtio-net-pci";
    device += ",netdev=net" + number + ",mac=" + card.mac;
    if (card.slot != 0) {
      add({"-device", "pcie-root-port,id=port" + number + ",slot=" + std::to_string(card.slot) +
                          ",chassis=" + std::to_string(i + 1)});
      device += ",bus=port" + number;
    }
    // Without a boot ROM, so that no firmware waits for the network.
    add({"-netdev", "user,restrict=on,id=net" + number, "-device", device + ",romfile="});
  }
}

}  // namespace

std::string plain_text(std::string_view bytes, std::string& unfinished) {
  std::string input = unfinished;
  input += bytes;
  unfinished.clear();
  std::string text;
  for (std::size_t i = 0; i < input.size(); ++i) {
    if (input[i] == '\r' || input[i] == '\0') continue;
    if (input[i] != '\033') {
      text += input[i];
      continue;
    }
    std::size_t end = i + 1;
    if (end < input.size() && input[end] == '[') {
      // CSI: parameters, then one byte from @ to ~.
      do ++end;
      while (end < input.size() && (input[end] < '@' || input[end] > '~'));
    } else if (end < input.size() && input[end] == ']') {
      // OSC: up to BEL or ESC backslash.
      do ++end;
      while (end < input.size() && input[end] != '\a' && !(input[end] == '\\' && input[end - 1] == '\033'));
    }
    if (end >= input.size()) {
      // Noise may look like the start of a sequence that never ends.
      if (input.size() - i < 4096) unfinished = input.substr(i);
      break;
    }
    i = end;
  }
  return text;
}

Console::Console(os::Process process, os::UniqueFd input, os::UniqueFd output)
    : process_(std::move(process)), input_(std::move(input)), output_(std::move(output)) {}

Console Console::start(const Hardware& hardware) {
  std::vector<std::string> arguments = {kQemu,
                                        "-nodefaults",
                                        "-no-user-config",
                                        "-no-reboot",
                                        "-display",
                                        "none",
                                        "-machine",
                                        "q35",
                                        "-global",
                                        "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
                                        "-accel",
                                        accelerator(),
                                        "-cpu",
                                        "max",
                                        "-smp",
                                        "1",
                                        "-m",
                                        std::to_string(hardware.memory_mebibytes),
                                        "-device",
                                        "virtio-rng-pci",
                                        "-serial",
                                        "stdio"};
  if (hardware.uefi) {
    // The variables are snapshot too: nothing is left of them afterwards.
    arguments.insert(
        arguments.end(),
        {"-drive", std::string("if=pflash,format=raw,unit=0,readonly=on,file=") + kUefiCode, "-drive",
         std::string("if=pflash,format=raw,unit=1,snapshot=on,file=") + kUefiVariables});
  }
  if (hardware.screen) arguments.insert(arguments.end(), {"-device", "VGA"});
  add_disks(hardware, arguments);
  add_cards(hardware, arguments);

  os::Pipe input = os::make_pipe();
  os::Pipe output = os::make_pipe();
  os::ProcessOptions options;
  options.arguments = std::move(arguments);
  options.descriptors = {{input.read_end.get(), 0}, {output.write_end.get(), 1}};
  return Console(os::Process::start(options), std::move(input.write_end), std::move(output.read_end));
}

bool Console::read_some(std::chrono::milliseconds limit) {
  pollfd ready{output_.get(), POLLIN, 0};
  if (poll(&ready, 1, static_cast<int>(limit.count())) <= 0) return true;
  char buffer[65536];
  ssize_t got = read(output_.get(), buffer, sizeof buffer);
  if (got < 0 && errno == EINTR) return true;
  if (got <= 0) return false;
  text_ += plain_text({buffer, static_cast<std::size_t>(got)}, unfinished_);
  return true;
}

void Console::give_up(const std::string& problem) {
  constexpr std::size_t kTail = 4000;
  std::string tail = text_.size() > kTail ? text_.substr(text_.size() - kTail) : text_;
  throw os::Error(os::ErrorKind::kSystem, "the machine's console",
                  problem + ". It said last:\n" + tail + "\n" + process_.stderr_tail());
}

std::size_t Console::wait_for(const std::vector<std::string>& texts, std::chrono::seconds limit) {
  auto deadline = std::chrono::steady_clock::now() + limit;
  for (bool on = true;;) {
    std::size_t first = std::string::npos, which = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::size_t at = text_.find(texts[i], seen_);
      if (at < first) first = at, which = i;
    }
    if (first != std::string::npos) {
      seen_ = first + texts[which].size();
      return which;
    }
    std::string wanted;
    for (const auto& text : texts) wanted += (wanted.empty() ? "\"" : " or \"") + text + "\"";
    if (!on) {
      process_.wait_for(5s);
      give_up("the machine is off and has not written " + wanted);
    }
    if (std::chrono::steady_clock::now() >= deadline)
      give_up(wanted + " did not come within " + std::to_string(limit.count()) + " s");
    on = read_some(100ms);
  }
}

void Console::type(std::string_view text) {
  while (!text.empty()) {
    ssize_t wrote = write(input_.get(), text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw os::system_error(errno, "type", "the machine's console");
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void Console::log_in(const std::string& user, const std::string& password) {
  type(user + "\n");
  wait_for({"assword: "}, 60s);
  type(password + "\n");
  wait_for({"# ", "$ "}, 120s);
  // No echo, no prompt, no editing of the line: what comes back is what commands write.
  type("exec env TERM=dumb PS1= bash --norc --noediting\n");
  type("stty -echo cols 1000; PS1= PS2=; echo shell-\"ready\"\n");
  wait_for({"shell-ready\n"}, 60s);
}

Console::Answer Console::run(const std::string& command, std::chrono::seconds limit) {
  std::string end = "answer-" + std::to_string(++commands_) + "-ended-with-";
  std::size_t start = seen_;
  type("{ " + command + "\n} 2>&1; echo; echo " + end + "$?\n");
  wait_for({end}, limit);
  Answer answer;
  answer.text = text_.substr(start, seen_ - end.size() - start);
  std::size_t digits = seen_;
  wait_for({"\n"}, 10s);
  answer.status = std::atoi(text_.substr(digits, seen_ - digits).c_str());
  while (!answer.text.empty() && answer.text.back() == '\n') answer.text.pop_back();
  return answer;
}

}  // namespace hyper2kvm::integration
