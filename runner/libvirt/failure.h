// libvirt's error of the calling thread as an os::Error.
//
// libvirt keeps the last error per thread, with a code for programs and a message for people. The message is
// kept as it is, since people look for it; the code decides the kind, and what to do where the caller knows
// nothing better.
#pragma once

#include <string>

#include "runner/os/error.h"

namespace hyper2kvm::libvirt {

// "SUBJECT: cannot OPERATION: libvirt's message. ADVICE". Call it right after the failed call.
os::Error libvirt_error(const std::string& operation, const std::string& subject, std::string advice = "");

// The code of the calling thread's last error (VIR_ERR_OK if there is none).
int last_error_code();

}  // namespace hyper2kvm::libvirt
