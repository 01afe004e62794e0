/* saved_cache.c - tfr_session_save and tfr_session_load: a session's tokens, keys and values as a safetensors file.
 *
 * Blocks are fetched one at a time from the ranks that own them, so the file is the same for any number of
 * ranks and rank 0 never holds more than one block of it.
 */
#include "session/saved_cache.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/tensor.h"
#include "session/session.h"

#define KIND   "tfrun-cache"
#define LAYOUT "1" /* changes when older readers would misread the file */

enum { MAX_NAME = 64 };

/* What the file says about itself. */
struct identity {
    char model[24], dtype[64];
    struct tfr_weight_note notes[6];
};

/* "int4", and behind it what it is rounded by where that is not as usual: other weights make other keys. */
static void name_dtype(const struct tfr_config *config, char *text, size_t size) {
    const struct tfr_options *options = &config->options;
    const bool is_int4 = options->runtime_dtype == TFR_PACK_INT4 && !config->quantization.given; /* else its model says it */
    size_t n = (size_t)snprintf(text, size, "%s", tfr_choice_name("runtime.dtype", options->runtime_dtype));
    uint64_t finer = TFR_HASH_START;
    for (size_t i = 0; i < options->runtime_int4_finer.n; i++) {
        finer = tfr_hash(finer, options->runtime_int4_finer.items[i], strlen(options->runtime_int4_finer.items[i]) + 1);
    }
    if (is_int4 && options->runtime_int4_group == TFR_GROUP_64) {
        n += (size_t)snprintf(text + n, size - n, " group 64");
    }
    if (is_int4 && options->runtime_int4_zero_point) {
        n += (size_t)snprintf(text + n, size - n, " zero-point");
    }
    if (is_int4 && options->runtime_int4_finer.n > 0) {
        snprintf(text + n, size - n, " finer %08llx", (unsigned long long)(finer & 0xffffffff));
    }
}

static void make_identity(struct identity *identity, struct tfr_engine *engine) {
    if (engine->fingerprint == 0) { /* not yet known; samples of every tensor are read for it */
        engine->fingerprint = tfr_engine_fingerprint(engine);
    }
    snprintf(identity->model, sizeof identity->model, "%016llx", (unsigned long long)engine->fingerprint);
    name_dtype(engine->config, identity->dtype, sizeof identity->dtype);
    const struct tfr_weight_note notes[] = {
        {"kind", KIND},
        {"layout", LAYOUT},
        {"model", identity->model},
        {"dtype", identity->dtype},
        {"kv", tfr_kv_dtype_name(tfr_kv_dtype(engine->config))},
        {"sums", tfr_choice_name("runtime.sums", tfr_sums_by_head(&engine->config->options) ? TFR_SUMS_BY_HEAD : TFR_SUMS_PLAIN)},
    };
    memcpy(identity->notes, notes, sizeof notes);
}

static enum tfr_status check_identity(struct tfr_engine *engine, const struct tfr_weights *file, const char *path) {
    static const char *const meanings[] = {
        "is no cache that tfrun saved; give a file of --cache-save",
        "has a layout of another version of tfrun; save it again",
        "was saved from another model or prefix; save it again with this one",
        "was saved with another runtime.dtype, or other roundings of int4; run with that --dtype, --group, --zero-point and "
        "--finer, or save it again",
        "was saved with another runtime.kv_dtype; run with that --kv-dtype, or save it again",
        "was saved with other sums; run with that --sums (--tensor adds by head), or save it again",
    };
    struct identity own;
    make_identity(&own, engine);
    for (size_t i = 0; i < TFR_COUNT_OF(own.notes); i++) {
        const bool is_sums = strcmp(own.notes[i].key, "sums") == 0;
        const char *said = tfr_weights_note(file, own.notes[i].key);
        const char *has = said == NULL && is_sums ? "plain" : said; /* of versions that had no others */
        if (has == NULL || strcmp(has, own.notes[i].value) != 0) {
            return tfr_raise(TFR_MODEL, "%s: this cache %s (%s is %.40s, needs %s)", path, meanings[i], own.notes[i].key,
                             has != NULL ? has : "missing", own.notes[i].value);
        }
    }
    return TFR_OK;
}

