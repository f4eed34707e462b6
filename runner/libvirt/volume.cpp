#include "runner/libvirt/volume.h"

#include <libvirt/virterror.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <pugixml.hpp>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "runner/libvirt/failure.h"
#include "runner/libvirt/text.h"
#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::libvirt {
namespace {

// The largest message that every libvirt since 2013 takes is 256 KiB with its header.
constexpr std::size_t kChunk = 256 * 1024 - 64;
constexpr unsigned kMostNames = 1000;
constexpr auto kProgressInterval = std::chrono::milliseconds(50);
// How long libvirt goes on using a volume after an upload into it was aborted.
constexpr auto kLongestUse = std::chrono::seconds(10);

std::string subject_of(const std::string& pool) { return "storage pool " + one_line(pool, 200); }

const char* ending(contract::OutputFormat format) {
  switch (format) {
    case contract::OutputFormat::kQcow2:
      return ".qcow2";
    case contract::OutputFormat::kVdi:
      return ".vdi";
    case contract::OutputFormat::kRaw:
      break;
  }
  return ".raw";
}

std::string safe_name(const std::string& text) {
  std::string name;
  for (char c : text) {
    bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                c == '.' || c == '+' || c == '-';
    name += kept ? c : '-';
  }
  // LVM takes no leading dash, and a leading dot would hide a file.
  name.erase(0, std::min(name.find_first_not_of("-."), name.size()));
  name.resize(std::min<std::size_t>(name.size(), 100));
  return name;
}

// Part of a name that LVM takes. It marks its own volumes by what follows an underscore. Of the 127 bytes
// that the device mapper has for the group's name and ours, in which it doubles dashes, room is this part's
// share.
std::string device_name(const std::string& text, std::size_t room) {
  std::string name;
  for (char c : text) {
    if (c == '_') c = '-';
    std::size_t taken = c == '-' ? 2 : 1;
    if (taken > room) break;
    room -= taken;
    name += c;
  }
  return name;
}

// libvirt calls it raw whatever it is: the bytes of an image arrive as they are, and the domain names the
// format.
std::string volume_xml(const std::string& name, std::uint64_t bytes, bool block_device) {
  pugi::xml_document document;
  pugi::xml_node volume = document.append_child("volume");
  auto add = [](pugi::xml_node parent, const char* key, const std::string& text) {
    pugi::xml_node node = parent.append_child(key);
    node.text() = text.c_str();
    return node;
  };
  add(volume, "name", name);
  add(volume, "capacity", std::to_string(bytes)).append_attribute("unit") = "bytes";
  // A device is taken whole; a file grows as it is written.
  add(volume, "allocation", std::to_string(block_device ? bytes : 0)).append_attribute("unit") = "bytes";
  if (!block_device) volume.append_child("target").append_child("format").append_attribute("type") = "raw";
  std::ostringstream text;
  document.save(text, "  ", pugi::format_indent | pugi::format_no_declaration, pugi::encoding_utf8);
  return text.str();
}

// What is sent for a file of this size. A device consists of whole extents, and behind the disk's end it
// still holds what was there before, which is not for the guest to read.
std::uint64_t bytes_to_write(const StoragePool& pool, virStorageVolPtr volume, std::uint64_t size) {
  if (!pool.holds_block_devices()) return size;
  virStorageVolInfo info{};
  if (virStorageVolGetInfo(volume, &info) != 0) throw libvirt_error("be looked at", subject_of(pool.name));
  return std::max<std::uint64_t>(size, info.capacity);
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

// An upload in progress; aborted unless finished.
class Upload {
 public:
  Upload(virConnectPtr connection, virStorageVolPtr volume, std::uint64_t bytes, bool sparse,
         std::string subject)
      : subject_(std::move(subject)), stream_(virStreamNew(connection, 0)) {
    unsigned flags = sparse ? VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM : 0;
    if (!stream_ || virStorageVolUpload(volume, stream_.get(), 0, bytes, flags) != 0)
      throw libvirt_error("upload into the pool", subject_);
  }
  ~Upload() {
    if (!finished_) virStreamAbort(stream_.get());
  }
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;

  void send(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      int sent = virStreamSend(stream_.get(), reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (sent <= 0) throw libvirt_error("upload into the pool", subject_, kAdvice);
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
  }
  void send_hole(std::uint64_t length) {
    if (virStreamSendHole(stream_.get(), static_cast<long long>(length), 0) != 0)
      throw libvirt_error("upload into the pool", subject_, kAdvice);
  }
  void finish() {
    finished_ = true;  // libvirt has then freed its side either way
    if (virStreamFinish(stream_.get()) != 0) throw libvirt_error("upload into the pool", subject_, kAdvice);
  }

 private:
  static constexpr const char* kAdvice =
      "Look at the pool's free space (virsh pool-info) and at libvirt's log, then register again.";
  std::string subject_;
  StreamHandle stream_;
  bool finished_ = false;
};

// "SECONDS.NANOSECONDS", as libvirt writes a volume's timestamps
std::string modification_time(const struct stat& status) {
  std::string nanoseconds = std::to_string(status.st_mtim.tv_nsec);
  nanoseconds.insert(0, 9 - nanoseconds.size(), '0');
  return std::to_string(status.st_mtim.tv_sec) + "." + nanoseconds;
}

std::string subject_of(const OwnedVolume& volume) {
  return "volume " + one_line(volume.name, 200) + " of " + subject_of(volume.pool);
}

// nullptr where there is none.
VolumeHandle find_volume(const Connection& connection, const OwnedVolume& identity) {
  PoolHandle pool(virStoragePoolLookupByName(connection.get(), identity.pool.c_str()));
  if (!pool && last_error_code() == VIR_ERR_NO_STORAGE_POOL) return nullptr;
  if (!pool) throw libvirt_error("be looked for", subject_of(identity));
  VolumeHandle volume(virStorageVolLookupByName(pool.get(), identity.name.c_str()));
  if (!volume && last_error_code() != VIR_ERR_NO_STORAGE_VOL)
    throw libvirt_error("be looked for", subject_of(identity));
  return volume;
}

bool is_taken(const StoragePool& pool, const std::string& name) {
  VolumeHandle volume(virStorageVolLookupByName(pool.handle.get(), name.c_str()));
  if (!volume && last_error_code() != VIR_ERR_NO_STORAGE_VOL)
    throw libvirt_error("be looked at", subject_of(pool.name));
  return volume != nullptr;
}

void remove(virStorageVolPtr volume, const OwnedVolume& identity) {
  auto deadline = std::chrono::steady_clock::now() + kLongestUse;
  while (virStorageVolDelete(volume, 0) != 0) {
    int code = last_error_code();
    if (code == VIR_ERR_NO_STORAGE_VOL) return;
    if (code != VIR_ERR_OPERATION_INVALID || std::chrono::steady_clock::now() > deadline)
      throw libvirt_error("be removed", subject_of(identity));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

StoragePool find_pool(const Connection& connection, const std::string& name) {
  StoragePool pool;
  pool.name = name;
  if (connection.uri().is_embedded())
    throw os::Error(os::ErrorKind::kInvalid, subject_of(name),
                    "cannot be used with qemu:///embed, which has no storage pools",
                    "Leave libvirt.pool out, or use qemu:///system.");
  pool.handle.reset(virStoragePoolLookupByName(connection.get(), name.c_str()));
  if (!pool.handle)
    throw libvirt_error(
        "be found", subject_of(name),
        "Name one that `virsh pool-list --all` shows in libvirt.pool, or leave it out to keep the "
        "disks where they are.");
  if (virStoragePoolIsActive(pool.handle.get()) == 0)
    throw os::Error(os::ErrorKind::kInvalid, subject_of(name), "is not active",
                    "Start it with `virsh pool-start`.");
  pugi::xml_document document;
  std::string xml = taken(virStoragePoolGetXMLDesc(pool.handle.get(), 0));
  virStoragePoolInfo info{};
  if (xml.empty() || virStoragePoolGetInfo(pool.handle.get(), &info) != 0)
    throw libvirt_error("be looked at", subject_of(name));
  document.load_string(xml.c_str());
  pool.type = document.child("pool").attribute("type").value();
  pool.target = document.child("pool").child("target").child("path").text().get();
  pool.available = info.available;
  constexpr std::array<std::string_view, 4> kUsable = {"dir", "fs", "netfs", "logical"};
  if (std::ranges::find(kUsable, pool.type) == kUsable.end())
    throw os::Error(os::ErrorKind::kInvalid, subject_of(name),
                    "is of type " + one_line(pool.type, 50) + ", into which disks are not uploaded",
                    "Use a pool of type dir, fs, netfs or logical.");
  return pool;
}

void check_pool_format(const StoragePool& pool, contract::OutputFormat format) {
  if (pool.holds_block_devices() && format != contract::OutputFormat::kRaw)
    throw os::Error(os::ErrorKind::kInvalid, subject_of(pool.name),
                    "holds block devices, which can take raw disks only",
                    "Set output.format to raw, or use a pool of type dir.");
}

std::optional<DomainDisk> disk_in_pool(const Connection& connection, const StoragePool& pool,
                                       const DomainDisk& disk) {
  if (!connection.uri().is_local() || pool.target.empty() || pool.holds_block_devices()) return std::nullopt;
  std::error_code ignored;
  std::filesystem::path directory = std::filesystem::canonical(disk.path.parent_path(), ignored);
  if (directory.empty() || directory != std::filesystem::weakly_canonical(pool.target, ignored))
    return std::nullopt;
  struct stat status {};
  if (::stat(disk.path.c_str(), &status) != 0) return std::nullopt;
  // A refresh fails while something else is going on in the pool; the volume is then not found, or found
  // already.
  virStoragePoolRefresh(pool.handle.get(), 0);
  VolumeHandle volume(virStorageVolLookupByName(pool.handle.get(), disk.path.filename().c_str()));
  if (!volume) return std::nullopt;
  pugi::xml_document document;
  document.load_string(taken(virStorageVolGetXMLDesc(volume.get(), 0)).c_str());
  std::string changed =
      document.child("volume").child("target").child("timestamps").child("mtime").text().get();
  if (changed != modification_time(status)) return std::nullopt;
  return disk_of_volume(volume.get(), disk.format);
}

std::string volume_name(const std::string& domain, const DomainDisk& disk, bool block_device,
                        unsigned number) {
  std::string machine = safe_name(domain);
  std::string file = safe_name(disk.path.stem().string());
  if (block_device) {
    machine = device_name(machine, 48);
    file = device_name(file, 24);
  }
  std::string name = machine.empty() || file.starts_with(machine) ? file : machine + "-" + file;
  if (name.empty()) name = "disk";
  // LVM's own snapshots and moves begin so.
  if (block_device && (name.starts_with("snapshot") || name.starts_with("pvmove"))) name.insert(0, "disk-");
  if (number > 1) name += "-" + std::to_string(number);
  return block_device ? name : name + ending(disk.format);
}

VolumeHandle create_volume(const StoragePool& pool, const std::string& domain, const DomainDisk& disk,
                           std::uint64_t bytes, VolumeClaim& claim) {
  bool block_device = pool.holds_block_devices();
  for (unsigned number = 1; number <= kMostNames; ++number) {
    claim.volume = {pool.name, volume_name(domain, disk, block_device, number)};
    const std::string& name = claim.volume.name;
    if (is_taken(pool, name)) continue;
    claim.state = VolumeClaim::State::kUnknown;
    std::string xml = volume_xml(name, bytes, block_device);
    VolumeHandle volume(virStorageVolCreateXML(pool.handle.get(), xml.c_str(), 0));
    if (volume) {
      claim.state = VolumeClaim::State::kOurs;
      return volume;
    }
    int code = last_error_code();
    os::Error error = libvirt_error("make the volume " + name, subject_of(pool.name));
    // Somebody was faster, or put a file there without telling libvirt.
    bool refused = code == VIR_ERR_STORAGE_VOL_EXIST || code == VIR_ERR_OPERATION_INVALID;
    if (refused) claim.state = VolumeClaim::State::kNone;
    if (refused && virStoragePoolRefresh(pool.handle.get(), 0) == 0 && is_taken(pool, name)) continue;
    throw error;
  }
  throw os::Error(os::ErrorKind::kInvalid, subject_of(pool.name),
                  "has a thousand volumes of that name already",
                  "Remove those that are no longer needed with `virsh vol-delete`.");
}

void upload(const Connection& connection, const StoragePool& pool, virStorageVolPtr volume,
            const std::filesystem::path& path, const std::function<void(std::uint64_t)>& progress,
            const std::function<void(std::uint64_t)>& before_transfer, const os::StopToken& stop) {
  os::File file = os::File::open(path, os::File::Mode::kRead);
  std::uint64_t size = file.size();
  bool sparse = !pool.holds_block_devices();
  std::uint64_t all = bytes_to_write(pool, volume, size);
  Upload target(connection.get(), volume, all, sparse, path.string() + ": " + subject_of(pool.name));
  std::vector<std::byte> buffer(kChunk);
  auto last_told = std::chrono::steady_clock::now();
  std::uint64_t offset = 0;
  std::uint64_t hole = 0;  // seen and not yet sent
  while (offset < size) {
    os::File::Range data = sparse ? file.next_data(offset) : os::File::Range{offset, size - offset};
    if (data.length == 0) data.offset = size;
    hole += data.offset - offset;
    offset = data.offset;
    std::uint64_t end = std::min(data.offset + data.length, size);
    while (offset < end) {
      stop.throw_if_stopped();
      std::span<std::byte> chunk(buffer.data(), std::min<std::uint64_t>(kChunk, end - offset));
      if (before_transfer) before_transfer(chunk.size());
      file.read_exactly_at(offset, chunk);
      offset += chunk.size();
      if (sparse && is_zero(chunk)) {
        hole += chunk.size();
      } else {
        if (hole > 0) target.send_hole(std::exchange(hole, 0));
        if (before_transfer) before_transfer(chunk.size());
        target.send(chunk);
      }
      auto now = std::chrono::steady_clock::now();
      if (progress && now - last_told > kProgressInterval) {
        progress(offset);
        last_told = now;
      }
    }
  }
  if (hole > 0) target.send_hole(hole);
  std::ranges::fill(buffer, std::byte{0});
  while (offset < all) {
    stop.throw_if_stopped();
    std::uint64_t length = std::min<std::uint64_t>(kChunk, all - offset);
    if (before_transfer) before_transfer(length);
    target.send(std::span(buffer).first(length));
    offset += length;
  }
  target.finish();
  if (progress) progress(size);
}

DomainDisk disk_of_volume(virStorageVolPtr volume, contract::OutputFormat format) {
  std::string name = one_line(virStorageVolGetName(volume), 200);
  std::string path = taken(virStorageVolGetPath(volume));
  virStorageVolInfo info{};
  if (path.empty() || virStorageVolGetInfo(volume, &info) != 0)
    throw libvirt_error("be looked at", "volume " + name);
  return DomainDisk{path, format, info.type == VIR_STORAGE_VOL_BLOCK};
}

void delete_volume(const Connection& connection, const OwnedVolume& identity) {
  if (VolumeHandle volume = find_volume(connection, identity)) remove(volume.get(), identity);
}

void delete_claimed(const Connection& connection, const VolumeClaim& claim) {
  if (claim.state == VolumeClaim::State::kNone) return;
  VolumeHandle volume = find_volume(connection, claim.volume);
  if (!volume) return;
  virStorageVolInfo info{};
  bool unwritten = virStorageVolGetInfo(volume.get(), &info) == 0 && info.allocation == 0;
  if (claim.state == VolumeClaim::State::kOurs || unwritten) remove(volume.get(), claim.volume);
}

}  // namespace hyper2kvm::libvirt
