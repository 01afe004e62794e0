/* lora_config.c - lora_fields.def applied, and PEFT's rules by which names of modules are matched. See
 * lora_config.h. */
#include "model/lora_config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "model/adapter_config.h"
#include "model/name_pattern.h"

/* Each list is gone through for each tensor. */
enum { MAX_LISTED = 1024 };

enum rule { HONOURED, NO_EFFECT, EMPTY };

static const struct {
    const char *key;
    enum rule rule;
    const char *why;
} fields[] = {
#define TFR_LORA_FIELD(key, rule, why) {key, rule, why},
#include "model/lora_fields.def"
#undef TFR_LORA_FIELD
};

static const tfr_json *member(const struct tfr_lora_config *config, const char *key) {
    const tfr_json *node = tfr_json_member(tfr_json_root(config->doc), key);
    return node != NULL && tfr_json_kind(node) != TFR_JSON_NULL ? node : NULL;
}

static bool is_empty(const tfr_json *node) {
    switch (tfr_json_kind(node)) {
    case TFR_JSON_NULL:
        return true;
    case TFR_JSON_BOOL:
        return !tfr_json_bool(node);
    case TFR_JSON_NUMBER:
        return tfr_json_number(node) == 0;
    case TFR_JSON_STRING:
        return tfr_json_string(node)[0] == '\0';
    default:
        return tfr_json_size(node) == 0;
    }
}

static enum tfr_status check_field(const struct tfr_lora_config *config, const tfr_json *node) {
    const char *name = tfr_json_name(config->doc), *key = tfr_json_key(node);
    for (size_t i = 0; i < TFR_COUNT_OF(fields); i++) {
        if (strcmp(key, fields[i].key) != 0) {
            continue;
        }
        return fields[i].rule != EMPTY || is_empty(node)
                   ? TFR_OK
                   : tfr_raise(TFR_UNSUPPORTED, "%s: %s is not supported: %s", name, key, fields[i].why);
    }
    return is_empty(node) ? TFR_OK
                          : tfr_raise(TFR_UNSUPPORTED,
                                      "%s: %.64s is no key of a LoRA adapter that tfrun knows; merge the adapter with "
                                      "merge_and_unload(), or take the key out if it does not change what the model computes",
                                      name, key);
}

/* Some ways to begin a training take the first product out of the model's weights: the adapter fits that
 * model alone. */
static enum tfr_status check_init(const struct tfr_lora_config *config) {
    static const char *const harmless[] = {"gaussian", "orthogonal", "eva"};
    const tfr_json *node = member(config, "init_lora_weights");
    const char *text = node != NULL ? tfr_json_string(node) : NULL;
    for (size_t i = 0; text != NULL && i < TFR_COUNT_OF(harmless); i++) {
        if (strcmp(text, harmless[i]) == 0) {
            return TFR_OK;
        }
    }
    return text == NULL ? TFR_OK
                        : tfr_raise(TFR_UNSUPPORTED,
                                    "%s: init_lora_weights = %.32s changes the model's own weights; save the adapter with "
                                    "path_initial_model_for_weight_conversion, or merge it with merge_and_unload()",
                                    tfr_json_name(config->doc), text);
}

static enum tfr_status read_numbers(struct tfr_lora_config *config) {
    const tfr_json *rank = member(config, "r"), *alpha = member(config, "lora_alpha"), *stable = member(config, "use_rslora");
    const char *name = tfr_json_name(config->doc);
    if (rank == NULL || !tfr_json_int64(config->doc, rank, &config->rank) || config->rank < 1) {
        return tfr_raise(TFR_MODEL, "%s: r must be a whole number from 1", name);
    }
    if (alpha == NULL || tfr_json_kind(alpha) != TFR_JSON_NUMBER) {
        return tfr_raise(TFR_MODEL, "%s: lora_alpha must be a number", name);
    }
    if (stable != NULL && tfr_json_kind(stable) != TFR_JSON_BOOL) {
        return tfr_raise(TFR_MODEL, "%s: use_rslora must be true or false", name);
    }
    config->alpha = tfr_json_number(alpha);
    config->is_rank_stable = stable != NULL && tfr_json_bool(stable);
    return TFR_OK;
}

