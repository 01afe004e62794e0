/* barrier.c - arrive counts up, release bumps the generation that the others watch.
 *
 * Both only ever grow (and wrap): a counter that the master put back to zero would travel between the cores
 * once more. So the count to reach follows from the generation.
 */
#include "team/barrier.h"

void tfr_barrier_init(struct tfr_barrier *barrier, int n_threads, bool oversubscribed) {
    atomic_init(&barrier->arrived.value, 0);
    atomic_init(&barrier->arrived.sleepers, 0);
    atomic_init(&barrier->generation.value, 0);
    atomic_init(&barrier->generation.sleepers, 0);
    barrier->n_others = (unsigned)n_threads - 1;
    barrier->spin_ns = tfr_spin_ns(oversubscribed);
}

/* What `arrived` is when all others stand in the barrier of this generation; exact across the wrap. */
static unsigned all_arrived(const struct tfr_barrier *barrier, unsigned generation) {
    return (generation + 1) * barrier->n_others;
}

unsigned tfr_barrier_arrive(struct tfr_barrier *barrier) {
    /* Cannot change before this thread has arrived. */
    const unsigned ticket = atomic_load_explicit(&barrier->generation.value, memory_order_relaxed);
    const unsigned before = atomic_fetch_add_explicit(&barrier->arrived.value, 1, memory_order_seq_cst);
    if (before + 1 == all_arrived(barrier, ticket)) {
        tfr_counter_wake(&barrier->arrived);
    }
    return ticket;
}

void tfr_barrier_await(struct tfr_barrier *barrier, unsigned ticket) {
    tfr_counter_await_change(&barrier->generation, ticket, barrier->spin_ns);
}

void tfr_barrier_collect(struct tfr_barrier *barrier) {
    const unsigned now = atomic_load_explicit(&barrier->generation.value, memory_order_relaxed);
    tfr_counter_await_value(&barrier->arrived, all_arrived(barrier, now), barrier->spin_ns);
}

void tfr_barrier_release(struct tfr_barrier *barrier) {
    /* The master alone writes it: no atomic addition needed. */
    const unsigned now = atomic_load_explicit(&barrier->generation.value, memory_order_relaxed);
    atomic_store_explicit(&barrier->generation.value, now + 1, memory_order_seq_cst);
    tfr_counter_wake(&barrier->generation);
}
