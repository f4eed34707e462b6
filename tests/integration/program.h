// Runs the built hyper2kvm as a user does, and small programs around it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace hyper2kvm::integration {

struct Ran {
  int status = -1;  // exit status; 128 + the signal when one ended it
  std::string out;
  std::string err;
};

// The program under test: $HYPER2KVM.
std::filesystem::path program_path();

// Runs the program under test to its end.
Ran run_hyper2kvm(const std::vector<std::string>& arguments,
                  const std::filesystem::path& working_directory = {});

// Runs any program; a test fails loudly when it does not exit with 0.
std::string must_run(const std::vector<std::string>& arguments);

// The command that runs these arguments as an ordinary user without capabilities, who can gain none: nobody,
// whom the system knows by name, which libvirt asks for.
std::vector<std::string> as_nobody(const std::vector<std::string>& arguments);
// Makes a file or directory that user's own.
void give_to_nobody(const std::filesystem::path& path);

// The SHA-256 of a file's bytes, as 64 hex digits.
std::string sha256(const std::filesystem::path& path);

// A raw disk with `mebibytes` of space and some reproducible content in it.
void make_disk(const std::filesystem::path& path, unsigned mebibytes, unsigned seed = 1);

// A manifest with one raw disk and convert and validate on; change it as the test needs.
nlohmann::json manifest_for(const std::filesystem::path& disk);
void write_json(const std::filesystem::path& path, const nlohmann::json& document);
nlohmann::json read_json(const std::filesystem::path& path);

// The folder of a guest that tests/guests/make-all has generated below $HYPER2KVM_TEST_GUESTS; empty where
// that is not set, for which kNoGuests is the reason to skip.
std::filesystem::path generated_guest(const std::string& name);
inline constexpr const char* kNoGuests =
    "HYPER2KVM_TEST_GUESTS does not say where tests/guests/make-all has put the test guests";

// Names in a directory, sorted, hidden ones too.
std::vector<std::string> names_in(const std::filesystem::path& directory);

}  // namespace hyper2kvm::integration