/* The largest GPT-2 has some 200 modules. */
static enum tfr_status check_lengths(const struct tfr_lora_config *config) {
    static const char *const lists[] = {"target_modules",      "exclude_modules", "modules_to_save",
                                        "layers_to_transform", "rank_pattern",    "alpha_pattern"};
    for (size_t i = 0; i < TFR_COUNT_OF(lists); i++) {
        const size_t n = tfr_json_size(member(config, lists[i]));
        if (n > MAX_LISTED) {
            return tfr_raise(TFR_UNSUPPORTED,
                             "%s: %s has %zu entries; the limit is %d: leave out what names no module or layer of the model, or "
                             "merge the adapter with merge_and_unload()",
                             tfr_json_name(config->doc), lists[i], n, MAX_LISTED);
        }
    }
    return TFR_OK;
}

static enum tfr_status check(struct tfr_lora_config *config, const struct tfr_hparams *hparams) {
    const tfr_json *root = tfr_json_root(config->doc);
    if (tfr_json_kind(root) != TFR_JSON_OBJECT) {
        return tfr_raise(TFR_MODEL, "%s: is not an object", tfr_json_name(config->doc));
    }
    TFR_TRY(tfr_adapter_check_type(config->doc, "LORA"));
    for (const tfr_json *node = tfr_json_first(root); node != NULL; node = tfr_json_next(node)) {
        TFR_TRY(check_field(config, node));
    }
    TFR_TRY(tfr_adapter_check_task(config->doc, hparams));
    TFR_TRY(check_init(config));
    TFR_TRY(check_lengths(config));
    return read_numbers(config);
}

enum tfr_status tfr_lora_config_open(struct tfr_lora_config *config, const char *directory, const struct tfr_hparams *hparams) {
    *config = (struct tfr_lora_config){0};
    TFR_TRY(tfr_adapter_open_config(&config->doc, directory));
    return check(config, hparams);
}

void tfr_lora_config_close(struct tfr_lora_config *config) {
    tfr_json_close(config->doc);
    *config = (struct tfr_lora_config){0};
}

/* Whether that part of the module's name matches. */
static enum tfr_status matches(const struct tfr_lora_config *config, const char *key, const char *pattern, enum tfr_name_part part,
                               const char *module, bool *is_match) {
    const enum tfr_name_match found = tfr_name_pattern(pattern, part, module);
    *is_match = found == TFR_NAME_MATCHES;
    if (found == TFR_NAME_PATTERN_WRONG) {
        return tfr_raise(TFR_MODEL, "%s: %s has a pattern (%.100s) that is none", tfr_json_name(config->doc), key, pattern);
    }
    if (found == TFR_NAME_PATTERN_UNKNOWN) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: %s has a pattern (%.100s) with more than plain names, . * + ? | ( ) [ ] ^ $ \\d \\w, or of more than "
                         "%d bytes; write the modules out",
                         tfr_json_name(config->doc), key, pattern, TFR_NAME_PATTERN_MOST);
    }
    return TFR_OK;
}

