#include "operator/kube/event_aggregator.h"

#include <gtest/gtest.h>

namespace hyper2kvm::kube {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

const Calendar kNoon = Calendar(seconds(1714564800));

Happening happening(const std::string& message, const std::string& reason = "Started",
                    const std::string& name = "vm") {
  return {{{"apiVersion", "example.test/v1"},
           {"kind", "Thing"},
           {"namespace", "n"},
           {"name", name},
           {"uid", "u"}},
          false,
          reason,
          message};
}

class EventAggregatorTest : public testing::Test {
 protected:
  std::optional<EventWrite> next(const Happening& what) {
    return aggregator.next(what, now, kNoon + std::chrono::duration_cast<seconds>(now.time_since_epoch()),
                           std::to_string(++suffix));
  }
  EventAggregator aggregator{"hyper2kvm-operator", "host-1"};
  Time now{};
  int suffix = 0;
};

TEST_F(EventAggregatorTest, WhatHappensFirstBecomesAnEvent) {
  auto write = next(happening("a sentence"));
  ASSERT_TRUE(write);
  EXPECT_TRUE(write->is_new);
  EXPECT_EQ(write->event, Json::parse(R"({
    "apiVersion": "v1", "kind": "Event", "metadata": {"name": "vm.1", "namespace": "n"},
    "involvedObject": {"apiVersion": "example.test/v1", "kind": "Thing", "namespace": "n", "name": "vm", "uid": "u"},
    "type": "Normal", "reason": "Started", "message": "a sentence", "count": 1,
    "source": {"component": "hyper2kvm-operator", "host": "host-1"},
    "reportingComponent": "hyper2kvm-operator", "reportingInstance": "host-1",
    "firstTimestamp": "2024-05-01T12:00:00Z", "lastTimestamp": "2024-05-01T12:00:00Z"})"));
}

TEST_F(EventAggregatorTest, TheSameAgainIsCounted) {
  next(happening("a"));
  now += seconds(30);
  auto write = next(happening("a"));
  EXPECT_FALSE(write->is_new);
  EXPECT_EQ(write->event["count"], 2);
  EXPECT_EQ(write->event["metadata"]["name"], "vm.1");
  EXPECT_EQ(write->event["firstTimestamp"], "2024-05-01T12:00:00Z");
  EXPECT_EQ(write->event["lastTimestamp"], "2024-05-01T12:00:30Z");
}

TEST_F(EventAggregatorTest, AnotherMessageReasonTypeOrObjectIsAnotherEvent) {
  next(happening("a"));
  EXPECT_TRUE(next(happening("b"))->is_new);
  EXPECT_TRUE(next(happening("a", "Stopped"))->is_new);
  EXPECT_TRUE(next(happening("a", "Started", "other"))->is_new);
  Happening warning = happening("a");
  warning.is_warning = true;
  auto write = next(warning);
  EXPECT_TRUE(write->is_new);
  EXPECT_EQ(write->event["type"], "Warning");
}

TEST_F(EventAggregatorTest, ManyAlikeBecomeOne) {
  for (int i = 1; i < 10; ++i) EXPECT_TRUE(next(happening("message " + std::to_string(i)))->is_new) << i;
  auto combined = next(happening("message 10"));
  EXPECT_TRUE(combined->is_new);
  EXPECT_EQ(combined->event["message"], "(combined from similar events): message 10");
  auto more = next(happening("message 11"));
  EXPECT_FALSE(more->is_new);
  EXPECT_EQ(more->event["count"], 2);
  EXPECT_EQ(more->event["message"], "(combined from similar events): message 11");
}

TEST_F(EventAggregatorTest, AlikeButFarApartIsNotCombined) {
  for (int i = 0; i < 15; ++i) {
    EXPECT_TRUE(next(happening("message " + std::to_string(i)))->is_new) << i;
    now += minutes(11);
  }
}

TEST_F(EventAggregatorTest, OneObjectCannotFloodTheCluster) {
  int written = 0;
  for (int i = 0; i < 100; ++i) written += next(happening("a")).has_value();
  EXPECT_EQ(written, 25);
  EXPECT_TRUE(next(happening("a", "Started", "other")).has_value()) << "others still may";
  now += minutes(5);
  EXPECT_TRUE(next(happening("a")).has_value());
  EXPECT_FALSE(next(happening("a")).has_value());
}

TEST_F(EventAggregatorTest, TextThatIsTooLongIsCut) {
  Happening what = happening(std::string(5000, 'x'), std::string(500, 'r'), std::string(253, 'n'));
  Json event = next(what)->event;
  EXPECT_EQ(event["message"].get<std::string>().size(), 1024u);
  EXPECT_EQ(event["reason"].get<std::string>().size(), 128u);
  EXPECT_EQ(event["metadata"]["name"].get<std::string>().size(), 253u);
  EXPECT_TRUE(event["metadata"]["name"].get<std::string>().ends_with(".1"));
}

TEST_F(EventAggregatorTest, EventsOfClusterWideObjectsGoToTheDefaultNamespace) {
  Happening what = happening("a");
  what.about.erase("namespace");
  EXPECT_EQ(next(what)->event["metadata"]["namespace"], "default");
}

TEST_F(EventAggregatorTest, RemembersABoundedNumberOfObjects) {
  next(happening("a", "Started", "first"));
  for (int i = 0; i < 1100; ++i) next(happening("a", "Started", "vm-" + std::to_string(i)));
  EXPECT_TRUE(next(happening("a", "Started", "first"))->is_new) << "it is forgotten by now";
  EXPECT_FALSE(next(happening("a", "Started", "vm-1099"))->is_new);
}

TEST(EventReference, NamesAnObjectInHand) {
  Json object = {{"metadata", {{"name", "a"}, {"namespace", "n"}, {"uid", "u"}, {"resourceVersion", "7"}}}};
  EXPECT_EQ(reference_to(types::kJobs, object),
            Json::parse(R"({"apiVersion":"batch/v1","kind":"Job","name":"a",
                                                               "namespace":"n","uid":"u","resourceVersion":"7"})"));
}

}  // namespace
}  // namespace hyper2kvm::kube
