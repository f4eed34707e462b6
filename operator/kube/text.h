// Text that goes into objects and logs: always valid UTF-8, always bounded.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace hyper2kvm::kube {

// The longest prefix of at most `limit` bytes that does not end inside a character of UTF-8.
std::string_view cut(std::string_view text, std::size_t limit);
// JSON on one line; bytes that are no UTF-8 are replaced, so this never fails.
std::string to_text(const nlohmann::json& json);
// `bytes` random bytes in hexadecimal, from the kernel: for identities and names, unique in practice.
std::string random_hex(std::size_t bytes);

}  // namespace hyper2kvm::kube
