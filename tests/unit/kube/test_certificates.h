// Certificates for tests, made on the spot.
#pragma once

#include <string>

namespace hyper2kvm::kube {

struct KeyPair {
  std::string certificate_pem;
  std::string key_pem;
};

// Signs itself.
KeyPair make_authority(const std::string& name);
// alternative_name: "IP:127.0.0.1" or "DNS:example.test"; empty for a client. days: negative for one that is
// over.
KeyPair make_certificate(const KeyPair& authority, const std::string& name,
                         const std::string& alternative_name, int days = 30);

}  // namespace hyper2kvm::kube
