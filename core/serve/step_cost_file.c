/* step_cost_file.c - costs of steps as a JSON file: see step_cost_file.h. */
#include "serve/step_cost_file.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "predict/calibration.h"

static const char schema[] = "tfrun-steps-1";

/* Numbers of the record that are no curves, once. */
#define TFR_COST_NUMBERS(X) X(decode_keys) X(decode_key_s) X(prefill_key_s) X(scored_row_s)

static uint64_t mix_text(uint64_t hash, const char *text) {
    return tfr_hash(hash, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 1);
}

/* All that steps take their time by. */
static uint64_t digest(const struct tfr_engine *engine) {
    const struct tfr_options *o = &engine->config->options;
    const uint64_t model = tfr_hparams_fingerprint(&engine->config->model);
    const int64_t kv_dtype = tfr_kv_dtype(engine->config);
    const int64_t numbers[] = {o->runtime_dtype,         kv_dtype,
                               o->runtime_isa,           o->runtime_attn,
                               o->runtime_bind,          o->runtime_kv_cache,
                               o->runtime_deterministic, o->runtime_sums,
                               o->parallel_tensor,       o->runtime_kv_capacity,
                               engine->max_batch,        engine->max_rows,
                               engine->n_prefix,         tfr_engine_size(engine),
                               engine->machine->isa,     o->parallel_head,
                               o->parallel_split};
    uint64_t hash = tfr_hash(TFR_HASH_START, &model, sizeof model);
    hash = tfr_hash(hash, numbers, sizeof numbers);
    hash = tfr_hash(hash, engine->placement.stage_of_block,
                    (size_t)engine->placement.n_blocks * sizeof *engine->placement.stage_of_block);
    hash = mix_text(mix_text(hash, o->runtime_kernels), engine->machine->cpu_name);
    return mix_text(hash, tfr_version());
}

char *tfr_step_cost_path(const struct tfr_engine *engine) {
    char kind[32];
    snprintf(kind, sizeof kind, "steps-%016llx", (unsigned long long)digest(engine));
    return tfr_cache_file(kind, engine->machine->host_name, engine->threads.n_threads);
}

static void put_curve(struct tfr_json_out *out, const char *key, const struct tfr_cost_curve *curve) {
    tfr_json_begin(out, key, '[');
    for (int i = 0; i < curve->n; i++) {
        tfr_json_begin(out, NULL, '[');
        tfr_json_put_number(out, NULL, curve->at[i]);
        tfr_json_put_number(out, NULL, curve->s[i]);
        tfr_json_end(out, ']');
    }
    tfr_json_end(out, ']');
}

enum tfr_status tfr_step_cost_write(const struct tfr_step_cost *cost, const char *path) {
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "schema", schema);
    put_curve(&out, "decode", &cost->decode);
    put_curve(&out, "prefill", &cost->prefill);
#define PUT(name) tfr_json_put_number(&out, #name, cost->name);
    TFR_COST_NUMBERS(PUT)
#undef PUT
    tfr_json_end(&out, '}');
    const enum tfr_status status = out.failed ? TFR_RESOURCE : tfr_cache_write(path, out.text);
    tfr_free(out.text);
    return status;
}

static bool read_number(const tfr_json *object, const char *key, double *value) {
    const tfr_json *node = tfr_json_member(object, key);
    *value = node != NULL && tfr_json_kind(node) == TFR_JSON_NUMBER ? tfr_json_number(node) : -1;
    return *value >= 0;
}

/* Points in order, of times above zero. */
static bool read_curve(const tfr_json *object, const char *key, struct tfr_cost_curve *curve) {
    double before = 0;
    for (const tfr_json *point = tfr_json_first(tfr_json_member(object, key)); point != NULL; point = tfr_json_next(point)) {
        const tfr_json *at = tfr_json_first(point), *s = at != NULL ? tfr_json_next(at) : NULL;
        const bool are_numbers = s != NULL && tfr_json_kind(at) == TFR_JSON_NUMBER && tfr_json_kind(s) == TFR_JSON_NUMBER;
        if (!are_numbers || tfr_json_number(at) <= before || tfr_json_number(s) <= 0 || curve->n == TFR_CURVE_POINTS) {
            return false;
        }
        before = tfr_json_number(at);
        tfr_curve_add(curve, before, tfr_json_number(s));
    }
    return curve->n > 0;
}

static bool read_cost(struct tfr_step_cost *cost, const tfr_json *root) {
    const char *found = tfr_json_string(tfr_json_member(root, "schema"));
    bool is_whole = found != NULL && strcmp(found, schema) == 0 && read_curve(root, "decode", &cost->decode) &&
                    read_curve(root, "prefill", &cost->prefill);
#define READ(name) is_whole = is_whole && read_number(root, #name, &cost->name);
    TFR_COST_NUMBERS(READ)
#undef READ
    return is_whole;
}

bool tfr_step_cost_read(struct tfr_step_cost *cost, const char *path) {
    struct tfr_json_doc *doc = NULL;
    *cost = (struct tfr_step_cost){0};
    if (!tfr_path_exists(path) || tfr_json_open_file(&doc, path, TFR_MODEL) != TFR_OK) {
        return false;
    }
    const bool is_whole = read_cost(cost, tfr_json_root(doc));
    tfr_json_close(doc);
    if (!is_whole) {
        *cost = (struct tfr_step_cost){0};
    }
    return is_whole;
}
