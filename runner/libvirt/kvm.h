// Whether KVM really runs a machine here.
//
// That /dev/kvm opens and that libvirt offers type kvm proves neither: nested and software-paging KVMs open,
// and then fail to start a virtual CPU or never run its first instruction. So a machine is started: 16 MiB,
// no devices but a serial port, and instead of a BIOS a few bytes of ours that go the way every operating
// system goes (protected mode, paging, long mode) and say so on the serial line. About 0.1 s where KVM works.
#pragma once

#include <string>

#include "runner/os/stop.h"

namespace hyper2kvm::libvirt {

struct KvmVerdict {
  enum class Answer {
    kWorks,
    kFails,    // it was tried
    kUnknown,  // it cannot be tried by us: no right to /dev/kvm, or no emulator in our file system
  };
  Answer answer = Answer::kUnknown;
  std::string reason;  // of kFails and kUnknown, for people; no full stop
};

// emulator: path of qemu-system-x86_64. The answer is kept for the life of the process, per emulator. Takes
// 10 s at most. Throws os::Error only when stopped. Thread-safe.
KvmVerdict kvm_verdict(const std::string& emulator, const os::StopToken& stop);

// The trial itself, with any accelerator ("kvm", "tcg") and the CPU model that goes with it ("host", "max").
// The reason why the machine does not run; empty where it does. Throws as kvm_verdict.
std::string try_accelerator(const std::string& emulator, const std::string& accelerator,
                            const std::string& cpu_model, const os::StopToken& stop);

}  // namespace hyper2kvm::libvirt
