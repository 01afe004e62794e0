/* roofs.c - the order in which roofs are measured; FLOPs, and the cost of bringing threads together. */
#include "roofs/roofs.h"

#include <stdlib.h>

#include <tfrun/plugin.h>

#include "base/clock.h"
#include "base/status.h"
#include "roofs/flop_loops.h"

enum { TRIAL_MS = 20, QUICK_TRIAL_MS = 4, N_TRIALS = 7, N_OVERHEADS = 401, BARRIERS = 64 };

struct flop_job {
    tfr_flop_loop loop;
    int64_t rounds;
};

static void run_flops(void *arg, int tid, int nth) {
    const struct flop_job *job = arg;
    (void)tid, (void)nth;
    (void)job->loop(job->rounds);
}

/* FLOPs of one call of the loop, those of one thread, with as many rounds as fill a trial, by the fastest of a few tries. */
static double rounds_for(const struct tfr_flop_unit *unit, uint64_t trial_ns, int64_t *rounds) {
    double done = 0;
    for (*rounds = 1000;; *rounds *= 2) {
        uint64_t fastest = UINT64_MAX;
        for (int i = 0; i < 3; i++) {
            const uint64_t begin = tfr_clock_ns();
            done = unit->loop(*rounds);
            const uint64_t took = tfr_clock_ns() - begin;
            fastest = took < fastest ? took : fastest;
        }
        if (fastest >= trial_ns / 2) {
            return done;
        }
    }
}

static double best_rate(struct tfr_team *team, struct flop_job *job, double flops) {
    double best = 0;
    for (int trial = 0; trial < N_TRIALS; trial++) {
        const uint64_t begin = tfr_clock_ns();
        if (team != NULL) {
            tfr_team_run(team, run_flops, job);
        } else {
            (void)job->loop(job->rounds);
        }
        const double rate = flops / (double)(tfr_clock_ns() - begin) * 1e9;
        best = rate > best ? rate : best;
    }
    return best;
}

void tfr_roofs_flops(struct tfr_roofs *roofs, struct tfr_team *team, uint32_t isa, uint64_t trial_ns) {
    int n;
    const struct tfr_flop_unit *units = tfr_flop_units(&n);
    for (int i = 0; i < n && roofs->n_flops < TFR_MAX_FLOP_ROOFS; i++) {
        if ((units[i].isa & ~isa) != 0) {
            continue;
        }
        struct flop_job job = {.loop = units[i].loop};
        const double flops = rounds_for(&units[i], trial_ns, &job.rounds);
        struct tfr_flop_roof *roof = &roofs->flops[roofs->n_flops++];
        *roof = (struct tfr_flop_roof){.dtype = units[i].dtype, .isa = units[i].isa};
        roof->one_core = best_rate(NULL, &job, flops);
        roof->all_cores = best_rate(team, &job, flops * tfr_team_size(team));
    }
}

static void do_nothing(void *arg, int tid, int nth) {
    (void)arg, (void)tid, (void)nth;
}

