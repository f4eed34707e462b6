#include "operator/kube/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>

#include <memory>
#include <utility>

#include "operator/kube/openssl_object.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::kube {
namespace {

constexpr std::size_t kPemLimit = 4u << 20;

[[noreturn]] void refuse(const std::string& subject, const std::string& problem) {
  char reason[256] = "";
  if (unsigned long code = ERR_get_error(); code != 0) ERR_error_string_n(code, reason, sizeof reason);
  ERR_clear_error();
  throw os::Error(os::ErrorKind::kUsage, subject,
                  problem + (*reason != '\0' ? ": " + std::string(reason) : ""),
                  "Correct the credentials that the program is given.");
}

struct Pem {
  std::string text;
  std::string subject;  // for messages
};
// The inline text wins over the file.
Pem read_pem(const std::string& inline_text, const std::filesystem::path& file, const char* what) {
  if (!inline_text.empty()) return {inline_text, what};
  if (!file.empty()) return {os::read_text(file, kPemLimit), file.string()};
  return {};
}

OpensslObject<BIO> reader(const std::string& text) {
  return OpensslObject<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// A passphrase would be asked for on a terminal; there is none.
int no_passphrase(char*, int, int, void*) { return 0; }

void trust(SSL_CTX* context, const Pem& authorities) {
  X509_STORE* store = X509_STORE_new();
  SSL_CTX_set_cert_store(context, store);  // takes it over, and drops the machine's own authorities
  OpensslObject<BIO> bio = reader(authorities.text);
  int count = 0;
  while (OpensslObject<X509> certificate{PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)}) {
    X509_STORE_add_cert(store, certificate.get());
    ++count;
  }
  ERR_clear_error();  // the end of the text is an error to OpenSSL
  if (count == 0) refuse(authorities.subject, "holds no certificate of an authority");
}

void present(SSL_CTX* context, const Pem& certificate, const Pem& key) {
  OpensslObject<BIO> bio = reader(certificate.text);
  OpensslObject<X509> own(PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr));
  if (!own || SSL_CTX_use_certificate(context, own.get()) != 1)
    refuse(certificate.subject, "is no client certificate");
  SSL_CTX_clear_chain_certs(context);
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr))
    SSL_CTX_add0_chain_cert(context, next);  // takes it over
  ERR_clear_error();
  OpensslObject<BIO> key_bio = reader(key.text);
  OpensslObject<EVP_PKEY> own_key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_passphrase, nullptr));
  if (!own_key || SSL_CTX_use_PrivateKey(context, own_key.get()) != 1)
    refuse(key.subject, "is not the private key of the client certificate");
}

int verify(X509_STORE_CTX* store, void* argument) {
  int accepted = X509_verify_cert(store);
  if (accepted != 1) {
    int code = X509_STORE_CTX_get_error(store);
    // A name that does not match is found by the callback of cpprestsdk, which gives no code of its own.
    bool name = code == X509_V_OK || code == X509_V_ERR_UNSPECIFIED;
    static_cast<TlsRefusal*>(argument)->note(name ? "it is for another host"
                                                  : X509_verify_cert_error_string(code));
  }
  return accepted;
}

}  // namespace

void TlsRefusal::note(std::string reason) {
  std::lock_guard lock(mutex_);
  reason_ = std::move(reason);
}

std::string TlsRefusal::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(reason_, "");
}

void set_up(SSL_CTX* context, const TlsConfig& config, TlsRefusal* refusal) {
  ERR_clear_error();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cert_verify_callback(context, verify, refusal);
  if (Pem authorities = read_pem(config.ca_pem, config.ca_file, "certificate-authority-data");
      !authorities.text.empty() || !authorities.subject.empty())
    trust(context, authorities);
  Pem certificate =
      read_pem(config.client_certificate_pem, config.client_certificate_file, "client-certificate-data");
  if (!certificate.subject.empty())
    present(context, certificate, read_pem(config.client_key_pem, config.client_key_file, "client-key-data"));
}

}  // namespace hyper2kvm::kube
