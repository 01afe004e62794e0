/* placement.c - ranks as replicas, stages and shares of a stage: see placement.h. */
#include "graph/placement.h"

#include "base/arena.h"
#include "base/status.h"

/* Columns that kernels of linear take together: a share that ends elsewhere would waste the rest. */
enum { PANEL = 64 };

const struct tfr_placement tfr_placement_alone = {.n_ranks = 1, .replicas = 1, .stages = 1, .tensor = 1};

enum tfr_status tfr_placement_open(struct tfr_placement *placement, int64_t n_blocks, int n_ranks) {
    *placement = (struct tfr_placement){
        .n_ranks = n_ranks,
        .replicas = 1,
        .stages = n_ranks,
        .tensor = 1,
        .n_blocks = n_blocks,
        .stage_of_block = tfr_alloc((size_t)n_blocks, sizeof *placement->stage_of_block),
    };
    return placement->stage_of_block != NULL ? TFR_OK : TFR_RESOURCE;
}

void tfr_placement_close(struct tfr_placement *placement) {
    tfr_free(placement->stage_of_block);
    placement->stage_of_block = NULL;
}

enum tfr_status tfr_placement_check(const struct tfr_placement *placement, int64_t n_blocks) {
    const int n_needed = placement->replicas * placement->stages * placement->tensor;
    if (n_needed < 1 || n_needed > placement->n_ranks) {
        return tfr_raise(TFR_USAGE, "%d replicas of %d stages of %d ranks are not %d ranks", placement->replicas, placement->stages,
                         placement->tensor, placement->n_ranks);
    }
    for (int64_t i = 0; i < n_blocks; i++) {
        const int stage = tfr_placement_stage_of_block(placement, i);
        if (stage < 0 || stage >= placement->stages) {
            return tfr_raise(TFR_USAGE, "block %lld is given to stage %d of %d", (long long)i, stage, placement->stages);
        }
    }
    if (placement->last_stage < 0 || placement->last_stage >= placement->stages) {
        return tfr_raise(TFR_USAGE, "ln_f is given to stage %d of %d", placement->last_stage, placement->stages);
    }
    return TFR_OK;
}

int tfr_placement_rank(const struct tfr_placement *placement, int replica, int stage, int shard) {
    return (replica * placement->stages + stage) * placement->tensor + shard;
}

/* Ranks beyond the last replica have a number that is none of them. */
int tfr_placement_replica_of(const struct tfr_placement *placement, int rank) {
    return rank / (placement->stages * placement->tensor);
}

int tfr_placement_stage_of(const struct tfr_placement *placement, int rank) {
    return rank / placement->tensor % placement->stages;
}

int tfr_placement_shard_of(const struct tfr_placement *placement, int rank) {
    return rank % placement->tensor;
}

int tfr_placement_stage_of_block(const struct tfr_placement *placement, int64_t block) {
    return placement->stage_of_block != NULL ? placement->stage_of_block[block] : 0;
}

int tfr_placement_owner(const struct tfr_placement *placement, int64_t block) {
    return tfr_placement_rank(placement, 0, tfr_placement_stage_of_block(placement, block), 0);
}

int tfr_placement_last_rank(const struct tfr_placement *placement) {
    return tfr_placement_rank(placement, 0, placement->last_stage, 0);
}

int tfr_placement_head_rank(const struct tfr_placement *placement) {
    return placement->head == TFR_PLACE_LAST ? tfr_placement_last_rank(placement) : 0;
}

bool tfr_placement_has_block(const struct tfr_placement *placement, int rank, int64_t block) {
    return tfr_placement_replica_of(placement, rank) < placement->replicas &&
           tfr_placement_stage_of(placement, rank) == tfr_placement_stage_of_block(placement, block);
}

int64_t tfr_placement_count_blocks(const struct tfr_placement *placement, int rank) {
    int64_t n = 0;
    for (int64_t i = 0; i < placement->n_blocks; i++) {
        n += tfr_placement_has_block(placement, rank, i);
    }
    return n;
}

int tfr_placement_n_shares(const struct tfr_placement *placement) {
    return placement->stages * placement->tensor;
}

void tfr_placement_vocabulary(const struct tfr_placement *placement, int rank, int64_t vocab_size, int64_t *first, int64_t *n) {
    const int n_shares = tfr_placement_n_shares(placement), share = rank % n_shares;
    const int64_t panels = (vocab_size + PANEL - 1) / PANEL;
    *first = *n = 0;
    if (tfr_placement_replica_of(placement, rank) >= placement->replicas) {
        return;
    }
    if (placement->head == TFR_PLACE_SPLIT) {
        const int64_t end = panels * (share + 1) / n_shares * PANEL;
        *first = panels * share / n_shares * PANEL;
        *n = (end < vocab_size ? end : vocab_size) - *first;
    } else if (share == tfr_placement_head_rank(placement)) {
        *n = vocab_size;
    }
}

bool tfr_placement_has_work(const struct tfr_placement *placement, int rank) {
    if (tfr_placement_replica_of(placement, rank) >= placement->replicas) {
        return false;
    }
    const int stage = tfr_placement_stage_of(placement, rank);
    return stage == 0 || stage == placement->last_stage || placement->head == TFR_PLACE_SPLIT ||
           tfr_placement_count_blocks(placement, rank) > 0;
}
