// The two readers, and the limits that keep a hostile document harmless.
#include "runner/contract/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hyper2kvm::contract {
namespace {

using ::testing::HasSubstr;
using Kind = Value::Kind;

std::string refusal(const std::string& text) {
  try {
    read_document(text, "doc");
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kUnreadable);
    return error.sentence();
  }
  return "(accepted)";
}

const Value& at(const Value& value, std::string_view key) {
  const Value* found = value.find(key);
  if (found == nullptr) throw std::runtime_error("no " + std::string(key));
  return *found;
}

TEST(Json, EveryKindOfValueIsRead) {
  Value value =
      read_document(R"( {"n": null, "b": true, "i": -3, "r": 1.5, "s": "x", "l": [1], "o": {}} )", "doc");
  EXPECT_EQ(at(value, "n").kind, Kind::kNull);
  EXPECT_TRUE(at(value, "b").boolean);
  EXPECT_EQ(at(value, "i").integer, -3);
  EXPECT_EQ(at(value, "r").real, 1.5);
  EXPECT_EQ(at(value, "s").text, "x");
  EXPECT_EQ(at(value, "l").items.at(0).integer, 1);
  EXPECT_EQ(at(value, "o").kind, Kind::kObject);
}

TEST(Json, AByteOrderMarkIsSkipped) { EXPECT_EQ(read_document("\xef\xbb\xbf{}", "doc").kind, Kind::kObject); }