static const char *tensor_name(int64_t index, char *name) {
    snprintf(name, MAX_NAME, "past_key_values.%lld.%s", (long long)(index / 2), index % 2 == 1 ? "value" : "key");
    return name;
}

struct save {
    const struct tfr_session *session;
    const int32_t *ids;
    int64_t layer;     /* whose keys and values are at `keys`; -1 none */
    const float *keys; /* borrowed until the next command */
    uint64_t digest;   /* of all that was written so far */
};

static enum tfr_status fetch_block(struct save *save, int64_t layer) {
    const struct tfr_session *session = save->session;
    const struct tfr_kv_part part = {
        .slot = session->slot, .layer = layer, .first = session->engine->n_prefix, .n = session->length};
    save->layer = layer;
    return tfr_engine_fetch_kv(session->engine, &part, &save->keys);
}

static enum tfr_status fill_floats(struct save *save, int64_t index, int64_t first, int64_t n, float *buffer) {
    if (save->layer != index / 2) {
        TFR_TRY(fetch_block(save, index / 2));
    }
    const int64_t at = index % 2 * save->session->length * save->session->engine->config->model.n_embd + first;
    memcpy(buffer, save->keys + at, (size_t)n * sizeof(float));
    save->digest = tfr_hash(save->digest, buffer, (size_t)n * sizeof(float));
    return TFR_OK;
}

/* Tensor 0 is input_ids, then key and value of each block, then the digest; they are asked for in this order. */
static enum tfr_status fill(void *user, size_t tensor, int64_t first, int64_t n, void *buffer) {
    struct save *save = user;
    int64_t *integers = buffer;
    if (tensor == 2 * (size_t)save->session->engine->config->model.n_layer + 1) {
        memcpy(integers, &save->digest, sizeof save->digest);
        return TFR_OK;
    }
    if (tensor > 0) {
        return fill_floats(save, (int64_t)tensor - 1, first, n, buffer);
    }
    for (int64_t i = 0; i < n; i++) {
        integers[i] = save->ids[first + i];
    }
    save->digest = tfr_hash(save->digest, integers, (size_t)n * sizeof *integers);
    return TFR_OK;
}

static void describe(const struct tfr_session *session, struct tfr_weight_spec *specs, char (*names)[MAX_NAME]) {
    const struct tfr_hparams *model = &session->engine->config->model;
    specs[0] = (struct tfr_weight_spec){.name = "input_ids", .dtype = TFR_DTYPE_I64, .rank = 1, .dim = {session->length}};
    for (int64_t i = 0; i < 2 * model->n_layer; i++) {
        specs[1 + i] = (struct tfr_weight_spec){.name = tensor_name(i, names[i]),
                                                .dtype = TFR_DTYPE_F32,
                                                .rank = 4,
                                                .dim = {1, model->n_head, session->length, model->n_embd / model->n_head}};
    }
    specs[1 + 2 * model->n_layer] = (struct tfr_weight_spec){.name = "digest", .dtype = TFR_DTYPE_I64, .rank = 1, .dim = {1}};
}

/* Keys and values behind cross-attention belong to encoder states, which the file does not hold. */
static enum tfr_status check_plain(const struct tfr_session *session, const char *path) {
    return session->encoded ? tfr_raise(TFR_USAGE, "%s: a session with encoder states is neither saved nor loaded", path) : TFR_OK;
}

