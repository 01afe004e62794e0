/* model_hash.c - hashes of weights: see model_hash.h. */
#include "model/model_hash.h"

#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/coarse_tensor.h"
#include "model/lora.h"

enum { SAMPLE_BYTES = 4096, N_SAMPLES = 8, N_DENSE_SAMPLES = 256, MAX_ID = 128 };

#define FULL_LIMIT ((size_t)2 << 30)

/* Bytes of one tensor into a hash that has its name and form already. */
typedef uint64_t (*hash_bytes_fn)(uint64_t hash, const uint8_t *data, size_t size);

struct sum {
    hash_bytes_fn hash_bytes;
    uint64_t total; /* of tensors in any order: shards may be cut otherwise */
};

/* The first bytes, the last ones, and pieces at even distances between them. */
static uint64_t hash_pieces(uint64_t hash, const uint8_t *data, size_t size, size_t n) {
    if (size <= (size_t)SAMPLE_BYTES * n) {
        return tfr_hash(hash, data, size);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t at = (size - SAMPLE_BYTES) / (n - 1) * i;
        hash = tfr_hash(hash, data + at, SAMPLE_BYTES);
    }
    return tfr_hash(hash, data + size - SAMPLE_BYTES, SAMPLE_BYTES);
}

static uint64_t hash_samples(uint64_t hash, const uint8_t *data, size_t size) {
    return hash_pieces(hash, data, size, N_SAMPLES);
}

static uint64_t hash_dense_samples(uint64_t hash, const uint8_t *data, size_t size) {
    return hash_pieces(hash, data, size, N_DENSE_SAMPLES);
}

static uint64_t hash_all(uint64_t hash, const uint8_t *data, size_t size) {
    return tfr_hash_fast(hash, data, size);
}

static uint64_t hash_weight(const struct tfr_weight *weight, hash_bytes_fn hash_bytes) {
    const struct tfr_tensor *tensor = &weight->tensor;
    const int32_t form[] = {tensor->dtype, tensor->rank};
    uint64_t hash = tfr_hash(TFR_HASH_START, weight->name, strlen(weight->name) + 1);
    hash = tfr_hash(hash, form, sizeof form);
    hash = tfr_hash(hash, tensor->dim, (size_t)tensor->rank * sizeof tensor->dim[0]);
    if (weight->coarse == NULL) {
        return hash_bytes(hash, tensor->data, tfr_tensor_bytes(tensor));
    }
    const struct tfr_coarse *parts = &weight->coarse->parts;
    hash = hash_bytes(hash, parts->q.data, tfr_tensor_bytes(&parts->q));
    hash = hash_bytes(hash, parts->scale.data, tfr_tensor_bytes(&parts->scale));
    return parts->zero.data != NULL ? hash_bytes(hash, parts->zero.data, tfr_tensor_bytes(&parts->zero)) : hash;
}

static enum tfr_status add_merged(void *user, const struct tfr_weight *weight) {
    struct sum *sum = user;
    sum->total += hash_weight(weight, sum->hash_bytes) * 3; /* not the number of the same tensor in a checkpoint */
    return TFR_OK;
}

uint64_t tfr_model_sample_hash(const struct tfr_model *model) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(model->weights, &n);
    struct sum sum = {hash_samples, 0};
    for (size_t i = 0; i < n; i++) {
        sum.total += hash_weight(&all[i], sum.hash_bytes);
    }
    tfr_lora_each(model->lora, add_merged, &sum);
    return sum.total;
}

uint64_t tfr_model_full_hash(const struct tfr_model *model) {
    size_t n, bytes = 0;
    const struct tfr_weight *all = tfr_weights_all(model->weights, &n);
    for (size_t i = 0; i < n; i++) {
        bytes += all[i].coarse != NULL ? tfr_coarse_bytes(all[i].coarse) : tfr_tensor_bytes(&all[i].tensor);
    }
    struct sum sum = {bytes <= FULL_LIMIT ? hash_all : hash_dense_samples, 0};
    for (size_t i = 0; i < n; i++) {
        sum.total += hash_weight(&all[i], sum.hash_bytes);
        tfr_weights_drop(model->weights, &all[i]);
    }
    tfr_lora_each(model->lora, add_merged, &sum);
    return sum.total;
}

/* The machine since it started; two machines never agree on it. */
static bool hash_machine(uint64_t *hash) {
    char *text;
    size_t size;
    if (tfr_file_read("/proc/sys/kernel/random/boot_id", MAX_ID, &text, &size) != TFR_OK) {
        return false;
    }
    *hash = tfr_hash(*hash, text, size);
    tfr_free(text);
    return true;
}

uint64_t tfr_model_identity(const struct tfr_model *model) {
    uint64_t hash = TFR_HASH_START;
    if (!hash_machine(&hash)) {
        return 0;
    }
    const char *path;
    for (size_t i = 0; (path = tfr_weights_file(model->weights, i)) != NULL; i++) {
        struct stat facts;
        if (stat(path, &facts) != 0) {
            return 0;
        }
        const int64_t numbers[] = {(int64_t)facts.st_dev, (int64_t)facts.st_ino, facts.st_size, facts.st_ctim.tv_sec,
                                   facts.st_ctim.tv_nsec};
        hash = tfr_hash(hash, numbers, sizeof numbers);
    }
    struct sum sum = {hash_all, 0};
    tfr_lora_each(model->lora, add_merged, &sum);
    return tfr_hash(hash, &sum.total, sizeof sum.total);
}
