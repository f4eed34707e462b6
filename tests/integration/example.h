// A manifest of examples/ for the test guest: as it stands there, but for the names and sizes of files.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace hyper2kvm::integration {

// The disk that takes web01's place.
std::filesystem::path demo_disk();

// Writes the example into directory, its output going to images; more: further texts and what they become. A
// text that is to be replaced and does not stand there makes the test fail.
std::filesystem::path example_for(const std::string& name, const std::filesystem::path& directory,
                                  const std::filesystem::path& images,
                                  const std::map<std::string, std::string>& more = {});

}  // namespace hyper2kvm::integration
