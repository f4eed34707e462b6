#include "runner/guest/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runner/guest/serve.h"
#include "tests/unit/guest/tree.h"

namespace hyper2kvm::guest {
namespace {

using testing::HasSubstr;

TEST(Protocol, ARequestArrivesAsItWasSent) {
  Request request;
  request.mode = Mode::kRepair;
  request.fix.enabled = true;
  request.fix.backup = false;
  request.fix.print_fstab = true;
  request.fix.update_grub = false;
  request.fix.fstab_mode = contract::FstabMode::kBypathOnly;
  request.fix.remove_vmware_tools = true;
  request.configuration.hostname = "web-1";
  request.configuration.users = {{"ada", "$6$x$y", {"ssh-ed25519 AAAA ada@example"}, {"wheel"}, true}};
  request.configuration.services.enable = {"sshd"};
  request.configuration.network_files = {{"/etc/netplan/1.yaml", "network:\n  version: 2\n"}};
  request.nics = {{"nic0", "00:50:56:01:02:03", "VM Network"}};
  request.root = "disk0p2";
  request.keys = {{"1234-abcd", std::string("\0\xff pass\n", 8)}};
  request.disk_count = 3;

  Request arrived = parse_request(serialize(request));
  EXPECT_EQ(serialize(arrived), serialize(request));
  EXPECT_EQ(arrived.mode, Mode::kRepair);
  EXPECT_EQ(arrived.fix.fstab_mode, contract::FstabMode::kBypathOnly);
  EXPECT_EQ(arrived.keys[0].secret, request.keys[0].secret);
  EXPECT_EQ(arrived.configuration.network_files, request.configuration.network_files);
  EXPECT_EQ(arrived.configuration.users[0].ssh_authorized_keys[0], "ssh-ed25519 AAAA ada@example");
  EXPECT_EQ(arrived.disk_count, 3u);
}

TEST(Protocol, AnAnswerArrivesAsItWasSent) {
  Answer answer;
  answer.success = true;
  answer.inspection.os_type = "linux";
  answer.inspection.partitions = {{.device = "disk0p1", .offset = 1 << 20, .size = 4 << 20, .type = "ext4"}};
  answer.inspection.kernels = {{.version = "6.1", .is_default = true, .missing_drivers = {"virtio_blk"}}};
  answer.edits = {{"/etc/fstab", "changed", "Why.", "--- a\n+++ b\n", ""}};
  answer.boot_facts = {{.name = "root", .subject = "UUID=1", .holds = true, .detail = "disk0p1 (ext4)"}};
  answer.warnings = {"One."};
  answer.printed = {{"fstab before", "a\tb\n"}};
  answer.seconds_to_open = 1.5;
  EXPECT_EQ(serialize(parse_answer(serialize(answer))), serialize(answer));
}

TEST(Protocol, ProgressIsToldFromAnAnswer) {
  EXPECT_EQ(parse_progress(serialize_progress("mounting disk0p1")), "mounting disk0p1");
  EXPECT_EQ(parse_progress(serialize(Answer{.success = true})), std::nullopt);
  EXPECT_LE(serialize_progress(std::string(100000, '\x01')).size(), 4096u);
  EXPECT_EQ(parse_progress(serialize_progress(std::string(100000, 'x'))), std::string(512, 'x'));
}

TEST(Protocol, ControlCharactersOfTheGuestAreSpelledOut) {
  Answer answer;
  answer.success = true;
  answer.inspection.pretty_name = "Evil\x1b[2J\nOS";
  answer.edits = {{"/etc/a\nb", "changed", "", "-x\n+\x1b]0;\x07\n", ""}};
  Answer arrived = parse_answer(serialize(answer));
  EXPECT_EQ(arrived.inspection.pretty_name, "Evil\\x1b[2J\\x0aOS");
  EXPECT_EQ(arrived.edits[0].path, "/etc/a\\x0ab");
  EXPECT_EQ(arrived.edits[0].diff, "-x\n+\\x1b]0;\\x07\n");
}

TEST(Protocol, NamesThatAreNotUtf8AreShownAllTheSame) {
  Answer answer;
  answer.success = true;
  answer.inspection.hostname = "caf\xe9";
  EXPECT_THAT(parse_answer(serialize(answer)).inspection.hostname, HasSubstr("caf"));
}

struct Hostile {
  const char* name;
  std::string line;
  const char* says;
};

class HostileAnswer : public testing::TestWithParam<Hostile> {};

TEST_P(HostileAnswer, IsRefused) {
  EXPECT_THAT(error_of([&] { parse_answer(GetParam().line); }), HasSubstr(GetParam().says));
}

std::string many(std::size_t count, const std::string& item) {
  std::string list;
  for (std::size_t index = 0; index < count; ++index) list += (index == 0 ? "" : ",") + item;
  return "[" + list + "]";
}

INSTANTIATE_TEST_SUITE_P(
    Protocol, HostileAnswer,
    testing::Values(
        Hostile{"Empty", "", "not JSON"}, Hostile{"Number", "7", "not an object"},
        Hostile{"Truncated", R"({"success":tr)", "not JSON"},
        Hostile{"Deep", "{\"success\":" + std::string(100000, '[') + std::string(100000, ']') + "}",
                "nested"},
        Hostile{"NoSuccess", "{}", "without \"success\""},
        Hostile{"SuccessAsText", R"({"success":"yes"})", "not true or false"},
        Hostile{"FailureWithoutAReason", R"({"success":false})", "neither failed nor succeeded"},
        Hostile{"SuccessWithAnError", R"({"success":true,"error":"x"})", "neither failed nor succeeded"},
        Hostile{"NegativeTime", R"({"success":true,"seconds_to_open":-1})", "not a time"},
        Hostile{"HugeTime", R"({"success":true,"seconds_to_open":1e300})", "not a time"},
        Hostile{"NegativeSize", R"({"success":true,"inspection":{"partitions":[{"size":-1}]}})",
                "not a whole number"},
        Hostile{"FloatingSize", R"({"success":true,"inspection":{"partitions":[{"size":1.5}]}})",
                "not a whole number"},
        Hostile{"LongText",
                "{\"success\":true,\"inspection\":{\"hostname\":\"" + std::string(9000, 'x') + "\"}}",
                "too long"},
        Hostile{"ManyWarnings", "{\"success\":true,\"warnings\":" + many(2000, "\"x\"") + "}",
                "too long a list"},
        Hostile{"ManyEdits", "{\"success\":true,\"edits\":" + many(9000, "{}") + "}", "too long a list"},
        Hostile{"EditsAsTexts", R"({"success":true,"edits":["x"]})", "not an object"},
        Hostile{"ManyFacts", "{\"success\":true,\"boot_facts\":" + many(2000, "{}") + "}", "too long a list"},
        Hostile{"FactWithoutAnAnswer", R"({"success":true,"boot_facts":[{"holds":"yes"}]})",
                "not true or false"},
        Hostile{"ListAsObject", R"({"success":true,"warnings":{"a":"b"}})", "not a list"},
        Hostile{"LongDiff", "{\"success\":true,\"edits\":[{\"diff\":\"" + std::string(2 << 20, 'x') + "\"}]}",
                "too long"},
        Hostile{"LongLine", "{\"success\":true,\"x\":\"" + std::string(33 << 20, 'x') + "\"}",
                "more than 32 MiB"}),
    [](const auto& hostile) { return std::string(hostile.param.name); });

TEST(Protocol, ARequestWithAnUnknownModeIsRefused) {
  EXPECT_THAT(error_of([] { parse_request(R"({"mode":"format"})"); }), HasSubstr("none of its values"));
}

TEST(Protocol, ServeAnswersInASentenceWhenThereIsNoDisk) {
  Tree tree;
  Answer answer = serve({}, {.disk_devices = {tree.top() / "none"}, .workspace = tree.top()});
  EXPECT_FALSE(answer.success);
  EXPECT_THAT(answer.error, HasSubstr("none"));
  EXPECT_EQ(parse_answer(serialize(answer)).error, answer.error);
}

}  // namespace
}  // namespace hyper2kvm::guest
