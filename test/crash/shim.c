/* A library to be preloaded into the broker: makes one chosen call on a file of the data directory fail, or kills the process (or cuts its file system's power) before, after or in the middle
 * of it. Compiled when a campaign begins (shim.ts), which also says what the variables mean. Counts calls over all threads. Everything else passes through untouched.
 *
 *   CRASH_DIR      data directory, absolute
 *   CRASH_CALL     write | sync | rename | link | unlink | create
 *   CRASH_NAME     end of the file's name, such as .segment; "/" for the directory itself; empty for any
 *   CRASH_K        which of the matching calls, from 1
 *   CRASH_WHEN     before | after | half (of a write)
 *   CRASH_ACTION   kill | cut | eio | enospc | slow | skip (of a sync: it says that it was done)
 *   CRASH_STICKY   1: every matching call from there on
 *   CRASH_HIT      file that gets a line when it happens: the path of the struck file
 *
 * A sync is fsync, fdatasync, or a write to a descriptor opened with O_DSYNC.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXT4_IOC_SHUTDOWN 0x8004587d
#define NOLOGFLUSH 2
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { CALL_WRITE = 1, CALL_SYNC, CALL_RENAME, CALL_LINK, CALL_UNLINK, CALL_CREATE };
enum { BEFORE, AFTER, HALF };
enum { KILL, CUT, EIO_, ENOSPC_, SLOW, SKIP };

static char directory[PATH_MAX];
static char name_end[128];
static int call, when, action, sticky;
static long k;
static const char *hit_file;
static atomic_long seen;

static int pick(const char *text, const char *const *names) {
  for (int i = 0; text != NULL && names[i] != NULL; i++) if (strcmp(text, names[i]) == 0) return i;
  return -1;
}

__attribute__((constructor)) static void configure(void) {
  static const char *const calls[] = {"", "write", "sync", "rename", "link", "unlink", "create", NULL};
  static const char *const whens[] = {"before", "after", "half", NULL};
  static const char *const actions[] = {"kill", "cut", "eio", "enospc", "slow", "skip", NULL};
  const char *dir = getenv("CRASH_DIR");
  call = pick(getenv("CRASH_CALL"), calls);
  when = pick(getenv("CRASH_WHEN"), whens);
  action = pick(getenv("CRASH_ACTION"), actions);
  if (dir == NULL || call <= 0 || when < 0 || action < 0) {
    call = 0;
    return;
  }
  snprintf(directory, sizeof directory, "%s", dir);
  const char *end = getenv("CRASH_NAME");
  snprintf(name_end, sizeof name_end, "%s", end == NULL ? "" : end);
  k = getenv("CRASH_K") == NULL ? 1 : atol(getenv("CRASH_K"));
  sticky = getenv("CRASH_STICKY") != NULL && strcmp(getenv("CRASH_STICKY"), "1") == 0;
  hit_file = getenv("CRASH_HIT");
}

static int matches_path(const char *path) {
  size_t length = strlen(directory);
  if (strncmp(path, directory, length) != 0) return 0;
  if (strcmp(name_end, "/") == 0) return path[length] == 0;
  if (path[length] != '/') return 0;
  size_t path_length = strlen(path), end_length = strlen(name_end);
  return path_length >= end_length && strcmp(path + path_length - end_length, name_end) == 0;
}

/* The path of the file that matched last, of this thread. */
static _Thread_local char matched[PATH_MAX];

static int matches(const char *path) {
  if (!matches_path(path)) return 0;
  snprintf(matched, sizeof matched, "%s", path);
  return 1;
}

static int matches_fd(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return matches(path);
}

/* Whether this is the one. */
static int due(void) {
  long number = atomic_fetch_add(&seen, 1) + 1;
  return number == k || (sticky && number > k);
}

static void note(void) {
  if (hit_file == NULL) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, hit_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd < 0) return;
  char line[PATH_MAX + 1];
  int length = snprintf(line, sizeof line, "%s\n", matched);
  syscall(SYS_write, fd, line, length);
  syscall(SYS_close, fd);
}

