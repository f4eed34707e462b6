#include "runner/appliance/line_reader.h"

#include <gtest/gtest.h>

#include "runner/os/error.h"

namespace hyper2kvm::appliance {
namespace {

TEST(LineReader, PutsPiecesTogether) {
  LineReader reader(100);
  reader.append("one\ntw");
  EXPECT_EQ(reader.next(), "one");
  EXPECT_EQ(reader.next(), std::nullopt);
  reader.append("o\n\nthree");
  EXPECT_EQ(reader.next(), "two");
  EXPECT_EQ(reader.next(), "");
  EXPECT_EQ(reader.next(), std::nullopt);
  reader.append("\n");
  EXPECT_EQ(reader.next(), "three");
}

TEST(LineReader, TakesALineOfExactlyTheLimit) {
  LineReader reader(4);
  reader.append("12");
  reader.append("34\n1234\n");
  EXPECT_EQ(reader.next(), "1234");
  EXPECT_EQ(reader.next(), "1234");
}

TEST(LineReader, RefusesALongerLineBeforeItEnds) {
  LineReader reader(4);
  reader.append("123");
  EXPECT_THROW(reader.append("45"), os::Error);
}

TEST(LineReader, RefusesALongLineInTheMiddleOfAPiece) {
  LineReader reader(4);
  EXPECT_THROW(reader.append("1\n12345\n1\n"), os::Error);
}

TEST(LineReader, CountsOnlyTheUnfinishedLine) {
  LineReader reader(4);
  reader.append("1234\n1234\n123");
  reader.append("4\n");
  EXPECT_EQ(reader.next(), "1234");
  reader.append("abc");
  EXPECT_EQ(reader.next(), "1234");
  EXPECT_EQ(reader.next(), "1234");
  EXPECT_THROW(reader.append("de"), os::Error);
}

}  // namespace
}  // namespace hyper2kvm::appliance
