#include "runner/daemon/convert_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runner/os/error.h"

namespace hyper2kvm::daemon {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_convert_options(text);
  } catch (const os::Error& error) {
    EXPECT_EQ(error.kind(), os::ErrorKind::kUsage);
    return error.sentence();
  }
  return "accepted";
}

TEST(ConvertOptions, TheExampleFilesOptionsAreUnderstood) {
  ConvertOptions options = parse_convert_options("-O qcow2 -c -p");
  EXPECT_EQ(options.format, contract::OutputFormat::kQcow2);
  EXPECT_TRUE(options.compress);
  EXPECT_TRUE(options.progress);
}

TEST(ConvertOptions, NothingAsksForNothing) {
  ConvertOptions options = parse_convert_options("  ");
  EXPECT_FALSE(options.format);
  EXPECT_FALSE(options.compress);
}

TEST(ConvertOptions, AValueMayStandWithItsOption) {
  EXPECT_EQ(parse_convert_options("-Oraw").format, contract::OutputFormat::kRaw);
  EXPECT_TRUE(parse_convert_options("-c -ocompression_type=zlib").compress);
  EXPECT_EQ(parse_convert_options("-c -o compression_type=zlib").compression,
            contract::Compression::kDeflate);
  EXPECT_EQ(parse_convert_options("-c -o compression_type=zstd").compression, contract::Compression::kZstd);
}

TEST(ConvertOptions, WhatCannotBeHonouredIsNamed) {
  EXPECT_THAT(refusal("-O vmdk"), ::testing::HasSubstr("\"vmdk\""));
  EXPECT_THAT(refusal("-c -o compression_type=lz4"), ::testing::HasSubstr("compression_type=lz4"));
  EXPECT_THAT(refusal("-o preallocation=full"), ::testing::HasSubstr("preallocation=full"));
  EXPECT_THAT(refusal("-S 4k"), ::testing::HasSubstr("\"-S\""));
  EXPECT_THAT(refusal("-O"), ::testing::HasSubstr("needs a value"));
  EXPECT_THAT(refusal("-O raw -c"), ::testing::HasSubstr("compression"));
}

}  // namespace
}  // namespace hyper2kvm::daemon