/* Does not come back from kill and cut. */
static void strike(void) {
  note();
  if (action == CUT) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, directory, O_RDONLY, 0);
    unsigned flags = NOLOGFLUSH;
    syscall(SYS_ioctl, fd, EXT4_IOC_SHUTDOWN, &flags);
  }
  if (action == KILL || action == CUT) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
  }
  if (action == SLOW) {
    struct timespec delay = {0, 300 * 1000 * 1000};
    nanosleep(&delay, NULL);
  }
}

static int fails(void) {
  if (action != EIO_ && action != ENOSPC_) return 0;
  errno = action == EIO_ ? EIO : ENOSPC;
  return 1;
}

/* The bytes reach the page cache and no further. */
static ssize_t write_unsynced(int fd, const void *bytes, size_t count, off_t at) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int other = (int)syscall(SYS_openat, AT_FDCWD, link, O_WRONLY, 0);
  if (other < 0) return -1;
  ssize_t result = syscall(SYS_pwrite64, other, bytes, count, at);
  syscall(SYS_close, other);
  return result;
}

/* Part of the write reaches the file: as much as a crash in the middle may leave. Past the page cache only whole blocks could, so it takes another descriptor. */
static void write_half(int fd, const void *bytes, size_t count, off_t at) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  int other = (int)syscall(SYS_openat, AT_FDCWD, link, O_WRONLY, 0);
  size_t half = count / 2 / 512 * 512;
  if (other < 0) return;
  if (half == 0) half = count / 2;
  syscall(SYS_pwrite64, other, bytes, half, at);
  syscall(SYS_fsync, other);
  syscall(SYS_close, other);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
  static __typeof__(&pwrite64) real;
  if (real == NULL) real = REAL(pwrite64);
  int mine = 0;
  if (call == CALL_WRITE || call == CALL_SYNC) {
    int synced = call == CALL_WRITE || (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    mine = synced && matches_fd(fd) && due();
  }
  if (!mine) return real(fd, bytes, count, at);
  if (action == SKIP && call == CALL_SYNC) {
    strike();
    return write_unsynced(fd, bytes, count, at);
  }
  if (when == HALF) write_half(fd, bytes, count, at);
  if (when != AFTER) {
    strike();
    if (fails()) return -1;
    return real(fd, bytes, count, at);
  }
  ssize_t result = real(fd, bytes, count, at);
  strike();
  return fails() ? -1 : result;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
  return pwrite64(fd, bytes, count, at);
}

#define AROUND(condition, ...)                     \
  int mine = (condition) && due();                 \
  if (mine && when != AFTER) {                     \
    strike();                                      \
    if (fails()) return -1;                        \
    if (action == SKIP && call == CALL_SYNC) return 0; \
  }                                                \
  int result = real(__VA_ARGS__);                  \
  if (mine && when == AFTER) {                     \
    strike();                                      \
    if (fails()) return -1;                        \
  }                                                \
  return result

int fsync(int fd) {
  static __typeof__(&fsync) real;
  if (real == NULL) real = REAL(fsync);
  AROUND(call == CALL_SYNC && matches_fd(fd), fd);
}

int fdatasync(int fd) {
  static __typeof__(&fdatasync) real;
  if (real == NULL) real = REAL(fdatasync);
  AROUND(call == CALL_SYNC && matches_fd(fd), fd);
}

int rename(const char *from, const char *to) {
  static __typeof__(&rename) real;
  if (real == NULL) real = REAL(rename);
  AROUND(call == CALL_RENAME && matches(to), from, to);
}

int link(const char *from, const char *to) {
  static __typeof__(&link) real;
  if (real == NULL) real = REAL(link);
  AROUND(call == CALL_LINK && matches(to), from, to);
}

int unlink(const char *path) {
  static __typeof__(&unlink) real;
  if (real == NULL) real = REAL(unlink);
  AROUND(call == CALL_UNLINK && matches(path), path);
}

int open64(const char *path, int flags, ...) {
  static __typeof__(&open64) real;
  if (real == NULL) real = REAL(open64);
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  AROUND(call == CALL_CREATE && (flags & O_CREAT) != 0 && matches(path), path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return open64(path, flags, mode);
}
