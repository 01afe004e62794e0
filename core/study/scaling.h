/* scaling.h - benches of one model on different numbers of ranks and threads, joined: what more cores bring.
 *
 * cores = ranks * threads of rank 0. Each case of each bench is a point. A strong point is compared with the same case on the
 * fewest cores (of equal ones: with the same settings, then the first). A weak point is compared with the fewest cores of all,
 * where they ran as many sequences side by side for each core. With t the time, q = cores / base cores:
 *
 *     strong:  speed-up S = t(base) / t            efficiency = S / q     serial fraction (Karp, Flatt) = (1/S - 1/q) / (1 - 1/q)
 *     weak:    speed-up S = q * t(base) / t        efficiency = S / q     serial fraction (Gustafson)   = (q - S) / (q - 1)
 *
 * The interval of S follows from both intervals of the medians: it holds where both do. From the times of ranks, where benches know
 * them: load balance = mean busy / longest busy, communication efficiency = longest busy / t. Their product is the share of the
 * time in which ranks are busy. Computation = busy time of all cores of the base / of the point, times q where there is q times as
 * much to do: below 1 where the same work takes longer, as on cores that share a memory. Efficiency is the product of the three,
 * over the share of the base. Only points of the same kind are compared: simulated times with simulated ones. Thread rule:
 * read-only once it is complete.
 */
#ifndef TFR_STUDY_SCALING_H
#define TFR_STUDY_SCALING_H

#include "study/bench_document.h"

struct tfr_scaling_point {
    const struct tfr_bench *bench;
    const struct tfr_bench_figure *figure;
    /* Options of the command line but runtime.threads: "parallel.split=hf"; "" none. As many shards or replicas as ranks are
     * "=ranks", so that a layout has one name on all numbers of ranks. */
    char *settings;
    bool simulated, crowded; /* crowded: more threads than cores on a node */
    int64_t cores;
    const struct tfr_scaling_point *base[2]; /* by enum tfr_scaling_kind; itself where it is one; NULL: nothing to compare with */
};
enum tfr_scaling_kind { TFR_SCALING_STRONG, TFR_SCALING_WEAK, TFR_SCALING_KINDS };

struct tfr_scaling {
    struct tfr_scaling_point *points; /* by case, n, simulated or not, settings, cores, ranks */
    size_t n;
};

struct tfr_scaling_gain {
    double q, speedup, low, high, efficiency;
    bool has_serial; /* q above 1 */
    double serial_fraction;
};
/* `base[kind]` is there. */
struct tfr_scaling_gain tfr_scaling_gain(const struct tfr_scaling_point *point, enum tfr_scaling_kind kind);
/* False where the bench does not know the times of its ranks. */
bool tfr_scaling_shares(const struct tfr_scaling_point *point, double *balance, double *communication);
/* False where it or its base does not know them. */
bool tfr_scaling_computation(const struct tfr_scaling_point *point, enum tfr_scaling_kind kind, double *computation);

const char *tfr_scaling_kind_name(enum tfr_scaling_kind kind);
const char *tfr_scaling_source(const struct tfr_scaling_point *point); /* "measured" or "simulated" */

#endif
