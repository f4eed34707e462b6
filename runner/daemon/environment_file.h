// KEY=VALUE files with the meaning that systemd gives an EnvironmentFile= (systemd.exec(5)), so that the
// daemon and the service manager read the same file alike.
//
//   # or ; begins a comment; a line without = is skipped
//   KEY=plain text            surrounding blanks are dropped, \x is x, \ at the end of a line joins lines
//   KEY="a \"quoted\" text"   \ escapes only " \ ` $ and the line break
//   KEY='as it is'            no escapes at all
//
// No variable is expanded. A key that is set twice has its last value. Thread-safe: values and pure
// functions.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace hyper2kvm::daemon {

using Variables = std::map<std::string, std::string>;

// Never throws: what is no assignment is skipped, as systemd skips it.
Variables parse_environment(std::string_view text);

// Of a file that may be absent (then nothing is set). Throws os::Error when it is there and cannot be read.
Variables read_environment_file(const std::filesystem::path& path);

}  // namespace hyper2kvm::daemon
