// What the tests' agent does with disks: lays them out from a list of commands, and tells every file of a
// guest.
#pragma once

#include <map>
#include <string>

#include "runner/guest/protocol.h"

namespace hyper2kvm::integration {

// One command a line, words apart by single spaces; @0, @1... stand for the disks.
//   load MODULE
//   write FILE TEXT...                   the text and a line end, synced
//   directory PATH
//   label FILE NAME VALUE                an extended attribute
//   mount DEVICE TYPE DIRECTORY
//   unmount DIRECTORY
//   copy-device FROM TO                  all bytes
//   copy-tree FROM TO                    directories, files, links, with their modes
//   cut-power                            when all is done, with what is mounted and not written back
//   anything else                        a program of the image with its arguments
// Throws os::Error.
void lay_out(const std::string& commands);
// Switches the machine off if a command said so, at once.
void cut_power_if_told();

// Every file below the guest's root and what is mounted in it, by path: kind, mode, owner, size, time,
// extended attributes, and a hash of its content. The guest is opened as the request says, and not changed.
// In pieces that an answer can carry, one file a line.
std::map<std::string, std::string> list_files(const guest::Request& request);

}  // namespace hyper2kvm::integration
