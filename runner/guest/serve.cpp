#include "runner/guest/serve.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <optional>

#include "runner/guest/open_guest.h"
#include "runner/guest/repair/generator_configuration.h"
#include "runner/guest/repair/repair.h"
#include "runner/guest/system/identity.h"
#include "runner/os/error.h"

namespace hyper2kvm::guest {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Within what parse_answer takes: a report may be cut, a conversion must not fail for its length.
void fit(Answer& answer) {
  constexpr std::size_t kMostEdits = 4096;
  constexpr std::size_t kMostWarnings = 500;
  constexpr std::size_t kMostDiffBytes = std::size_t{3} << 20;
  constexpr std::size_t kLongestText = 4000;
  auto cut = [](std::string& text) {
    if (text.size() > kLongestText) text.resize(kLongestText);
  };
  if (answer.edits.size() > kMostEdits) {
    answer.warnings.push_back(std::to_string(answer.edits.size() - kMostEdits) +
                              " more edits are not listed: there are too many.");
    answer.edits.resize(kMostEdits);
  }
  if (answer.warnings.size() > kMostWarnings) answer.warnings.resize(kMostWarnings);
  std::size_t total = 0;
  for (Edit& edit : answer.edits) {
    cut(edit.path);
    cut(edit.reason);
    cut(edit.summary);
    total += edit.diff.size();
    if (total > kMostDiffBytes) edit.diff = "(this diff is left out: the report is too long)\n";
  }
  for (std::string& warning : answer.warnings) cut(warning);
  for (contract::BootFact& fact : answer.boot_facts) {
    cut(fact.subject);
    cut(fact.detail);
  }
  for (auto& [name, text] : answer.printed)
    if (text.size() > (std::size_t{256} << 10)) text.resize(std::size_t{256} << 10);
  cut(answer.error);
}

// A disk that can be started by a BIOS has an MBR or a partition for GRUB's core; images for the cloud have
// an ESP as well, so that alone says little.
void identify_firmware(const OpenGuest& guest, Inspection& inspection) {
  bool system_partition = false;
  bool bios_boot = false;
  for (const Volume& volume : guest.storage().volumes) {
    system_partition = system_partition || volume.part_type == "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" ||
                       volume.part_type == "0xef";
    bios_boot = bios_boot || volume.part_type == "21686148-6449-6e6f-744e-656564454649";
  }
  inspection.firmware = system_partition && !bios_boot ? "uefi" : "bios";
}

void run(const Request& request, const Environment& environment, Answer& answer) {
  Clock::time_point started = Clock::now();
  OpenGuest guest(request, environment, answer.inspection);
  if (!guest.has_root()) {
    answer.warnings = guest.warnings();
    answer.seconds_to_open = seconds_since(started);
    return;
  }
  identify(guest.root(), answer.inspection);
  find_hypervisor_tools(guest.root(), answer.inspection);
  identify_firmware(guest, answer.inspection);
  Repair repair{guest.root(),
                guest.storage(),
                request,
                answer.inspection,
                guest.root_volume().name,
                {},
                {},
                {},
                {},
                {},
                {}};
  repair.menu = read_boot_menu(guest.root());
  repair.kernels = find_kernels(guest.root(), repair.menu);
  answer.inspection.boot_loader = repair.menu.loader;
  answer.seconds_to_open = seconds_since(started);

  started = Clock::now();
  if (request.mode == Mode::kInspect) {
    if (environment.progress) environment.progress("looking at the kernels");
    inspect_kernels(repair);
  } else {
    if (environment.progress) environment.progress("repairing");
    try {
      run_repair(repair);
    } catch (const os::Error&) {
      answer.boot_facts = std::move(repair.boot_facts);
      throw;
    }
    answer.boot_facts = std::move(repair.boot_facts);
    answer.printed = repair.printed;
    if (request.mode == Mode::kRepair) guest.root().commit();
    answer.edits = guest.root().edits();
  }
  answer.warnings = guest.root().warnings();
  answer.seconds_to_repair = seconds_since(started);

  started = Clock::now();
  guest.close(request.mode);
  answer.seconds_to_close = seconds_since(started);
}

}  // namespace

Answer serve(const Request& request, const Environment& environment) {
  Answer answer;
  try {
    run(request, environment, answer);
    answer.success = true;
  } catch (const os::Error& error) {
    answer.error = error.sentence();
  } catch (const std::bad_alloc&) {
    answer.error =
        "The guest: its files need more memory than the appliance has. Raise the appliance's memory limit.";
  } catch (const std::exception& error) {
    answer.error = std::string("The guest: could not be repaired: ") + error.what();
  }
  if (!answer.success && answer.error.empty()) answer.error = "The guest could not be repaired.";
  fit(answer);
  return answer;
}

}  // namespace hyper2kvm::guest
