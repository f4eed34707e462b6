// own_root PROGRAM [ARGUMENT...]: runs a program where / is the root of a mount namespace of its own, as it
// is on a machine.
//
// The kernel refuses user namespaces to whoever is in a chroot, and without them nobody runs containers
// without root. Tests may well run in a chroot: its directory is moved over the root of a new mount
// namespace, and the chroot is none any more. Where / is the root already, that move is refused with ELOOP,
// and there is nothing to do. Needs root.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace {

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "own_root: %s: %s\n", what, std::strerror(errno));
  ::_exit(125);
}

void check(bool good, const char* what) {
  if (!good) fail(what);
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) {
    std::fputs("usage: own_root PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  check(::unshare(CLONE_NEWNS) == 0, "a mount namespace (needs root)");
  int here = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int directory = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  int mounts = ::open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  check(here >= 0 && directory >= 0 && mounts >= 0, "/proc");
  // Entering the namespace that we are in makes its root ours.
  check(::setns(mounts, CLONE_NEWNS) == 0, "the namespace's root");
  check(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
  check(::fchdir(here) == 0, "the directory that becomes the root");
  check(::mount(".", "/", nullptr, MS_MOVE, nullptr) == 0 || errno == ELOOP,
        "moving / to the root of the namespace (it has to be a mount point)");
  check(::fchdir(here) == 0 && ::chroot(".") == 0 && ::fchdir(directory) == 0, "the new root");
  ::execvp(words[1], words + 1);
  fail(words[1]);
}
