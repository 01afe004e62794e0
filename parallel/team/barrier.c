/* barrier.c - arrive counts up, release bumps the generation that the others watch.
 *
 * Both only ever grow (and wrap): a counter that the master put back to zero would travel between the cores
 * once more.
 */
#include "team/barrier.h"

#include <sched.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* A pause takes 10 to 50 ns, so that a thread with a core of its own yields after some milliseconds only: by
 * then either a long single-thread step runs, or somebody needs the core. With too few cores the awaited
 * thread may well need ours. */
enum { SPINS_OWN_CORE = 100000, SPINS_OVERSUBSCRIBED = 20 };

/* A pause delays the sight of the flag by up to its own length, which is a good part of a short wait; cores
 * are not shared with siblings here, so the first rounds go without. */
enum { SPINS_WITHOUT_PAUSE = 300 };

static inline void pause_core(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

uint32_t tfr_spin_limit(bool oversubscribed) {
    return oversubscribed ? SPINS_OVERSUBSCRIBED : SPINS_OWN_CORE;
}

void tfr_spin(uint32_t *rounds, uint32_t spins) {
    if (*rounds < spins) {
        if (++*rounds > SPINS_WITHOUT_PAUSE) {
            pause_core();
        }
    } else {
        sched_yield();
    }
}

void tfr_barrier_init(struct tfr_barrier *barrier, int n_threads, bool oversubscribed) {
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->generation, 0);
    barrier->n_others = (unsigned)n_threads - 1;
    barrier->expected = 0;
    barrier->spins = tfr_spin_limit(oversubscribed);
}

unsigned tfr_barrier_arrive(struct tfr_barrier *barrier) {
    /* Cannot change before this thread has arrived. */
    const unsigned ticket = atomic_load_explicit(&barrier->generation, memory_order_relaxed);
    atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_release);
    return ticket;
}

void tfr_barrier_await(struct tfr_barrier *barrier, unsigned ticket) {
    uint32_t rounds = 0;
    while (atomic_load_explicit(&barrier->generation, memory_order_acquire) == ticket) {
        tfr_spin(&rounds, barrier->spins);
    }
}

void tfr_barrier_collect(struct tfr_barrier *barrier) {
    uint32_t rounds = 0;
    barrier->expected += barrier->n_others;
    while (atomic_load_explicit(&barrier->arrived, memory_order_acquire) != barrier->expected) {
        tfr_spin(&rounds, barrier->spins);
    }
}

void tfr_barrier_release(struct tfr_barrier *barrier) {
    /* The master alone writes it: no atomic addition needed. */
    const unsigned now = atomic_load_explicit(&barrier->generation, memory_order_relaxed);
    atomic_store_explicit(&barrier->generation, now + 1, memory_order_release);
}
