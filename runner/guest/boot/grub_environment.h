// GRUB 2's environment block: a file of exactly 1024 bytes of NAME=VALUE lines, filled up with '#'. GRUB
// itself writes it in place, so its size must stay. Source: the GRUB manual, "The GRUB environment block".
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace hyper2kvm::guest {

// Empty where text is no environment block.
std::map<std::string, std::string> parse_grub_environment(std::string_view text);
// The block with each value passed through change, in its old order; a name that set names is added where it
// is not there. nullopt where text is no block or the result does not fit.
std::optional<std::string> edit_grub_environment(
    std::string_view text,
    const std::function<std::string(std::string_view name, std::string_view value)>& change,
    const std::map<std::string, std::string>& set = {});

}  // namespace hyper2kvm::guest