static void run_barriers(void *arg, int tid, int nth) {
    (void)nth;
    for (int i = 0; i < BARRIERS; i++) {
        tfr_team_barrier(arg, tid);
    }
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median, since a thread that lost its core for once is no cost of a barrier. */
static double median_ns(struct tfr_team *team, tfr_team_fn fn, void *arg) {
    static double took[N_OVERHEADS]; /* one thread drives a team */
    for (int i = 0; i < N_OVERHEADS; i++) {
        const uint64_t begin = tfr_clock_ns();
        tfr_team_run(team, fn, arg);
        took[i] = (double)(tfr_clock_ns() - begin);
    }
    qsort(took, N_OVERHEADS, sizeof *took, by_value);
    return took[N_OVERHEADS / 2];
}

void tfr_roofs_overheads(struct tfr_roofs *roofs, struct tfr_team *team) {
    roofs->fork_ns = median_ns(team, do_nothing, NULL);
    roofs->barrier_ns = 0;
    if (tfr_team_size(team) > 1) {
        const double region = median_ns(team, run_barriers, team);
        roofs->barrier_ns = region > roofs->fork_ns ? (region - roofs->fork_ns) / BARRIERS : 0;
    }
}

enum tfr_status tfr_roofs_measure(struct tfr_roofs *roofs, struct tfr_team *team, const struct tfr_machine *machine, bool quick,
                                  tfr_roofs_say say, void *user) {
    const uint64_t trial_ns = (quick ? QUICK_TRIAL_MS : TRIAL_MS) * UINT64_C(1000000);
    *roofs = (struct tfr_roofs){.n_threads = tfr_team_size(team),
                                .l1d_bytes = machine->l1d_bytes,
                                .l2_bytes = machine->l2_bytes,
                                .l3_bytes = machine->l3_bytes};
    if (say != NULL) {
        say(user, "multiply-adds of each type and instruction set");
    }
    tfr_roofs_flops(roofs, team, machine->isa, trial_ns);
    if (say != NULL) {
        say(user, "threads that meet");
    }
    tfr_roofs_overheads(roofs, team);
    if (say != NULL) {
        say(user, "bytes read by size of the working set");
    }
    return tfr_roofs_bandwidth(roofs, team, machine, trial_ns);
}

static double higher(double a, double b) {
    return a > b ? a : b;
}

static double lower(double a, double b) {
    return a < b ? a : b;
}

void tfr_roofs_merge(struct tfr_roofs *best, const struct tfr_roofs *more) {
    if (best->n_threads == 0) {
        *best = *more;
        return;
    }
    for (int i = 0; i < best->n_flops && i < more->n_flops; i++) {
        best->flops[i].one_core = higher(best->flops[i].one_core, more->flops[i].one_core);
        best->flops[i].all_cores = higher(best->flops[i].all_cores, more->flops[i].all_cores);
    }
    for (int i = 0; i < best->n_bandwidths && i < more->n_bandwidths; i++) {
        best->bandwidth[i].one_core = higher(best->bandwidth[i].one_core, more->bandwidth[i].one_core);
        best->bandwidth[i].all_cores = higher(best->bandwidth[i].all_cores, more->bandwidth[i].all_cores);
    }
    best->fork_ns = lower(best->fork_ns, more->fork_ns);
    best->barrier_ns = lower(best->barrier_ns, more->barrier_ns);
}

/* Read again and again, twice the last cache level is gone before it is wanted. Where the system tells of no third level, as on
 * many ARM CPUs and in some virtual machines, it is the second ones of all threads; the largest set is there to be memory's in any
 * case. */
static double memory_from(const struct tfr_roofs *roofs) {
    const int n = roofs->n_bandwidths;
    const double largest = n > 0 ? (double)roofs->bandwidth[n - 1].bytes : 0, seconds = (double)roofs->l2_bytes * roofs->n_threads;
    return roofs->l3_bytes > 0 ? 2.0 * (double)roofs->l3_bytes : seconds > 0 ? lower(2 * seconds, largest) : largest;
}

/* Bandwidths of working sets that the caches don't hold. */
static void scale_memory(struct tfr_roofs *roofs, double ratio) {
    const double from = memory_from(roofs);
    for (int i = 0; i < roofs->n_bandwidths; i++) {
        if ((double)roofs->bandwidth[i].bytes >= from) {
            roofs->bandwidth[i].one_core *= ratio;
            roofs->bandwidth[i].all_cores *= ratio;
        }
    }
}

struct tfr_roofs tfr_roofs_with_memory(const struct tfr_roofs *roofs, double rate) {
    struct tfr_roofs now = *roofs;
    scale_memory(&now, rate > 0 && roofs->memory_rate > 0 ? rate / roofs->memory_rate : 1);
    return now;
}

void tfr_roofs_set_memory(struct tfr_roofs *roofs, double rate) {
    const double largest = roofs->n_bandwidths > 0 ? roofs->bandwidth[roofs->n_bandwidths - 1].all_cores : 0;
    roofs->memory_rate = rate;
    scale_memory(roofs, rate > 0 && largest > 0 ? rate / largest : 1);
}

void tfr_roofs_put_set(struct tfr_roofs *roofs, int64_t bytes, double rate) {
    int at = 0;
    while (at < roofs->n_bandwidths && roofs->bandwidth[at].bytes < bytes) {
        at++;
    }
    if (at == roofs->n_bandwidths || rate <= 0) {
        return; /* beyond the largest is memory */
    }
    const double one_core = lower(roofs->bandwidth[at].one_core, rate);
    if (roofs->bandwidth[at].bytes > bytes) {
        if (roofs->n_bandwidths == TFR_MAX_BANDWIDTHS) {
            return;
        }
        for (int i = roofs->n_bandwidths++; i > at; i--) {
            roofs->bandwidth[i] = roofs->bandwidth[i - 1];
        }
    }
    roofs->bandwidth[at] = (struct tfr_bandwidth){.bytes = bytes, .one_core = one_core, .all_cores = rate};
}
