// The OVF and the digests of a package. The first byte chooses.
#include "runner/image/ovf.h"
#include "runner/image/ovf_digests.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  fuzz::expect_error_or_success([&] {
    if (data[0] == 'M')
      (void)image::parse_ovf_digests(text, "fuzz");
    else
      (void)image::parse_ovf(text, "fuzz");
  });
  return 0;
}
