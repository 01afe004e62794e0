/* break_check.c - break_check GAP_US, under comm_fail.so: rank 0 waits for the others, whose calls of MPI fail, all at the same
 * moment or each so much later than the one before. The job has to end by that, and one of them to say so. */
#include "mpi/comm.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/named.h"
#include "base/status.h"

enum { SOON_NS = 50000000, ENDLESS = 99 };

/* As tfr_launched_hear does in the command. */
static void hear(void) {
    sigset_t kept;
    sigemptyset(&kept);
    sigaddset(&kept, TFR_SIGNAL_NAMED);
    sigprocmask(SIG_BLOCK, &kept, NULL);
}

/* Takes so long that whoever has seen nobody speak has the others see the same before it speaks. */
int sigpending(sigset_t *set) {
    enum { KERNELS_SIGNALS = 64, SLOW_NS = 200000000 };
    const struct timespec slow = {.tv_nsec = SLOW_NS};
    sigemptyset(set);
    const long result = syscall(SYS_rt_sigpending, set, KERNELS_SIGNALS / 8);
    nanosleep(&slow, NULL);
    return (int)result;
}

/* From when this thread's call fails: its time then passes so much slower, that a rank which is held up before it speaks, on a
 * machine that is busy, is not taken for one that never will. */
static _Thread_local int64_t failed_ns;

int clock_gettime(clockid_t clock, struct timespec *now) {
    enum { SLOWER = 20, SECOND_NS = 1000000000 };
    const int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && failed_ns > 0 && clock == CLOCK_MONOTONIC) {
        const int64_t ns = (int64_t)now->tv_sec * SECOND_NS + now->tv_nsec, slow = failed_ns + (ns - failed_ns) / SLOWER;
        *now = (struct timespec){.tv_sec = (time_t)(slow / SECOND_NS), .tv_nsec = (long)(slow % SECOND_NS)};
    }
    return result;
}

static void fail_at(struct tfr_comm *comm, uint64_t ns) {
    while (tfr_clock_ns() < ns) {
    }
    failed_ns = (int64_t)tfr_clock_ns();
    setenv("TFRUN_FAIL_NOW", "1", 1);
    (void)tfr_comm_send(comm, &ns, sizeof ns, 0, 4); /* ends the job */
}

int main(int argc, char **argv) {
    const char *const dirs[] = {NULL};
    const long gap_us = argc == 2 ? atol(argv[1]) : 0;
    struct tfr_comm *comm;
    uint64_t start = 0;
    hear();
    if (tfr_comm_open(&comm, dirs, 60) != TFR_OK) {
        fprintf(stderr, "%s\n", tfr_failure_text());
        return 1;
    }
    const int rank = tfr_comm_rank(comm);
    start = tfr_clock_ns() + SOON_NS;
    if (tfr_comm_bcast(comm, &start, sizeof start) != TFR_OK) {
        return 1;
    }
    if (rank == 0) {
        (void)tfr_comm_recv(comm, &start, sizeof start, 1, 4); /* until the launcher ends it */
    } else {
        fail_at(comm, start + (uint64_t)rank * (uint64_t)gap_us * 1000);
    }
    fprintf(stderr, "break_check: rank %d goes on\n", rank);
    return ENDLESS;
}
