#include "runner/guest/storage/device_mapper.h"

#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "runner/os/error.h"
#include "runner/os/file.h"

namespace hyper2kvm::guest {
namespace {

constexpr char kControl[] = "/dev/mapper/control";

struct Line {
  std::uint64_t start = 0, length = 0;
  std::string target, parameters;
};

Line parse_line(const std::string& text) {
  Line line;
  const char* end = text.data() + text.size();
  auto first = std::from_chars(text.data(), end, line.start);
  auto second = std::from_chars(first.ptr + 1, end, line.length);
  std::string rest(second.ptr + 1, end);
  std::size_t blank = rest.find(' ');
  line.target = rest.substr(0, blank);
  line.parameters = blank == std::string::npos ? "" : rest.substr(blank + 1);
  return line;
}

// A request with room for a payload behind the fixed part.
std::vector<char> make_request(const std::string& name, std::size_t payload) {
  std::vector<char> buffer(sizeof(dm_ioctl) + payload);
  dm_ioctl head{};
  head.version[0] = 4;
  head.data_size = static_cast<std::uint32_t>(buffer.size());
  head.data_start = sizeof(dm_ioctl);
  if (name.size() >= DM_NAME_LEN) throw os::Error(os::ErrorKind::kInvalid, name, "is too long a volume name");
  std::memcpy(head.name, name.data(), name.size());
  std::memcpy(buffer.data(), &head, sizeof head);
  return buffer;
}

dm_ioctl& head_of(std::vector<char>& buffer) { return *reinterpret_cast<dm_ioctl*>(buffer.data()); }

os::UniqueFd open_control() {
  os::UniqueFd control(::open(kControl, O_RDWR | O_CLOEXEC));
  if (!control) throw os::system_error(errno, "open", kControl);
  return control;
}

}  // namespace

std::filesystem::path create_mapped_device(const std::string& name, const std::vector<std::string>& table,
                                           bool read_only) {
  os::UniqueFd control = open_control();
  std::vector<char> request = make_request(name, 0);
  if (::ioctl(control.get(), DM_DEV_CREATE, request.data()) != 0)
    throw os::system_error(errno, "make the device of", name);
  std::uint64_t device = head_of(request).dev;

  std::string payload;
  for (const std::string& text : table) {
    Line line = parse_line(text);
    dm_target_spec spec{};
    spec.sector_start = line.start;
    spec.length = line.length;
    std::size_t size = (sizeof spec + line.parameters.size() + 1 + 7) & ~std::size_t{7};
    spec.next = static_cast<std::uint32_t>(size);
    std::strncpy(spec.target_type, line.target.c_str(), sizeof spec.target_type - 1);
    std::string entry(reinterpret_cast<const char*>(&spec), sizeof spec);
    entry += line.parameters;
    entry.resize(size);
    payload += entry;
  }
  request = make_request(name, payload.size());
  head_of(request).target_count = static_cast<std::uint32_t>(table.size());
  if (read_only) head_of(request).flags |= DM_READONLY_FLAG;
  std::memcpy(request.data() + sizeof(dm_ioctl), payload.data(), payload.size());
  int failure = 0;
  if (::ioctl(control.get(), DM_TABLE_LOAD, request.data()) != 0) failure = errno;
  if (failure == 0) {
    // Suspend with the flag cleared is resume.
    request = make_request(name, 0);
    if (::ioctl(control.get(), DM_DEV_SUSPEND, request.data()) != 0) failure = errno;
  }
  if (failure != 0) {
    remove_mapped_device(name);
    throw os::system_error(failure, "put together the volume", name);
  }
  return "/dev/dm-" + std::to_string(minor(device));
}

void remove_mapped_device(const std::string& name) {
  os::UniqueFd control(::open(kControl, O_RDWR | O_CLOEXEC));
  if (!control) return;
  std::vector<char> request = make_request(name, 0);
  ::ioctl(control.get(), DM_DEV_REMOVE, request.data());
}

std::string device_number(const std::filesystem::path& node) {
  struct stat status;
  if (::stat(node.c_str(), &status) != 0) throw os::system_error(errno, "look at", node.string());
  return std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev));
}

}  // namespace hyper2kvm::guest
