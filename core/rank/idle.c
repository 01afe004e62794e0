/* idle.c - ranks that a layout leaves without work: a few are told of, many are refused before they load anything. */
#include <stdio.h>

#include "base/log.h"
#include "base/plural.h"
#include "base/status.h"
#include "rank/rank.h"

static int count_idle(const struct tfr_placement *placement) {
    int n = 0;
    for (int rank = 0; rank < placement->n_ranks; rank++) {
        n += !tfr_placement_has_work(placement, rank);
    }
    return n;
}

/* Fewer that are idle do no harm. */
enum { LEAST_REFUSED = 8 };

/* By numbers alone, so that it can be asked before costs are known: a stage for each block, and one for embeddings and head. */
enum tfr_status tfr_check_idle_ranks(const struct tfr_config *config, int n_ranks) {
    const struct tfr_options *options = &config->options;
    const int64_t n_layer = config->model.n_layer;
    const int64_t most = (n_layer + 1) * options->parallel_tensor * options->parallel_replicas;
    if (n_ranks <= 2 * most || n_ranks - most < LEAST_REFUSED || options->parallel_head == TFR_HEAD_AT_SPLIT) {
        return TFR_OK;
    }
    return tfr_raise(
        TFR_USAGE,
        "%s: %d ranks for %lld block%s: at least %lld would have nothing to do, and more than half are refused; start %lld "
        "or fewer (--ranks %lld, or mpirun -n %lld), or give the others work with --tensor, --replicas or --head split",
        config->path, n_ranks, (long long)n_layer, tfr_plural(n_layer), (long long)(n_ranks - most), (long long)most,
        (long long)most, (long long)most);
}

void tfr_warn_of_idle_ranks(const struct tfr_config *config, const struct tfr_placement *placement) {
    const int64_t n_layer = config->model.n_layer;
    const int n_idle = count_idle(placement), n_busy = placement->n_ranks - n_idle;
    char names[80] = "";
    size_t used = 0;
    for (int rank = 0; rank < placement->n_ranks; rank++) {
        if (!tfr_placement_has_work(placement, rank)) {
            used += used < sizeof names - 16 ? (size_t)snprintf(names + used, sizeof names - used, " %d", rank) : 0;
        }
    }
    if (n_idle > 0) {
        tfr_log(TFR_LOG_WARN, "mpi", "%d rank%s without a block, idle:%s%s; the model has %lld block%s, start %d rank%s", n_idle,
                tfr_plural(n_idle), names, used < sizeof names - 16 ? "" : " ...", (long long)n_layer, tfr_plural(n_layer), n_busy,
                tfr_plural(n_busy));
    }
}
