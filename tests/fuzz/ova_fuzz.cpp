// The walk over an OVA's members, and the package behind it.
#include "runner/image/ova_archive.h"
#include "runner/image/package.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::MemoryFile file(fuzz::bytes_of(data, size));
  fuzz::expect_error_or_success([&] {
    for (const auto& [name, location] : image::list_archive(file.path())) {
      if (location.offset > size || location.length > size - location.offset) __builtin_trap();
      // Two dots at the end of a longer name lead nowhere.
      if (name.empty() || name[0] == '/' || ("/" + name + "/").find("/../") != std::string::npos)
        __builtin_trap();
    }
  });
  fuzz::expect_error_or_success([&] { (void)image::open_ova(file.path()); });
  return 0;
}
