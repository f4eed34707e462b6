// Sets up OpenSSL for connections to the API server: which authorities to trust, who we are.
//
// Only the cluster's own CA bundle is trusted where one is given, not the machine's as well. Why a server was
// refused is remembered, because cpprestsdk reports no more than "Error in SSL handshake".
#pragma once

#include <openssl/ssl.h>

#include <mutex>
#include <string>

#include "operator/kube/config.h"

namespace hyper2kvm::kube {

// The last reason for which a server's certificate was refused. Safe to call from any thread.
class TlsRefusal {
 public:
  void note(std::string reason);
  // Empty when there was none; forgets it.
  std::string take();

 private:
  std::mutex mutex_;
  std::string reason_;
};

// Reads the files of the config anew, so it is called for each connection. refusal is not owned and must
// outlive the context. Throws os::Error (kUsage) for files that are missing or are no certificates or keys.
void set_up(SSL_CTX* context, const TlsConfig& config, TlsRefusal* refusal);

}  // namespace hyper2kvm::kube
