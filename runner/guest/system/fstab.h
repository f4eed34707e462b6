// fstab(5) and crypttab(5), read so that they can be written back with only the meant field changed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hyper2kvm::guest {

// One line of a table of fields separated by blanks; text is the line as written, without its newline.
struct TableLine {
  std::string text;
  std::vector<std::string> fields;  // unescaped (\040 is a space); empty for comments and blank lines

  const std::string& field(std::size_t index) const;
  // Replaces one field in the text (escaped as needed) and in fields.
  void set_field(std::size_t index, const std::string& value);
  bool has_option(std::size_t field_index, std::string_view option) const;

 private:
  friend struct Table;
  std::vector<std::pair<std::size_t, std::size_t>> places_;  // of each field in text: begin, length
  void scan();
};

struct Table {
  std::vector<TableLine> lines;
  bool ends_with_newline = true;

  static Table parse(std::string_view text);
  std::string text() const;
};

// Columns of fstab.
inline constexpr std::size_t kFstabDevice = 0, kFstabMountPoint = 1, kFstabType = 2, kFstabOptions = 3;

}  // namespace hyper2kvm::guest
