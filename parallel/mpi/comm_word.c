/* comm_word.c - which rank speaks of a failure that several ranks of a host meet at the same moment, and how those hear of it that
 * can't be reached by MPI yet.
 *
 * MPI can't be asked any more, so the kernel is: an address of this job, without a file, belongs to the first process that binds
 * it, until that process ends. Other hosts have an address of their own: one sentence each is the most that can be promised there.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/named.h"
#include "mpi/comm_internal.h"

enum { MOST_ASKERS = 1024, LOOKS = 200, NAP_NS = 1000000 };
#define JOB_VARIABLE "PMIX_NAMESPACE"

static struct {
    struct sockaddr_un address; /* of this job */
    socklen_t size;             /* of the address; 0: it is not known yet */
    int socket;                 /* that has it, in this process */
} word;

/* What the launcher calls the job; NULL: it gives no name. */
static const char *job_name(void) {
    const char *job = getenv(JOB_VARIABLE);
    return job != NULL && *job != '\0' ? job : NULL;
}

/* By what the launcher calls the job, else by the launcher: the parent of its ranks, also of those that a script has become. */
void tfr_word_name_job(void) {
    const char *job = job_name();
    const size_t room = sizeof word.address.sun_path - 1; /* behind the zero that stands for "no file" */
    if (word.size > 0) {
        return;
    }
    word.address = (struct sockaddr_un){.sun_family = AF_UNIX};
    const int n = job != NULL ? snprintf(word.address.sun_path + 1, room, "tfrun of job %s", job)
                              : snprintf(word.address.sun_path + 1, room, "tfrun of launcher %d", (int)getppid());
    word.size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + ((size_t)n < room ? (size_t)n : room - 1));
}

static int open_socket(void) {
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Nobody but this user can take the word from its ranks. */
static bool is_of_this_user(int file) {
    struct ucred owner;
    socklen_t size = sizeof owner;
    return getsockopt(file, SOL_SOCKET, SO_PEERCRED, &owner, &size) == 0 && owner.uid == geteuid();
}

bool tfr_word_is_taken(void) {
    const int file = word.size > 0 ? open_socket() : -1;
    if (file < 0) {
        return false;
    }
    const bool has_answer = connect(file, (struct sockaddr *)&word.address, word.size) == 0;
    const bool is_taken = has_answer ? is_of_this_user(file) : errno == EAGAIN; /* too many ask */
    close(file);
    return is_taken;
}

static void give_back(void) {
    close(word.socket);
}

bool tfr_word_take(void) {
    const struct timespec nap = {.tv_nsec = NAP_NS};
    tfr_word_name_job();
    word.socket = open_socket();
    if (word.socket < 0) {
        return true;
    }
    if (bind(word.socket, (struct sockaddr *)&word.address, word.size) == 0) {
        listen(word.socket, MOST_ASKERS);
        atexit(give_back);
        return true;
    }
    const bool is_another = errno == EADDRINUSE;
    close(word.socket);
    word.socket = -1;
    for (int i = 0; is_another && i < LOOKS; i++) { /* it may not listen yet */
        if (tfr_word_is_taken()) {
            return false;
        }
        nanosleep(&nap, NULL);
    }
    return true;
}

/* Whether a process began with this entry in its environment: /proc has them with a NUL behind each. */
static bool began_with(int process, const char *entry) {
    char path[64];
    const size_t length = strlen(entry);
    size_t n = 0; /* characters of this entry that are those of `entry` so far */
    bool is_same = true, found = false;
    snprintf(path, sizeof path, "/proc/%d/environ", process);
    FILE *file = fopen(path, "re");
    for (int c; file != NULL && !found && (c = fgetc(file)) != EOF;) {
        found = c == '\0' && is_same && n == length;
        is_same = c == '\0' || (is_same && n < length && c == (unsigned char)entry[n]);
        n = c == '\0' ? 0 : n + 1;
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static bool runs_this_program(int process) {
    char path[64];
    struct stat mine, its;
    snprintf(path, sizeof path, "/proc/%d/exe", process);
    return stat("/proc/self/exe", &mine) == 0 && stat(path, &its) == 0 && mine.st_dev == its.st_dev && mine.st_ino == its.st_ino;
}

/* In doubt false: two sentences are better than a signal to a stranger. */
static bool is_of_job(int process) {
    const char *job = job_name();
    char entry[512];
    if (job == NULL) {
        return runs_this_program(process);
    }
    const int n = snprintf(entry, sizeof entry, JOB_VARIABLE "=%s", job);
    return n > 0 && (size_t)n < sizeof entry && began_with(process, entry);
}

void tfr_word_tell_beside(void) {
    char path[64];
    int process;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)getppid(), (int)getppid());
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%d", &process) == 1) {
        if (is_of_job(process)) {
            kill((pid_t)process, TFR_SIGNAL_NAMED);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}
