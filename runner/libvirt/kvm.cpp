#include "runner/libvirt/kvm.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

#include "runner/libvirt/text.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::libvirt {
namespace {

constexpr std::string_view kGreeting = "64-bit guest runs\n";
constexpr auto kLongestTrial = std::chrono::seconds(10);
constexpr std::size_t kRomSize = 64 * 1024;

// The ROM is mapped below 4 GiB and, as on every PC, its end below 1 MiB too: ROM offset 0xff00 is address
// 0xfff00. The processor starts at ROM offset 0xfff0 in 16-bit mode.
constexpr std::size_t kCodeOffset = 0xff00;
constexpr std::array<std::uint8_t, 0x9a> kCode = {
    // 16-bit: cli; lgdt [descriptor of the table]; cr0 = protection; far jump into the 32-bit part
    0xfa, 0x66, 0x2e, 0x0f, 0x01, 0x16, 0xd0, 0xff,        //
    0x66, 0xb8, 0x11, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xc0,  //
    0x66, 0xea, 0x19, 0xff, 0x0f, 0x00, 0x08, 0x00,
    // 32-bit (0xfff19): flat data segments
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8, 0x8e, 0xd0,
    // page tables at 0x1000, 0x2000, 0x3000 (memory starts as zeroes): the first 2 MiB onto themselves
    0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00,  //
    0xc7, 0x05, 0x00, 0x20, 0x00, 0x00, 0x03, 0x30, 0x00, 0x00,  //
    0xc7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00,
    // cr3 = 0x1000; cr4 = physical address extension
    0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8,  //
    0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0,
    // EFER.LME = 1; cr0 = paging and protection; far jump into the 64-bit part
    0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30,  //
    0xb8, 0x11, 0x00, 0x00, 0x80, 0x0f, 0x22, 0xc0,                                      //
    0xea, 0x6d, 0xff, 0x0f, 0x00, 0x18, 0x00,
    // 64-bit (0xfff6d): 18 bytes from 0xfff88 to the serial port 0x3f8
    0x66, 0xba, 0xf8, 0x03, 0xbe, 0x88, 0xff, 0x0f, 0x00, 0xb9, 0x12, 0x00, 0x00, 0x00,  //
    0xac, 0xee, 0xff, 0xc9, 0x75, 0xfa,
    // reset by the keyboard controller (the emulator is told to end then); halt for ever
    0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd,
    // (0xfff88) the greeting
    '6', '4', '-', 'b', 'i', 't', ' ', 'g', 'u', 'e', 's', 't', ' ', 'r', 'u', 'n', 's', '\n'};
// Null, 32-bit code, data, 64-bit code; then the descriptor of this table: its last byte, its address.
constexpr std::size_t kSegmentsOffset = 0xffb0;
constexpr std::array<std::uint8_t, 0x26> kSegments = {0,    0,    0,    0,    0,    0,    0,    0,  //
                                                      0xff, 0xff, 0,    0,    0,    0x9a, 0xcf, 0,  //
                                                      0xff, 0xff, 0,    0,    0,    0x92, 0xcf, 0,  //
                                                      0xff, 0xff, 0,    0,    0,    0x9a, 0xaf, 0,  //
                                                      0x1f, 0,    0xb0, 0xff, 0x0f, 0};
// jmp to kCodeOffset
constexpr std::size_t kResetOffset = 0xfff0;
constexpr std::array<std::uint8_t, 3> kReset = {0xe9, 0x0d, 0xff};

std::string rom() {
  std::string image(kRomSize, '\0');
  std::copy(kCode.begin(), kCode.end(), image.begin() + kCodeOffset);
  std::copy(kSegments.begin(), kSegments.end(), image.begin() + kSegmentsOffset);
  std::copy(kReset.begin(), kReset.end(), image.begin() + kResetOffset);
  return image;
}

KvmVerdict find_out(const std::string& emulator, const os::StopToken& stop) {
  os::UniqueFd device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!device)
    return {KvmVerdict::Answer::kUnknown, std::string("/dev/kvm cannot be opened: ") + ::strerror(errno)};
  if (::access(emulator.c_str(), X_OK) != 0)
    return {KvmVerdict::Answer::kUnknown, emulator + " cannot be started: " + ::strerror(errno)};
  std::string reason = try_accelerator(emulator, "kvm", "host", stop);
  if (reason.empty()) return {KvmVerdict::Answer::kWorks, ""};
  return {KvmVerdict::Answer::kFails, reason};
}

}  // namespace

std::string try_accelerator(const std::string& emulator, const std::string& accelerator,
                            const std::string& cpu_model, const os::StopToken& stop) {
  try {
    os::TemporaryDirectory scratch("hyper2kvm-kvm");
    std::filesystem::path rom_path = scratch.path() / "rom";
    os::write_text_atomically(rom_path, rom());
    std::string output = os::run_program(
        {.arguments =
             {emulator,  "-accel",   accelerator, "-cpu",        cpu_model,         "-machine",
              "q35",     "-m",       "16",        "-nodefaults", "-no-user-config", "-display",
              "none",    "-monitor", "none",      "-no-reboot",  "-bios",           rom_path.string(),
              "-serial", "stdio"}},
        stop, kLongestTrial, 4096);
    return output.find(kGreeting) == std::string::npos ? "its virtual CPU runs no 64-bit code" : "";
  } catch (const os::Error& error) {
    stop.throw_if_stopped();
    std::string reason = "the emulator " + one_line(error.problem(), 300);
    while (reason.ends_with('.') || reason.ends_with(' ')) reason.pop_back();
    return reason;
  }
}

KvmVerdict kvm_verdict(const std::string& emulator, const os::StopToken& stop) {
  static std::mutex mutex;
  static std::map<std::string, KvmVerdict> known;
  // Held during the trial: two threads that ask at once wait for one answer.
  std::lock_guard lock(mutex);
  auto found = known.find(emulator);
  if (found == known.end()) found = known.emplace(emulator, find_out(emulator, stop)).first;
  return found->second;
}

}  // namespace hyper2kvm::libvirt
