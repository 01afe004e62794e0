/* kv_io.c - keys and values of one block in and out of a cache, and from the rank that owns them to rank 0: see slots.h. */
#include "base/status.h"
#include "rank/rank.h"
#include "rank/slots.h"

/* The cache that a part is of, and which of its layers. */
static struct tfr_kvcache *local_cache(const struct tfr_engine *engine, const struct tfr_kv_part *part, int64_t *layer) {
    struct tfr_slot *slot = &engine->slots[part->slot];
    *layer = 0;
    for (int64_t i = 0; i < part->layer; i++) {
        *layer += tfr_placement_has_block(&engine->placement, tfr_engine_rank(engine), i);
    }
    return part->is_cross ? &slot->cross->kv : &slot->kv;
}

/* The first rank that keeps it for rank 0 to fetch, and whether this one has the block. */
static int owner_of(const struct tfr_engine *engine, const struct tfr_kv_part *part) {
    const int32_t replica = engine->slots[part->slot].replica;
    return tfr_placement_rank(&engine->placement, replica == TFR_ALL_REPLICAS ? 0 : replica,
                              tfr_placement_stage_of_block(&engine->placement, part->layer), 0);
}

static bool has_part(const struct tfr_engine *engine, const struct tfr_kv_part *part) {
    return tfr_engine_is_of(engine, engine->slots[part->slot].replica) &&
           tfr_placement_has_block(&engine->placement, tfr_engine_rank(engine), part->layer);
}

int64_t tfr_kv_part_floats(const struct tfr_engine *engine, const struct tfr_kv_part *part) {
    return 2 * part->n * engine->config->model.n_embd;
}

/* Floats of keys, or of values, of one rank's heads; where those of a shard begin among all. */
static int64_t share_floats(const struct tfr_engine *engine, const struct tfr_kv_part *part) {
    return part->n * engine->config->model.n_embd / engine->placement.tensor;
}

void tfr_kv_part_load(struct tfr_engine *engine, const struct tfr_kv_part *part, const float *keys) {
    const int rank = tfr_engine_rank(engine);
    if (part->is_cross) {
        engine->slots[part->slot].cross->n = part->n;
    }
    if (has_part(engine, part)) {
        int64_t layer;
        struct tfr_kvcache *cache = local_cache(engine, part, &layer);
        keys += share_floats(engine, part) * tfr_placement_shard_of(&engine->placement, rank);
        tfr_kvcache_load(cache, layer, part->first, part->n, keys, keys + part->n * engine->config->model.n_embd);
    }
}

static enum tfr_status move_to_rank0(struct tfr_engine *engine, float *floats, int64_t n, int owner) {
    const int rank = tfr_engine_rank(engine);
    const size_t bytes = (size_t)n * sizeof *floats;
    if (owner == 0 || bytes == 0) {
        return TFR_OK;
    }
    if (rank == 0) {
        return tfr_comm_recv(engine->comm, floats, bytes, owner, TFR_TAG_COLLECT);
    }
    return rank == owner ? tfr_comm_send(engine->comm, floats, bytes, 0, TFR_TAG_COLLECT) : TFR_OK;
}

/* Each shard's heads, keys and then values, to where they stand among all heads; every rank lays them out alike. */
static enum tfr_status gather_heads(struct tfr_engine *engine, const struct tfr_kv_part *part, float *keys) {
    const int owner = owner_of(engine, part);
    const int64_t share = share_floats(engine, part), values = part->n * engine->config->model.n_embd;
    for (int t = 0; t < engine->placement.tensor; t++) {
        TFR_TRY(move_to_rank0(engine, keys + t * share, share, owner + t));
        TFR_TRY(move_to_rank0(engine, keys + values + t * share, share, owner + t));
    }
    return TFR_OK;
}

enum tfr_status tfr_kv_part_fetch(struct tfr_engine *engine, const struct tfr_kv_part *part, const float **keys) {
    const int rank = tfr_engine_rank(engine);
    const bool has_block = has_part(engine, part), takes_part = rank == 0 || has_block;
    const size_t bytes = (size_t)(tfr_kv_part_floats(engine, part) + 1) * sizeof(float); /* no positions have a place too */
    *keys = NULL;
    TFR_TRY(tfr_comm_agree(engine->comm, takes_part ? tfr_block_reserve(&engine->fetched, bytes, TFR_HUGEPAGES_OFF) : TFR_OK));
    float *to = engine->fetched.data;
    if (has_block) {
        int64_t layer;
        const struct tfr_kvcache *cache = local_cache(engine, part, &layer);
        float *share = to + share_floats(engine, part) * tfr_placement_shard_of(&engine->placement, rank);
        tfr_kvcache_store(cache, layer, part->first, part->n, share, share + part->n * engine->config->model.n_embd);
    }
    if (takes_part) {
        TFR_TRY(gather_heads(engine, part, to));
    }
    *keys = rank == 0 ? to : NULL;
    return TFR_OK;
}
