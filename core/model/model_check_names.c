/* model_check_names.c - what the names of a whole checkpoint say: a wrapper's prefix before all of them, an
 * adapter that was never merged, two forms of names, a tied matrix that was stored twice. One sentence each,
 * not one for every tensor. */
#include <string.h>

#include "base/status.h"
#include "base/tensor.h"
#include "model/model_check.h"
#include "model/model_tensors.h"

enum { PIECE = 16384 };

/* Both name forms in one checkpoint could hide two models; the head has one name in both. */
static enum tfr_status check_forms(const struct tfr_model *model) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(model->weights, &n), *prefixed = NULL, *bare = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct tfr_parsed_name parsed = tfr_model_parse_name(all[i].name);
        if (parsed.kind == TFR_NAME_OTHER || (parsed.kind == TFR_NAME_PARAM && parsed.param >= TFR_PARAM_LM_HEAD)) {
            continue;
        }
        prefixed = parsed.has_prefix ? &all[i] : prefixed;
        bare = parsed.has_prefix ? bare : &all[i];
    }
    if (prefixed != NULL && bare != NULL) {
        return tfr_raise(TFR_MODEL,
                         "%s: mixes names with and without \"transformer.\" (%.200s and %.200s); save the model "
                         "again with one form",
                         bare->file, prefixed->name, bare->name);
    }
    return TFR_OK;
}

/* Length of what stands before the name of a parameter: "module." in "module.wte.weight"; 0 if nothing, or if
 * it is none. */
static size_t front_length(const char *name) {
    if (tfr_model_parse_name(name).kind != TFR_NAME_OTHER) {
        return 0;
    }
    for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        if (tfr_model_parse_name(dot + 1).kind == TFR_NAME_PARAM) {
            return (size_t)(dot + 1 - name);
        }
    }
    return 0;
}

static const char *wrapper_of(const char *front, size_t length) {
    static const struct {
        const char *front, *wrapper;
    } wrappers[] = {{"module.", "torch.nn.DataParallel"}, {"_orig_mod.", "torch.compile"}, {"base_model.model.", "PEFT"}};
    for (size_t i = 0; i < TFR_COUNT_OF(wrappers); i++) {
        if (length == strlen(wrappers[i].front) && strncmp(front, wrappers[i].front, length) == 0) {
            return wrappers[i].wrapper;
        }
    }
    return "a wrapper of the training";
}

static enum tfr_status check_front(const struct tfr_weight *all, size_t n) {
    const size_t length = n > 0 ? front_length(all[0].name) : 0;
    bool is_common = length > 0;
    for (size_t i = 1; i < n && is_common; i++) {
        is_common = strncmp(all[i].name, all[0].name, length) == 0;
    }
    if (!is_common) {
        return TFR_OK;
    }
    return tfr_raise(TFR_MODEL,
                     "%s: the names of all %zu tensors begin with \"%.*s\", which %s put before them; "
                     "--tensor-prefix %.*s "
                     "takes it off",
                     all[0].file, n, (int)length, all[0].name, wrapper_of(all[0].name, length), (int)length, all[0].name);
}

static enum tfr_status check_adapter(const struct tfr_weight *all, size_t n) {
    const struct tfr_weight *first = NULL;
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        if (strstr(all[i].name, ".lora_") != NULL) {
            first = first != NULL ? first : &all[i];
            found++;
        }
    }
    return found == 0 ? TFR_OK
                      : tfr_raise(TFR_MODEL,
                                  "%s: holds an adapter that was never merged (%zu tensors like %.200s); "
                                  "save the model after "
                                  "merge_and_unload(), or the adapter alone for --adapter",
                                  first->file, found, first->name);
}

enum tfr_status tfr_model_check_prefix(const struct tfr_model *model) {
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(model->weights, &n);
    TFR_TRY(check_adapter(all, n));
    TFR_TRY(check_front(all, n));
    return check_forms(model);
}

/* Whether `numbers` are those of `data`; only F64 has some that f32 does not hold. */
static bool are_held(const float *numbers, const uint8_t *data, enum tfr_dtype dtype, int64_t n) {
    for (int64_t i = 0; dtype == TFR_DTYPE_F64 && i < n; i++) {
        const double number = numbers[i];
        if (memcmp(&number, data + (size_t)i * sizeof number, sizeof number) != 0) {
            return false;
        }
    }
    return true;
}

/* Equal numbers, perhaps in two types; in pieces, so that no rank ever holds two whole matrices. */
static bool same_numbers(const struct tfr_model *model, const struct tfr_weight *a, const struct tfr_weight *b) {
    float numbers_a[PIECE], numbers_b[PIECE];
    const size_t width_a = tfr_dtype_size(a->tensor.dtype), width_b = tfr_dtype_size(b->tensor.dtype);
    const int64_t count = tfr_tensor_count(&a->tensor);
    const bool is_one_type = a->tensor.dtype == b->tensor.dtype;
    bool is_same = count == tfr_tensor_count(&b->tensor);
    for (int64_t at = 0; is_same && at < count; at += PIECE) {
        const int64_t n = count - at < PIECE ? count - at : PIECE;
        const uint8_t *data_a = (const uint8_t *)a->tensor.data + (size_t)at * width_a;
        const uint8_t *data_b = (const uint8_t *)b->tensor.data + (size_t)at * width_b;
        if (is_one_type) {
            is_same = memcmp(data_a, data_b, (size_t)n * width_a) == 0;
        } else {
            tfr_to_f32(numbers_a, data_a, a->tensor.dtype, n);
            tfr_to_f32(numbers_b, data_b, b->tensor.dtype, n);
            is_same = memcmp(numbers_a, numbers_b, (size_t)n * sizeof *numbers_a) == 0 &&
                      are_held(numbers_a, data_a, a->tensor.dtype, n) && are_held(numbers_b, data_b, b->tensor.dtype, n);
        }
        if (at % (PIECE * 128) == 0) {
            tfr_weights_drop(model->weights, a);
            tfr_weights_drop(model->weights, b);
        }
    }
    return is_same;
}

/* A tied matrix stored twice must be one matrix: transformers 4 takes wte for both, 5 keeps two that differ.
 */
enum tfr_status tfr_model_check_tied(const struct tfr_model *model) {
    const struct tfr_weight *wte = tfr_model_stored_param(model, TFR_PARAM_WTE, 0);
    const struct tfr_weight *head = tfr_weights_find(model->weights, "lm_head.weight");
    if (!model->tied || head == NULL || wte == head || head->coarse != NULL || tfr_model_is_ignored(model, head) ||
        same_numbers(model, wte, head)) {
        return TFR_OK;
    }
    return tfr_raise(TFR_MODEL,
                     "%s: lm_head.weight (%s) differs from %s (%s), but the config says tie_word_embeddings "
                     "= true; set it to false if the head has "
                     "weights of its own, or take the embedding for both: --ignore-tensors lm_head.weight",
                     head->file, tfr_dtype_file_name(head->tensor.dtype), wte->name, tfr_dtype_file_name(wte->tensor.dtype));
}
