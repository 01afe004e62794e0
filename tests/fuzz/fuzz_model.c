/* fuzz_model.c - the files of weights: an index with its shards, whole folders, adapters.
 *
 * index: model.safetensors.index.json and two shards, or those of pytorch_model.bin; what opens can be read to the last byte.
 * checkpoint, quantized: a folder from its config to a token of its engine; `tfrun check` has the verdict that opening has. Of
 * quantized each matrix is rounded too, in every coarse type: what was rounded is read.
 * adapter: the files of a folder that PEFT wrote, on a model that is given.
 */
#include <stdio.h>
#include <string.h>

#include <tfrun/quant.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "harness.h"
#include "model/adapter.h"
#include "model/coarse_tensor.h"
#include "model/lora.h"
#include "model/model.h"

static volatile uint8_t sink;

static void read_weight(const struct tfr_weight *weight) {
    const uint8_t *bytes = weight->tensor.data;
    tfr_fuzz_require(weight->name != NULL && weight->file != NULL, "a tensor has a name and a file");
    for (size_t at = 0; weight->coarse == NULL && at < tfr_tensor_bytes(&weight->tensor); at++) {
        sink ^= bytes[at];
    }
}

static void read_all(const struct tfr_weights *weights) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(weights, &n);
    for (size_t i = 0; i < n; i++) {
        read_weight(&all[i]);
        tfr_fuzz_require(tfr_weights_find(weights, all[i].name) == &all[i], "a tensor is found by its name");
    }
    for (size_t i = 0; tfr_weights_absent(weights, i) != NULL; i++) {
        tfr_fuzz_require(tfr_weights_find(weights, tfr_weights_absent(weights, i)) == NULL, "a name that no shard has");
    }
}

/* Files of which a checkpoint is, and names without what all begin with. */
static void check_files(struct tfr_weights *weights) {
    size_t n = 0;
    while (tfr_weights_file(weights, n) != NULL) {
        tfr_fuzz_require(tfr_weights_facts(weights, n) != NULL, "a file has facts");
        n++;
    }
    const char *note = tfr_weights_note(weights, "format");
    tfr_fuzz_require(tfr_weights_facts(weights, n) == NULL && (note == NULL || strlen(note) < INT32_MAX),
                     "there are no more facts than files");
    const struct tfr_weight *all = tfr_weights_all(weights, &n);
    for (size_t i = 0; i < n; i++) {
        tfr_weights_drop(weights, &all[i]);
    }
    (void)tfr_fuzz_accepted(tfr_weights_strip(weights, "h."));
}

int tfr_fuzz_index(const uint8_t *data, size_t size) {
    static const char *const names[] = {"model.safetensors.index.json",     "pytorch_model.bin.index.json",
                                        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                                        "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"};
    const char *folder = tfr_fuzz_unpack(names, TFR_COUNT_OF(names), data, size);
    for (size_t i = 0; i < 2; i++) {
        char path[1024];
        struct tfr_weights *weights;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (tfr_path_exists(path) && tfr_fuzz_accepted(tfr_weights_open(&weights, path))) {
            read_all(weights);
            check_files(weights);
            tfr_weights_close(weights);
        }
    }
    return 0;
}

/* ---- whole folders -------------------------------------------------------------------------------------------- */

static const char *const checkpoint_names[] = {"config.json",
                                               "generation_config.json",
                                               "model.safetensors",
                                               "model.safetensors.index.json",
                                               "model-00001-of-00002.safetensors",
                                               "model-00002-of-00002.safetensors",
                                               "pytorch_model.bin",
                                               "pytorch_model.bin.index.json",
                                               "adapter_config.json",
                                               "adapter_model.safetensors",
                                               "adapter_model.bin",
                                               "vocab.json",
                                               "merges.txt",
                                               "tokenizer.json",
                                               "tf_model.h5",
                                               "flax_model.msgpack"};

