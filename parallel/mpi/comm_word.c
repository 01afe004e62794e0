/* comm_word.c - which rank speaks of a failure that several ranks of a host meet at the same moment.
 *
 * MPI can't be asked any more, so the kernel is: an address of this job, without a file, belongs to the first process that binds
 * it, until that process ends. Other hosts have an address of their own: one sentence each is the most that can be promised there.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "mpi/comm_internal.h"

enum { MOST_ASKERS = 1024, LOOKS = 200, NAP_NS = 1000000 };

static struct {
    struct sockaddr_un address; /* of this job */
    socklen_t size;             /* of the address; 0: it is not known yet */
    int socket;                 /* that has it, in this process */
} word;

/* By what the launcher calls the job, else by the launcher: the parent of its ranks, also of those that a script has become. */
void tfr_word_name_job(void) {
    const char *job = getenv("PMIX_NAMESPACE");
    const size_t room = sizeof word.address.sun_path - 1; /* behind the zero that stands for "no file" */
    const bool is_named = job != NULL && *job != '\0';
    if (word.size > 0) {
        return;
    }
    word.address = (struct sockaddr_un){.sun_family = AF_UNIX};
    const int n = is_named ? snprintf(word.address.sun_path + 1, room, "tfrun of job %s", job)
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
