// btrfs with the subvolumes that distributions make.
#include "tests/integration/real_disks.h"

namespace hyper2kvm::integration {
namespace {

using guest::Answer;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

struct Distribution {
  const char* name;
  std::vector<std::string> subvolumes;                      // in the order in which they are made
  std::string root;                                         // the subvolume that holds the root
  bool is_default = false;                                  // the file system itself says which that is
  std::string options;                                      // of the root in fstab
  std::vector<std::pair<std::string, std::string>> others;  // mount points and their options
  std::string root_device;                                  // as the inspection names it
};
void PrintTo(const Distribution& distribution, std::ostream* out) { *out << distribution.name; }

class Subvolumes : public RealDisks, public testing::WithParamInterface<Distribution> {};

TEST_P(Subvolumes, HoldTheGuest) {
  const Distribution& layout = GetParam();
  put_root_on("/dev/sda", "btrfs");
  std::string fstab = "/dev/sda / btrfs " + layout.options + " 0 0\n";
  for (const auto& [place, options] : layout.others) {
    fstab += "/dev/sda " + place + " btrfs " + options + " 0 0\n";
    guest_.tree.directory(place);
  }
  guest_.tree.file("/etc/fstab", fstab);
  GuestDisk plain = ext4_of_the_guest("plain.raw"), disk = disks_.empty("disk.raw", 160);
  must_run({"mkfs.btrfs", "-q", disk.path.string()});
  std::string commands = "mount @0 btrfs /run/new\nmount @1 ext4 /run/old\n";
  for (const std::string& subvolume : layout.subvolumes) {
    std::string path = "/run/new/" + subvolume;
    commands += "directory " + path.substr(0, path.rfind('/')) + "\nbtrfs subvolume create " + path + "\n";
  }
  commands += "copy-tree /run/old /run/new/" + layout.root + "\n";
  if (layout.is_default) commands += "btrfs subvolume set-default /run/new/" + layout.root + "\n";
  for (const auto& [place, options] : layout.others) {
    // "subvol=/@/var,compress=zstd:1"
    std::string subvolume = options.substr(7, options.find(',') - 7);
    commands += "write /run/new/" + subvolume + "/marker of " + place + "\n";
  }
  disks_.lay_out({disk, plain}, commands + "unmount /run/new\nunmount /run/old\n");

  Answer answer = expect_repaired({disk}, layout.root_device);
  EXPECT_EQ(answer.inspection.distribution, "debian");
  const guest::Edit* edit = guest::edit_of(answer.edits, "/etc/fstab");
  ASSERT_NE(edit, nullptr);
  EXPECT_THAT(edit->diff, AllOf(HasSubstr("-/dev/sda / "), HasSubstr(" / btrfs " + layout.options)));
  EXPECT_THAT(edit->diff, Not(HasSubstr("+/dev/sda")));
  // What the system itself lives in is looked at where its subvolume is.
  EXPECT_TRUE(disks_.files(guest_.request, {disk}).contains("/var/marker"));
}

INSTANTIATE_TEST_SUITE_P(
    As, Subvolumes,
    testing::Values(Distribution{"Suse",
                                 {"@", "@/.snapshots", "@/.snapshots/1/snapshot", "@/home", "@/var"},
                                 "@/.snapshots/1/snapshot",
                                 true,
                                 "defaults",
                                 {{"/.snapshots", "subvol=/@/.snapshots"},
                                  {"/home", "subvol=/@/home"},
                                  {"/var", "subvol=/@/var"}},
                                 "disk0"},
                    Distribution{"Fedora",
                                 {"root", "home", "var"},
                                 "root",
                                 false,
                                 "subvol=root,compress=zstd:1",
                                 {{"/home", "subvol=home,compress=zstd:1"}, {"/var", "subvol=var"}},
                                 "disk0:root"},
                    Distribution{"Ubuntu",
                                 {"@", "@home", "@var"},
                                 "@",
                                 false,
                                 "defaults,subvol=@",
                                 {{"/home", "subvol=@home"}, {"/var", "subvol=@var"}},
                                 "disk0:@"}),
    [](const auto& distribution) { return std::string(distribution.param.name); });

}  // namespace
}  // namespace hyper2kvm::integration
