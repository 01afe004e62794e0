/* choice.c - how many threads a rank gets: the least of all limits, and a sentence that names the one that
 * won. */
#include "topo/topo.h"

#include <stdio.h>

#include "base/plural.h"
#include "base/status.h"
#include "topo/domain.h"

/* An explicit request is honoured up to this many threads per core, for tests and for the curious. */
enum { MAX_THREADS_PER_CORE = 4 };

struct limit {
    int n; /* 0 = none */
    const char *format;
    double value;
};

/* This rank's chunk of the cores: contiguous, by NUMA domains where they come out even, else sizes differ by at most one. More
 * ranks than cores share round robin. */
static void take_chunk(const struct tfr_machine *machine, int rank, int n_ranks, struct tfr_thread_choice *choice) {
    const int n = machine->n_cores;
    if (tfr_domain_chunk(machine, rank, n_ranks, &choice->first_core, &choice->n_cores)) {
        return;
    }
    if (n_ranks > n) {
        choice->first_core = n > 0 ? rank % n : 0;
        choice->n_cores = 1;
        return;
    }
    const int each = n / n_ranks, rest = n % n_ranks;
    choice->first_core = rank * each + (rank < rest ? rank : rest);
    choice->n_cores = each + (rank < rest ? 1 : 0);
}

/* Whole cores of the quota for each rank: one thread too many and the system stops all of them for part of
 * each period. */
static int quota_threads(const struct tfr_machine *machine, int n_ranks) {
    if (machine->quota_cores <= 0) {
        return 0;
    }
    const double each = machine->quota_cores / n_ranks + 1e-9;
    return each < 1 ? 1 : (int)(each < 1e6 ? each : 1e6);
}

/* Why the chunk is as large as it is. */
static void say_cores(const struct tfr_machine *machine, int n_ranks, struct tfr_thread_choice *choice) {
    const char *why = "of this machine";
    if (machine->n_affinity > 0) {
        why = "allowed by the CPU affinity";
    } else if (machine->n_cpuset > 0) {
        why = "allowed by the cgroup cpuset";
    } else if (machine->is_described) {
        why = "of the machine that is described";
    }
    if (n_ranks > 1) {
        snprintf(choice->reason, sizeof choice->reason, "%d of the %d core%s %s, shared by %d ranks", choice->n_cores,
                 machine->n_cores, tfr_plural(machine->n_cores), why, n_ranks);
    } else {
        snprintf(choice->reason, sizeof choice->reason, "%d core%s %s", choice->n_cores, tfr_plural(choice->n_cores), why);
    }
}

static void apply(const struct limit *limits, size_t n, struct tfr_thread_choice *choice) {
    for (size_t i = 0; i < n; i++) {
        if (limits[i].n > 0 && limits[i].n < choice->n_threads) {
            choice->n_threads = limits[i].n;
            snprintf(choice->reason, sizeof choice->reason, limits[i].format, limits[i].value);
        }
    }
}

static void choose_auto(const struct tfr_machine *machine, int n_ranks, struct tfr_thread_choice *choice) {
    const struct limit limits[] = {
        {quota_threads(machine, n_ranks), "cgroup CPU quota of %.3g cores", machine->quota_cores},
        {machine->slurm_cpus_per_task, "SLURM_CPUS_PER_TASK=%.0f", machine->slurm_cpus_per_task},
        {machine->omp_num_threads, "OMP_NUM_THREADS=%.0f", machine->omp_num_threads},
        {machine->omp_thread_limit, "OMP_THREAD_LIMIT=%.0f", machine->omp_thread_limit},
        {machine->omp_no_levels ? 1 : 0, "OMP_MAX_ACTIVE_LEVELS=0", 0},
    };
    choice->n_threads = choice->n_cores;
    say_cores(machine, n_ranks, choice);
    apply(limits, sizeof limits / sizeof limits[0], choice);
}

/* OpenMP itself enforces its thread limit, so even a request cannot go beyond. */
static enum tfr_status choose_asked(const struct tfr_machine *machine, int asked, struct tfr_thread_choice *choice) {
    const int most = choice->n_cores * MAX_THREADS_PER_CORE;
    const struct limit limits[] = {
        {most, "%.0f, four for each core of this rank", most},
        {machine->omp_thread_limit, "OMP_THREAD_LIMIT=%.0f", machine->omp_thread_limit},
        {machine->omp_no_levels ? 1 : 0, "1, as OMP_MAX_ACTIVE_LEVELS=0 wants", 0},
    };
    choice->n_threads = asked;
    snprintf(choice->reason, sizeof choice->reason, "as requested");
    apply(limits, sizeof limits / sizeof limits[0], choice);
    if (choice->n_threads < asked) {
        return tfr_raise(
            TFR_CONFIG, "runtime.threads asks for %d threads, the most is %s; ask for fewer, or leave the choice to tfrun%s", asked,
            choice->reason, machine->is_for_plan ? "; another machine can be described: HWLOC_SYNTHETIC=\"core:N pu:1\"" : "");
    }
    return TFR_OK;
}

