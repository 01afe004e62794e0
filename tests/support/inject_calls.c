/* inject_calls.c - inject_calls COMMAND...: runs COMMAND and makes one of its system calls fail: of the kind TFR_INJECT_KIND the
 * one with number TFR_INJECT_AT, and all after it with TFR_INJECT_REST=1. How many there were is written to the file
 * TFR_INJECT_CALLS, by which ways they were made to TFR_INJECT_WAYS (inject_ways.c). TFR_INJECT_LIBRARY is preloaded into COMMAND.
 * Ends as COMMAND ends.
 *
 * The kernel stops COMMAND at these calls alone (a seccomp filter) and this program, its tracer, lets them be or puts an error in
 * their place; so the calls that the C library makes for fwrite, fclose or opendir are there too. Counting begins when COMMAND
 * opens /dev/null, the first thing that tfrun does, and ends when it opens the file TFR_INJECT_COUNT, in which the library reports.
 * Programs that COMMAND starts are left alone, and so is what goes to stderr: the sentence has to get through.
 *
 * Kinds: machine EACCES, of files below /sys and /proc, which all others leave alone; open EMFILE, read EIO, stat EIO, write ENOSPC
 * (a full disk, with TFR_INJECT_REST), close EIO, rename EACCES (and what makes or removes names), interrupt EINTR; short_read and
 * short_write: half of the bytes, and no error; sigint and sigterm: the call is made, and COMMAND gets a signal. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject_stack.h"
#include "inject_ways.h"

enum { NOT_HERE = 77, MOST_CALLS = 16, NAME = 128 };

#if defined(__x86_64__)

struct kind {
    const char *name;
    int error;             /* 0: short, or a signal */
    int calls[MOST_CALLS]; /* ends with -1 */
    int signal;            /* which the program gets, before its call */
};

#define ANY_CALL                                                                                                                   \
    {                                                                                                                              \
        SYS_read, SYS_write, SYS_openat, SYS_close, SYS_mmap, SYS_munmap, SYS_newfstatat, SYS_fsync, SYS_linkat, SYS_rename,       \
            SYS_mkdir, SYS_futex, SYS_clone, SYS_clone3, SYS_epoll_wait, -1                                                        \
    }

static const struct kind kinds[] = {
    {.name = "open",
     .error = EMFILE,
     .calls = {SYS_open, SYS_openat, SYS_socket, SYS_accept4, SYS_epoll_create1, SYS_eventfd2, SYS_timerfd_create, SYS_signalfd4,
               SYS_pipe2, -1}},
    {.name = "machine", .error = EACCES, .calls = {SYS_open, SYS_openat, SYS_stat, SYS_newfstatat, SYS_access, SYS_readlink, -1}},
    {.name = "read", .error = EIO, .calls = {SYS_read, SYS_pread64, SYS_readv, SYS_recvfrom, SYS_getdents64, SYS_readlink, -1}},
    {.name = "stat",
     .error = EIO,
     .calls = {SYS_stat, SYS_newfstatat, SYS_fstat, SYS_statx, SYS_access, SYS_faccessat, SYS_faccessat2, -1}},
    {.name = "write",
     .error = ENOSPC,
     .calls = {SYS_write, SYS_pwrite64, SYS_writev, SYS_fsync, SYS_fdatasync, SYS_ftruncate, SYS_fallocate, SYS_sendto, SYS_sendmsg,
               -1}},
    {.name = "close", .error = EIO, .calls = {SYS_close, -1}},
    {.name = "rename",
     .error = EACCES,
     .calls = {SYS_rename, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_mkdir, SYS_mkdirat, SYS_fchmod, -1}},
    {.name = "interrupt",
     .error = EINTR,
     .calls = {SYS_read, SYS_pread64, SYS_write, SYS_writev, SYS_openat, SYS_accept4, SYS_epoll_wait, SYS_poll, SYS_ppoll,
               SYS_recvfrom, SYS_sendto, SYS_sendmsg, SYS_fsync, -1}},
    {.name = "short_read", .calls = {SYS_read, SYS_pread64, SYS_recvfrom, -1}},
    {.name = "short_write", .calls = {SYS_write, SYS_pwrite64, SYS_sendto, -1}},
    {.name = "sigint", .calls = ANY_CALL, .signal = SIGINT},
    {.name = "sigterm", .calls = ANY_CALL, .signal = SIGTERM},
};

static const struct kind *kind;
static long fail_at, count;
static bool fail_rest, counting, wants_ways;
static pid_t program;

