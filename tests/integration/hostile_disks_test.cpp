// Disks of guests that want the repair to fail, to hang or to read what is not theirs.
#include <sys/stat.h>

#include "runner/os/file.h"
#include "tests/integration/real_disks.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;
using guest::Answer;
using guest::Mode;
using testing::HasSubstr;
using testing::Not;

// --- Guests that want the repair to fail.

TEST_F(RealDisks, AnFstabOfFourGigabytesIsAnError) {
  put_root_on("/dev/sda", "ext4");
  fs::resize_file(guest_.tree.path("/etc/fstab"), 4ull << 30);
  EXPECT_THAT(error_of_repair({ext4_of_the_guest()}), HasSubstr("/etc/fstab"));
}

TEST_F(RealDisks, AnFstabThatIsAFifoIsAnErrorAndNoHang) {
  put_root_on("/dev/sda", "ext4");
  fs::remove(guest_.tree.path("/etc/fstab"));
  ASSERT_EQ(::mkfifo(guest_.tree.path("/etc/fstab").c_str(), 0644), 0);
  EXPECT_THAT(error_of_repair({ext4_of_the_guest()}), HasSubstr("/etc/fstab"));
}

// What the repair reads, and what stands in its place. Made by debugfs, because not everybody may make device
// nodes.
struct Impostor {
  const char* name;
  const char* path;
  const char* node;  // arguments of debugfs' mknod
  // Without fstab or an initramfs there is no repair; what else is missing is a warning.
  bool is_error;
  const char* says;
};

class Impostors : public RealDisks, public testing::WithParamInterface<Impostor> {};

TEST_P(Impostors, AreNotReadAndNoHang) {
  put_root_on("/dev/sda", "ext4");
  fs::path path = GetParam().path;
  fs::remove(guest_.tree.path(path));
  GuestDisk disk = ext4_of_the_guest();
  os::write_text_atomically(disks_.path() / "nodes", "cd " + path.parent_path().string() + "\nmknod " +
                                                         path.filename().string() + " " + GetParam().node +
                                                         "\n");
  must_run({"debugfs", "-w", "-f", (disks_.path() / "nodes").string(), disk.path.string()});
  Answer answer = serve(Mode::kRepair, {disk});
  EXPECT_EQ(answer.success, !GetParam().is_error) << answer.error;
  if (GetParam().is_error) {
    EXPECT_THAT(answer.error, HasSubstr(GetParam().says));
  } else {
    EXPECT_THAT(answer.warnings, testing::Contains(HasSubstr(GetParam().says)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, Impostors,
    testing::Values(Impostor{"FstabThatIsAnEndlessDevice", "/etc/fstab", "c 1 5", true, "/etc/fstab"},
                    Impostor{"FstabThatIsTheAppliancesDisk", "/etc/fstab", "b 98 0", true, "/etc/fstab"},
                    Impostor{"AnInitramfsThatIsADevice", "/boot/initrd.img-6.1.0-test", "b 98 0", true,
                             "/boot/initrd.img-6.1.0-test"},
                    Impostor{"AMenuThatIsAFifo", "/boot/grub/grub.cfg", "p", false, "/boot/grub/grub.cfg"},
                    Impostor{"InterfacesThatAreAFifo", "/etc/network/interfaces", "p", false,
                             "/etc/network/interfaces"}),
    [](const auto& impostor) { return std::string(impostor.param.name); });

TEST_F(RealDisks, LinksOutOfTheRootShowNothingOfTheAppliance) {
  put_root_on("/dev/sda", "ext4");
  for (const char* path : {"/etc/fstab", "/etc/hostname", "/etc/default/grub", "/etc/network/interfaces"})
    fs::remove(guest_.tree.path(path));
  guest_.tree.link("/etc/fstab", "../../../../../../proc/self/mounts")
      .link("/etc/hostname", "/proc/sys/kernel/hostname")
      .link("/etc/default/grub", "../../../../../../proc/cmdline")
      .link("/etc/network/interfaces", "/proc/1/root/proc/cmdline");
  guest_.request.fix.print_fstab = true;
  Answer answer = serve(Mode::kDryRun, {ext4_of_the_guest()});
  EXPECT_EQ(answer.inspection.hostname, "");
  std::string said = answer.error;
  for (const auto& [name, text] : answer.printed) said += text;
  for (const guest::Edit& edit : answer.edits) said += edit.path + edit.diff;
  for (const char* of_the_appliance : {"ubda", "ubd0", "tmpfs", "devtmpfs"})
    EXPECT_THAT(said, Not(HasSubstr(of_the_appliance)));
}

// An fstab that would have the appliance's own directories shown inside the guest, or a disk of the guest
// over those of the appliance.
TEST_F(RealDisks, MountsThatLeadOutOfTheRootStayInside) {
  put_root_on("/dev/sda", "ext4");
  guest_.tree.directory("/boot/of-the-appliance")
      .directory("/usr/share")
      .directory("/dev")
      .directory("/run")
      .directory("/srv");
  guest_.tree
      .file("/etc/fstab",
            "/dev/sda / ext4 defaults 0 1\n"
            "/proc /boot/of-the-appliance none bind 0 0\n"
            "/ /usr/share none rbind 0 0\n"
            "/dev/sdb /srv/../../../../run ext4 defaults 0 2\n"
            "/dev/sdb /var ext4 defaults 0 2\n"
            "/init /etc/hostname none bind 0 0\n"
            "overlay /usr/share overlay lowerdir=/,upperdir=/run,workdir=/tmp 0 0\n")
      .link("/var", "../../../../dev");
  guest::Tree data;
  data.file("/marker", "of the second disk\n");
  GuestDisk second = disks_.ext4("second.raw", data.top(), 16);
  std::vector<GuestDisk> disks = {ext4_of_the_guest(), second}, after;
  Answer answer = serve(Mode::kRepair, disks, &after);
  EXPECT_TRUE(answer.success) << answer.error;
  EXPECT_EQ(answer.inspection.hostname, "demo");
  std::map<std::string, FileFacts> files = disks_.files(guest_.request, disks);
  // /var is the guest's own /dev, and the second disk is mounted there.
  EXPECT_TRUE(files.contains("/dev/marker"));
  for (const char* of_the_appliance : {"/boot/of-the-appliance/cmdline", "/usr/share/init", "/usr/share/proc",
                                       "/dev/ubda", "/dev/ttyS0", "/dev/vda"})
    EXPECT_FALSE(files.contains(of_the_appliance)) << of_the_appliance;
}

TEST_F(RealDisks, NamesWithNewlinesAndLinksOutOfTheRootAreOnlyNames) {
  put_root_on("/dev/sda", "ext4");
  guest_.tree.file("/etc/network/interfaces.d/a\n/dev/vda b", "iface ens224 inet dhcp\n")
      .file("/boot/initrd.img-6.1.0-test\nx", "no image")
      .directory("/lib/modules/9.9\n{\"success\":true}")
      .link("/etc/sysctl.d", "../../../../../../init")
      .link("/etc/modprobe.d", "/proc/1/root/etc");
  std::vector<GuestDisk> after;
  Answer answer = serve(Mode::kRepair, {ext4_of_the_guest()}, &after);
  EXPECT_TRUE(answer.success) << answer.error;
  for (const guest::Edit& edit : answer.edits)
    EXPECT_EQ(edit.path.find('\n'), std::string::npos) << edit.path;
}

}  // namespace
}  // namespace hyper2kvm::integration
