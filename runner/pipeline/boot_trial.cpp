#include "runner/pipeline/boot_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

#include "runner/boot/trial.h"
#include "runner/libvirt/kvm.h"
#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/pipeline/machine.h"
#include "runner/pipeline/provenance.h"

namespace hyper2kvm::pipeline {
namespace {

namespace fs = std::filesystem;
using os::Error;
using os::ErrorKind;

constexpr std::uint32_t kUsualCpus = 2;
constexpr std::uint64_t kUsualMemory = 1024;          // MiB
constexpr std::size_t kLargestPicture = 16u << 20;    // bytes
constexpr std::size_t kLargestVariables = 16u << 20;  // bytes

// The emulator is one for this architecture, and its 32-bit guests.
void require_startable(const std::string& architecture) {
  constexpr std::array<std::string_view, 6> kStartable = {"", "x86_64", "amd64", "i386", "i586", "i686"};
  if (std::find(kStartable.begin(), kStartable.end(), architecture) == kStartable.end())
    throw Error(ErrorKind::kInvalid, "pipeline.validate.boot",
                "the guest is made for " + architecture + ", and only x86_64 can be started",
                "Switch pipeline.validate.boot off for this machine.");
}

boot::Machine describe(const contract::Manifest& manifest, const contract::MachineFacts& facts,
                       const Converted& converted, const fs::path& workspace, const fs::path& scratch,
                       Record& record, const os::StopToken& stop) {
  const contract::BootValidation& wishes = manifest.pipeline.validate.boot;
  boot::Machine machine;
  machine.emulator = boot::find_emulator();
  libvirt::KvmVerdict kvm = libvirt::kvm_verdict(machine.emulator, stop);
  machine.kvm = kvm.answer == libvirt::KvmVerdict::Answer::kWorks;
  machine.cpus = wishes.cpu.value_or(std::min(manifest.vm.cpu.value_or(kUsualCpus), kUsualCpus));
  machine.memory_mib = wishes.mem_mb.value_or(0);
  if (!wishes.mem_mb)
    machine.memory_mib = std::min(std::uint64_t{manifest.vm.mem_gb.value_or(1)} * 1024, kUsualMemory);
  if (facts.firmware == contract::Firmware::kUefi) {
    boot::UefiFirmware host = boot::find_uefi_firmware();
    fs::path own = scratch / "variables.fd";
    os::write_text_atomically(own, os::read_text(host.variables, kLargestVariables), 0600);
    machine.uefi = boot::UefiFirmware{host.code, own};
  }
  for (std::size_t index : boot_disk_first(manifest)) {
    fs::path overlay = workspace / fmt::format("boot-{}.qcow2", index);
    image::create_overlay(overlay, converted.results[index].virtual_size);
    machine.disks.push_back({converted.partials[index], manifest.output.format,
                             fs::is_block_file(converted.partials[index]), overlay});
  }
  for (const contract::Nic& nic : manifest.nics) machine.macs.push_back(nic.mac);
  record.info("boot", fmt::format("starting the machine with {} CPUs and {} MiB, {}, {}", machine.cpus,
                                  machine.memory_mib, machine.uefi ? "UEFI" : "BIOS",
                                  machine.kvm ? "on KVM" : "emulated, because " + kvm.reason));
  return machine;
}

// What the emulator wrote has a hostile guest behind it: only a plain PNG of a sane size is kept.
void keep_picture(const fs::path& from, const fs::path& to) {
  std::string picture = os::read_text(from, kLargestPicture);
  if (!picture.starts_with("\x89PNG\r\n\x1a\n"))
    throw Error(ErrorKind::kInvalid, from.string(), "is no picture in the format PNG");
  os::make_directories(to.parent_path());
  os::write_text_atomically(to, picture);
}

}  // namespace

bool starts_machine(const contract::Manifest& manifest) {
  return manifest.pipeline.validate.boot.enabled && manifest.pipeline.convert.enabled;
}

void check_boot_trial(const contract::Manifest& manifest) {
  if (!starts_machine(manifest)) return;
  boot::find_emulator();
  if (manifest.vm.firmware == contract::Firmware::kUefi) boot::find_uefi_firmware();
}

fs::path screenshot_path_of(const fs::path& report) {
  if (report.empty()) return {};
  return report.parent_path() / (report.stem().string() + ".screen.png");
}

void try_boot(const Job& job, const Converted& converted, const fs::path& workspace, const fs::path& scratch,
              const fs::path& screenshot, Record& record, const os::StopToken& stop) {
  const contract::Manifest& manifest = job.parsed.manifest;
  if (!starts_machine(manifest)) return;
  record.stage("boot", [&]() -> nlohmann::json {
    std::error_code ignored;
    if (!screenshot.empty()) fs::remove(screenshot, ignored);
    contract::MachineFacts facts = facts_of(manifest, converted.inspection(), manifest.pipeline.fix.enabled);
    require_startable(facts.architecture);

    os::TemporaryDirectory place("boot", scratch);
    boot::Trial trial;
    trial.scratch = place.path();
    trial.machine = describe(manifest, facts, converted, workspace, place.path(), record, stop);
    trial.time_limit = std::chrono::seconds(manifest.pipeline.validate.boot.timeout_seconds);
    if (!screenshot.empty()) trial.screenshot = place.path() / "screen.png";
    boot::Result result = boot::run(trial, stop, [&](const std::string& text) { record.info("boot", text); });
    for (const boot::Disk& disk : trial.machine.disks) fs::remove(disk.overlay, ignored);

    contract::BootTrial told{.up = result.up,
                             .sign = result.sign,
                             .seconds = std::chrono::duration<double>(result.time).count(),
                             .accelerator = trial.machine.kvm ? "kvm" : "tcg",
                             .firmware = trial.machine.uefi ? "uefi" : "bios",
                             .bytes_read = result.disks.bytes_read,
                             .bytes_written = result.disks.bytes_written,
                             .console_tail = result.console_tail,
                             .screenshot = {}};
    if (result.has_screenshot) {
      try {
        keep_picture(trial.screenshot, screenshot);
        told.screenshot = screenshot;
      } catch (const Error& error) {
        record.warning("boot", "The machine's screen could not be kept: " + error.sentence());
      }
    }
    record.boot(told);
    record.tool("qemu-system-x86_64", version_of(trial.machine.emulator, stop));
    if (!result.up)
      throw Error(ErrorKind::kInvalid, machine_name(manifest),
                  "the converted machine does not start: " + result.sign +
                      (result.last_words.empty() ? "" : ". Its console ends with: " + result.last_words),
                  "Nothing was published; `boot` in the report tells more. Set "
                  "pipeline.validate.boot.enabled to false to get the disks all the same.");
    if (result.sign == "disk activity")
      record.warning("boot",
                     "The machine said nothing on its serial console and has no guest agent: that it is up "
                     "is concluded from what it did with its disks. See the picture of its screen.");
    record.info("boot", fmt::format("the machine is up after {:.1f} s: {}", told.seconds, result.sign));
    return {
        {"up", true}, {"sign", result.sign}, {"seconds", told.seconds}, {"accelerator", told.accelerator}};
  });
}

}  // namespace hyper2kvm::pipeline
