// How a program that talks to a Kubernetes API ends.
//
// cpprestsdk's pool of threads waits for its threads when static objects are destroyed, and one of them may
// be waiting for a task that only the pool could still run: a program that returns from main() then hangs. So
// it ends without destroying static objects.
#pragma once

namespace hyper2kvm::kube {

// Writes out what the standard streams hold and ends the process with `status`. Every object that must be
// closed in order is to be gone before. Threads that still run are ended where they are.
[[noreturn]] void end_process(int status);

}  // namespace hyper2kvm::kube
