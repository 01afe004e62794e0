/* same_weights.c - ranks that opened different checkpoints would compute the digest of neither: before work
 * starts they compare what they opened. Files that are the same for the system are not read; others are
 * hashed (model/model_hash.h). */
#include "rank/rank.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/model_hash.h"

enum { MAX_PATH_SHOWN = 512 };

struct opened {
    uint64_t identity, hash; /* 0: not known, not asked for */
    char file[MAX_PATH_SHOWN];
};

static bool same_identity(const struct opened *all, int n_ranks) {
    bool is_same = all[0].identity != 0;
    for (int rank = 1; rank < n_ranks; rank++) {
        is_same = is_same && all[rank].identity == all[0].identity;
    }
    return is_same;
}

static enum tfr_status compare(const struct opened *all, int n_ranks) {
    for (int rank = 1; rank < n_ranks; rank++) {
        if (all[rank].hash != all[0].hash) {
            return tfr_raise(TFR_USAGE,
                             "rank %d opened other weights (%s) than rank 0 (%s); give all ranks the same "
                             "checkpoint and the same "
                             "adapter",
                             rank, all[rank].file, all[0].file);
        }
    }
    return TFR_OK;
}

/* Two rounds: what the system says of the files, and only if that differs, what is in them. `all` is rank
 * 0's. */
static enum tfr_status exchange(struct tfr_engine *engine, struct opened *mine, struct opened *all) {
    const int n_ranks = tfr_engine_size(engine);
    int32_t is_same = 0;
    mine->identity = tfr_model_identity(engine->model);
    TFR_TRY(tfr_comm_gather(engine->comm, mine, sizeof *mine, all));
    if (tfr_engine_rank(engine) == 0) {
        is_same = same_identity(all, n_ranks);
    }
    TFR_TRY(tfr_comm_bcast(engine->comm, &is_same, sizeof is_same));
    if (is_same != 0) {
        return TFR_OK;
    }
    mine->hash = tfr_model_full_hash(engine->model);
    TFR_TRY(tfr_comm_gather(engine->comm, mine, sizeof *mine, all));
    return tfr_comm_agree(engine->comm, tfr_engine_rank(engine) == 0 ? compare(all, n_ranks) : TFR_OK);
}

enum tfr_status tfr_engine_same_weights(struct tfr_engine *engine) {
    const int n_ranks = tfr_engine_size(engine);
    if (n_ranks == 1) {
        return TFR_OK;
    }
    struct opened mine = {0};
    struct opened *all = tfr_alloc((size_t)n_ranks, sizeof *all);
    snprintf(mine.file, sizeof mine.file, "%s", tfr_weights_file(engine->model->weights, 0));
    enum tfr_status status = tfr_comm_agree(engine->comm, all != NULL ? TFR_OK : TFR_RESOURCE);
    if (status == TFR_OK) {
        status = exchange(engine, &mine, all);
    }
    tfr_free(all);
    return status;
}