TEST(Json, AMistakeIsNamedWithItsLine) {
  EXPECT_THAT(refusal("{\n\"a\": 1,\n}"), HasSubstr("doc: is not valid JSON at line 3, column 1"));
  EXPECT_THAT(refusal("{} x"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(refusal("{\"a\": \"\xff\"}"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(refusal("{\"a\": 1e999}"), HasSubstr("is not valid JSON"));
}

TEST(Json, AKeyIsThereOnce) {
  EXPECT_THAT(refusal(R"({"a": {"b": 1, "b": 2}})"), HasSubstr("has the key \"b\" twice in one object"));
  EXPECT_EQ(refusal(R"({"a": {"b": 1}, "c": {"b": 2}})"), "(accepted)");
}

TEST(Json, DepthIsBounded) {
  auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(refusal(nested(32)), "(accepted)");
  EXPECT_THAT(refusal(nested(33)), HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(refusal(std::string(1 << 20, '[')), HasSubstr("nested deeper than 32 levels"));
}

TEST(Json, TheNumberOfValuesIsBounded) {
  std::string text = "[0";
  for (int i = 0; i < 100'000; ++i) text += ",0";
  EXPECT_THAT(refusal(text + "]"), HasSubstr("holds more than 100000 values"));
}

TEST(Json, SixteenMebibytesAreTheMost) {
  EXPECT_THAT(refusal("[\"" + std::string(16u << 20, 'a') + "\"]"), HasSubstr("is longer than 16 MiB"));
}

TEST(Message, IsShortJsonOrInvalid) {
  EXPECT_EQ(read_message("{}", "event", 2).kind, Kind::kObject);
  for (const char* text : {"{   }", "{", "a:"}) {
    try {
      read_message(text, "event", 4);
      ADD_FAILURE() << text;
    } catch (const os::Error& error) {
      EXPECT_EQ(error.kind(), os::ErrorKind::kInvalid) << text;
      EXPECT_EQ(error.subject().rfind("event", 0), 0u) << error.sentence();
    }
  }
}

TEST(Yaml, ScalarsAreOfTheCoreSchema) {
  Value value = read_document(
      "null1:\nnull2: ~\nyes: yes\nt: True\nf: false\ni: 12\nneg: -12\noct: 0o17\nhex: 0x1F\nplus: +3\n"
      "r: 1.50\ne: 1e3\nquoted: \"12\"\nsingle: 'true'\nblock: |\n  12\nver: 1.0\nzeros: 007\ndate: "
      "2026-01-01\n"
      "inf: .inf\ntagged: !!str 12\n",
      "doc");
  EXPECT_EQ(at(value, "null1").kind, Kind::kNull);
  EXPECT_EQ(at(value, "null2").kind, Kind::kNull);
  EXPECT_EQ(at(value, "yes").kind, Kind::kString);
  EXPECT_TRUE(at(value, "t").kind == Kind::kBoolean && at(value, "t").boolean);
  EXPECT_TRUE(at(value, "f").kind == Kind::kBoolean && !at(value, "f").boolean);
  EXPECT_EQ(at(value, "i").integer, 12);
  EXPECT_EQ(at(value, "neg").integer, -12);
  EXPECT_EQ(at(value, "oct").integer, 15);
  EXPECT_EQ(at(value, "hex").integer, 31);
  EXPECT_EQ(at(value, "plus").integer, 3);
  EXPECT_EQ(at(value, "r").real, 1.5);
  EXPECT_EQ(at(value, "e").real, 1000);
  EXPECT_EQ(at(value, "quoted").kind, Kind::kString);
  EXPECT_EQ(at(value, "single").kind, Kind::kString);
  EXPECT_EQ(at(value, "block").text, "12\n");
  EXPECT_EQ(at(value, "block").kind, Kind::kString);
  EXPECT_EQ(at(value, "ver").text, "1.0");
  EXPECT_EQ(at(value, "zeros").text, "007");
  EXPECT_EQ(at(value, "date").kind, Kind::kString);
  EXPECT_EQ(at(value, "inf").kind, Kind::kString);
  EXPECT_EQ(at(value, "tagged").kind, Kind::kString);
  EXPECT_EQ(at(value, "tagged").text, "12");
}

TEST(Yaml, AnchorsAreCopies) {
  Value value = read_document("a: &x {k: [1, 2]}\nb: *x\nc: [*x]\n", "doc");
  EXPECT_EQ(at(at(value, "b"), "k").items.at(1).integer, 2);
  EXPECT_EQ(at(at(value, "c").items.at(0), "k").items.size(), 2u);
}

TEST(Yaml, ABombOfAliasesIsBounded) {
  std::string text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c <= 'i'; ++c) {
    std::string before = "*" + std::string(1, static_cast<char>(c - 1));
    text += std::string(1, c) + ": &" + c + " [";
    for (int i = 0; i < 10; ++i) text += (i ? ", " : "") + before;
    text += "]\n";
  }
  EXPECT_THAT(refusal(text), HasSubstr("holds more than 100000 values"));
}

TEST(Yaml, ALongTextIsNotCopiedWithoutEnd) {
  std::string text = "a: &a \"" + std::string(1u << 20, 'x') + "\"\nb: [";
  for (int i = 0; i < 20; ++i) text += "*a,";
  EXPECT_THAT(refusal(text + "]\n"), HasSubstr("holds more than 16 MiB of text"));
}

TEST(Yaml, DepthIsBoundedThroughAliasesToo) {
  std::string text = "a0: &a0 [x]\n";
  for (int i = 1; i < 40; ++i) {
    std::string n = std::to_string(i);
    text += "a" + n + ": &a" + n + " [*a" + std::to_string(i - 1) + "]\n";
  }
  EXPECT_THAT(refusal(text), HasSubstr("nested deeper than 32 levels"));
  EXPECT_THAT(refusal("a: " + std::string(40, '[') + std::string(40, ']')),
              HasSubstr("nested deeper than 32 levels"));
  EXPECT_NE(refusal("a: " + std::string(100'000, '[')), "(accepted)");
  EXPECT_NE(refusal("a: " + std::string(100'000, '{')), "(accepted)");
}

TEST(Yaml, BracketsThatAreNeverClosedAreCountedBeforeTheyAreRead) {
  for (char bracket : {'[', '{'})
    EXPECT_THAT(refusal("a: " + std::string(100'001, bracket)),
                HasSubstr("more than 100000 opening brackets"));
}

TEST(Yaml, WhatMeansDifferentThingsToDifferentReadersIsRefused) {
  EXPECT_THAT(refusal("a: 1\na: 2\n"), HasSubstr("has the key \"a\" twice"));
  EXPECT_THAT(refusal("a: &x {b: 1}\nc:\n  <<: *x\n"), HasSubstr("line 3 has a merge key"));
  EXPECT_THAT(refusal("a: !!python/object:os.system ls\n"), HasSubstr("has the tag"));
  EXPECT_THAT(refusal("a: 1\n---\nb: 2\n"), HasSubstr("holds more than one YAML document"));
  EXPECT_THAT(refusal("? [1, 2]\n: 3\n"), HasSubstr("has a list as a key"));
  EXPECT_THAT(refusal("? {a: 1}\n: 3\n"), HasSubstr("has an object as a key"));
  EXPECT_THAT(refusal("a: &x b\n*x : 3\n"), HasSubstr("has an alias as a key"));
  EXPECT_THAT(refusal("a: &x [*x]\n"), HasSubstr("doc: "));
}

TEST(Yaml, AMistakeIsNamedWithItsLine) {
  EXPECT_THAT(refusal("a: 1\nb: [1, 2\nc: 3\n"), HasSubstr("doc: is not valid YAML at line"));
}

TEST(Yaml, BinaryDataIsNotMistakenForText) {
  EXPECT_THAT(refusal(std::string("KDMV\x01\x00\x00\x00", 8)),
              HasSubstr("is neither JSON nor YAML text in UTF-8"));
  EXPECT_THAT(refusal("a: \xff\xfe\n"), HasSubstr("is neither JSON nor YAML text in UTF-8"));
}

}  // namespace
}  // namespace hyper2kvm::contract
