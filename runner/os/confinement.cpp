#include "runner/os/confinement.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "runner/os/error.h"

namespace hyper2kvm::os {
namespace {

// Rights by the version of the interface that brought them; the numbers are the kernel's, its headers here
// may be older than it is.
constexpr std::uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDirectory = 1 << 3;
constexpr std::uint64_t kTruncate = 1 << 14;
constexpr std::uint64_t kVersion1 = (1 << 13) - 1, kVersion2 = 1 << 13, kVersion3 = kTruncate;
constexpr std::uint64_t kOfAFile = kExecute | kWriteFile | kReadFile | kTruncate;
constexpr std::uint64_t kScopeAbstractSockets = 1 << 0, kScopeSignals = 1 << 1;

struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
  std::uint64_t scoped = 0;
};

void add_rule(int ruleset, const std::filesystem::path& path, std::uint64_t access, std::uint64_t handled) {
  UniqueFd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) return;
  struct stat status {};
  if (::fstat(place.get(), &status) != 0) return;
  if (!S_ISDIR(status.st_mode)) access &= kOfAFile;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access & handled;
  rule.parent_fd = place.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    throw system_error(errno, "confine a program to", path.string());
}

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the seccomp filter must know this machine's architecture"
#endif

constexpr std::uint32_t kNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

// As in asm-generic/unistd.h; the same numbers on every architecture since 5.1.
constexpr std::uint32_t kRefused[] = {
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fspick,
    SYS_fsconfig,
    SYS_mount_setattr,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_open_by_handle_at,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_userfaultfd,
    SYS_setsid,
    SYS_setpgid,
    SYS_swapon,
    SYS_swapoff,
    SYS_reboot,
    SYS_quotactl,
    SYS_acct,
    SYS_syslog,
};

constexpr sock_filter statement(std::uint16_t code, std::uint32_t value) { return {code, 0, 0, value}; }
constexpr sock_filter jump(std::uint16_t code, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
  return {code, yes, no, value};
}

struct Filter {
  static constexpr std::size_t kFixed = 16;
  sock_filter code[kFixed + std::size(kRefused) * 2] = {};
  unsigned short size = 0;
};

constexpr Filter make_filter() {
  Filter filter;
  auto add = [&](sock_filter instruction) { filter.code[filter.size++] = instruction; };
  constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS, kEqual = BPF_JMP | BPF_JEQ | BPF_K,
                          kAtLeast = BPF_JMP | BPF_JGE | BPF_K, kAnyBit = BPF_JMP | BPF_JSET | BPF_K,
                          kReturn = BPF_RET | BPF_K;
  constexpr std::uint32_t kNo = SECCOMP_RET_ERRNO | EPERM, kNone = SECCOMP_RET_ERRNO | ENOSYS;
  // The low half of the first argument: both machines are little-endian.
  constexpr std::uint32_t kFirst = offsetof(seccomp_data, args);
  add(statement(kLoad, offsetof(seccomp_data, arch)));
  add(jump(kEqual, kArchitecture, 1, 0));
  add(statement(kReturn, SECCOMP_RET_KILL_PROCESS));
  add(statement(kLoad, offsetof(seccomp_data, nr)));
  add(jump(kAtLeast, 0x40000000, 0, 1));  // x32: other numbers for the same calls
  add(statement(kReturn, kNo));
  // Its flags are in memory, where no filter can look; the C library then uses clone.
  add(jump(kEqual, SYS_clone3, 0, 1));
  add(statement(kReturn, kNone));
  for (std::uint32_t number : kRefused) {
    add(jump(kEqual, number, 0, 1));
    add(statement(kReturn, kNo));
  }
  add(jump(kEqual, SYS_clone, 0, 2));
  add(statement(kLoad, kFirst));
  add(jump(kAnyBit, kNamespaces, 4, 3));
  add(jump(kEqual, SYS_socket, 0, 2));
  add(statement(kLoad, kFirst));
  add(jump(kEqual, AF_UNIX, 0, 1));
  add(statement(kReturn, SECCOMP_RET_ALLOW));
  add(statement(kReturn, kNo));
  return filter;
}

constexpr Filter kFilter = make_filter();
static_assert(kFilter.size == std::size(kFilter.code));

}  // namespace

ConfinementRules rules_for_a_program(const std::filesystem::path& program) {
  ConfinementRules rules;
  rules.execute = {program};
  // The loader is opened to be executed; its name is fixed by the architecture's ABI.
  for (const char* loader : {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"})
    rules.execute.emplace_back(loader);
  for (const char* place : {"/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache",
                            "/proc", "/sys/devices", "/dev/urandom", "/dev/random", "/dev/zero"})
    rules.read.emplace_back(place);
  rules.write = {"/dev/null"};
  return rules;
}

Confinement::Confinement(const ConfinementRules& rules) {
  long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  // Not built in, switched off, or kept from us by the container's own filter.
  if (version <= 0) return;
  RulesetAttributes attributes;
  attributes.files = kVersion1 | (version >= 2 ? kVersion2 : 0) | (version >= 3 ? kVersion3 : 0);
  std::size_t size = sizeof attributes.files;
  if (version >= 6) {
    attributes.scoped = kScopeAbstractSockets | kScopeSignals;
    size = sizeof attributes;
  }
  ruleset_.reset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset_) return;
  std::uint64_t read = kReadFile | kReadDirectory;
  for (const auto& path : rules.read) add_rule(ruleset_.get(), path, read, attributes.files);
  for (const auto& path : rules.execute) add_rule(ruleset_.get(), path, read | kExecute, attributes.files);
  for (const auto& path : rules.write) add_rule(ruleset_.get(), path, ~kExecute, attributes.files);
}

int Confinement::confine_files() const noexcept {
  if (!ruleset_) return 0;
  return ::syscall(SYS_landlock_restrict_self, ruleset_.get(), 0) == 0 ? 0 : errno;
}

int Confinement::confine_calls() noexcept {
  sock_fprog program{};
  program.len = kFilter.size;
  // The kernel copies it; the interface is older than const.
  program.filter = const_cast<sock_filter*>(kFilter.code);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) return 0;
  return errno == EINVAL ? 0 : errno;  // a kernel without filters
}

}  // namespace hyper2kvm::os
