#include "operator/kube/text.h"

#include <sys/random.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <vector>

#include "runner/os/error.h"

namespace hyper2kvm::kube {

std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  // A continuation byte is 10xxxxxx: step back to the byte that starts the character.
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return text.substr(0, limit);
}

std::string to_text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string random_hex(std::size_t bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::vector<unsigned char> random(bytes);
  std::size_t filled = 0;
  while (filled < bytes) {
    ssize_t got = ::getrandom(random.data() + filled, bytes - filled, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw os::system_error(errno, "get random bytes from", "the kernel");
    filled += static_cast<std::size_t>(got);
  }
  std::string text;
  for (unsigned char byte : random) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace hyper2kvm::kube
