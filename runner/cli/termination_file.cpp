#include "runner/cli/termination_file.h"

#include <span>

#include "runner/contract/termination.h"
#include "runner/os/file.h"

namespace hyper2kvm::cli {

void write_termination_file(const contract::Report& report, const std::filesystem::path& path,
                            bool may_pass) {
  std::string text = contract::to_termination_message(report, may_pass);
  std::error_code ignored;
  bool is_there = std::filesystem::exists(path, ignored);
  os::File file = os::File::open(path, is_there ? os::File::Mode::kReadWrite : os::File::Mode::kCreate);
  file.truncate(0);
  file.write_at(0, std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace hyper2kvm::cli
