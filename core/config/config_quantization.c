/* config_quantization.c - "quantization_config": how the weights beside the config were rounded. The form is that of Hugging
 * Face, where quant_method says whose it is; tfrun reads what `tfrun quantize` wrote and refuses all others by name. */
#include "config/config_internal.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"

static const char method[] = "tfrun";

static const struct tfr_quantized_type types[] = {
#define TFR_QUANTIZED(name, runtime, bits, told) {name, runtime, bits},
#include <tfrun/quantized.def>
};

static const char type_names[] =
#define TFR_QUANTIZED(name, runtime, bits, told) ", " name
#include <tfrun/quantized.def>
    ;
const char *const tfr_quantized_names = type_names + 2;

const struct tfr_quantized_type *tfr_quantized_find(const char *name) {
    for (size_t i = 0; i < TFR_COUNT_OF(types); i++) {
        if (strcmp(types[i].name, name) == 0) {
            return &types[i];
        }
    }
    return NULL;
}

static bool is_known(const char *key) {
    static const char *const keys[] = {"quant_method", "version", "weights", "group_size", "zero_point", "smooth"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void refuse_unknown(struct tfr_config_reader *reader, const tfr_json *node) {
    for (const tfr_json *member = tfr_json_first(node); member != NULL; member = tfr_json_next(member)) {
        if (!is_known(tfr_json_key(member))) {
            tfr_config_complain(reader, member, TFR_UNSUPPORTED,
                                "quantization_config.%s is unknown; a newer tfrun may have written it: quantise the model again",
                                tfr_json_key(member));
        }
    }
}

static void read_own(struct tfr_config_reader *reader, const tfr_json *node) {
    struct tfr_quantization *quantization = &reader->config->quantization;
    const tfr_json *version = tfr_json_member(node, "version"), *group = tfr_json_member(node, "group_size"),
                   *zero = tfr_json_member(node, "zero_point");
    int64_t number = 0;
    if (version == NULL || !tfr_json_int64(reader->doc, version, &number) || number != 1) {
        tfr_config_complain(reader, version != NULL ? version : node, TFR_UNSUPPORTED,
                            "quantization_config.version is not 1, the only form there is; quantise the model again");
        return;
    }
    *quantization = (struct tfr_quantization){.given = true, .group = 32};
    const char *weights = tfr_json_string(tfr_json_member(node, "weights"));
    const char *known = tfr_quantized_names;
    const struct tfr_quantized_type *type = weights != NULL ? tfr_quantized_find(weights) : NULL;
    if (type == NULL) {
        tfr_config_complain(reader, node, TFR_CONFIG, "quantization_config.weights is none of %s; quantise the model again", known);
    }
    quantization->has_fours = type != NULL && type->bits == 4;
    if (group != NULL &&
        (!tfr_json_int64(reader->doc, group, &quantization->group) || (quantization->group != 32 && quantization->group != 64))) {
        tfr_config_complain(reader, group, TFR_CONFIG, "quantization_config.group_size is neither 32 nor 64");
    }
    if (zero != NULL && tfr_json_kind(zero) != TFR_JSON_BOOL) {
        tfr_config_wrong_type(reader, zero, "quantization_config.zero_point", "true or false");
    } else if (zero != NULL) {
        quantization->has_zero = tfr_json_bool(zero);
    }
    const tfr_json *smooth = tfr_json_member(node, "smooth"); /* said for people: nothing depends on it any more */
    if (smooth != NULL && tfr_json_kind(smooth) != TFR_JSON_NUMBER) {
        tfr_config_wrong_type(reader, smooth, "quantization_config.smooth", "a number");
    }
    refuse_unknown(reader, node);
}

void tfr_config_read_quantization(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *node = tfr_json_member(root, "quantization_config");
    if (node == NULL || tfr_json_kind(node) == TFR_JSON_NULL ||
        (tfr_json_kind(node) == TFR_JSON_OBJECT && tfr_json_size(node) == 0)) {
        return;
    }
    if (tfr_json_kind(node) != TFR_JSON_OBJECT) {
        tfr_config_wrong_type(reader, node, "quantization_config", "an object");
        return;
    }
    const char *found = tfr_json_string(tfr_json_member(node, "quant_method"));
    if (found == NULL || strcmp(found, method) != 0) {
        tfr_config_complain(
            reader, node, TFR_UNSUPPORTED,
            "quantization_config with quant_method %.40s is not supported: tfrun reads what `tfrun quantize` wrote; "
            "save the model in f32, f16 or bf16, then quantise that",
            found != NULL ? found : "missing");
        return;
    }
    read_own(reader, node);
}

/* What was rounded once is not rounded again: the folder's own kind, or f32 and bf16, which read it. */
void tfr_config_check_quantization(struct tfr_config_reader *reader) {
    const struct tfr_config *config = reader->config;
    const int dtype = config->options.runtime_dtype;
    const bool is_int4 = dtype == TFR_PACK_INT4, is_float = dtype == TFR_PACK_F32 || dtype == TFR_PACK_BF16;
    char said[600];
    if (config->quantization.given && !is_float && is_int4 != config->quantization.has_fours) {
        tfr_complaints_add(&reader->complaints, tfr_option_fault(config, "runtime.dtype"), TFR_COMPLAINT_LAST_LINE, 0,
                           "%s would round weights again that have %s bits (quantization_config); take --dtype %s, or f32, which "
                           "computes with them as they are",
                           tfr_option_said(config, "runtime.dtype", tfr_choice_name("runtime.dtype", dtype), said, sizeof said),
                           config->quantization.has_fours ? "4" : "8", config->quantization.has_fours ? "int4" : "int8, int8w");
    }
}

static void refuse_flag(struct tfr_config_reader *reader, const char *flag, const char *why) {
    tfr_complaints_add(&reader->complaints, TFR_USAGE, TFR_COMPLAINT_LAST_LINE, 0, "%s does nothing %s", flag, why);
}

/* How weights are rounded to 4 bits: nothing follows where they have another type, or were rounded before. */
static void check_fours(struct tfr_config_reader *reader) {
    const struct tfr_options *o = &reader->config->options;
    const struct tfr_quantization *stored = &reader->config->quantization;
    const bool is_zero = o->runtime_int4_zero_point;
    const int64_t group = o->runtime_int4_group == TFR_GROUP_64 ? 64 : 32;
    const struct {
        const char *key, *flag;
        bool asks, is_as_stored;
    } fours[] = {
        {"runtime.int4_group", group == 64 ? "--group 64" : "--group 32", group == 64, group == stored->group},
        {"runtime.int4_zero_point", is_zero ? "--zero-point" : "--no-zero-point", is_zero, is_zero == stored->has_zero},
        {"runtime.int4_finer", "--finer", o->runtime_int4_finer.n > 0, false},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(fours); i++) {
        if (!tfr_config_is_overridden(reader->config, fours[i].key)) {
            continue;
        }
        if (stored->has_fours && !fours[i].is_as_stored) {
            refuse_flag(reader, fours[i].flag,
                        "on weights that were rounded before (quantization_config); leave it out, or quantise the model that they "
                        "were made from");
        } else if (!stored->has_fours && fours[i].asks && o->runtime_dtype != TFR_PACK_INT4) {
            refuse_flag(reader, fours[i].flag,
                        stored->given ? "on weights of 8 bits (quantization_config); leave it out"
                                      : "without int4; give --dtype int4 too");
        }
    }
}

void tfr_config_check_rounding(struct tfr_config_reader *reader) {
    const struct tfr_options *o = &reader->config->options;
    if (reader->to_quantize || reader->complaints.n > 0) {
        return;
    }
    check_fours(reader);
    if (!o->runtime_lossless || !tfr_config_is_overridden(reader->config, "runtime.lossless")) {
        return;
    }
    if (o->runtime_dtype != TFR_PACK_F32) {
        refuse_flag(reader, "--lossless", "without weights of f32; give --dtype f32 too, or leave it out");
    } else if (!o->runtime_deterministic) {
        refuse_flag(reader, "--lossless", "without deterministic; give --deterministic too, or leave it out");
    }
}

const char *tfr_config_idle_rounding(const struct tfr_config *config, const char *key) {
    const struct tfr_options *o = &config->options;
    if (strncmp(key, "runtime.int4_", 13) == 0) {
        return config->quantization.given          ? "the weights were rounded before: quantization_config says how"
               : o->runtime_dtype != TFR_PACK_INT4 ? "runtime.dtype is not int4"
                                                   : NULL;
    }
    if (strcmp(key, "runtime.lossless") == 0) {
        return o->runtime_dtype != TFR_PACK_F32 ? "runtime.dtype is not f32"
               : !o->runtime_deterministic      ? "runtime.deterministic is false"
                                                : NULL;
    }
    return NULL;
}

void tfr_config_warn_of_idle(const struct tfr_config *config) {
    const struct tfr_options *o = &config->options;
    const struct {
        const char *key;
        bool asks;
    } fours[] = {{"runtime.int4_group", o->runtime_int4_group == TFR_GROUP_64},
                 {"runtime.int4_zero_point", o->runtime_int4_zero_point},
                 {"runtime.int4_finer", o->runtime_int4_finer.n > 0}};
    char names[128] = "";
    int n = 0;
    for (size_t i = 0; i < TFR_COUNT_OF(fours); i++) {
        if (fours[i].asks && config->origin[tfr_option_find(fours[i].key)] == TFR_ORIGIN_FILE) {
            const size_t length = strlen(names);
            snprintf(names + length, sizeof names - length, "%s%s", n > 0 ? ", " : "", fours[i].key);
            n++;
        }
    }
    /* A type of the command line is for this run: the file may be right for its own. What a folder says of its weights is a record.
     */
    if (n > 0 && !config->quantization.given && o->runtime_dtype != TFR_PACK_INT4 &&
        !tfr_config_is_overridden(config, "runtime.dtype")) {
        tfr_log(TFR_LOG_WARN, "config", "%s: %s %s no effect: runtime.dtype is not int4 but %s; leave %s out, or take int4",
                config->path, names, n == 1 ? "has" : "have", tfr_choice_name("runtime.dtype", o->runtime_dtype),
                n == 1 ? "it" : "them");
    }
}

bool tfr_config_is_finer(const struct tfr_string_list *finer, const char *name) {
    static const char front[] = "transformer.";
    const char *bare = strncmp(name, front, sizeof front - 1) == 0 ? name + sizeof front - 1 : name;
    for (size_t i = 0; finer != NULL && i < finer->n; i++) {
        if (fnmatch(finer->items[i], name, 0) == 0 || fnmatch(finer->items[i], bare, 0) == 0) {
            return true;
        }
    }
    return false;
}