static long number_in(const char *name) {
    const char *text = getenv(name);
    return text != NULL ? atol(text) : 0;
}

/* The kernel asks the tracer at openat and at the calls of the kind, and at no others. */
static bool install_filter(void) {
    struct sock_filter code[3 * MOST_CALLS];
    unsigned short n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = -1; i < 0 || kind->calls[i] >= 0; i++) {
        const unsigned call = (unsigned)(i < 0 ? SYS_openat : kind->calls[i]);
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog filter = {.len = n, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
}

static void become(char **words) {
    const char *library = getenv("TFR_INJECT_LIBRARY");
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0 || !install_filter()) {
        _exit(NOT_HERE);
    }
    if (library != NULL) {
        setenv("LD_PRELOAD", library, 1);
    }
    execvp(words[0], words);
    _exit(127);
}

static bool is_path(pid_t thread, unsigned long long at, const char *want) {
    char text[4096] = "";
    const size_t size = want != NULL ? strlen(want) + 1 : 0;
    if (size == 0 || size > sizeof text) {
        return false;
    }
    const struct iovec here = {text, size}, there = {(void *)(uintptr_t)at, size};
    return process_vm_readv(thread, &here, 1, &there, 1, 0) == (ssize_t)size && memcmp(text, want, size) == 0;
}

static bool is_of_program(pid_t thread) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d", (int)program, (int)thread);
    return access(path, F_OK) == 0;
}

static void read_text(pid_t thread, unsigned long long at, char *text, size_t size) {
    const struct iovec here = {text, size - 1}, there = {(void *)(uintptr_t)at, size - 1};
    memset(text, 0, size);
    process_vm_readv(thread, &here, 1, &there, 1, 0);
}

static void name_of_file(pid_t thread, unsigned long long file, char *name, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)thread, (int)file);
    const ssize_t n = readlink(link, name, size - 1);
    name[n > 0 ? n : 0] = '\0';
}

/* Of the call: its path, below an open folder too, or the name of its file; "" where it has neither. The beginning, where it is
 * long. */
static void name_of(pid_t thread, const struct user_regs_struct *at, char name[static NAME]) {
    char path[NAME / 2 - 1], folder[NAME / 2 - 1] = "";
    switch (at->orig_rax) {
    case SYS_open:
    case SYS_stat:
    case SYS_access:
    case SYS_readlink:
        read_text(thread, at->rdi, name, NAME);
        break;
    case SYS_openat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_faccessat:
    case SYS_faccessat2:
        read_text(thread, at->rsi, path, sizeof path);
        if (path[0] != '/' && (int)at->rdi != AT_FDCWD) {
            name_of_file(thread, at->rdi, folder, sizeof folder);
        }
        const bool has_end = folder[0] == '\0' || folder[1] == '\0' || path[0] == '\0'; /* the root's name ends with one */
        snprintf(name, NAME, "%s%s%s", folder, has_end ? "" : "/", path);
        break;
    default:
        name_of_file(thread, at->rdi, name, NAME);
        break;
    }
}

/* What the kernel tells of the machine in files: a kind of its own, as it fails in other ways than a disk. */
static bool is_of_machine(const char *name) {
    return strncmp(name, "/sys/", 5) == 0 || strncmp(name, "/proc/", 6) == 0;
}

/* eventfd and its like, whose calls can't fail so, and what is of another kind. */
static bool is_exempt(pid_t thread, const struct user_regs_struct *at) {
    char name[NAME];
    name_of(thread, at, name);
    return kind->signal == 0 &&
           (strncmp(name, "anon_inode", 10) == 0 || is_of_machine(name) != (strcmp(kind->name, "machine") == 0));
}

static bool is_of_kind(long long call) {
    int i = 0;
    while (kind->calls[i] >= 0 && kind->calls[i] != call) {
        i++;
    }
    return kind->calls[i] >= 0;
}

static bool must_fail(pid_t thread, const struct user_regs_struct *at) {
    if (!is_of_program(thread)) {
        return false;
    }
    const long long call = (long long)at->orig_rax;
    const bool opens = call == SYS_openat && (int)at->rdi == AT_FDCWD;
    if (opens && !counting && count == 0 && is_path(thread, at->rsi, "/dev/null")) {
        counting = true;
        return false;
    }
    if (opens && is_path(thread, at->rsi, getenv("TFR_INJECT_COUNT"))) {
        counting = false;
    }
    const bool is_data = call == SYS_write || call == SYS_writev || call == SYS_pwrite64 || call == SYS_close;
    if (!counting || !is_of_kind(call) || is_exempt(thread, at) || (is_data && kind->signal == 0 && at->rdi == STDERR_FILENO) ||
        (kind->error == 0 && kind->signal == 0 && at->rdx < 2)) { /* nothing to shorten */
        return false;
    }
    const long number = ++count;
    if (wants_ways) {
        inject_note_way(inject_way_of_stack(thread, at->orig_rax, at->rsp), number);
    }
    return fail_at > 0 && (number == fail_at || (fail_rest && number > fail_at));
}

