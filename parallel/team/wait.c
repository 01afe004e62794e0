/* wait.c - spinning with pauses, then a futex.
 *
 * No wake is lost: a sleeper counts itself in before it looks at the value for the last time, the mover looks
 * for sleepers after its move, and both in one order that all threads see. The kernel compares the value once
 * more before it puts the thread to sleep.
 */
#include "team/wait.h"

#include <limits.h>
#include <sched.h>
#include <stddef.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/clock.h"

/* On a core of its own a thread spins longer than the steps of a decode differ between threads, and about as
 * long as sleeping and waking takes: then a wait costs at most twice what the best choice would. With too few
 * cores the awaited thread may well need ours. */
enum { SPIN_OWN_CORE_NS = 100000, SPIN_OVERSUBSCRIBED_NS = 1000 };

/* A pause delays the sight of the flag by up to its own length, which is a good part of a short wait; cores
 * are not shared with siblings here, so the first rounds go without. The clock is read every so often only.
 */
enum { ROUNDS_WITHOUT_PAUSE = 300, ROUNDS_PER_CLOCK = 64 };

static inline void pause_core(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

uint64_t tfr_spin_ns(bool oversubscribed) {
    return oversubscribed ? SPIN_OVERSUBSCRIBED_NS : SPIN_OWN_CORE_NS;
}

struct goal {
    unsigned value;
    bool change; /* wait until the counter is not `value`, instead of until it is */
};

static inline bool is_reached(const struct goal *goal, unsigned value) {
    return (value == goal->value) != goal->change;
}

static bool spin(struct tfr_counter *counter, const struct goal *goal, uint64_t spin_ns) {
    for (int i = 0; i < ROUNDS_WITHOUT_PAUSE; i++) {
        if (is_reached(goal, atomic_load_explicit(&counter->value, memory_order_acquire))) {
            return true;
        }
    }
    const uint64_t end = tfr_clock_ns() + spin_ns;
    do {
        for (int i = 0; i < ROUNDS_PER_CLOCK; i++) {
            if (is_reached(goal, atomic_load_explicit(&counter->value, memory_order_acquire))) {
                return true;
            }
            pause_core();
        }
    } while (tfr_clock_ns() < end);
    return false;
}

#if defined(__linux__)
static void sleep_while(struct tfr_counter *counter, unsigned value) {
    syscall(SYS_futex, &counter->value, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake_all(struct tfr_counter *counter) {
    syscall(SYS_futex, &counter->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#else
static void sleep_while(struct tfr_counter *counter, unsigned value) {
    (void)counter, (void)value;
    sched_yield();
}

static void wake_all(struct tfr_counter *counter) {
    (void)counter;
}
#endif

static void await(struct tfr_counter *counter, const struct goal *goal, uint64_t spin_ns) {
    if (spin(counter, goal, spin_ns)) {
        return;
    }
    atomic_fetch_add_explicit(&counter->sleepers, 1, memory_order_seq_cst);
    for (;;) {
        const unsigned now = atomic_load_explicit(&counter->value, memory_order_seq_cst);
        if (is_reached(goal, now)) {
            break;
        }
        sleep_while(counter, now);
    }
    atomic_fetch_sub_explicit(&counter->sleepers, 1, memory_order_relaxed);
}

void tfr_counter_await_change(struct tfr_counter *counter, unsigned seen, uint64_t spin_ns) {
    const struct goal goal = {.value = seen, .change = true};
    await(counter, &goal, spin_ns);
}

void tfr_counter_await_value(struct tfr_counter *counter, unsigned target, uint64_t spin_ns) {
    const struct goal goal = {.value = target};
    await(counter, &goal, spin_ns);
}

void tfr_counter_wake(struct tfr_counter *counter) {
    if (atomic_load_explicit(&counter->sleepers, memory_order_seq_cst) > 0) {
        wake_all(counter);
    }
}
