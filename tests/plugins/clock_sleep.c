/* clock_sleep.c - time of clock kernels passes asleep, so that two cores can be the nodes of a cluster.
 *
 * A sleeper is woken late, by some tens of microseconds and by more where others have the cores. What one kernel was late the next
 * one has to spare, so the sum over many kernels is right. Time between kernels is not touched: a wait for a message is one.
 */
#include "clock.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

enum { PIECE_NS = 250000, LEAST_NS = 5000, MOST_LATE_NS = 20000000 };

static int64_t late_ns; /* of the kernels so far; one kernel of a process runs at a time */

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_until(int64_t ns) {
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {
    }
}

void clock_spend(double ns, const struct tfr_run_ctx *ctx) {
    static _Thread_local int is_exact;
    int64_t now = now_ns();
    const int64_t end = now - late_ns + (int64_t)ns;
    if (!is_exact) { /* the kernel may else move a wake-up by 50 us, to spare others */
        prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
        is_exact = 1;
    }
    while (end - now > LEAST_NS) {
        sleep_until(end - now > 2 * PIECE_NS ? now + PIECE_NS : end);
        if (ctx->progress != NULL) {
            ctx->progress(ctx);
        }
        now = now_ns();
    }
    late_ns = now - end < MOST_LATE_NS ? now - end : MOST_LATE_NS; /* a process that was stopped does not hurry afterwards */
}
