// An agent for tests: in place of the real one it looks at the machine it is in, or misbehaves as a
// compromised one would. What to do is the request's `root`; what it saw is the answer's warnings.
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "runner/appliance/agent/greeting.h"
#include "runner/appliance/agent/machine.h"
#include "runner/appliance/agent/modules.h"
#include "runner/appliance/agent/terminal.h"
#include "runner/guest/protocol.h"
#include "runner/os/error.h"
#include "runner/os/process.h"
#include "tests/integration/probe_disks.h"

namespace {

using namespace hyper2kvm;
using namespace hyper2kvm::appliance::agent;

std::vector<std::string> lines_of(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string outcome(int result) { return result == 0 ? "done" : std::strerror(errno); }

std::vector<std::string> look_around() {
  std::vector<std::string> facts;
  for (const std::string& line : lines_of("/proc/net/dev"))
    if (std::size_t colon = line.find(':'); colon != std::string::npos) {
      std::size_t begin = line.find_first_not_of(' ');
      facts.push_back("interface " + line.substr(begin, colon - begin));
    }
  for (const std::string& line : lines_of("/proc/filesystems"))
    if (line.find("hostfs") != std::string::npos) facts.push_back("a file system of the host");
  ::mkdir("/run/host", 0700);
  facts.push_back("mount hostfs: " + outcome(::mount("none", "/run/host", "hostfs", 0, "/")));
  for (const auto& entry : std::filesystem::directory_iterator("/"))
    facts.push_back("root entry " + entry.path().filename().string());
  int connection = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(80);
  address.sin_addr.s_addr = htonl(0x01010101);
  facts.push_back("connect outside: " +
                  outcome(::connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address)));
  for (const std::string& line : lines_of("/proc/meminfo"))
    if (line.starts_with("MemTotal:")) facts.push_back(line);
  return facts;
}

std::string first_bytes(const std::string& device) {
  std::ifstream file(device, std::ios::binary);
  char bytes[4] = {};
  file.read(bytes, sizeof bytes);
  return std::string(bytes, sizeof bytes);
}

// What a program of the image printed last, after its exit status.
std::string run_program_of_the_image(const std::vector<std::string>& arguments) {
  try {
    os::run_program({.arguments = arguments});
    return arguments[0] + ": works";
  } catch (const os::Error& error) {
    return error.sentence();
  }
}

std::vector<std::string> try_the_programs() {
  std::vector<std::string> results;
  for (const char* module : {"dm-mod", "dm-crypt", "dm-thin-pool", "raid1", "fuse"}) {
    try {
      load_module(module);
    } catch (const os::Error& error) {
      results.push_back(error.sentence());
    }
  }
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"e2fsck", "-V"},
           {"xfs_repair", "-V"},
           {"btrfs", "--version"},
           {"lvm", "version"},
           {"dmsetup", "version"},
           {"mdadm", "--detail", "--scan"},
           {"depmod", "--version"},
           {"ntfs-3g", "--version"},
           // The kernel asks for what xts needs by itself.
           {"cryptsetup", "benchmark", "--cipher", "aes-xts", "--key-size", "256"},
       })
    results.push_back(run_program_of_the_image(arguments));
  std::string disk = find_disks().at(0);
  results.push_back(run_program_of_the_image({"fsck.vfat", "-n", disk}));
  // Nobody loads vfat or its tables of characters here but the kernel.
  results.push_back("mount vfat: " +
                    outcome(::mount(disk.c_str(), "/mnt", "vfat", MS_RDONLY, "iocharset=utf8")));
  return results;
}

// "w" in the second MiB, and the third discarded.
void write_and_discard(const std::string& device) {
  int disk = ::open(device.c_str(), O_WRONLY | O_CLOEXEC);
  std::vector<char> bytes(1 << 20, 'w');
  if (::pwrite(disk, bytes.data(), bytes.size(), 1 << 20) != 1 << 20 || ::fsync(disk) != 0)
    throw os::system_error(errno, "write", device);
  std::uint64_t range[2] = {2 << 20, 1 << 20};
  if (::ioctl(disk, BLKDISCARD, range) != 0) throw os::system_error(errno, "discard", device);
}

