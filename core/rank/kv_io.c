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

int64_t tfr_kv_part_floats(const struct tfr_engine *engine, const struct tfr_kv_part *part) {
    return 2 * part->n * engine->config->model.n_embd;
}

void tfr_kv_part_load(struct tfr_engine *engine, const struct tfr_kv_part *part, const float *keys) {
    if (part->is_cross) {
        engine->slots[part->slot].cross->n = part->n;
    }
    if (tfr_placement_has_block(&engine->placement, tfr_engine_rank(engine), part->layer)) {
        int64_t layer;
        struct tfr_kvcache *cache = local_cache(engine, part, &layer);
        tfr_kvcache_load(cache, layer, part->first, part->n, keys, keys + part->n * engine->config->model.n_embd);
    }
}

static enum tfr_status move_to_rank0(struct tfr_engine *engine, float *keys, size_t bytes, int owner) {
    const int rank = tfr_engine_rank(engine);
    if (owner == 0 || bytes == 0) {
        return TFR_OK;
    }
    if (rank == 0) {
        return tfr_comm_recv(engine->comm, keys, bytes, owner, TFR_TAG_COLLECT);
    }
    return rank == owner ? tfr_comm_send(engine->comm, keys, bytes, 0, TFR_TAG_COLLECT) : TFR_OK;
}

enum tfr_status tfr_kv_part_fetch(struct tfr_engine *engine, const struct tfr_kv_part *part, const float **keys) {
    const int owner = tfr_placement_owner(&engine->placement, part->layer), rank = tfr_engine_rank(engine);
    const size_t bytes = (size_t)tfr_kv_part_floats(engine, part) * sizeof(float);
    const bool takes_part = rank == 0 || rank == owner;
    *keys = NULL;
    TFR_TRY(tfr_comm_agree(engine->comm, takes_part ? tfr_block_reserve(&engine->fetched, bytes, TFR_HUGEPAGES_OFF) : TFR_OK));
    float *to = engine->fetched.data;
    if (owner == rank) {
        int64_t layer;
        const struct tfr_kvcache *cache = local_cache(engine, part, &layer);
        tfr_kvcache_store(cache, layer, part->first, part->n, to, to + part->n * engine->config->model.n_embd);
    }
    TFR_TRY(move_to_rank0(engine, to, bytes, owner));
    *keys = rank == 0 ? to : NULL;
    return TFR_OK;
}
