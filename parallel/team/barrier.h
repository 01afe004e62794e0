/* barrier.h - a spinning barrier for a team with a master (thread 0), in separate halves.
 *
 * Others: arrive, then await. The master: collect (all others have arrived), then release. Everything written
 * before an arrive is seen after the collect, everything written before the release is seen after the await.
 * Thread rule: one master, n - 1 others, each strictly alternating its two halves.
 */
#ifndef TFR_TEAM_BARRIER_H
#define TFR_TEAM_BARRIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TFR_CACHE_LINE 64

/* The counter that all write and the flag that all read lie on lines of their own, two lines apart, since the
 * hardware prefetches lines in pairs. Padding instead of alignment: the struct may lie anywhere. */
struct tfr_barrier {
    unsigned n_others;
    uint32_t spins;    /* rounds before a waiting thread yields its core */
    unsigned expected; /* the master's: value of `arrived` when all are there */
    char pad_before[2 * TFR_CACHE_LINE];
    atomic_uint arrived;
    char pad_between[2 * TFR_CACHE_LINE];
    atomic_uint generation;
    char pad_after[2 * TFR_CACHE_LINE];
};

void tfr_barrier_init(struct tfr_barrier *barrier, int n_threads, bool oversubscribed);
/* The ticket goes to await. */
unsigned tfr_barrier_arrive(struct tfr_barrier *barrier);
void tfr_barrier_await(struct tfr_barrier *barrier, unsigned ticket);
void tfr_barrier_collect(struct tfr_barrier *barrier);
void tfr_barrier_release(struct tfr_barrier *barrier);

/* One round of waiting: at first nothing, then a pause of the core, and after `spins` rounds an offer of it
 * to others. */
void tfr_spin(uint32_t *rounds, uint32_t spins);
uint32_t tfr_spin_limit(bool oversubscribed);

#endif
