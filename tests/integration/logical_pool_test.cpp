// Storage pools of type logical, whose volumes are LVM's. The machine that runs the tests need not have a
// device mapper: a User-mode Linux is booted over this machine's own files, which it sees read-only, with a
// disk of its own, and logical_pool_inside.cpp runs there.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "runner/appliance/kernel.h"
#include "runner/os/file.h"
#include "runner/os/process.h"
#include "tests/integration/program.h"

namespace hyper2kvm::integration {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMemory = 640u << 20;

// The first program of the machine inside. What is written by anybody is in memory.
constexpr const char* kInit = R"(#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DM_DISABLE_UDEV=1
export HOME=/run/test TMPDIR=/run/test XDG_RUNTIME_DIR=/run/test
end() {
  echo "the tests inside ended with status $?"
  sync
  systemctl poweroff --force --force
}
trap end EXIT
set -e
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts /run/test /run/lock/lvm /run/libvirt
mount -t devpts devpts /dev/pts
for place in /dev/shm /etc/libvirt /etc/lvm /var/lib/libvirt /var/cache/libvirt /var/log; do
  mount -t tmpfs tmpfs "$place"
done
mkdir -p /var/lib/libvirt/qemu /var/log/libvirt
insmod "/usr/lib/uml/modules/$(uname -r)/kernel/drivers/md/dm-mod.ko"
vgcreate -q machines /dev/ubda
printf '%s\n' 'stdio_handler = "file"' 'namespaces = []' 'cgroup_controllers = []' 'security_driver = "none"' \
  'user = "root"' 'group = "root"' >/etc/libvirt/qemu.conf
printf '%s\n' 'auth_unix_rw = "none"' >/etc/libvirt/libvirtd.conf
libvirtd --daemon --pid-file /run/libvirtd.pid
virsh -q pool-define-as lvm logical --source-name machines --target /dev/machines
virsh -q pool-start lvm
"$TESTS" --gtest_color=no
)";

TEST(LogicalPool, TakesRawDisksInALinuxWithADeviceMapper) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, whose files the machine inside sees";
  for (const char* program : {"linux.uml", "libvirtd", "virsh", "vgcreate", "qemu-system-x86_64"})
    if (os::find_program(program).empty()) GTEST_SKIP() << "needs " << program;
  os::TemporaryDirectory directory("logical-pool");
  os::TemporaryDirectory memory("memory", appliance::choose_memory_directory(kMemory));
  fs::path init = directory.path() / "init";
  os::write_text_atomically(init, kInit, 0755);
  // What was on the disk before is seen by whoever does not write all of a volume.
  os::write_text_atomically(directory.path() / "disk", std::string(64u << 20, '\xff'));

  os::ProcessOptions options;
  options.arguments = {"linux.uml", "mem=" + std::to_string(kMemory >> 20) + "M", "rootfstype=hostfs",
                       "rootflags=/", "ro", "ubd0=disk", "init=" + init.string(), "con=null",
                       "con0=null,fd:1", "ssl=null", "uml_dir=.", "umid=machine", "noreboot", "quiet",
                       // What the kernel does not know goes to the first program's environment.
                       "HYPER2KVM=" + fs::canonical(program_path()).string(),
                       "TESTS=" + fs::canonical(LOGICAL_POOL_INSIDE).string()};
  options.working_directory = directory.path();
  options.clear_environment = true;
  options.environment = {
      {"TMPDIR", memory.path().string()}, {"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", "/"}};
  // Its helper processes outlive it.
  options.guard_group = true;
  std::string console = os::run_program(options, {}, std::chrono::minutes(8));
  auto shows = [&](const char* text) { return console.find(text) != std::string::npos; };
  EXPECT_TRUE(shows("the tests inside ended with status 0") && shows("[  PASSED  ]") &&
              !shows("[  PASSED  ] 0 "))
      << console;
}

}  // namespace
}  // namespace hyper2kvm::integration
