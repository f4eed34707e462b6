// Lines, pages of lists, and events: what comes in as bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/kube/api_error.h"
#include "operator/kube/line_decoder.h"
#include "operator/kube/list_decoder.h"
#include "operator/kube/watch_event.h"

namespace hyper2kvm::kube {
namespace {

using testing::ElementsAre;

// A line, with "..." where it was cut.
struct Lines {
  std::vector<std::string> seen;
  LineDecoder::Handler handler() {
    return [this](std::string_view line, bool was_cut) {
      seen.push_back(std::string(line) + (was_cut ? "..." : ""));
    };
  }
};

TEST(LineDecoder, FindsLinesWhereverTheBytesAreSplit) {
  const std::string text = "one\ntwo\n\nlonger line\nrest";
  for (std::size_t first = 0; first <= text.size(); ++first)
    for (std::size_t second = first; second <= text.size(); ++second) {
      LineDecoder decoder(100);
      Lines lines;
      for (const std::string& part :
           {text.substr(0, first), text.substr(first, second - first), text.substr(second)})
        decoder.feed(part, lines.handler());
      EXPECT_THAT(lines.seen, ElementsAre("one", "two", "", "longer line"));
      EXPECT_FALSE(decoder.is_empty());
      decoder.finish(lines.handler());
      EXPECT_EQ(lines.seen.back(), "rest");
      EXPECT_TRUE(decoder.is_empty());
    }
}

TEST(LineDecoder, FindsManyLinesInOneRead) {
  LineDecoder decoder(10);
  Lines lines;
  decoder.feed("a\nb\nc\n", lines.handler());
  EXPECT_THAT(lines.seen, ElementsAre("a", "b", "c"));
  EXPECT_TRUE(decoder.is_empty());
}

TEST(LineDecoder, TakesTheReturnOffAWindowsLine) {
  LineDecoder decoder(10);
  Lines lines;
  decoder.feed("a\r\nb\rc\r", lines.handler());
  decoder.feed("\n", lines.handler());
  EXPECT_THAT(lines.seen, ElementsAre("a", "b\rc"));
}

TEST(LineDecoder, CutsALineThatIsTooLongAndGoesOnWithTheNext) {
  for (std::size_t piece : {1u, 2u, 3u, 5u, 100u}) {
    LineDecoder decoder(5);
    Lines lines;
    const std::string text = "12345\n123456\n" + std::string(50, 'x') + "\nok\n123456";
    for (std::size_t at = 0; at < text.size(); at += piece)
      decoder.feed(text.substr(at, piece), lines.handler());
    decoder.finish(lines.handler());
    EXPECT_THAT(lines.seen, ElementsAre("12345", "12345...", "xxxxx...", "ok", "12345...")) << piece;
  }
}

TEST(LineDecoder, AnEndWithNothingBeforeItIsNoLine) {
  LineDecoder decoder(5);
  Lines lines;
  decoder.feed("a\n", lines.handler());
  decoder.finish(lines.handler());
  EXPECT_THAT(lines.seen, ElementsAre("a"));
}

struct Decoded {
  ListPage page;
  std::vector<Json> objects;
};
Decoded decode(const std::string& text) {
  Decoded decoded;
  decoded.page =
      decode_list(text, types::kJobs, [&](Json&& object) { decoded.objects.push_back(std::move(object)); });
  return decoded;
}

TEST(ListDecoder, HandsOutTheObjectsWithTheirKind) {
  Decoded list =
      decode(R"({"kind":"JobList","apiVersion":"batch/v1","metadata":{"resourceVersion":"12","continue":"c"},
      "items":[{"metadata":{"name":"a"},"spec":{"items":[{"deep":{"deeper":1}}]}},{"metadata":{"name":"b"}}]})");
  EXPECT_EQ(list.page.resource_version, "12");
  EXPECT_EQ(list.page.continue_token, "c");
  ASSERT_EQ(list.objects.size(), 2u);
  EXPECT_EQ(list.objects[0], Json::parse(R"({"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a"},
                                             "spec":{"items":[{"deep":{"deeper":1}}]}})"));
  EXPECT_EQ(key_of(list.objects[1]).name, "b");
}

TEST(ListDecoder, ItemsMayComeBeforeOrAfterTheMetadata) {
  Decoded list = decode(R"({"items":[{"metadata":{"name":"a"}}],"metadata":{"resourceVersion":"3"}})");
  EXPECT_EQ(list.page.resource_version, "3");
  EXPECT_EQ(list.objects.size(), 1u);
}

TEST(ListDecoder, AnEmptyListHasNoItems) {
  EXPECT_TRUE(decode(R"({"items":[],"metadata":{"resourceVersion":"3"}})").objects.empty());
  EXPECT_TRUE(decode(R"({"items":null,"metadata":{"resourceVersion":"3"}})").objects.empty());
}

TEST(ListDecoder, WhatIsNoListIsAnErrorThatMayPass) {
  for (const char* text : {"", "{", "[]", "7", "{}", R"({"items":[{"metadata":{"name":"a"}}])",
                           R"({"metadata":{"resourceVersion":3},"items":[]})", "<html>"}) {
    try {
      decode(text);
      ADD_FAILURE() << text;
    } catch (const os::Error& error) {
      EXPECT_TRUE(error.may_pass()) << text;
    }
  }
}

TEST(WatchEvent, IsReadByItsType) {
  struct {
    const char* name;
    WatchEventType type;
  } cases[] = {{"ADDED", WatchEventType::kAdded},
               {"MODIFIED", WatchEventType::kModified},
               {"DELETED", WatchEventType::kDeleted},
               {"BOOKMARK", WatchEventType::kBookmark}};
  for (const auto& one : cases) {
    WatchEvent event = decode_watch_event(
        R"({"type":")" + std::string(one.name) + R"(","object":{"metadata":{"resourceVersion":"9"}}})",
        types::kPods);
    EXPECT_EQ(event.type, one.type);
    EXPECT_EQ(resource_version_of(event.object), "9");
  }
}

TEST(WatchEvent, AnErrorEventIsTheServersRefusal) {
  try {
    decode_watch_event(
        R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}})",
        types::kPods);
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_TRUE(error.is_gone());
    EXPECT_EQ(error.sentence(), "pods: cannot watch: too old (Expired, 410)");
  }
}

TEST(WatchEvent, WhatIsNoEventIsAnErrorThatMayPass) {
  for (const char* text : {"", "{", "null", "[]", R"({"type":"ADDED"})", R"({"type":"ADDED","object":7})",
                           R"({"object":{}})", R"({"type":"STRANGE","object":{}})"}) {
    try {
      decode_watch_event(text, types::kPods);
      ADD_FAILURE() << text;
    } catch (const os::Error& error) {
      EXPECT_TRUE(error.may_pass()) << text;
    }
  }
}

}  // namespace
}  // namespace hyper2kvm::kube
