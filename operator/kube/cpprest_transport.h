// The transport over cpprestsdk (HTTP/1.1, TLS by OpenSSL), for the server of a Config.
#pragma once

#include <memory>

#include "operator/kube/config.h"
#include "operator/kube/transport.h"

namespace hyper2kvm::kube {

// cpprestsdk runs all of its input and output on one pool of threads for the whole process, forty by default;
// two are enough, as nothing of ours ever runs in it for long. The first call decides; done by
// make_cpprest_transport if main has not.
void use_few_threads();

// idle_limit: a connection on which nothing arrives for this long is given up, whatever its reader's
// patience; longer than a watch's timeoutSeconds. Throws os::Error (kUsage) when the server's address cannot
// be used.
std::shared_ptr<Transport> make_cpprest_transport(
    const Config& config, std::chrono::seconds idle_limit = std::chrono::seconds(330));

}  // namespace hyper2kvm::kube
