/* inject_files.c - preloaded with inject.c: which files are open at the end, and whose code opened them. What a library of others
 * opened is its own, as its blocks are. A file below /sys or /proc that nobody opened by the calls below was opened inside the C
 * library: all that tfrun calls are here but popen and tmpfile, whose files stand elsewhere. */
#include "inject.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { MOST_FILES = 4096, KERNELS_SIGNALS = 64 };

static atomic_uintptr_t openers[MOST_FILES]; /* addresses of the calls, 0 unknown */

static FILE *(*next_fopen)(const char *, const char *);
static int (*next_fclose)(FILE *);
static DIR *(*next_opendir)(const char *);
static int (*next_closedir)(DIR *);

__attribute__((constructor)) static void find_next(void) {
    *(void **)&next_fopen = dlsym(RTLD_NEXT, "fopen");
    *(void **)&next_fclose = dlsym(RTLD_NEXT, "fclose");
    *(void **)&next_opendir = dlsym(RTLD_NEXT, "opendir");
    *(void **)&next_closedir = dlsym(RTLD_NEXT, "closedir");
}

int inject_opened(long file, const void *caller) {
    if (file >= 0 && file < MOST_FILES) {
        atomic_store(&openers[file], (uintptr_t)caller);
    }
    return (int)file;
}

#define OPENED(call) inject_opened(syscall call, __builtin_return_address(0))
#define MODE(flags)                                                                                                                \
    int mode = 0;                                                                                                                  \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) { /* which has the bit of O_DIRECTORY */                       \
        va_list arguments;                                                                                                         \
        va_start(arguments, flags);                                                                                                \
        mode = va_arg(arguments, int);                                                                                             \
        va_end(arguments);                                                                                                         \
    }

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return OPENED((SYS_openat, AT_FDCWD, path, flags, mode));
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return OPENED((SYS_openat, folder, path, flags, mode));
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags)
    return OPENED((SYS_openat, folder, path, flags, mode));
}

/* What a library that was built with _FORTIFY_SOURCE calls. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int folder, const char *path, int flags);
int __openat64_2(int folder, const char *path, int flags);

int __open_2(const char *path, int flags) {
    return OPENED((SYS_openat, AT_FDCWD, path, flags, 0));
}

int __open64_2(const char *path, int flags) {
    return OPENED((SYS_openat, AT_FDCWD, path, flags, 0));
}

int __openat_2(int folder, const char *path, int flags) {
    return OPENED((SYS_openat, folder, path, flags, 0));
}

int __openat64_2(int folder, const char *path, int flags) {
    return OPENED((SYS_openat, folder, path, flags, 0));
}

int socket(int domain, int type, int protocol) {
    return OPENED((SYS_socket, domain, type, protocol));
}

int accept4(int file, struct sockaddr *restrict address, socklen_t *restrict size, int flags) {
    return OPENED((SYS_accept4, file, address, size, flags));
}

int epoll_create1(int flags) {
    return OPENED((SYS_epoll_create1, flags));
}

int eventfd(unsigned first, int flags) {
    return OPENED((SYS_eventfd2, first, flags));
}

int timerfd_create(clockid_t clock, int flags) {
    return OPENED((SYS_timerfd_create, clock, flags));
}

int signalfd(int file, const sigset_t *set, int flags) {
    return OPENED((SYS_signalfd4, file, set, KERNELS_SIGNALS / 8, flags));
}

/* Other commands than those that duplicate pass their argument on, whatever it is. */
static int control(int file, int command, void *argument, const void *caller) {
    const long result = syscall(SYS_fcntl, file, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? inject_opened(result, caller) : (int)result;
}

#define CONTROL                                                                                                                    \
    va_list arguments;                                                                                                             \
    va_start(arguments, command);                                                                                                  \
    void *argument = va_arg(arguments, void *);                                                                                    \
    va_end(arguments);                                                                                                             \
    return control(file, command, argument, __builtin_return_address(0))

int fcntl(int file, int command, ...) {
    CONTROL;
}

int fcntl64(int file, int command, ...) {
    CONTROL;
}

int dup(int file) {
    return OPENED((SYS_dup, file));
}

int dup2(int file, int other) {
    if (file == other) {
        return syscall(SYS_fcntl, file, F_GETFD) < 0 ? -1 : other;
    }
    return OPENED((SYS_dup3, file, other, 0)); /* not every machine has a system call dup2 */
}

int dup3(int file, int other, int flags) {
    return OPENED((SYS_dup3, file, other, flags));
}

static FILE *keep_stream(FILE *stream, const void *caller) {
    if (stream != NULL) {
        inject_opened(fileno(stream), caller);
    }
    return stream;
}

FILE *fopen(const char *restrict path, const char *restrict mode) {
    return keep_stream(next_fopen(path, mode), __builtin_return_address(0));
}

FILE *fopen64(const char *restrict path, const char *restrict mode) {
    return keep_stream(next_fopen(path, mode), __builtin_return_address(0));
}

DIR *opendir(const char *path) {
    DIR *folder = next_opendir(path);
    if (folder != NULL) {
        inject_opened(dirfd(folder), __builtin_return_address(0));
    }
    return folder;
}

int close(int file) {
    inject_opened(file, NULL);
    return (int)syscall(SYS_close, file);
}

int fclose(FILE *stream) {
    inject_opened(fileno(stream), NULL);
    return next_fclose(stream);
}

int closedir(DIR *folder) {
    inject_opened(dirfd(folder), NULL);
    return next_closedir(folder);
}

/* Under MPI only what tfrun certainly opened counts; a standing file that nobody is known to have opened may be the launcher's. */
static bool is_held_by_us(int file, const char *target) {
    const uintptr_t opener = file < MOST_FILES ? atomic_load(&openers[file]) : 0;
    Dl_info info;
    if (opener == 0) {
        return getenv("TFR_INJECT_RANK") == NULL && strncmp(target, "/sys/", 5) != 0 && strncmp(target, "/proc/", 6) != 0;
    }
    return dladdr((const void *)opener, &info) == 0 || info.dli_fname == NULL || inject_is_ours(info.dli_fname);
}

int inject_count_files(char *names, size_t size) {
    int n = 0;
    size_t used = 0;
    DIR *folder = opendir("/proc/self/fd");
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char target[256] = "";
        const int file = atoi(entry->d_name);
        if (file > STDERR_FILENO && file != dirfd(folder) &&
            readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1) > 0 && is_held_by_us(file, target)) {
            n++;
            used += used < size ? (size_t)snprintf(names + used, size - used, " %s", target) : 0;
        }
    }
    if (folder != NULL) {
        closedir(folder);
    }
    return n;
}
