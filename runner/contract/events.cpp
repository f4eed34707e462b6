#include "runner/contract/events.h"

#include <nlohmann/json.hpp>

#include "runner/contract/report.h"
#include "runner/contract/section.h"
#include "runner/contract/text.h"

namespace hyper2kvm::contract {
namespace {

using nlohmann::json;

void put_text(json& object, const char* key, const std::string& text) {
  if (!text.empty()) object[key] = printable(text, kLineBytes);
}

json stage_ended_json(const Event& event) {
  return {{"success", event.success}, {"duration_seconds", event.duration_seconds}};
}

}  // namespace

nlohmann::json to_json(const Event& event) {
  json object = json::object();
  object["time"] = rfc3339_milliseconds(event.time);
  object["event"] = to_string(event.kind);
  put_text(object, "stage", event.stage);
  switch (event.kind) {
    case Event::Kind::kStageStarted:
      break;
    case Event::Kind::kProgress:
      object["done_bytes"] = event.done_bytes;
      if (event.total_bytes != 0) object["total_bytes"] = event.total_bytes;
      object["bytes_per_second"] = event.bytes_per_second;
      if (event.seconds_left) object["seconds_left"] = *event.seconds_left;
      break;
    case Event::Kind::kMessage:
      object["severity"] = to_string(event.severity);
      break;
    case Event::Kind::kResult:
      put_text(object, "output_path", event.output_path);
      put_text(object, "report_path", event.report_path);
      object.update(stage_ended_json(event));
      if (!event.success) object["may_pass"] = event.may_pass;
      break;
    case Event::Kind::kStageEnded:
      object.update(stage_ended_json(event));
      break;
  }
  put_text(object, "message", event.message);
  return object;
}

std::string to_line(const Event& event) {
  return to_json(event).dump(-1, ' ', false, json::error_handler_t::replace);
}

Event parse_event(std::string_view line) {
  const char* name = "event";
  const Value document = read_message(line, name, kMaximumEventBytes);
  Reading reading;
  reading.name = name;
  Section section(document, "", "", reading);
  Event event;
  section.require("event");
  event.kind = section.word("event", kEventWords, Event::Kind::kMessage);
  auto time = parse_rfc3339(section.required_line("time", kNameBytes));
  if (!time) section.refuse("time", section.require("time"), "a time as in RFC 3339");
  event.time = *time;
  auto bytes = [&](const char* key) {
    return static_cast<std::uint64_t>(section.integer(key, 0, INT64_MAX).value_or(0));
  };
  event.stage = section.line("stage");
  event.done_bytes = bytes("done_bytes");
  event.total_bytes = bytes("total_bytes");
  event.bytes_per_second = section.real("bytes_per_second").value_or(0);
  event.seconds_left = section.real("seconds_left");
  event.severity = section.word("severity", kSeverityWords, Severity::kInfo);
  event.message = section.line("message");
  event.success = section.boolean("success", false);
  event.duration_seconds = section.real("duration_seconds").value_or(0);
  event.may_pass = section.boolean("may_pass", false);
  event.output_path = section.line("output_path");
  event.report_path = section.line("report_path");
  return event;
}

}  // namespace hyper2kvm::contract
