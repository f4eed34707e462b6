// Disks for the tests of this room: made of a seed, written in any format by qemu-img, compared by it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "runner/image/conversion.h"
#include "runner/image/source.h"

namespace hyper2kvm::image::testing {

using Random = std::mt19937_64;

// What a cluster of a test disk holds.
enum class Content { kNothing, kZeroes, kText, kNoise };

std::vector<std::byte> make_content(Content content, std::size_t size, Random& random);
// Runs of random length of random content.
void write_random_disk(const std::filesystem::path& path, std::uint64_t size, Random& random);

// qemu-img convert of a raw file; options as -o takes them.
void convert_with_qemu(const std::filesystem::path& raw, const std::filesystem::path& to,
                       const std::string& format, const std::string& options = "");
// A kind of image that qemu-img makes, and how we read it. The empty driver is an overlay over another qcow2.
struct Kind {
  const char* driver;
  const char* options;
  contract::SourceFormat format;
  Layout layout;
  std::string title() const;
};
const std::vector<Kind>& every_kind();
// An image of that kind with the raw disk's content; its name is "disk", and what else it needs lies beside
// it in the directory, which must be empty.
std::filesystem::path make_kind(const Kind& kind, const std::filesystem::path& raw,
                                const std::filesystem::path& directory);

// Fails the test where qemu-img compare finds a difference.
void expect_same_disk(const std::filesystem::path& a, const std::string& format_a,
                      const std::filesystem::path& b, const std::string& format_b);
// Fails the test where qemu-img check is not content.
void expect_sound(const std::filesystem::path& path, const std::string& format);

ImageLocation whole(const std::filesystem::path& path);
// A complete conversion of an image, without an overlay.
ConversionResult convert(const std::filesystem::path& from, contract::SourceFormat format,
                         const std::filesystem::path& to, ConversionOptions options);
std::string qemu_name(contract::OutputFormat format);
std::vector<std::byte> read_all(const std::filesystem::path& path);
void write_all(const std::filesystem::path& path, std::span<const std::byte> bytes);

}  // namespace hyper2kvm::image::testing
