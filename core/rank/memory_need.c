/* memory_need.c - what a rank is going to take, against what is free for it: before the weights are packed,
 * because a control group ends a process that goes over its limit without a word. */
#include "base/log.h"
#include "base/status.h"
#include "base/tensor.h"
#include "rank/rank.h"

/* Of one linear, with its scales. */
static double linear_bytes(const struct tfr_config *config, enum tfr_param param, int64_t layer, enum tfr_dtype dtype) {
    int64_t dim[2];
    tfr_model_param_shape(&config->model, param, dim);
    const int64_t n_inputs = dim[param >= TFR_PARAM_LM_HEAD ? 1 : 0];
    return (double)(dim[0] * dim[1]) *
           tfr_dtype_cost(tfr_model_linear_dtype(&config->options.runtime_int4_finer, param, layer, dtype), n_inputs);
}

/* Tables of embeddings stay in the mapped file, biases and norms are small. */
int64_t tfr_packed_bytes(const struct tfr_config *config, int64_t n_layers, int64_t n_vocabulary, enum tfr_dtype dtype) {
    const struct tfr_hparams *model = &config->model;
    const int64_t n_kinds = config->options.runtime_int4_finer.n > 0 && model->n_layer > 0 ? model->n_layer : 1;
    double blocks = 0, head = 0;
    for (int param = 0; param < TFR_PARAM_PER_BLOCK && n_layers > 0; param++) {
        const bool is_there = tfr_model_has_param(model, (enum tfr_param)param);
        for (int64_t layer = 0; is_there && tfr_model_is_linear(model, (enum tfr_param)param) && layer < n_kinds; layer++) {
            blocks += linear_bytes(config, (enum tfr_param)param, layer, dtype);
        }
    }
    if (n_vocabulary > 0) {
        head = linear_bytes(config, TFR_PARAM_LM_HEAD, 0, dtype) * (double)n_vocabulary / (double)model->vocab_size;
    }
    return (int64_t)(blocks * (double)n_layers / (double)n_kinds + head + 0.5);
}

enum tfr_status tfr_memory_judge(const char *what, const struct tfr_memory_need *need) {
    if (need->free_bytes <= 0 || need->weights_bytes + need->cache_bytes <= need->free_bytes) {
        return TFR_OK;
    }
    const double weights = (double)need->weights_bytes / 1e6, cache = (double)need->cache_bytes / 1e6,
                 left = (double)need->free_bytes / 1e6;
    if (need->weights_bytes > need->free_bytes) {
        return tfr_raise(TFR_RESOURCE,
                         "%s: the packed weights of %lld blocks take %.1f MB, and %.1f MB are free for this "
                         "process (the limit of its "
                         "control group, or the machine's memory); raise the limit, %sor spread the blocks "
                         "over more ranks",
                         what, (long long)need->n_layers, weights, left, need->can_halve ? "give --dtype bf16, " : "");
    }
    tfr_log(TFR_LOG_WARN, "rank",
            "%s: weights of %.0f MB and the kv cache of one full sequence, %.0f MB, are more than the %.0f "
            "MB that are free for this "
            "process; give a lower --kv-capacity%s, or raise the limit",
            what, weights, cache, left, need->can_halve ? ", --dtype bf16" : "");
    return TFR_OK;
}

/* The type that weights take in memory, as far as types say it: f32 values that happen to be exact are found later. */
static enum tfr_dtype kept_type(const struct tfr_engine *engine, enum tfr_param param) {
    const struct tfr_weight *weight = tfr_model_param(engine->model, param, 0);
    const enum tfr_dtype stored = weight != NULL ? weight->tensor.dtype : TFR_DTYPE_F32;
    const bool is_half = stored == TFR_DTYPE_BF16 || stored == TFR_DTYPE_F16;
    return is_half && tfr_is_lossless(engine->config) ? stored : tfr_packed_dtype(engine->config);
}

enum tfr_status tfr_rank_check_memory(const struct tfr_engine *engine) {
    const struct tfr_config *config = engine->config;
    const enum tfr_dtype dtype = kept_type(engine, TFR_PARAM_C_ATTN_WEIGHT), head_dtype = kept_type(engine, TFR_PARAM_LM_HEAD);
    int64_t first, n_vocabulary = 0;
    if (config->model.head == TFR_HEAD_LM || config->model.head == TFR_HEAD_DOUBLE) {
        tfr_placement_vocabulary(&engine->placement, tfr_engine_rank(engine), config->model.vocab_size, &first, &n_vocabulary);
    }
    const struct tfr_kvcache_spec spec = tfr_engine_kv_spec(engine);
    const struct tfr_memory_need need = {
        .n_layers = engine->n_local_layers,
        .weights_bytes = tfr_packed_bytes(config, engine->n_local_layers, 0, dtype) / engine->placement.tensor +
                         tfr_packed_bytes(config, 0, n_vocabulary, head_dtype),
        .cache_bytes = (int64_t)tfr_kvcache_position_bytes(&spec) * tfr_kv_capacity(config),
        .free_bytes = engine->machine->memory_available_bytes,
        .can_halve = dtype == TFR_DTYPE_F32,
    };
    return tfr_memory_judge(config->path, &need);
}
