// The copy engine alone, for tests/bench/copy-engine: one conversion, or one of the two limits it is measured
// against. Prints one JSON line.
//
//   image_bench convert SOURCE FORMAT TARGET OUTPUT-FORMAT [compress=deflate|zstd] [level=N] [check=no]
//               [threads=N] [sha256=HEX]      SOURCE may be an OVA: its first disk; FORMAT is "-" where the
//                                             file's magic tells it
//   image_bench inflate SOURCE [threads=N]    inflates the grains of a streamOptimized VMDK once, from memory
//   image_bench write TARGET BYTES            aligned writes past the page cache, then a sync
#include <fcntl.h>
#include <libdeflate.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "runner/image/conversion.h"
#include "runner/image/grain_stream.h"
#include "runner/image/located_file.h"
#include "runner/image/package.h"
#include "runner/image/target_file.h"
#include "runner/os/error.h"

namespace {

using namespace hyper2kvm;
using Clock = std::chrono::steady_clock;
using Arguments = std::vector<std::string>;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

[[noreturn]] void usage() {
  std::cerr << "see the top of tests/bench/image_bench.cpp\n";
  std::exit(2);
}

image::ImageLocation locate(const std::string& source) {
  if (source.ends_with(".ova")) return image::open_ova(source).locations.at(0);
  return {source, 0, os::File::open(source, os::File::Mode::kRead).size(), {}};
}

std::map<std::string, std::string> settings_from(const Arguments& arguments, std::size_t first) {
  std::map<std::string, std::string> settings;
  for (std::size_t i = first; i < arguments.size(); ++i) {
    std::size_t equals = arguments[i].find('=');
    if (equals == std::string::npos) usage();
    settings[arguments[i].substr(0, equals)] = arguments[i].substr(equals + 1);
  }
  return settings;
}

unsigned thread_count(const std::map<std::string, std::string>& settings) {
  auto found = settings.find("threads");
  return found != settings.end() ? static_cast<unsigned>(std::stoul(found->second)) : 0;
}

contract::SourceFormat format_named(const std::string& name, const image::ImageLocation& location) {
  static const std::map<std::string, contract::SourceFormat> kFormats = {
      {"vmdk", contract::SourceFormat::kVmdk}, {"qcow2", contract::SourceFormat::kQcow2},
      {"raw", contract::SourceFormat::kRaw},   {"vhd", contract::SourceFormat::kVhd},
      {"vhdx", contract::SourceFormat::kVhdx}, {"vdi", contract::SourceFormat::kVdi}};
  if (name == "-") return image::detect_format(location);
  return kFormats.at(name);
}

nlohmann::json convert(const Arguments& arguments) {
  if (arguments.size() < 5) usage();
  const auto settings = settings_from(arguments, 5);
  auto setting = [&](const char* name) {
    auto found = settings.find(name);
    return found == settings.end() ? std::string() : found->second;
  };
  os::TemporaryDirectory scratch("image-bench");
  image::ConversionOptions options;
  options.format = arguments[4] == "raw"   ? contract::OutputFormat::kRaw
                   : arguments[4] == "vdi" ? contract::OutputFormat::kVdi
                                           : contract::OutputFormat::kQcow2;
  options.compress = !setting("compress").empty();
  if (setting("compress") == "zstd") options.compression = image::ClusterCompression::kZstd;
  if (!setting("level").empty()) options.compress_level = std::stoi(setting("level"));
  if (!setting("sha256").empty()) options.expected_sha256 = setting("sha256");
  options.check_grains = setting("check") != "no";
  options.threads = thread_count(settings);
  options.scratch = scratch.path();

  const Clock::time_point begin = Clock::now();
  const image::ImageLocation location = locate(arguments[1]);
  const image::SourceImage source =
      image::open_source(location, format_named(arguments[2], location), "bench");
  auto conversion = image::Conversion::create(source, arguments[3], options);
  conversion->copy([](std::uint64_t, std::uint64_t) {}, {});
  const double copied = seconds_since(begin);
  const image::ConversionResult result = conversion->finish();
  return {{"seconds", seconds_since(begin)},
          {"copy_seconds", copied},
          {"virtual_size", result.virtual_size},
          {"file_size", result.file_size},
          {"bytes_read", result.bytes_read}};
}

// What no conversion of this file that checks its grains can be faster than.
nlohmann::json inflate(const Arguments& arguments) {
  if (arguments.size() < 2) usage();
  image::LocatedFile file(locate(arguments[1]));
  auto read = [&](std::uint64_t offset, std::span<std::byte> bytes) { file.read_exactly_at(offset, bytes); };
  const image::StreamLayout layout = image::read_stream_layout(read, file.length(), file.name());
  image::GrainStream stream(layout, file.name());
  std::vector<std::byte> bytes(static_cast<std::size_t>(file.length()));
  file.read_exactly_at(0, bytes);
  std::vector<image::Grain> grains;
  stream.parse(bytes, grains);

  unsigned count = thread_count(settings_from(arguments, 2));
  if (count == 0) count = std::max(1u, std::thread::hardware_concurrency());
  std::atomic<std::size_t> next{0};
  std::atomic<bool> damaged{false};
  const Clock::time_point begin = Clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i)
    threads.emplace_back([&] {
      libdeflate_decompressor* decompressor = libdeflate_alloc_decompressor();
      std::vector<std::byte> output(image::kGrainSize);
      for (std::size_t first = next.fetch_add(32); first < grains.size(); first = next.fetch_add(32))
        for (std::size_t grain = first; grain < std::min(first + 32, grains.size()); ++grain) {
          std::size_t size = 0;
          if (libdeflate_zlib_decompress(decompressor, grains[grain].zlib.data(), grains[grain].zlib.size(),
                                         output.data(), output.size(), &size) != LIBDEFLATE_SUCCESS)
            damaged = true;
        }
      libdeflate_free_decompressor(decompressor);
    });
  for (std::thread& thread : threads) thread.join();
  const double seconds = seconds_since(begin);
  if (damaged) throw os::Error(os::ErrorKind::kInvalid, file.name(), "a grain is damaged");
  return {{"seconds", seconds}, {"grains", grains.size()}, {"threads", count}};
}

