/* init.c - `tfrun init`: a folder with a randomly initialised checkpoint for any config.
 *
 * Element e of tensor t (in the order of the file) is one of the two normals of Philox block (seed, t, e /
 * 2): a pure function, so the same seed gives the same file on every machine. The folder stands on its own:
 * the tokenizer files are copied in.
 */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/folder.h"
#include "model/init_config.h"
#include "model/model_tensors.h"

enum { MAX_NAME = 128, CHUNK = 4096 };

/* What the writer needs for each tensor beside its spec. */
struct tensor_rule {
    char name[MAX_NAME];
    enum tfr_param_init init;
};

struct plan {
    struct tfr_weight_spec *specs;
    struct tensor_rule *rules;
    size_t n;
    uint64_t seed;
    double range, residual_range; /* standard deviations */
};

static void add_tensor(struct plan *plan, const struct tfr_hparams *hparams, enum tfr_param param, int64_t layer,
                       enum tfr_dtype dtype) {
    struct tensor_rule *rule = &plan->rules[plan->n];
    struct tfr_weight_spec *spec = &plan->specs[plan->n];
    plan->n++;
    tfr_model_param_name(param, layer, rule->name, sizeof(rule->name));
    rule->init = tfr_model_param_init(param);
    spec->name = rule->name;
    spec->dtype = dtype;
    spec->rank = tfr_model_param_shape(hparams, param, spec->dim);
}

/* Embeddings, blocks, final layer norm, head: the order in which a reader meets them. */
static enum tfr_status make_plan(struct plan *plan, const struct tfr_hparams *hparams, enum tfr_dtype dtype, uint64_t seed) {
    const size_t n = (size_t)hparams->n_layer * TFR_PARAM_PER_BLOCK + TFR_PARAM_COUNT - TFR_PARAM_PER_BLOCK;
    *plan = (struct plan){.seed = seed,
                          .range = hparams->initializer_range,
                          .residual_range = hparams->initializer_range / sqrt(2.0 * (double)hparams->n_layer)};
    plan->specs = tfr_alloc(n, sizeof(plan->specs[0]));
    plan->rules = tfr_alloc(n, sizeof(plan->rules[0]));
    if (plan->specs == NULL || plan->rules == NULL) {
        return TFR_RESOURCE;
    }
    add_tensor(plan, hparams, TFR_PARAM_WTE, 0, dtype);
    add_tensor(plan, hparams, TFR_PARAM_WPE, 0, dtype);
    for (int64_t layer = 0; layer < hparams->n_layer; layer++) {
        for (int param = 0; param < TFR_PARAM_PER_BLOCK; param++) {
            if (tfr_model_has_param(hparams, (enum tfr_param)param)) {
                add_tensor(plan, hparams, (enum tfr_param)param, layer, dtype);
            }
        }
    }
    add_tensor(plan, hparams, TFR_PARAM_LN_F_WEIGHT, 0, dtype);
    add_tensor(plan, hparams, TFR_PARAM_LN_F_BIAS, 0, dtype);
    for (int param = TFR_PARAM_LM_HEAD; param < TFR_PARAM_COUNT; param++) {
        const bool is_shared = param == TFR_PARAM_LM_HEAD && hparams->tie_word_embeddings;
        if (tfr_model_has_param(hparams, (enum tfr_param)param) && !is_shared) {
            add_tensor(plan, hparams, (enum tfr_param)param, 0, dtype);
        }
    }
    return TFR_OK;
}

static void free_plan(struct plan *plan) {
    tfr_free(plan->specs);
    tfr_free(plan->rules);
}

/* Elements [first, first + n) of a tensor of normals. */
static void fill_normal(float *values, uint64_t seed, size_t tensor, int64_t first, int64_t n, double deviation) {
    double pair[2] = {0};
    for (int64_t i = 0; i < n; i++) {
        const uint64_t element = (uint64_t)(first + i);
        if (i == 0 || element % 2 == 0) {
            tfr_philox_normal_pair(seed, tensor, element / 2, pair);
        }
        values[i] = (float)(deviation * pair[element % 2]);
    }
}