static const struct tfr_override small_run[] = {{"runtime.threads", "1", "fuzz"},   {"runtime.bind", "none", "fuzz"},
                                                {"runtime.max_batch", "1", "fuzz"}, {"runtime.kv_capacity", "1", "fuzz"},
                                                {"runtime.max_rows", "1", "fuzz"},  {"runtime.warmup", "false", "fuzz"}};

/* A token of an engine, of a model that takes no time. */
static void run(const char *folder) {
    struct tfr_engine *engine = NULL;
    struct tfr_session *session = NULL;
    const int32_t id = 0;
    const float *logits;
    const enum tfr_status opened = tfr_engine_open(&engine, folder, small_run, TFR_COUNT_OF(small_run));
    tfr_log_set_level(TFR_LOG_INFO);
    if (tfr_fuzz_accepted(opened) && tfr_fuzz_accepted(tfr_session_open(&session, engine, 1))) {
        const struct tfr_feed feed = {.session = session, .ids = &id, .n = 1, .keep = 1};
        tfr_fuzz_accepted(tfr_engine_feed(engine, &feed, 1, &logits));
    }
    tfr_session_close(session);
    tfr_engine_close(engine);
}

static void check_report(const char *folder) {
    char *text;
    enum tfr_status verdict;
    for (int form = TFR_REPORT_TEXT; form <= TFR_REPORT_JSON; form++) {
        if (tfr_fuzz_accepted(tfr_report_check(folder, NULL, 0, (enum tfr_report_form)form, &text, &verdict))) {
            tfr_fuzz_require(form == TFR_REPORT_TEXT || tfr_json_scan("check", text, strlen(text), TFR_RUNTIME) == TFR_OK,
                             "a report in JSON is JSON");
            tfr_string_free(text);
        }
    }
}

static void make_parts(struct tfr_coarse_weight *to, enum tfr_dtype dtype, const int64_t *dim, int k_axis) {
    tfr_coarse_shape(to, dtype, dim, k_axis);
    struct tfr_tensor *const parts[] = {&to->parts.q, &to->parts.scale, &to->parts.zero};
    for (size_t i = 0; i < TFR_COUNT_OF(parts) && parts[i]->rank > 0; i++) {
        parts[i]->data = tfr_alloc(tfr_tensor_bytes(parts[i]) + 1, 1);
        tfr_fuzz_require(parts[i]->data != NULL, "there is memory for a small matrix");
    }
}

static void free_parts(struct tfr_coarse_weight *parts) {
    tfr_free(parts->parts.q.data);
    tfr_free(parts->parts.scale.data);
    tfr_free(parts->parts.zero.data);
}

/* As `tfrun quantize` does, and once more what it means then. */
static void round_matrix(const struct tfr_tensor *from, enum tfr_dtype dtype, int k_axis) {
    struct tfr_coarse_weight once, again;
    struct tfr_coarse_error error;
    make_parts(&once, dtype, from->dim, k_axis);
    make_parts(&again, dtype, from->dim, k_axis);
    float *numbers = tfr_alloc((size_t)tfr_tensor_count(from) + 1, sizeof *numbers);
    const struct tfr_tensor read = tfr_tensor_make(numbers, TFR_DTYPE_F32, 2, from->dim);
    if (numbers != NULL && tfr_coarse_round(&once, from, &error) == TFR_OK && error.not_held < 0) {
        tfr_fuzz_require(tfr_coarse_read(numbers, &once) == TFR_OK && tfr_coarse_round(&again, &read, &error) == TFR_OK &&
                             error.not_held < 0 && (error.largest == 0 || tfr_quant_has_zero(dtype)),
                         "what was rounded rounds to itself, but for types with zero points");
    }
    tfr_free(numbers);
    free_parts(&once);
    free_parts(&again);
}

