// The text descriptor of a VMDK.
#include <string_view>

#include "runner/image/vmdk_header.h"
#include "tests/fuzz/fuzz_input.h"

using namespace hyper2kvm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = fuzz::bytes_of(data, size);
  (void)image::has_descriptor_magic(bytes);
  fuzz::expect_error_or_success([&] {
    (void)image::parse_vmdk_descriptor({reinterpret_cast<const char*>(data), size}, "fuzz").capacity();
  });
  return 0;
}
