#include "runner/daemon/service_units.h"

#include <systemd/sd-bus.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>

#include "runner/daemon/settings.h"
#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

constexpr const char* kService = "org.freedesktop.systemd1";
constexpr const char* kManagerPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";
constexpr const char* kUnit = "org.freedesktop.systemd1.Unit";
constexpr const char* kServiceInterface = "org.freedesktop.systemd1.Service";

using Bus = std::unique_ptr<sd_bus, decltype(&sd_bus_flush_close_unref)>;
using Message = std::unique_ptr<sd_bus_message, decltype(&sd_bus_message_unref)>;

struct BusError {
  sd_bus_error value{};
  ~BusError() { sd_bus_error_free(&value); }
};

[[noreturn]] void fail(int result, const BusError& error) {
  throw os::Error(os::ErrorKind::kSystem, "systemd",
                  std::string("cannot be asked: ") + (error.value.message != nullptr
                                                          ? error.value.message
                                                          : os::system_error(-result, "ask", "it").problem()),
                  "Look whether systemd and D-Bus run on this host.", -result);
}

Bus open_bus() {
  sd_bus* bus = nullptr;
  int result = sd_bus_open_system(&bus);
  if (result < 0) fail(result, {});
  return Bus(bus, &sd_bus_flush_close_unref);
}

std::string text_property(sd_bus* bus, const std::string& path, const char* interface, const char* name) {
  BusError error;
  char* value = nullptr;
  if (sd_bus_get_property_string(bus, kService, path.c_str(), interface, name, &error.value, &value) < 0)
    return "";
  std::unique_ptr<char, decltype(&std::free)> owned(value, &std::free);
  return value;
}

template <class Number>
Number number_property(sd_bus* bus, const std::string& path, const char* interface, const char* name,
                       char type) {
  BusError error;
  Number value = 0;
  sd_bus_get_property_trivial(bus, kService, path.c_str(), interface, name, &error.value, type, &value);
  return value;
}

// "hyper2kvm@aws.service" is the instance "aws"; the template itself is none.
bool instance_of(std::string name, std::string& instance) {
  if (auto slash = name.rfind('/'); slash != std::string::npos) name = name.substr(slash + 1);
  if (name == "hyper2kvm.service") {
    instance.clear();
    return true;
  }
  if (!name.starts_with("hyper2kvm@") || !name.ends_with(".service")) return false;
  instance = name.substr(10, name.size() - 18);
  try {
    check_instance_name(instance);
    return true;
  } catch (const os::Error&) {
    return false;
  }
}

// Calls a method that takes states and patterns and returns an array of structures whose first member is a
// name; signature is that of one structure, without the parentheses.
void collect(sd_bus* bus, const char* method, const char* signature, std::set<std::string>& instances) {
  BusError error;
  sd_bus_message* call = nullptr;
  int result = sd_bus_message_new_method_call(bus, &call, kService, kManagerPath, kManager, method);
  if (result < 0) fail(result, error);
  Message owned_call(call, &sd_bus_message_unref);
  char default_name[] = "hyper2kvm.service";
  char template_name[] = "hyper2kvm@*.service";
  char* patterns[] = {default_name, template_name, nullptr};
  char* states[] = {nullptr};
  sd_bus_message_append_strv(call, states);
  sd_bus_message_append_strv(call, patterns);
  sd_bus_message* reply = nullptr;
  result = sd_bus_call(bus, call, 10'000'000, &error.value, &reply);
  if (result < 0) fail(result, error);
  Message owned_reply(reply, &sd_bus_message_unref);
  std::string structure = "(" + std::string(signature) + ")";
  if (sd_bus_message_enter_container(reply, 'a', structure.c_str()) < 0) return;
  while (sd_bus_message_enter_container(reply, 'r', signature) > 0) {
    const char* name = nullptr;
    std::string instance;
    if (sd_bus_message_read_basic(reply, 's', &name) > 0 && instance_of(name, instance))
      instances.insert(instance);
    while (sd_bus_message_at_end(reply, 0) == 0 && sd_bus_message_skip(reply, nullptr) > 0) {
    }
    sd_bus_message_exit_container(reply);
  }
}

}  // namespace

ServiceUnit service_unit(const std::string& instance) {
  Bus bus = open_bus();
  ServiceUnit unit;
  unit.instance = instance;
  unit.service = service_name(instance);
  BusError error;
  sd_bus_message* reply = nullptr;
  int result = sd_bus_call_method(bus.get(), kService, kManagerPath, kManager, "LoadUnit", &error.value,
                                  &reply, "s", unit.service.c_str());
  if (result < 0) fail(result, error);
  Message owned(reply, &sd_bus_message_unref);
  const char* object = nullptr;
  result = sd_bus_message_read(reply, "o", &object);
  if (result < 0) fail(result, error);
  std::string path = object;
  unit.load_state = text_property(bus.get(), path, kUnit, "LoadState");
  unit.active_state = text_property(bus.get(), path, kUnit, "ActiveState");
  unit.sub_state = text_property(bus.get(), path, kUnit, "SubState");
  unit.status_text = text_property(bus.get(), path, kServiceInterface, "StatusText");
  unit.main_pid = number_property<std::uint32_t>(bus.get(), path, kServiceInterface, "MainPID", 'u');
  std::uint64_t memory =
      number_property<std::uint64_t>(bus.get(), path, kServiceInterface, "MemoryCurrent", 't');
  unit.memory_bytes = memory == UINT64_MAX ? 0 : memory;
  if (unit.active())
    unit.active_since = static_cast<std::int64_t>(
        number_property<std::uint64_t>(bus.get(), path, kUnit, "ActiveEnterTimestamp", 't') / 1'000'000);
  return unit;
}

std::vector<std::string> known_instances() {
  Bus bus = open_bus();
  std::set<std::string> instances;
  collect(bus.get(), "ListUnitsByPatterns", "ssssssouso", instances);
  collect(bus.get(), "ListUnitFilesByPatterns", "ss", instances);
  return {instances.begin(), instances.end()};
}

}  // namespace hyper2kvm::daemon
