/* bind.c - which thread goes on which core, and the system call that puts it there. */
#include "topo/topo.h"

#include <string.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#endif

#include "topo/topo_internal.h"

void tfr_bind_plan(const struct tfr_machine *machine, const struct tfr_thread_choice *choice, enum tfr_bind bind, int *pus) {
    const bool quota = machine->quota_cores > 0 && machine->quota_cores < machine->n_cores;
    const bool bound =
        bind != TFR_BIND_NONE && !choice->oversubscribed && !quota && choice->n_cores > 0 && choice->n_threads <= choice->n_cores;
    const int unbound = machine->openmp_binds ? TFR_PU_FREE : TFR_PU_ANY;
    for (int t = 0; t < choice->n_threads; t++) {
        const int64_t step = bind == TFR_BIND_SCATTER ? (int64_t)t * choice->n_cores / choice->n_threads : t;
        pus[t] = choice->openmp_binds ? TFR_PU_ANY : bound ? machine->cores[choice->first_core + step].pu : unbound;
    }
}

/* The raw calls, since the C library's cpu_set_t ends at 1024 CPUs. */
#if defined(__linux__)
bool tfr_bind_current(struct tfr_cpus *cpus) {
    *cpus = (struct tfr_cpus){0};
    return syscall(SYS_sched_getaffinity, 0, sizeof *cpus, cpus) > 0;
}

static bool set_affinity(const struct tfr_cpus *cpus) {
    return syscall(SYS_sched_setaffinity, 0, sizeof *cpus, cpus) == 0;
}
#else
bool tfr_bind_current(struct tfr_cpus *cpus) {
    *cpus = (struct tfr_cpus){0};
    return false;
}

static bool set_affinity(const struct tfr_cpus *cpus) {
    (void)cpus;
    return false;
}
#endif

/* What this thread had before it was bound here: a second engine must not take that for the machine's limit.
 */
static _Thread_local struct {
    bool is_bound;
    struct tfr_cpus before;
} own;

bool tfr_bind_save(struct tfr_cpus *cpus) {
    struct tfr_cpus places;
    *cpus = own.before;
    if (!own.is_bound && !tfr_bind_current(cpus)) {
        return false;
    }
    if (tfr_openmp_places(cpus, &places)) {
        *cpus = places;
    }
    return true;
}

bool tfr_bind_restore(const struct tfr_cpus *cpus) {
    own.is_bound = false;
    own.before = (struct tfr_cpus){0};
    return set_affinity(cpus);
}

bool tfr_bind_self(int pu) {
    struct tfr_cpus cpus = {0};
    tfr_cpus_add(&cpus, pu);
    if (!own.is_bound) {
        own.is_bound = tfr_bind_current(&own.before);
    }
    if (pu == TFR_PU_FREE) {
        return tfr_bind_save(&cpus) && set_affinity(&cpus);
    }
    return pu >= 0 && pu < TFR_CPUS_MAX && set_affinity(&cpus);
}