static void fill_values(const struct plan *plan, size_t tensor, int64_t first, int64_t n, float *values) {
    const enum tfr_param_init init = plan->rules[tensor].init;
    if (init == TFR_INIT_NORMAL || init == TFR_INIT_RESIDUAL) {
        const double deviation = init == TFR_INIT_NORMAL ? plan->range : plan->residual_range;
        fill_normal(values, plan->seed, tensor, first, n, deviation);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        values[i] = init == TFR_INIT_ONE ? 1.0f : 0.0f;
    }
}

static enum tfr_status fill_tensor(void *user, size_t tensor, int64_t first, int64_t n, void *buffer) {
    const struct plan *plan = user;
    const enum tfr_dtype dtype = plan->specs[tensor].dtype;
    float values[CHUNK];
    for (int64_t done = 0; done < n; done += CHUNK) {
        const int64_t count = n - done < CHUNK ? n - done : CHUNK;
        fill_values(plan, tensor, first + done, count, values);
        tfr_from_f32((uint8_t *)buffer + (size_t)done * tfr_dtype_size(dtype), values, dtype, count);
    }
    return TFR_OK;
}

static enum tfr_status copy_small(const struct tfr_config *config, const char *directory, struct tfr_small_files *files) {
    TFR_TRY(tfr_small_files_tokenizer(config, directory, files));
    char *path = tfr_path_join(directory, "config.json");
    struct tfr_outfile *out;
    enum tfr_status status = path != NULL ? tfr_small_files_add(files, path, &out) : TFR_RESOURCE;
    if (status == TFR_OK) {
        status = tfr_init_copy_config(config->path, out);
    }
    tfr_free(path);
    return status;
}

static enum tfr_status check_source(const struct tfr_config *config) {
    const char *tokenizer = config->options.model_tokenizer;
    if (tokenizer != NULL && !tfr_path_exists(tokenizer)) {
        return tfr_raise(TFR_RESOURCE, "%s: there is no such tokenizer; correct tfrun.model.tokenizer or give --tokenizer",
                         tokenizer);
    }
    return TFR_OK;
}

static enum tfr_status write_weights(const struct tfr_hparams *hparams, const char *path, enum tfr_dtype dtype, uint64_t seed) {
    struct plan plan;
    struct tfr_outfile out = {0};
    enum tfr_status status = make_plan(&plan, hparams, dtype, seed);
    if (status == TFR_OK) {
        status = tfr_outfile_open_in_place(&out, path);
    }
    if (status == TFR_OK) {
        status = tfr_weights_write_into(&out, plan.specs, plan.n, fill_tensor, &plan);
        status = status == TFR_OK ? tfr_outfile_commit(&out) : status;
    }
    tfr_outfile_abandon(&out);
    free_plan(&plan);
    return status;
}

enum tfr_status tfr_model_init(const struct tfr_config *config, const char *directory, enum tfr_dtype dtype, uint64_t seed,
                               bool force) {
    if (dtype != TFR_DTYPE_F32 && dtype != TFR_DTYPE_BF16) {
        return tfr_raise(TFR_USAGE, "a new checkpoint is stored in f32 or bf16, not in %s", tfr_dtype_name(dtype));
    }
    if (!force) {
        TFR_TRY(tfr_folder_refuse_existing(config, directory));
    }
    TFR_TRY(check_source(config));
    TFR_TRY(tfr_path_make_folders(directory));
    char *weights = tfr_path_join(directory, "model.safetensors");
    struct tfr_small_files small = {0};
    enum tfr_status status = weights != NULL ? copy_small(config, directory, &small) : TFR_RESOURCE;
    if (status == TFR_OK) {
        status = write_weights(&config->model, weights, dtype, seed);
    }
    if (status == TFR_OK) {
        status = tfr_small_files_commit(&small);
    }
    tfr_small_files_abandon(&small);
    tfr_free(weights);
    return status;
}
