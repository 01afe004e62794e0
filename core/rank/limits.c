/* limits.c - what the options runtime.kv_* make of the caches: their type, when memory is touched, how long a sequence
 * may be. */
#include "base/status.h"
#include "rank/rank.h"

static enum tfr_dtype fours(const struct tfr_options *options) {
    const bool is_wide = options->runtime_int4_group == TFR_GROUP_64;
    return options->runtime_int4_zero_point ? (is_wide ? TFR_DTYPE_I4_ZERO64 : TFR_DTYPE_I4_ZERO)
                                            : (is_wide ? TFR_DTYPE_I4_GROUP64 : TFR_DTYPE_I4_GROUP);
}

enum tfr_dtype tfr_packed_dtype(const struct tfr_config *config) {
    static const enum tfr_dtype packed[] = {[TFR_PACK_F32] = TFR_DTYPE_F32,
                                            [TFR_PACK_BF16] = TFR_DTYPE_BF16,
                                            [TFR_PACK_INT8] = TFR_DTYPE_I8_CHANNEL,
                                            [TFR_PACK_INT8W] = TFR_DTYPE_I8_CHANNEL,
                                            [TFR_PACK_INT4] = TFR_DTYPE_I4_GROUP};
    const int type = config->options.runtime_dtype;
    return type == TFR_PACK_INT4 ? fours(&config->options) : packed[type];
}

enum tfr_dtype tfr_x_dtype(const struct tfr_config *config) {
    const int64_t type = config->options.runtime_dtype;
    return type == TFR_PACK_INT8 || type == TFR_PACK_INT4 ? TFR_DTYPE_I8 : TFR_DTYPE_F32;
}

enum tfr_dtype tfr_table_dtype(const struct tfr_config *config) {
    return config->options.runtime_dtype == TFR_PACK_BF16 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
}

bool tfr_is_lossless(const struct tfr_config *config) {
    const struct tfr_options *options = &config->options;
    return options->runtime_lossless && options->runtime_deterministic && tfr_packed_dtype(config) == TFR_DTYPE_F32;
}

enum tfr_dtype tfr_kv_dtype(const struct tfr_config *config) {
    static const enum tfr_dtype types[] = {
        [TFR_KV_F32] = TFR_DTYPE_F32, [TFR_KV_BF16] = TFR_DTYPE_BF16, [TFR_KV_F16] = TFR_DTYPE_F16, [TFR_KV_INT8] = TFR_DTYPE_I8};
    const int type = config->options.runtime_kv_dtype;
    return type != TFR_KV_AUTO ? types[type] : tfr_packed_dtype(config) == TFR_DTYPE_F32 ? TFR_DTYPE_F32 : TFR_DTYPE_BF16;
}

int64_t tfr_kv_capacity(const struct tfr_config *config) {
    const int64_t wanted = config->options.runtime_kv_capacity;
    return wanted > 0 ? wanted : config->model.n_positions;
}

int64_t tfr_max_slots(const struct tfr_options *options) {
    const int64_t wanted = options->runtime_max_slots, least = options->runtime_max_batch;
    return wanted == 0 ? least + 16 : wanted > least ? wanted : least;
}

int64_t tfr_engine_slot_bytes(const struct tfr_engine *engine) {
    const struct tfr_kvcache_spec spec = tfr_engine_kv_spec(engine);
    return (int64_t)tfr_kvcache_position_bytes(&spec) * tfr_kv_capacity(engine->config);
}

void tfr_forget_ranks(struct tfr_config *config) {
    struct tfr_options *options = &config->options;
    options->runtime_sums = tfr_sums_by_head(options) ? TFR_SUMS_BY_HEAD : options->runtime_sums;
    options->parallel_tensor = options->parallel_replicas = 1;
}

void tfr_assistant_forget_ranks(struct tfr_engine *engine) {
    if (engine->lender != NULL) {
        tfr_forget_ranks(engine->config);
        engine->config->device_map.n_blocks = 0;
    }
}

bool tfr_sums_by_head(const struct tfr_options *options) {
    return options->runtime_sums == TFR_SUMS_BY_HEAD || options->parallel_tensor > 1;
}

struct tfr_kvcache_spec tfr_kv_spec(const struct tfr_config *config, int64_t n_layers) {
    return (struct tfr_kvcache_spec){.n_layers = n_layers,
                                     .n_heads = config->model.n_head,
                                     .head_dim = config->model.n_embd / config->model.n_head,
                                     .dtype = tfr_kv_dtype(config),
                                     .touch = config->options.runtime_kv_cache == TFR_KV_STATIC};
}

struct tfr_kvcache_spec tfr_engine_kv_spec(const struct tfr_engine *engine) {
    struct tfr_kvcache_spec spec = tfr_kv_spec(engine->config, engine->n_local_layers);
    spec.n_heads /= engine->placement.tensor;
    spec.memory = &engine->memory;
    return spec;
}

static bool is_static(const struct tfr_engine *engine) {
    return engine->config->options.runtime_kv_cache == TFR_KV_STATIC;
}

const char *tfr_engine_positions_name(const struct tfr_engine *engine) {
    if (engine->config->options.runtime_kv_capacity > 0) {
        return engine->n_prefix > 0 ? "tfrun.runtime.kv_capacity - prefix" : "tfrun.runtime.kv_capacity";
    }
    return engine->n_prefix > 0 ? "n_positions - prefix" : "n_positions";
}

bool tfr_engine_is_unbounded(const struct tfr_engine *engine) {
    return !is_static(engine) && engine->config->options.runtime_kv_capacity == 0;
}

enum tfr_status tfr_engine_check_capacity(const struct tfr_engine *engine, int64_t n_past, int64_t n_new) {
    const int64_t capacity = tfr_kv_capacity(engine->config);
    if (tfr_engine_is_unbounded(engine) || n_past + n_new <= capacity) {
        return TFR_OK;
    }
    return tfr_raise(TFR_USAGE,
                     "%lld before and %lld new ones make %lld positions, a kv cache of this run holds %lld (%s); shorten "
                     "the text or ask for fewer new tokens%s",
                     (long long)n_past, (long long)n_new, (long long)(n_past + n_new), (long long)capacity,
                     engine->config->options.runtime_kv_capacity > 0 ? "tfrun.runtime.kv_capacity" : "n_positions",
                     capacity < engine->config->model.n_positions ? ", or raise --kv-capacity" : "");
}

static enum tfr_status open_cache(struct tfr_engine *engine, struct tfr_kvcache *cache, int32_t replica, int64_t capacity) {
    struct tfr_kvcache_spec spec = tfr_engine_kv_spec(engine);
    spec.n_layers = tfr_engine_is_of(engine, replica) ? spec.n_layers : 0;
    enum tfr_status status = tfr_comm_agree(engine->comm, tfr_kvcache_open(cache, &spec, capacity));
    if (status != TFR_OK) {
        tfr_kvcache_close(cache);
    }
    return status;
}

enum tfr_status tfr_engine_open_kv(struct tfr_engine *engine, struct tfr_kvcache *cache, int32_t replica, int64_t capacity) {
    return open_cache(engine, cache, replica, is_static(engine) ? tfr_kv_capacity(engine->config) : capacity);
}

enum tfr_status tfr_engine_open_fixed_kv(struct tfr_engine *engine, struct tfr_kvcache *cache, int32_t replica, int64_t n) {
    return open_cache(engine, cache, replica, n);
}
