/* barrier.h - a barrier for a team with a master (thread 0), in separate halves; waits spin, then sleep.
 *
 * Others: arrive, then await. The master: collect (all others have arrived), then release. Everything written
 * before an arrive is seen after the collect, everything written before the release is seen after the await.
 * Thread rule: one master, n - 1 others, each strictly alternating its two halves.
 */
#ifndef TFR_TEAM_BARRIER_H
#define TFR_TEAM_BARRIER_H

#include "team/wait.h"

#define TFR_CACHE_LINE 64

/* The counter that all write and the one that all read lie on lines of their own, two lines apart, since the
 * hardware prefetches lines in pairs. Padding instead of alignment: the struct may lie anywhere. */
struct tfr_barrier {
    unsigned n_others;
    uint64_t spin_ns; /* before a waiting thread sleeps */
    char pad_before[2 * TFR_CACHE_LINE];
    struct tfr_counter arrived;
    char pad_between[2 * TFR_CACHE_LINE];
    struct tfr_counter generation;
    char pad_after[2 * TFR_CACHE_LINE];
};

void tfr_barrier_init(struct tfr_barrier *barrier, int n_threads, bool oversubscribed);
/* The ticket goes to await. */
unsigned tfr_barrier_arrive(struct tfr_barrier *barrier);
void tfr_barrier_await(struct tfr_barrier *barrier, unsigned ticket);
void tfr_barrier_collect(struct tfr_barrier *barrier);
void tfr_barrier_release(struct tfr_barrier *barrier);

#endif
