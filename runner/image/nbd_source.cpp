// Formats that we do not read ourselves, through QEMU's block layer in a process of its own.
//
// The listening socket is made here and handed over, so there is nothing to wait for: a connection is
// accepted as soon as the daemon runs, and refused as soon as it has failed.
#include <libnbd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <vector>

#include "runner/image/block_source.h"
#include "runner/image/located_file.h"
#include "runner/os/error.h"
#include "runner/os/process.h"

namespace hyper2kvm::image {
namespace {

constexpr int kListenerInChild = 3;
// Block status answers are bounded by this; an empty disk of any size needs few questions then.
constexpr std::uint64_t kStatusStep = std::uint64_t{1} << 30;
constexpr auto kTimeToFail = std::chrono::seconds(2);

struct CloseHandle {
  void operator()(nbd_handle* handle) const { ::nbd_close(handle); }
};
using Handle = std::unique_ptr<nbd_handle, CloseHandle>;

sockaddr_un socket_address(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path)
    throw os::Error(os::ErrorKind::kInvalid, path.string(), "is too long a name for a socket",
                    "Set TMPDIR to a directory with a shorter name.");
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  return address;
}

class NbdSource : public BlockSource {
 public:
  NbdSource(const SourceImage& source, unsigned readers, const std::filesystem::path& scratch)
      : name_(display_name(source.location)),
        virtual_size_(source.virtual_size),
        files_(source.opened_by_qemu.begin(), source.opened_by_qemu.end()),
        directory_("nbd", scratch),
        socket_path_(directory_.path() / "s"),
        daemon_(start(source)) {
    for (unsigned reader = 0; reader <= readers; ++reader) handles_.push_back(connect(source.node_name));
    std::int64_t size = ::nbd_get_size(handles_[0].get());
    if (size < 0) fail("ask for the size of");
    if (static_cast<std::uint64_t>(size) != virtual_size_)
      throw os::Error(os::ErrorKind::kInvalid, name_,
                      "qemu reads a disk of " + std::to_string(size) +
                          " bytes from it, and its header says " + std::to_string(virtual_size_),
                      "Convert it to qcow2 or raw with the tools of its own hypervisor first.");
  }

  os::File::Range next_data(std::uint64_t offset) override {
    while (offset < virtual_size_) {
      Extents answer{offset, {}};
      nbd_extent_callback callback{&NbdSource::collect, &answer, nullptr};
      std::uint64_t count = std::min(kStatusStep, virtual_size_ - offset);
      if (::nbd_can_meta_context(handles_.back().get(), LIBNBD_CONTEXT_BASE_ALLOCATION) != 1)
        return {offset, virtual_size_ - offset};
      if (::nbd_block_status(handles_.back().get(), count, offset, callback, 0) < 0)
        fail("ask for the holes of");
      if (answer.ranges.empty()) return {offset, virtual_size_ - offset};
      for (const auto& [length, is_zero] : answer.ranges) {
        if (!is_zero && length > 0) return {offset, std::min<std::uint64_t>(length, virtual_size_ - offset)};
        offset += length;
      }
    }
    return {virtual_size_, 0};
  }

  void read(unsigned reader, std::uint64_t offset, std::span<std::byte> bytes) override {
    if (::nbd_pread(handles_[reader].get(), bytes.data(), bytes.size(), offset, 0) < 0) fail("read");
  }

  // Where a file ends too early, QEMU reads zeroes.
  void end() override {
    for (const LocatedFile& file : files_) file.expect_whole();
  }

  void abort() noexcept override {
    aborted_ = true;
    daemon_.signal(SIGKILL);
  }

 private:
  struct Extents {
    std::uint64_t offset;
    std::vector<std::pair<std::uint64_t, bool>> ranges;  // length, reads as zeroes
  };

  static int collect(void* data, const char* context, std::uint64_t, std::uint32_t* entries,
                     std::size_t count, int*) {
    auto* answer = static_cast<Extents*>(data);
    if (std::strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0) return 0;
    for (std::size_t i = 0; i + 1 < count; i += 2)
      answer->ranges.emplace_back(entries[i], (entries[i + 1] & LIBNBD_STATE_ZERO) != 0);
    return 0;
  }

  os::Process start(const SourceImage& source) const {
    os::UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = socket_address(socket_path_);
    if (!listener || ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener.get(), 64) != 0)
      throw os::system_error(errno, "listen at", socket_path_.string());
    os::ProcessOptions options;
    options.arguments = {"qemu-storage-daemon"};
    for (const std::string& node : source.blockdevs) {
      options.arguments.push_back("--blockdev");
      options.arguments.push_back(node);
    }
    options.arguments.push_back("--nbd-server");
    options.arguments.push_back("addr.type=fd,addr.str=" + std::to_string(kListenerInChild));
    options.arguments.push_back("--export");
    options.arguments.push_back("type=nbd,id=source,node-name=" + source.node_name +
                                ",name=" + source.node_name);
    options.descriptors = {{listener.get(), kListenerInChild}};
    return os::Process::start(options);
  }

  Handle connect(const std::string& export_name) {
    Handle handle(::nbd_create());
    if (!handle) fail("prepare to read");
    // The daemon has its own end of the listener only until it ends: a failed start ends this call too.
    if (::nbd_set_export_name(handle.get(), export_name.c_str()) < 0 ||
        ::nbd_add_meta_context(handle.get(), LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        ::nbd_connect_unix(handle.get(), socket_path_.c_str()) < 0)
      fail("open");
    return handle;
  }

  [[noreturn]] void fail(const char* what) {
    if (aborted_) throw os::Error(os::ErrorKind::kCancelled, name_, "reading it was ended");
    std::string why = ::nbd_get_error() != nullptr ? ::nbd_get_error() : "unknown error";
    int error = ::nbd_get_errno();
    // What the daemon said before it ended is the better reason. Only the feeding thread gets here with a
    // daemon that has just failed to start; a reader's error has one of its own.
    if (handles_.empty() && daemon_.wait_for(kTimeToFail)) {
      std::string said = daemon_.stderr_tail();
      while (!said.empty() && said.back() == '\n') said.pop_back();
      if (!said.empty()) why = said.substr(0, 400);
      throw os::Error(os::ErrorKind::kInvalid, name_, std::string("qemu cannot ") + what + " it: " + why,
                      "The image is damaged: export or copy it again.");
    }
    throw os::Error(os::ErrorKind::kSystem, name_, std::string("cannot ") + what + " it: " + why,
                    "The image may be damaged: export or copy it again.", error);
  }

  std::string name_;
  std::uint64_t virtual_size_;
  const std::vector<LocatedFile> files_;
  os::TemporaryDirectory directory_;
  std::filesystem::path socket_path_;
  os::Process daemon_;
  std::vector<Handle> handles_;  // one a reader, and the last for block status
  std::atomic<bool> aborted_{false};
};

}  // namespace

std::unique_ptr<BlockSource> open_nbd_source(const SourceImage& source, unsigned readers,
                                             const std::filesystem::path& scratch) {
  return std::make_unique<NbdSource>(source, readers, scratch);
}

}  // namespace hyper2kvm::image
