#include "runner/contract/boot_report.h"

#include <nlohmann/json.hpp>

namespace hyper2kvm::contract {

nlohmann::json to_json(const BootFact& fact) {
  return {{"name", fact.name}, {"subject", fact.subject}, {"holds", fact.holds}, {"detail", fact.detail}};
}

nlohmann::json to_json(const BootTrial& trial) {
  nlohmann::json object = {{"up", trial.up},
                           {"sign", trial.sign},
                           {"seconds", trial.seconds},
                           {"accelerator", trial.accelerator},
                           {"firmware", trial.firmware},
                           {"bytes_read", trial.bytes_read},
                           {"bytes_written", trial.bytes_written},
                           {"console_tail", trial.console_tail}};
  if (!trial.screenshot.empty()) object["screenshot"] = trial.screenshot.string();
  return object;
}

}  // namespace hyper2kvm::contract
