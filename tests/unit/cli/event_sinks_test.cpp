#include "runner/cli/event_sinks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include <vector>

namespace hyper2kvm::cli {
namespace {

using contract::Event;
using contract::Severity;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using namespace std::chrono_literals;

Event message(Severity severity, const std::string& text) {
  return {.kind = Event::Kind::kMessage, .stage = "fix", .severity = severity, .message = text};
}
Event progress(std::uint64_t done) {
  return {.kind = Event::Kind::kProgress, .stage = "convert", .done_bytes = done, .total_bytes = 100};
}

// What a terminal shows after the bytes that a sink wrote: lines, without escape sequences.
std::vector<std::string> screen(const std::string& bytes) {
  std::vector<std::string> lines{""};
  std::size_t column = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes.substr(i, 3) == "\x1b[K") {
      lines.back().resize(std::min(column, lines.back().size()));
      i += 2;
    } else if (bytes[i] == '\r') {
      column = 0;
    } else if (bytes[i] == '\n') {
      lines.emplace_back();
      column = 0;
    } else {
      if (lines.back().size() <= column) lines.back().resize(column + 1, ' ');
      lines.back()[column++] = bytes[i];
    }
  }
  return lines;
}

class TextSinkTest : public ::testing::Test {
 protected:
  std::unique_ptr<TextSink> sink(Verbosity verbosity, std::size_t width) {
    return std::make_unique<TextSink>(
        verbosity, [this](const std::string& text) { writes_.push_back(text); }, [width] { return width; },
        [this] { return now_; });
  }
  std::string all() const {
    std::string text;
    for (const std::string& one : writes_) text += one;
    return text;
  }
  std::vector<std::string> writes_;
  std::chrono::steady_clock::time_point now_{1h};
};

TEST(JsonSink, WritesEachEventAsOneWholeLine) {
  std::vector<std::string> writes;
  JsonSink sink([&](const std::string& text) { writes.push_back(text); });
  sink.emit(message(Severity::kWarning, "two\nlines"));
  sink.emit(progress(5));
  ASSERT_EQ(writes.size(), 2u);
  for (const std::string& line : writes) {
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    EXPECT_TRUE(nlohmann::json::accept(line));
  }
  EXPECT_EQ(contract::parse_event(writes[0].substr(0, writes[0].size() - 1)).message, "two lines");
}

TEST(JsonSink, LinesOfSeveralThreadsDoNotMix) {
  std::string text;
  JsonSink sink([&](const std::string& line) {
    for (char c : line) text += c;
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) sink.emit(progress(5));
    });
  for (std::thread& thread : threads) thread.join();
  std::istringstream lines(text);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_TRUE(nlohmann::json::accept(line));
  EXPECT_EQ(count, 800);
}

TEST(EventText, ShowsMoreTheMoreIsAsked) {
  Event warning = message(Severity::kWarning, "w");
  Event info = message(Severity::kInfo, "i");
  Event debug = message(Severity::kDebug, "d");
  Event end{.kind = Event::Kind::kStageEnded, .stage = "fix", .success = true, .duration_seconds = 4.2};
  EXPECT_EQ(event_text(warning, Verbosity::kQuiet), "");
  EXPECT_EQ(event_text(warning, Verbosity::kNormal), "hyper2kvm: warning: fix: w");
  EXPECT_EQ(event_text(info, Verbosity::kNormal), "");
  EXPECT_EQ(event_text(info, Verbosity::kVerbose), "hyper2kvm: fix: i");
  EXPECT_EQ(event_text(end, Verbosity::kNormal), "");
  EXPECT_EQ(event_text(end, Verbosity::kVerbose), "hyper2kvm: fix: done in 4.2 s");
  EXPECT_EQ(event_text(debug, Verbosity::kVerbose), "");
  EXPECT_EQ(event_text(debug, Verbosity::kDebug), "hyper2kvm: debug: fix: d");
}

