// The bearer token that goes into requests.
//
// A service account's token lives for an hour and the kubelet replaces its file before that. The file is
// looked at (stat) before each request and read again when it is another one or has another time or size; and
// once more when the server refuses the token.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>

namespace hyper2kvm::kube {

// Safe to call from any thread.
class TokenSource {
 public:
  // A fixed token, perhaps empty for none. A file takes precedence.
  TokenSource(std::string token, std::filesystem::path file);

  // The token to send now; empty for none. Throws os::Error (kSystem) where the file cannot be read and no
  // earlier content is known.
  std::string token();
  // The server refused this token: reads the file whatever its time. True when there is another one to try.
  bool refresh(const std::string& refused);

 private:
  void read_file();
  std::mutex mutex_;
  std::string token_;
  std::filesystem::path file_;
  // What the file was when it was read.
  struct Seen {
    dev_t device;
    ino_t inode;
    off_t size;
    timespec modified;
  };
  std::optional<Seen> seen_;
};

}  // namespace hyper2kvm::kube