enum tfr_status tfr_session_save(const struct tfr_session *session, const int32_t *ids, const char *path, bool force) {
    const size_t n = 2 + 2 * (size_t)session->engine->config->model.n_layer;
    TFR_TRY(check_plain(session, path));
    if (session->length == 0) {
        return tfr_raise(TFR_USAGE, "%s: an empty session has nothing to save; feed it first", path);
    }
    TFR_TRY(tfr_result_write(path, NULL, 0, force));
    TFR_TRY(tfr_engine_check_ids(session->engine, ids, session->length, 0));
    struct save save = {.session = session, .ids = ids, .layer = -1, .digest = TFR_HASH_START};
    struct identity identity;
    make_identity(&identity, session->engine);
    struct tfr_weight_spec *specs = tfr_alloc(n, sizeof *specs);
    char(*names)[MAX_NAME] = tfr_alloc(n, sizeof *names);
    enum tfr_status status = TFR_RESOURCE;
    if (specs != NULL && names != NULL) {
        describe(session, specs, names);
        status = tfr_weights_write_noted(path, identity.notes, TFR_COUNT_OF(identity.notes), specs, n, fill, &save);
    }
    tfr_free(specs);
    tfr_free(names);
    return status;
}

static enum tfr_status check_tensor(const struct tfr_weights *file, const char *path, const char *name, enum tfr_dtype dtype,
                                    int rank, const int64_t *dim) {
    const struct tfr_weight *weight = tfr_weights_find(file, name);
    char has[96], wants[96];
    if (weight == NULL || weight->tensor.dtype != dtype || weight->tensor.rank != rank ||
        memcmp(weight->tensor.dim, dim, (size_t)rank * sizeof *dim) != 0) {
        return tfr_raise(TFR_MODEL, "%s: tensor %s is %s %s, needs %s %s; the file is damaged", path, name,
                         weight != NULL ? tfr_dtype_file_name(weight->tensor.dtype) : "missing",
                         weight != NULL ? tfr_shape_text(weight->tensor.rank, weight->tensor.dim, has, sizeof has) : "",
                         tfr_dtype_file_name(dtype), tfr_shape_text(rank, dim, wants, sizeof wants));
    }
    return TFR_OK;
}

static int64_t id_at(const struct tfr_weight *ids, int64_t i) {
    int64_t id;
    memcpy(&id, (const uint8_t *)ids->tensor.data + (size_t)i * sizeof id, sizeof id);
    return id;
}

/* The bytes are those that were written. */
static enum tfr_status check_digest(const struct tfr_engine *engine, const struct tfr_weights *file, const char *path) {
    const int64_t one = 1, n_layer = engine->config->model.n_layer;
    uint64_t digest = TFR_HASH_START, wanted;
    TFR_TRY(check_tensor(file, path, "digest", TFR_DTYPE_I64, 1, &one));
    for (int64_t i = -1; i < 2 * n_layer; i++) {
        char name[MAX_NAME];
        const struct tfr_weight *weight = tfr_weights_find(file, i < 0 ? "input_ids" : tensor_name(i, name));
        digest =
            tfr_hash(digest, weight->tensor.data, (size_t)tfr_tensor_count(&weight->tensor) * tfr_dtype_size(weight->tensor.dtype));
    }
    memcpy(&wanted, tfr_weights_find(file, "digest")->tensor.data, sizeof wanted);
    return digest == wanted ? TFR_OK
                            : tfr_raise(TFR_MODEL, "%s: the bytes are not those that were saved; the file is damaged", path);
}

