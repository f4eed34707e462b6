// Loaded before the C library: inotify cannot be had, as on a file system or in a sandbox without it.
#include <cerrno>

extern "C" int inotify_init1(int);
extern "C" int inotify_init1(int) {
  errno = EMFILE;
  return -1;
}