static void round_all(const struct tfr_weights *weights) {
    enum { MOST_ELEMENTS = 1 << 12 };
    static const enum tfr_dtype coarse[] = {TFR_DTYPE_I8_CHANNEL, TFR_DTYPE_I4_GROUP, TFR_DTYPE_I4_GROUP64, TFR_DTYPE_I4_ZERO,
                                            TFR_DTYPE_I4_ZERO64};
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(weights, &n);
    for (size_t i = 0; i < n && i < 8; i++) {
        const struct tfr_tensor *tensor = &all[i].tensor;
        const int64_t count = tfr_tensor_count(tensor);
        for (size_t t = 0; t < TFR_COUNT_OF(coarse); t++) {
            if (tensor->rank == 2 && tensor->dtype <= TFR_DTYPE_F64 && count > 0 && count <= MOST_ELEMENTS &&
                all[i].coarse == NULL) {
                round_matrix(tensor, coarse[t], (int)(i % 2));
            }
        }
    }
}

static int open_folder(const uint8_t *data, size_t size, bool rounds) {
    enum { MOST_PARAMETERS = 1 << 16 };
    const char *folder = tfr_fuzz_unpack(checkpoint_names, TFR_COUNT_OF(checkpoint_names), data, size);
    struct tfr_config *config;
    struct tfr_model *model;
    if (tfr_fuzz_accepted(tfr_config_load(&config, folder, NULL, 0))) {
        if (tfr_fuzz_accepted(tfr_model_open(&model, config, TFR_MODEL_WEIGHTS))) {
            const bool is_small = tfr_model_param_count(&model->hparams) <= MOST_PARAMETERS;
            if (rounds) {
                round_all(model->weights);
            }
            tfr_model_close(model);
            if (is_small) {
                run(folder);
            }
        }
        tfr_config_free(config);
    }
    check_report(folder);
    return 0;
}

int tfr_fuzz_checkpoint(const uint8_t *data, size_t size) {
    return open_folder(data, size, false);
}

int tfr_fuzz_quantized(const uint8_t *data, size_t size) {
    return open_folder(data, size, true);
}

/* ---- adapters ------------------------------------------------------------------------------------------------- */

static enum tfr_status each_merged(void *user, const struct tfr_weight *weight) {
    (void)user;
    read_weight(weight);
    return TFR_OK;
}

static void open_adapter(const char *kind, const char *key, const char *path) {
    const struct tfr_override overrides[] = {{key, path, "fuzz"}, {"trust", TFR_SOURCE_DIR, "fuzz"}};
    struct tfr_config *config;
    struct tfr_model *model;
    if (!tfr_fuzz_accepted(tfr_config_load(&config, tfr_fuzz_model(kind), overrides, TFR_COUNT_OF(overrides)))) {
        return;
    }
    if (tfr_fuzz_accepted(tfr_model_open(&model, config, TFR_MODEL_WEIGHTS))) {
        float keys[2 * 64 * 16];
        if (model->lora != NULL) {
            tfr_fuzz_accepted(tfr_lora_each(model->lora, each_merged, NULL));
        }
        if (model->adapter != NULL && tfr_adapter_positions(model->adapter) <= 64) {
            tfr_fuzz_accepted(tfr_adapter_block(model->adapter, 0, keys));
        }
        tfr_model_close(model);
    }
    tfr_config_free(config);
}

int tfr_fuzz_adapter(const uint8_t *data, size_t size) {
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin",
                                        "prefix.safetensors"};
    const char *folder = tfr_fuzz_unpack(names, TFR_COUNT_OF(names), data, size);
    char prefix[1024];
    snprintf(prefix, sizeof prefix, "%s/%s", folder, names[3]);
    open_adapter("lm", "model.adapter", folder);
    open_adapter("seq", "model.adapter", folder);
    open_adapter("lm", "model.prefix", tfr_path_exists(prefix) ? prefix : folder);
    open_adapter("seq", "model.prefix", folder);
    return 0;
}