/* Every tensor and every id; *length is how many tokens the file holds. */
static enum tfr_status check_file(struct tfr_engine *engine, const struct tfr_weights *file, const char *path, int64_t *length) {
    const struct tfr_hparams *model = &engine->config->model;
    TFR_TRY(check_identity(engine, file, path));
    const struct tfr_weight *ids = tfr_weights_find(file, "input_ids");
    *length = ids != NULL && ids->tensor.rank == 1 ? ids->tensor.dim[0] : 1;
    TFR_TRY(check_tensor(file, path, "input_ids", TFR_DTYPE_I64, 1, length));
    const int64_t dim[] = {1, model->n_head, *length, model->n_embd / model->n_head};
    for (int64_t i = 0; i < 2 * model->n_layer; i++) {
        char name[MAX_NAME];
        TFR_TRY(check_tensor(file, path, tensor_name(i, name), TFR_DTYPE_F32, 4, dim));
    }
    for (int64_t i = 0; i < *length; i++) {
        if (id_at(ids, i) < 0 || id_at(ids, i) >= model->vocab_size) {
            return tfr_raise(TFR_MODEL, "%s: input_ids: %lld at position %lld is outside 0..%lld (vocab_size - 1)", path,
                             (long long)id_at(ids, i), (long long)i, (long long)(model->vocab_size - 1));
        }
    }
    return TFR_OK;
}

static int64_t shared(const struct tfr_weights *file, int64_t length, const int32_t *ids, int64_t n) {
    const struct tfr_weight *own = tfr_weights_find(file, "input_ids");
    int64_t common = 0;
    while (common < n && common < length && id_at(own, common) == ids[common]) {
        common++;
    }
    return common;
}

/* The first n of `length` positions of each head, to [H][n][D]. */
static void take_heads(const struct tfr_hparams *model, const struct tfr_weight *from, int64_t length, int64_t n, float *to) {
    const int64_t D = model->n_embd / model->n_head;
    for (int64_t h = 0; h < model->n_head; h++) {
        memcpy(to + h * n * D, (const uint8_t *)from->tensor.data + (size_t)(h * length * D) * sizeof(float),
               (size_t)(n * D) * sizeof(float));
    }
}

static enum tfr_status load_blocks(struct tfr_session *session, const struct tfr_weights *file, int64_t length, int64_t n) {
    const struct tfr_hparams *model = &session->engine->config->model;
    struct tfr_kv_part part = {.slot = session->slot, .first = session->engine->n_prefix, .n = n};
    for (; part.layer < model->n_layer; part.layer++) {
        char name[MAX_NAME];
        struct tfr_message *message = tfr_engine_load_kv(session->engine, &part);
        if (message == NULL) {
            return TFR_RESOURCE;
        }
        float *keys = tfr_message_body(message);
        take_heads(model, tfr_weights_find(file, tensor_name(2 * part.layer, name)), length, n, keys);
        take_heads(model, tfr_weights_find(file, tensor_name(2 * part.layer + 1, name)), length, n, keys + n * model->n_embd);
        TFR_TRY(tfr_command(session->engine, message));
    }
    return TFR_OK;
}

enum tfr_status tfr_saved_cache_check(struct tfr_engine *engine, const char *path) {
    struct tfr_weights *file = NULL;
    int64_t length;
    TFR_TRY(tfr_weights_open(&file, path));
    enum tfr_status status = check_file(engine, file, path, &length);
    if (status == TFR_OK) {
        status = check_digest(engine, file, path);
    }
    tfr_weights_close(file);
    return status;
}

enum tfr_status tfr_saved_cache_take(struct tfr_session *session, const char *path, const int32_t *ids, int64_t n) {
    struct tfr_weights *file = NULL;
    int64_t length = 0;
    session->length = 0;
    TFR_TRY(tfr_weights_open(&file, path));
    enum tfr_status status = check_file(session->engine, file, path, &length);
    if (status == TFR_OK) {
        const int64_t most = n < session->capacity ? n : session->capacity;
        session->length = shared(file, length, ids, most);
        status = session->length > 0 ? load_blocks(session, file, length, session->length) : TFR_OK;
    }
    if (status != TFR_OK) {
        session->length = 0;
    }
    tfr_weights_close(file);
    return status;
}

enum tfr_status tfr_session_load(struct tfr_session *session, const char *path, const int32_t *ids, int64_t n) {
    TFR_TRY(check_plain(session, path));
    session->length = 0;
    TFR_TRY(tfr_saved_cache_check(session->engine, path));
    return tfr_saved_cache_take(session, path, ids, n);
}