int tfr_machine_cores_here(const struct tfr_machine *machine) {
    return machine->n_cores_here > 0 ? machine->n_cores_here : machine->n_pus_online;
}

/* Bound to one core by a launcher although the node has cores that no rank was given, as `mpirun -n 1` and
 * `-n 2` do unasked. Where the user asked for one core (srun -c 1, taskset, OMP_NUM_THREADS=1), that is what
 * he gets. */
static bool is_pinched(const struct tfr_machine *machine) {
    return machine->launcher_local_size > 0 && machine->n_affinity == 1 &&
           tfr_machine_cores_here(machine) > machine->launcher_local_size && machine->omp_num_threads != 1 &&
           machine->slurm_cpus_per_task != 1;
}

/* The first thing that a user would want to change. */
static void warn(const struct tfr_machine *machine, int asked, int n_ranks, struct tfr_thread_choice *choice) {
    char *text = choice->warning;
    const size_t size = sizeof choice->warning;
    const int quota = quota_threads(machine, n_ranks);
    if (asked > choice->n_cores) {
        snprintf(text, size, "%d threads were requested, but this rank has %d core%s: threads will wait for each other", asked,
                 choice->n_cores, tfr_plural(choice->n_cores));
    } else if (asked > 0 && quota > 0 && asked > quota) {
        snprintf(text, size,
                 "%d threads were requested, but the cgroup CPU quota is %.3g cores for %d rank%s: all of "
                 "them will be stopped for part of the time",
                 asked, machine->quota_cores, n_ranks, tfr_plural(n_ranks));
    } else if (asked == 0 && is_pinched(machine)) {
        snprintf(text, size,
                 "bound to a single core by the launcher; for more threads use "
                 "`mpirun --bind-to none` or `--map-by slot:PE=N`, or `srun -c N`");
    } else if (asked == 0 && machine->omp_num_threads > choice->n_cores) {
        snprintf(text, size, "OMP_NUM_THREADS asks for %d threads, but this rank has %d core%s: %d used", machine->omp_num_threads,
                 choice->n_cores, tfr_plural(choice->n_cores), choice->n_threads);
    } else if (n_ranks > machine->n_cores) {
        snprintf(text, size, "%d ranks share %d core%s: correct, but slower than one rank per core", n_ranks, machine->n_cores,
                 tfr_plural(machine->n_cores));
    }
}

enum tfr_status tfr_machine_choose_threads(const struct tfr_machine *machine, int asked, int local_rank, int n_local_ranks,
                                           struct tfr_thread_choice *choice) {
    const int n_ranks = n_local_ranks > 1 ? n_local_ranks : 1;
    enum tfr_status status = TFR_OK;
    *choice = (struct tfr_thread_choice){0};
    take_chunk(machine, local_rank, n_ranks, choice);
    if (asked > 0) {
        status = choose_asked(machine, asked, choice);
    } else {
        choose_auto(machine, n_ranks, choice);
    }
    if (choice->n_threads < 1) {
        choice->n_threads = 1;
    }
    const bool above_quota = machine->quota_cores > 0 && (double)choice->n_threads * n_ranks > machine->quota_cores;
    choice->oversubscribed = n_ranks > machine->n_cores || choice->n_threads > choice->n_cores || above_quota;
    choice->openmp_binds = machine->openmp_binds && n_ranks == 1;
    warn(machine, asked, n_ranks, choice);
    return status;
}

bool tfr_machine_gives_own_cores(const struct tfr_machine *machine, const struct tfr_thread_choice *choice, int n_node_ranks) {
    const int n_threads = n_node_ranks * choice->n_threads;
    const int most =
        machine->n_cpuset > 0 ? machine->n_pus_online : tfr_machine_cores_here(machine); /* others may have other sets */
    return !choice->oversubscribed && n_threads <= most && (machine->quota_cores <= 0 || n_threads <= machine->quota_cores);
}
