/* fingerprint.c - one number for a model and its prefix, so that a saved cache is not taken for another
 * model's. */
#include <string.h>

#include "base/hash.h"
#include "base/tensor.h"
#include "session/saved_cache.h"

enum { SAMPLE_BYTES = 4096, N_SAMPLES = 8 };

/* The first bytes, the last ones, and pieces at even distances between them. */
static uint64_t hash_samples(uint64_t hash, const uint8_t *data, size_t size) {
    if (size <= (size_t)SAMPLE_BYTES * N_SAMPLES) {
        return tfr_hash(hash, data, size);
    }
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const size_t at = (size - SAMPLE_BYTES) / (N_SAMPLES - 1) * i;
        hash = tfr_hash(hash, data + at, SAMPLE_BYTES);
    }
    return tfr_hash(hash, data + size - SAMPLE_BYTES, SAMPLE_BYTES);
}

static uint64_t hash_weight(const struct tfr_weight *weight) {
    const struct tfr_tensor *tensor = &weight->tensor;
    const int32_t form[] = {tensor->dtype, tensor->rank};
    uint64_t hash = tfr_hash(TFR_HASH_START, weight->name, strlen(weight->name) + 1);
    hash = tfr_hash(hash, form, sizeof form);
    hash = tfr_hash(hash, tensor->dim, (size_t)tensor->rank * sizeof tensor->dim[0]);
    return hash_samples(hash, tensor->data, tfr_tensor_bytes(tensor));
}

uint64_t tfr_engine_fingerprint(const struct tfr_engine *engine) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(engine->model->weights, &n);
    uint64_t sum = 0; /* of tensors in any order: shards may be cut otherwise */
    for (size_t i = 0; i < n; i++) {
        sum += hash_weight(&all[i]);
    }
    const uint64_t parts[] = {tfr_hparams_fingerprint(&engine->config->model), sum,
                              (uint64_t)engine->n_prefix, engine->prefix_hash};
    return tfr_hash(TFR_HASH_START, parts, sizeof parts);
}
