#include "tests/unit/kube/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

#include "operator/kube/openssl_object.h"

namespace hyper2kvm::kube {
namespace {

std::string text_of(BIO* bio) {
  char* data = nullptr;
  long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) throw std::runtime_error("extension " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

// issuer null: signs itself.
KeyPair make(const std::string& name, const KeyPair* issuer, const std::string& alternative_name, int days) {
  static long serial = 1;
  OpensslObject<EVP_PKEY> key(EVP_EC_gen("P-256"));
  OpensslObject<X509> certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600L * 24 * 60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600L * 24 * days);
  X509_set_pubkey(certificate.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  OpensslObject<X509> issuer_certificate;
  OpensslObject<EVP_PKEY> issuer_key;
  if (issuer != nullptr) {
    OpensslObject<BIO> in(BIO_new_mem_buf(issuer->certificate_pem.data(), -1));
    issuer_certificate.reset(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    OpensslObject<BIO> key_in(BIO_new_mem_buf(issuer->key_pem.data(), -1));
    issuer_key.reset(PEM_read_bio_PrivateKey(key_in.get(), nullptr, nullptr, nullptr));
  }
  X509* signer = issuer_certificate ? issuer_certificate.get() : certificate.get();
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer));
  add_extension(certificate.get(), signer, NID_basic_constraints,
                issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
  if (!alternative_name.empty())
    add_extension(certificate.get(), signer, NID_subject_alt_name, alternative_name);
  X509_sign(certificate.get(), issuer_key ? issuer_key.get() : key.get(), EVP_sha256());

  OpensslObject<BIO> certificate_out(BIO_new(BIO_s_mem())), key_out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate_out.get(), certificate.get());
  PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {text_of(certificate_out.get()), text_of(key_out.get())};
}

}  // namespace

KeyPair make_authority(const std::string& name) { return make(name, nullptr, "", 30); }

KeyPair make_certificate(const KeyPair& authority, const std::string& name,
                         const std::string& alternative_name, int days) {
  return make(name, &authority, alternative_name, days);
}

}  // namespace hyper2kvm::kube
