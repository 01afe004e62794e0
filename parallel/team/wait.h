/* wait.h - how a thread of a team waits until a counter moves: it spins for a moment, then it sleeps.
 *
 * A thread that spins on while the awaited one has lost its core burns the time that both are given; one that
 * sleeps is let in at once when it is woken. Waking costs a system call, but only where somebody sleeps.
 */
#ifndef TFR_TEAM_WAIT_H
#define TFR_TEAM_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Only ever grows (and wraps). The two lie on one line: who moves the counter needs both. */
struct tfr_counter {
    atomic_uint value;
    atomic_uint sleepers;
};

/* For how long a waiting thread keeps its core before it sleeps, in nanoseconds. */
uint64_t tfr_spin_ns(bool oversubscribed);

/* Returns once value != seen (or, the second, value == target); what was written before the move is seen. */
void tfr_counter_await_change(struct tfr_counter *counter, unsigned seen, uint64_t spin_ns);
void tfr_counter_await_value(struct tfr_counter *counter, unsigned target, uint64_t spin_ns);
/* Wakes all that sleep. Call after value was moved, with memory_order_seq_cst: the mover must not look for
 * sleepers before its move is seen. */
void tfr_counter_wake(struct tfr_counter *counter);

#endif
