// Lines of JSON from a program that may be hostile.
#include "runner/boot/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

namespace hyper2kvm::boot {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;

class JsonLineTest : public testing::Test {
 protected:
  JsonLineTest() : ends_(JsonLine::make_ends()), line_(std::move(ends_.ours)) {}
  void say(const std::string& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
      ssize_t sent = ::send(ends_.theirs.get(), bytes.data() + done, bytes.size() - done, MSG_DONTWAIT);
      if (sent > 0)
        done += static_cast<std::size_t>(sent);
      else
        alive_ = line_.receive(messages_);
    }
    alive_ = line_.receive(messages_);
  }
  JsonLine::Ends ends_;
  JsonLine line_;
  std::vector<json> messages_;
  bool alive_ = true;
};

TEST_F(JsonLineTest, ObjectsArriveHoweverTheyAreCut) {
  say("{\"QMP\": {}}\r\n{\"ret");
  EXPECT_THAT(messages_, ElementsAre(json{{"QMP", json::object()}}));
  say("urn\": 1}\n");
  EXPECT_EQ(messages_.back(), (json{{"return", 1}}));
}

TEST_F(JsonLineTest, WhatIsNoObjectIsDropped) {
  say("hello\n7\n[1]\n\n{\"a\":\n\xff\xfe\n" + std::string(100, '[') +
      "\n{\"deep\":" + std::string(5000, '[') + std::string(5000, ']') + "}\n");
  EXPECT_THAT(messages_, IsEmpty());
  say("{\"event\":\"RESET\"}\n");
  EXPECT_THAT(messages_, ElementsAre(json{{"event", "RESET"}}));
}

TEST_F(JsonLineTest, ALineWithoutAnEndIsDroppedAndTheNextOneRead) {
  for (int i = 0; i < 40; ++i) say(std::string(64 << 10, 'x'));
  EXPECT_THAT(messages_, IsEmpty());
  say("\n{\"ok\":true}\n");
  EXPECT_THAT(messages_, ElementsAre(json{{"ok", true}}));
}

TEST_F(JsonLineTest, WhatIsSentArrivesAndNobodyIsWaitedFor) {
  for (int i = 0; i < 100'000; ++i) line_.send({{"execute", "guest-ping"}});
  char buffer[64] = {};
  ASSERT_GT(::recv(ends_.theirs.get(), buffer, 24, MSG_DONTWAIT), 0);
  EXPECT_EQ(std::string(buffer, 24), "{\"execute\":\"guest-ping\"}");
}

TEST_F(JsonLineTest, TheOtherEndsEndIsTold) {
  say("{\"last\":1}\n");
  EXPECT_TRUE(alive_);
  ends_.theirs.reset();
  EXPECT_FALSE(line_.receive(messages_));
  EXPECT_EQ(messages_.size(), 1u);
}

}  // namespace
}  // namespace hyper2kvm::boot
