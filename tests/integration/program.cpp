#include "tests/integration/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>

#include "runner/os/error.h"
#include "runner/os/file.h"
#include "runner/os/process.h"

namespace hyper2kvm::integration {

namespace fs = std::filesystem;

fs::path program_path() {
  const char* path = std::getenv("HYPER2KVM");
  if (path == nullptr || *path == '\0')
    throw std::runtime_error("HYPER2KVM does not name the program under test");
  return path;
}

Ran run_hyper2kvm(const std::vector<std::string>& arguments, const fs::path& working_directory) {
  os::TemporaryDirectory captured("integration");
  os::File out = os::File::open(captured.path() / "out", os::File::Mode::kCreate);
  os::File err = os::File::open(captured.path() / "err", os::File::Mode::kCreate);
  os::ProcessOptions options;
  options.arguments = {program_path().string()};
  options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
  options.descriptors = {{out.fd(), 1}, {err.fd(), 2}};
  options.working_directory = working_directory;
  os::Process process = os::Process::start(options);
  os::ExitStatus status = process.wait({}, std::chrono::minutes(20));
  return {status.signalled ? 128 + status.code : status.code,
          os::read_text(captured.path() / "out", 64u << 20),
          os::read_text(captured.path() / "err", 64u << 20)};
}

fs::path generated_guest(const std::string& name) {
  const char* guests = std::getenv("HYPER2KVM_TEST_GUESTS");
  return guests == nullptr || *guests == '\0' ? fs::path() : fs::path(guests) / name;
}

std::string must_run(const std::vector<std::string>& arguments) {
  return os::run_program({.arguments = arguments}, {}, std::chrono::minutes(5));
}

std::vector<std::string> as_nobody(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"setpriv",         "--reuid=65534",      "--regid=65534",
                                      "--clear-groups",  "--no-new-privs",     "--bounding-set=-all",
                                      "--inh-caps=-all", "--ambient-caps=-all"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

void give_to_nobody(const std::filesystem::path& path) { must_run({"chown", "65534:65534", path.string()}); }

std::string sha256(const fs::path& path) { return must_run({"sha256sum", path.string()}).substr(0, 64); }

void make_disk(const fs::path& path, unsigned mebibytes, unsigned seed) {
  os::File file = os::File::open(path, os::File::Mode::kCreate);
  file.truncate(std::uint64_t{mebibytes} << 20);
  std::mt19937_64 random(seed);
  std::vector<std::uint64_t> block(65536 / sizeof(std::uint64_t));
  // Every fourth 64 KiB: noise, a pattern that compresses, and holes.
  for (std::uint64_t offset = 0; offset < std::uint64_t{mebibytes} << 20; offset += 4 * 65536) {
    for (auto& word : block) word = random();
    file.write_at(offset, std::as_bytes(std::span(block)));
    for (auto& word : block) word = offset;
    file.write_at(offset + 65536, std::as_bytes(std::span(block)));
  }
}

nlohmann::json manifest_for(const fs::path& disk) {
  return {{"manifest_version", "1.0"},
          {"source", {{"provider", "vsphere"}, {"vm_name", "machine"}}},
          {"disks",
           {{{"id", "disk-0"},
             {"source_format", "raw"},
             {"bytes", fs::file_size(disk)},
             {"local_path", disk.string()}}}},
          {"pipeline", {{"convert", {{"enabled", true}}}, {"validate", {{"enabled", true}}}}}};
}

void write_json(const fs::path& path, const nlohmann::json& document) {
  os::write_text_atomically(path, document.dump(2));
}

nlohmann::json read_json(const fs::path& path) {
  return nlohmann::json::parse(os::read_text(path, 16u << 20));
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace hyper2kvm::integration
