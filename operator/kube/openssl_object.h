// OpenSSL's objects, freed with their owner.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>

namespace hyper2kvm::kube {

struct OpensslFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
// Owns an object of OpenSSL that the caller got to own; not safe to use from two threads at once.
template <class T>
using OpensslObject = std::unique_ptr<T, OpensslFree>;

}  // namespace hyper2kvm::kube
