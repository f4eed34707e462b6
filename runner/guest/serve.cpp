#include "runner/guest/serve.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <optional>

#include "runner/guest/open_guest.h"
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
  for (auto& [name, text] : answer.printed)
    if (text.size() > (std::size_t{256} << 10)) text.resize(std::size_t{256} << 10);
  cut(answer.error);
}

void run(const Request& request, const Environment& environment, Answer& answer) {
  Clock::time_point started = Clock::now();
  OpenGuest guest(request, environment, answer.inspection);
  identify(guest.root(), answer.inspection);
  answer.seconds_to_open = seconds_since(started);

  started = Clock::now();
  answer.edits = guest.root().edits();
  answer.warnings = guest.root().warnings();
  answer.seconds_to_repair = seconds_since(started);

  started = Clock::now();
  guest.close(request.mode == Mode::kRepair);
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
