#include "tests/integration/example.h"

#include <gtest/gtest.h>

#include "runner/os/file.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {

namespace fs = std::filesystem;

fs::path demo_disk() { return generated_guest("demo") / "demo-disk1.vmdk"; }

fs::path example_for(const std::string& name, const fs::path& directory, const fs::path& images,
                     const std::map<std::string, std::string>& more) {
  std::string text = os::read_text(fs::path(EXAMPLES) / "manifests" / name, 1 << 20);
  std::map<std::string, std::string> replacements = {
      {"/exports/web01/web01-disk1.vmdk", demo_disk().string()},
      {"1073741824", std::to_string(fs::file_size(demo_disk()))}};
  if (!images.empty()) replacements["/srv/images"] = images.string();
  replacements.insert(more.begin(), more.end());
  for (const auto& [from, to] : replacements) {
    std::size_t at = text.rfind(from);
    EXPECT_NE(at, std::string::npos) << name << " does not say " << from;
    if (at != std::string::npos) text.replace(at, from.size(), to);
  }
  fs::path written = directory / name;
  os::write_text_atomically(written, text);
  return written;
}

}  // namespace hyper2kvm::integration