/* The number of the first pattern that matches the end of the module's name; *value stays where none does. */
static enum tfr_status find_pattern(const struct tfr_lora_config *config, const char *key, const char *module, double *value) {
    const tfr_json *patterns = member(config, key);
    if (patterns != NULL && tfr_json_kind(patterns) != TFR_JSON_OBJECT) {
        return tfr_raise(TFR_MODEL, "%s: %s must be an object", tfr_json_name(config->doc), key);
    }
    for (const tfr_json *node = patterns != NULL ? tfr_json_first(patterns) : NULL; node != NULL; node = tfr_json_next(node)) {
        bool is_match = false;
        TFR_TRY(matches(config, key, tfr_json_key(node), TFR_NAME_END, module, &is_match));
        if (is_match && tfr_json_kind(node) != TFR_JSON_NUMBER) {
            return tfr_raise(TFR_MODEL, "%s: %s.%.64s must be a number", tfr_json_name(config->doc), key, tfr_json_key(node));
        }
        if (is_match) {
            *value = tfr_json_number(node);
            return TFR_OK;
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_lora_scaling(const struct tfr_lora_config *config, const char *module, int64_t *rank, double *scaling) {
    double r = (double)config->rank, alpha = config->alpha;
    TFR_TRY(find_pattern(config, "rank_pattern", module, &r));
    TFR_TRY(find_pattern(config, "alpha_pattern", module, &alpha));
    if (!(r >= 1 && r <= INT32_MAX) || r != floor(r)) {
        return tfr_raise(TFR_MODEL, "%s: rank_pattern gives %.64s the rank %g; ranks are whole numbers from 1",
                         tfr_json_name(config->doc), module, r);
    }
    *rank = (int64_t)r;
    *scaling = alpha / (config->is_rank_stable ? sqrt(r) : r);
    return TFR_OK;
}

static bool ends_as(const char *module, const char *name) {
    const size_t length = strlen(module), tail = strlen(name);
    return length >= tail && strcmp(module + length - tail, name) == 0 && (length == tail || module[length - tail - 1] == '.');
}

/* A text is a pattern for whole names, a list has the ends of names. */
static enum tfr_status is_listed(const struct tfr_lora_config *config, const char *key, const char *module, bool *is_there) {
    const tfr_json *node = member(config, key);
    *is_there = false;
    if (node != NULL && tfr_json_string(node) != NULL) {
        return matches(config, key, tfr_json_string(node), TFR_NAME_WHOLE, module, is_there);
    }
    if (node != NULL && tfr_json_kind(node) != TFR_JSON_ARRAY) {
        return tfr_raise(TFR_MODEL, "%s: %s must be a text or a list of texts", tfr_json_name(config->doc), key);
    }
    for (const tfr_json *item = node != NULL ? tfr_json_first(node) : NULL; item != NULL; item = tfr_json_next(item)) {
        if (tfr_json_string(item) == NULL) {
            return tfr_raise(TFR_MODEL, "%s: %s must be a text or a list of texts", tfr_json_name(config->doc), key);
        }
        *is_there |= ends_as(module, tfr_json_string(item));
    }
    return TFR_OK;
}

static enum tfr_status is_in_layers(const struct tfr_lora_config *config, int64_t layer, bool *is_there) {
    const tfr_json *node = member(config, "layers_to_transform");
    int64_t number;
    *is_there = node == NULL || is_empty(node);
    if (node == NULL || tfr_json_kind(node) == TFR_JSON_NUMBER) {
        *is_there = node == NULL || (tfr_json_int64(config->doc, node, &number) && number == layer);
        return TFR_OK;
    }
    for (const tfr_json *item = tfr_json_first(node); item != NULL; item = tfr_json_next(item)) {
        if (!tfr_json_int64(config->doc, item, &number)) {
            return tfr_raise(TFR_MODEL, "%s: layers_to_transform must be a whole number or a list of them",
                             tfr_json_name(config->doc));
        }
        *is_there |= number == layer;
    }
    return TFR_OK;
}

enum tfr_status tfr_lora_saves(const struct tfr_lora_config *config, const char *module, bool *is_saved) {
    const tfr_json *node = member(config, "modules_to_save");
    *is_saved = false;
    for (const tfr_json *item = node != NULL ? tfr_json_first(node) : NULL; item != NULL && !*is_saved;
         item = tfr_json_next(item)) {
        if (tfr_json_string(item) == NULL) {
            return tfr_raise(TFR_MODEL, "%s: modules_to_save must be a list of texts", tfr_json_name(config->doc));
        }
        TFR_TRY(matches(config, "modules_to_save", tfr_json_string(item), TFR_NAME_MIDDLE, module, is_saved));
    }
    return TFR_OK;
}

enum tfr_status tfr_lora_targets(const struct tfr_lora_config *config, const char *module, int64_t layer, bool *is_target) {
    bool is_excluded, is_saved, is_in;
    TFR_TRY(is_listed(config, "target_modules", module, is_target));
    TFR_TRY(is_listed(config, "exclude_modules", module, &is_excluded));
    TFR_TRY(tfr_lora_saves(config, module, &is_saved));
    TFR_TRY(is_in_layers(config, layer, &is_in));
    *is_target = *is_target && !is_excluded && !is_saved && is_in;
    return TFR_OK;
}

const char *tfr_lora_base(const struct tfr_lora_config *config) {
    const tfr_json *node = member(config, "base_model_name_or_path");
    const char *text = node != NULL ? tfr_json_string(node) : NULL;
    return text != NULL && text[0] != '\0' ? text : NULL;
}
