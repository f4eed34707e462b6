// The other files that an image refers to. What a header names was written by somebody else, so it is
// followed only to a plain file beside the image: no directory, no protocol, no json: name, no link.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "runner/image/source.h"

namespace hyper2kvm::image {

// A name in a directory: without control characters and any of the separators.
bool is_plain_name(std::string_view name, std::string_view separators);

// The file of that name beside the image, which need not be there. what: "backing file", for messages. Throws
// os::Error (kInvalid).
std::filesystem::path resolve_beside(const ImageLocation& image, const std::string& written,
                                     const std::string& what, std::string_view separators = "/:");

}  // namespace hyper2kvm::image
