#include "tests/integration/guest_disks.h"

#include <sstream>

#include "runner/image/conversion.h"
#include "runner/image/source.h"
#include "runner/os/error.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {

namespace fs = std::filesystem;

namespace {

// The root image with the tests' agent.
appliance::Installation probe() {
  fs::path directory = HYPER2KVM_TEST_PROBE;
  return {.kernel = directory / "linux.uml", .root_image = directory / "appliance-root.img"};
}

}  // namespace

GuestDisk GuestDisks::empty(const std::string& name, unsigned mebibytes) {
  GuestDisk disk{path() / name};
  os::File::open(disk.path, os::File::Mode::kCreate).truncate(std::uint64_t{mebibytes} << 20);
  return disk;
}

GuestDisk GuestDisks::ext4(const std::string& name, const fs::path& tree, unsigned mebibytes,
                           const std::vector<std::string>& options) {
  GuestDisk disk{path() / name};
  std::vector<std::string> command = {"mke2fs", "-q", "-t", "ext4"};
  command.insert(command.end(), options.begin(), options.end());
  command.insert(command.end(), {"-d", tree.string(), disk.path.string(), std::to_string(mebibytes) + "M"});
  must_run(command);
  return disk;
}

fs::path GuestDisks::overlay(std::size_t number) const {
  return path() / ("overlay" + std::to_string(number) + ".qcow2");
}

std::string GuestDisks::console() const { return os::read_text(path() / "console.log", 1 << 20); }

guest::Answer GuestDisks::run(const appliance::Installation& installation, guest::Request request,
                              const std::vector<GuestDisk>& disks, bool writable) {
  appliance::Session session{.installation = installation,
                             .limits = {.memory_bytes = 512ull << 20, .time = std::chrono::seconds(240)},
                             .scratch = path() / "scratch",
                             .console_log = path() / "console.log",
                             .disks = {}};
  os::make_directories(session.scratch);
  for (std::size_t number = 0; number < disks.size(); ++number) {
    const GuestDisk& disk = disks[number];
    image::SourceImage source = image::open_source({disk.path, 0, fs::file_size(disk.path)}, disk.format,
                                                   "disk" + std::to_string(number));
    fs::path over;
    if (writable) {
      over = overlay(number);
      fs::remove(over);
      image::create_overlay(over, source.virtual_size);
    }
    session.disks.push_back({source.node_name, source.blockdevs, over, source.files});
  }
  request.disk_count = disks.size();
  return appliance::run(session, request, {}, {});
}

void GuestDisks::flatten(std::size_t number, const GuestDisk& disk, const fs::path& target) {
  std::string format = disk.format == contract::SourceFormat::kRaw ? "raw" : "vmdk";
  must_run({"qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-F", format, "-b", disk.path.string(),
            overlay(number).string()});
  must_run({"qemu-img", "convert", "-f", "qcow2", "-O", "raw", overlay(number).string(), target.string()});
}

void GuestDisks::lay_out(const std::vector<GuestDisk>& disks, const std::string& commands) {
  guest::Request request;
  request.root = "lay out disks";
  request.configuration.network_files["/commands"] = commands;
  guest::Answer answer = run(probe(), request, disks, /*writable=*/true);
  if (!answer.success) throw std::runtime_error(answer.error);
  for (std::size_t number = 0; number < disks.size(); ++number) {
    fs::path made = path() / "made.raw";
    flatten(number, disks[number], made);
    fs::rename(made, disks[number].path);
  }
}

guest::Answer GuestDisks::serve(const guest::Request& request, const std::vector<GuestDisk>& disks,
                                std::vector<GuestDisk>* disks_after) {
  guest::Answer answer = run(appliance::find_installation(), request, disks, /*writable=*/true);
  for (std::size_t number = 0; disks_after != nullptr && number < disks.size(); ++number) {
    disks_after->push_back({path() / ("after" + std::to_string(number) + ".raw")});
    flatten(number, disks[number], disks_after->back().path);
  }
  return answer;
}

std::map<std::string, FileFacts> GuestDisks::files(const guest::Request& request,
                                                   const std::vector<GuestDisk>& disks) {
  guest::Request list = request;
  list.root = "list files";
  guest::Answer answer = run(probe(), list, disks, /*writable=*/false);
  if (!answer.success) throw std::runtime_error(answer.error);
  std::map<std::string, FileFacts> files;
  for (const auto& [number, piece] : answer.printed) {
    std::istringstream lines(piece);
    std::string name, user, group;
    FileFacts facts;
    while (lines >> name >> facts.kind >> facts.mode >> user >> group >> facts.size >> facts.time >>
           facts.attributes >> facts.content) {
      facts.owner = user + ":" + group;
      files[name] = facts;
    }
  }
  return files;
}

}  // namespace hyper2kvm::integration