nlohmann::json write(const Arguments& arguments) {
  if (arguments.size() != 3) usage();
  constexpr std::size_t kPiece = 2u << 20;
  const std::uint64_t size = std::stoull(arguments[2]);
  os::File file = os::File::open(arguments[1], os::File::Mode::kCreate);
  file.truncate(size);
  const bool direct = ::fcntl(file.fd(), F_SETFL, ::fcntl(file.fd(), F_GETFL) | O_DIRECT) == 0;
  std::atomic<std::uint64_t> next{0};
  const Clock::time_point begin = Clock::now();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      image::AlignedBuffer buffer(kPiece);
      for (std::size_t at = 0; at < kPiece; ++at)
        buffer.data()[at] = static_cast<std::byte>(at * 31 + at / 256);
      for (std::uint64_t at = next.fetch_add(kPiece); at + kPiece <= size; at = next.fetch_add(kPiece))
        file.write_at(at, buffer.span());
    });
  for (std::thread& thread : threads) thread.join();
  file.sync();
  return {{"seconds", seconds_since(begin)}, {"direct", direct}};
}

}  // namespace

int main(int count, char** values) {
  const Arguments arguments(values + 1, values + count);
  if (arguments.empty()) usage();
  try {
    nlohmann::json result;
    if (arguments[0] == "convert")
      result = convert(arguments);
    else if (arguments[0] == "inflate")
      result = inflate(arguments);
    else if (arguments[0] == "write")
      result = write(arguments);
    else
      usage();
    rusage use{};
    ::getrusage(RUSAGE_SELF, &use);
    result["resident_kib"] = use.ru_maxrss;
    std::cout << result.dump() << std::endl;
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