void serve(Terminal& terminal, const guest::Request& request, guest::Answer& answer) {
  const std::string& what = request.root;
  if (what == "look around") {
    answer.warnings = look_around();
  } else if (what == "name the disks") {
    for (const std::string& device : find_disks()) answer.warnings.push_back(first_bytes(device));
  } else if (what == "write") {
    write_and_discard(find_disks().at(0));
  } else if (what == "write to a read-only disk") {
    int disk = ::open(find_disks().at(0).c_str(), O_RDWR | O_CLOEXEC);
    bool written = disk >= 0 && ::pwrite(disk, "x", 1, 0) == 1 && ::fsync(disk) == 0;
    answer.warnings.push_back(written ? "it was written" : std::strerror(errno));
  } else if (what == "repeat") {
    const std::string& text = request.configuration.network_files.at("/etc/large");
    for (std::size_t at = 0; at < text.size(); at += 4000) answer.warnings.push_back(text.substr(at, 4000));
  } else if (what == "lay out disks") {
    integration::lay_out(request.configuration.network_files.at("/commands"));
  } else if (what == "list files") {
    answer.printed = integration::list_files(request);
  } else if (what == "try the programs") {
    answer.warnings = try_the_programs();
  } else if (what == "raid6") {
    if (without_raid6()) {
      terminal.write_line(kNeedsRaid6Line);
      terminal.drain();
      power_off();
    }
    answer.warnings = {"started again"};
  } else if (what == "hang") {
    terminal.write_line(guest::serialize_progress("hanging"));
    while (true) ::pause();
  } else if (what == "answer and hang") {
    answer.success = true;
    terminal.write_line(guest::serialize(answer));
    while (true) ::pause();
  } else if (what == "answer and crash") {
    answer.success = true;
    terminal.write_line(guest::serialize(answer));
    terminal.drain();
    std::ofstream("/proc/sysrq-trigger") << "c" << std::flush;
    while (true) ::pause();
  } else if (what == "endless line") {
    int line = ::open("/dev/ttyS0", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    std::string piece(1 << 20, 'x');
    while (::write(line, piece.data(), piece.size()) > 0) {
    }
  } else if (what == "endless progress") {
    while (true) terminal.write_line(guest::serialize_progress("more"));
  } else if (what == "not an answer") {
    terminal.write_line("{\"success\":true,\"inspection\":{\"partitions\":7}}");
    power_off();
  } else if (what == "endless console") {
    int console = ::open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    std::string line = "<1>" + std::string(900, 'c') + "\n";
    for (int count = 0; count < 20'000; ++count)
      if (::write(console, line.data(), line.size()) < 0) break;
  } else if (what == "fork bomb") {
    while (true)
      if (::fork() < 0) ::usleep(1000);
  } else if (what == "take all memory") {
    std::vector<char*> pieces;
    while (true) {
      pieces.push_back(new char[1 << 20]);
      std::memset(pieces.back(), 1, 1 << 20);
    }
  } else if (what == "crash the kernel") {
    std::ofstream("/proc/sysrq-trigger") << "c" << std::flush;
    while (true) ::pause();
  } else if (what == "leave") {
    ::_exit(3);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (std::string_view(arguments[0]).ends_with("modprobe")) return modprobe(count, arguments);
  set_up_machine();
  Terminal terminal = Terminal::open();
  terminal.write_line(kReadyLine);
  guest::Answer answer;
  try {
    guest::Request request = guest::parse_request(terminal.read_line(64u << 20));
    answer.success = true;
    serve(terminal, request, answer);
  } catch (const std::exception& error) {
    answer.success = false;
    answer.error = error.what();
  }
  terminal.write_line(guest::serialize(answer));
  terminal.drain();
  integration::cut_power_if_told();
  power_off();
}
