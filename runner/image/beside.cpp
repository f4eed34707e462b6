#include "runner/image/beside.h"

#include <algorithm>

#include "runner/image/located_file.h"
#include "runner/image/refusal.h"

namespace hyper2kvm::image {

bool is_plain_name(std::string_view name, std::string_view separators) {
  return !name.empty() && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [&](char character) {
           return static_cast<unsigned char>(character) >= 0x20 &&
                  separators.find(character) == std::string_view::npos;
         });
}

std::filesystem::path resolve_beside(const ImageLocation& image, const std::string& written,
                                     const std::string& what, std::string_view separators) {
  if (!is_plain_name(written, separators))
    refuse(display_name(image),
           "refers to the " + what + " \"" + written.substr(0, 200) + "\", which is no plain file name",
           "Put the files beside each other under plain names, or make one image of them with "
           "qemu-img convert.");
  std::filesystem::path path = image.file.parent_path() / written;
  // A link would lead out of the directory again.
  if (std::filesystem::is_symlink(std::filesystem::symlink_status(path)))
    refuse(display_name(image), "refers to the " + what + " \"" + written + "\", which is a symbolic link",
           "Put the file itself beside the image.");
  return path;
}

}  // namespace hyper2kvm::image
