// The first and, in the usual case, only process of the appliance: takes one request, has it served, answers,
// and switches the machine off.
//
// Processes and page faults are slow inside, so nothing is started that can be done here. Under the name
// modprobe the same program loads what the kernel asks for.
#include <unistd.h>

#include <exception>
#include <iostream>
#include <string_view>

#include "runner/appliance/agent/greeting.h"
#include "runner/appliance/agent/machine.h"
#include "runner/appliance/agent/modules.h"
#include "runner/appliance/agent/terminal.h"
#include "runner/guest/protocol.h"
#include "runner/guest/serve.h"
#include "runner/os/error.h"

namespace hyper2kvm::appliance::agent {
namespace {

constexpr std::size_t kLongestRequest = 64u << 20;

guest::Answer failure(std::string sentence) {
  guest::Answer answer;
  answer.error = std::move(sentence);
  return answer;
}

guest::Answer serve(Terminal& terminal) {
  try {
    guest::Request request = guest::parse_request(terminal.read_line(kLongestRequest));
    guest::Environment environment;
    environment.disk_devices = find_disks();
    if (environment.disk_devices.size() != request.disk_count)
      return failure("appliance: it has " + std::to_string(environment.disk_devices.size()) +
                     " disks and was told of " + std::to_string(request.disk_count));
    environment.progress = [&](const std::string& text) {
      terminal.write_line(guest::serialize_progress(text));
    };
    environment.load_module = [&](const std::string& name) {
      if (needs_raid6(name) && without_raid6()) {
        terminal.write_line(kNeedsRaid6Line);
        terminal.drain();
        power_off();
      }
      load_module(name);
    };
    return guest::serve(request, environment);
  } catch (const os::Error& error) {
    return failure(error.sentence());
  } catch (const std::exception& error) {
    return failure(std::string("appliance: ") + error.what());
  }
}

[[noreturn]] void run() {
  try {
    set_up_machine();
    Terminal terminal = Terminal::open();
    terminal.write_line(kReadyLine);
    guest::Answer answer = serve(terminal);
    // What was written must be in the disks before anybody hears that all went well.
    ::sync();
    terminal.write_line(guest::serialize(answer));
    terminal.drain();
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
  }
  power_off();
}

}  // namespace
}  // namespace hyper2kvm::appliance::agent

int main(int count, char** arguments) {
  std::string_view name = count > 0 ? arguments[0] : "";
  if (name.ends_with("modprobe")) return hyper2kvm::appliance::agent::modprobe(count, arguments);
  if (::getpid() != 1) {
    std::cerr << "hyper2kvm-agent is the first process of hyper2kvm's appliance; it does nothing elsewhere."
              << std::endl;
    return 2;
  }
  hyper2kvm::appliance::agent::run();
}
