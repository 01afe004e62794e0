/* prefix.c - loads the prefix of model.prefix and copies it into slots: see prefix.h. */
#include "session/prefix.h"

#include "base/arena.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/status.h"
#include "job/command.h"
#include "model/adapter.h"

/* One block: rank 0 reads, all hear, the owner keeps. */
static enum tfr_status load_block(struct tfr_engine *engine, const struct tfr_kv_part *part, float *keys) {
    const size_t bytes = (size_t)tfr_kv_part_floats(engine, part) * sizeof *keys;
    enum tfr_status status = TFR_OK;
    if (tfr_engine_rank(engine) == 0) {
        status = tfr_adapter_block(engine->model->adapter, part->layer, keys);
        engine->prefix_hash = tfr_hash(engine->prefix_hash, keys, bytes);
    }
    TFR_TRY(tfr_comm_agree(engine->comm, status));
    TFR_TRY(tfr_comm_bcast(engine->comm, keys, bytes));
    tfr_kv_part_load(engine, part, keys);
    return TFR_OK;
}

static enum tfr_status load_blocks(struct tfr_engine *engine) {
    struct tfr_kv_part part = {.slot = (int32_t)engine->n_slots, .n = engine->n_prefix};
    float *keys = tfr_alloc((size_t)tfr_kv_part_floats(engine, &part), sizeof *keys);
    enum tfr_status status = tfr_comm_agree(engine->comm, keys != NULL ? TFR_OK : TFR_RESOURCE);
    for (; part.layer < engine->config->model.n_layer && status == TFR_OK; part.layer++) {
        status = load_block(engine, &part, keys);
    }
    tfr_free(keys);
    return status;
}

static enum tfr_status check_length(const struct tfr_engine *engine, int64_t n) {
    if (n < tfr_kv_capacity(engine->config)) {
        return TFR_OK;
    }
    return tfr_raise(TFR_MODEL, "%s: a prefix of %lld positions leaves none of %lld (%s) for tokens",
                     engine->config->options.model_prefix, (long long)n, (long long)tfr_kv_capacity(engine->config),
                     tfr_engine_positions_name(engine));
}

enum tfr_status tfr_prefix_load(struct tfr_engine *engine) {
    int64_t n = engine->model->adapter != NULL ? tfr_adapter_positions(engine->model->adapter) : 0;
    TFR_TRY(tfr_comm_bcast(engine->comm, &n, sizeof n));
    if (n == 0) {
        return TFR_OK;
    }
    TFR_TRY(tfr_comm_agree(engine->comm, check_length(engine, n)));
    struct tfr_slot *slot = &engine->slots[engine->n_slots];
    TFR_TRY(tfr_engine_open_fixed_kv(engine, &slot->kv, TFR_ALL_REPLICAS, n));
    slot->replica = TFR_ALL_REPLICAS;
    slot->open = slot->has_memory = true;
    engine->n_prefix = n;
    engine->prefix_hash = TFR_HASH_START;
    tfr_log(TFR_LOG_INFO, "engine", "prefix of %lld positions: %lld are left for tokens", (long long)n,
            (long long)tfr_engine_n_positions(engine));
    return load_blocks(engine);
}

enum tfr_status tfr_prefix_copy(struct tfr_engine *engine, int32_t slot) {
    return engine->n_prefix > 0 ? tfr_engine_copy_slot(engine, slot, (int32_t)engine->n_slots, engine->n_prefix) : TFR_OK;
}