/* Stopped before its call. How it goes on: PTRACE_CONT, or PTRACE_SYSCALL where the answer is changed behind the call. */
static enum __ptrace_request judge(pid_t thread) {
    struct user_regs_struct at;
    if (ptrace(PTRACE_GETREGS, thread, NULL, &at) != 0 || !must_fail(thread, &at)) {
        return PTRACE_CONT;
    }
    if (at.orig_rax == SYS_close) {
        return PTRACE_SYSCALL; /* the file is closed whatever close returns */
    }
    if (kind->signal != 0) {
        kill(program, kind->signal);
    } else if (kind->error == 0) {
        at.rdx /= 2;
    } else {
        at.orig_rax = (unsigned long long)-1;
        at.rax = (unsigned long long)-kind->error;
    }
    ptrace(PTRACE_SETREGS, thread, NULL, &at);
    return PTRACE_CONT;
}

static void spoil_answer(pid_t thread) {
    struct user_regs_struct at;
    if (ptrace(PTRACE_GETREGS, thread, NULL, &at) == 0) {
        at.rax = (unsigned long long)-kind->error;
        ptrace(PTRACE_SETREGS, thread, NULL, &at);
    }
}

static void go_on(pid_t thread, int status) {
    const int stop = WSTOPSIG(status), event = status >> 16;
    enum __ptrace_request how = PTRACE_CONT;
    int send = 0;
    if (event == PTRACE_EVENT_SECCOMP) {
        how = judge(thread);
    } else if (stop == (SIGTRAP | 0x80)) {
        spoil_answer(thread);
    } else if (event == 0 && stop != SIGSTOP && stop != SIGTRAP) { /* SIGSTOP: a thread begins */
        send = stop;
    }
    ptrace(how, thread, NULL, (void *)(uintptr_t)(unsigned)send);
}

static void end_as(int status) {
    if (WIFSIGNALED(status)) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    exit(WEXITSTATUS(status));
}

static int follow(void) {
    const long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                         PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    int status, end = 0;
    if (waitpid(program, &status, 0) != program || !WIFSTOPPED(status) || ptrace(PTRACE_SETOPTIONS, program, NULL, options) != 0 ||
        ptrace(PTRACE_CONT, program, NULL, NULL) != 0) {
        return NOT_HERE << 8;
    }
    for (pid_t thread = waitpid(-1, &status, __WALL); thread > 0; thread = waitpid(-1, &status, __WALL)) {
        if (WIFSTOPPED(status)) {
            go_on(thread, status);
        } else if (thread == program) {
            end = status;
        }
    }
    return end;
}

static void tell_count(void) {
    const char *path = getenv("TFR_INJECT_CALLS");
    FILE *file = path != NULL ? fopen(path, "w") : NULL;
    if (file != NULL) {
        fprintf(file, "%ld\n", count);
        fclose(file);
    }
    if (inject_tell_ways() != 0) {
        fprintf(stderr, "inject_calls: TFR_INJECT_WAYS can't be written\n");
    }
}

/* Signals to this program are for COMMAND. */
static void pass_on(int number) {
    if (program > 0) { /* -1 would be everybody */
        kill(program, number);
    }
}

int main(int argc, char **argv) {
    const char *name = getenv("TFR_INJECT_KIND");
    for (size_t i = 0; name != NULL && i < sizeof kinds / sizeof kinds[0]; i++) {
        kind = strcmp(kinds[i].name, name) == 0 ? &kinds[i] : kind;
    }
    if (argc < 2 || kind == NULL) {
        fprintf(stderr, "inject_calls: give TFR_INJECT_KIND and a command\n");
        return 2;
    }
    fail_at = number_in("TFR_INJECT_AT");
    fail_rest = number_in("TFR_INJECT_REST") == 1;
    wants_ways = getenv("TFR_INJECT_WAYS") != NULL;
    program = fork();
    if (program == 0) {
        become(argv + 1);
    }
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    const int end = program > 0 ? follow() : NOT_HERE << 8;
    program = 0;
    tell_count();
    end_as(end);
}

#else

int main(void) {
    return NOT_HERE;
}

#endif