TEST(EventText, DoesNotSayTheErrorThatIsSaidAtTheEnd) {
  Event end{.kind = Event::Kind::kStageEnded, .stage = "fix", .message = "disk full.", .success = false};
  EXPECT_THAT(event_text(end, Verbosity::kDebug), Not(HasSubstr("disk full")));
  EXPECT_EQ(event_text({.kind = Event::Kind::kResult, .message = "disk full."}, Verbosity::kDebug), "");
}

TEST(EventText, LetsNoControlSequenceOfAGuestThrough) {
  EXPECT_EQ(event_text(message(Severity::kWarning, "a\x1b]0;owned\x07\nb"), Verbosity::kNormal),
            "hyper2kvm: warning: fix: a ]0;owned  b");
}

TEST_F(TextSinkTest, WithoutATerminalThereIsNoProgressLine) {
  auto text = sink(Verbosity::kNormal, 0);
  text->emit({.kind = Event::Kind::kStageStarted, .stage = "convert"});
  text->emit(progress(50));
  text->emit(message(Severity::kWarning, "w"));
  EXPECT_THAT(writes_, ElementsAre("hyper2kvm: warning: fix: w\n"));
}

TEST_F(TextSinkTest, TheLineStandsBelowTheMessages) {
  auto text = sink(Verbosity::kNormal, 60);
  text->emit({.kind = Event::Kind::kStageStarted, .stage = "convert"});
  text->emit(progress(50));
  text->emit(message(Severity::kWarning, "first"));
  now_ += 1s;
  text->emit(progress(60));
  text->emit(message(Severity::kWarning, "second"));
  auto lines = screen(all());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0], "hyper2kvm: warning: fix: first");
  EXPECT_EQ(lines[1], "hyper2kvm: warning: fix: second");
  EXPECT_THAT(lines[2], HasSubstr("convert  60%"));
}

TEST_F(TextSinkTest, TheLineIsGoneAtTheEnd) {
  {
    auto text = sink(Verbosity::kNormal, 60);
    text->emit({.kind = Event::Kind::kStageStarted, .stage = "convert"});
    now_ += 1s;
    text->emit(progress(50));
    EXPECT_THAT(screen(all()).back(), HasSubstr("50%"));
  }
  EXPECT_THAT(screen(all()), ElementsAre(""));
}

TEST_F(TextSinkTest, IsDrawnAtMostTenTimesASecondAndOnlyWhenItChanged) {
  auto text = sink(Verbosity::kNormal, 60);
  text->emit({.kind = Event::Kind::kStageStarted, .stage = "convert"});
  std::size_t before = writes_.size();
  for (std::uint64_t done = 0; done < 100; ++done) {
    now_ += 10ms;
    text->emit(progress(done));
  }
  EXPECT_LE(writes_.size() - before, 10u);
  before = writes_.size();
  now_ += 1s;
  text->emit(progress(99));
  now_ += 1s;
  text->emit(progress(99));
  EXPECT_LE(writes_.size() - before, 1u);
}

TEST_F(TextSinkTest, ARedrawIsOneWriteThatDoesNotBlankTheLineFirst) {
  auto text = sink(Verbosity::kNormal, 60);
  text->emit({.kind = Event::Kind::kStageStarted, .stage = "convert"});
  text->emit(progress(50));
  now_ += 1s;
  writes_.clear();
  text->emit(progress(51));
  ASSERT_EQ(writes_.size(), 1u);
  EXPECT_THAT(writes_[0], testing::StartsWith("\rconvert  51%"));
}

TEST_F(TextSinkTest, QuietIsQuiet) {
  auto text = sink(Verbosity::kQuiet, 0);
  text->emit({.kind = Event::Kind::kStageStarted, .stage = "convert"});
  text->emit(message(Severity::kWarning, "w"));
  text->emit(message(Severity::kError, "e"));
  EXPECT_THAT(writes_, IsEmpty());
}

}  // namespace
}  // namespace hyper2kvm::cli
