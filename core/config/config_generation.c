/* config_generation.c - generation settings in Hugging Face's own places and names: task_specific_params of the config and
 * generation_config.json beside it. Each setting is honoured, without effect here, or refused by name.
 * What they mean together is settled in config_settle.c. */
#include "config/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"

/* Settings of ours under sampling: Hugging Face's name, ours where it differs. */
static const struct {
    const char *name, *key;
} settings[] = {
    {"do_sample", NULL},
    {"max_new_tokens", "max_tokens"},
    {"max_length", NULL},
    {"min_new_tokens", "min_tokens"},
    {"min_length", NULL},
    {"stop_strings", "stop"},
    {"eos_token_id", NULL},
    {"temperature", NULL},
    {"top_k", NULL},
    {"top_p", NULL},
    {"min_p", NULL},
    {"typical_p", NULL},
    {"epsilon_cutoff", NULL},
    {"eta_cutoff", NULL},
    {"renormalize_logits", NULL},
    {"repetition_penalty", NULL},
    {"no_repeat_ngram_size", NULL},
    {"sequence_bias", NULL},
    {"bad_words_ids", NULL},
    {"suppress_tokens", NULL},
    {"begin_suppress_tokens", NULL},
    {"forced_bos_token_id", NULL},
    {"forced_eos_token_id", NULL},
    {"exponential_decay_length_penalty", NULL},
    {"remove_invalid_values", NULL},
    {"num_beams", NULL},
    {"length_penalty", NULL},
    {"early_stopping", NULL},
    {"num_return_sequences", NULL},
    {"prompt_lookup_num_tokens", "prompt_lookup"},
    {"max_matching_ngram_size", NULL},
    {"num_assistant_tokens", NULL},
};

/* Settings that would change the text and are not built; at the neutral value they change nothing. */
static const struct {
    const char *name;
    double neutral;
} refused[] = {
    {"guidance_scale", 1},
    {"encoder_repetition_penalty", 1},
    {"encoder_no_repeat_ngram_size", 0},
    {"num_beam_groups", 1},
    {"penalty_alpha", 0},
    {"dola_layers", 0},
    {"constraints", 0},
    {"force_words_ids", 0},
    {"max_time", 0},
    {"watermarking_config", 0},
    {"token_healing", 0},
    {"top_h", 0},
    {"assistant_early_exit", 0},
};

const char *tfr_config_origin_name(enum tfr_origin origin) {
    static const char *const names[] = {
        "built in",   "task_specific_params of the config", "generation_config.json", "tfrun of the config", "the command line",
        "the request"};
    return names[origin];
}

static bool is_neutral(const tfr_json *node, double neutral) {
    switch (tfr_json_kind(node)) {
    case TFR_JSON_NULL:
        return true;
    case TFR_JSON_BOOL:
        return !tfr_json_bool(node);
    case TFR_JSON_NUMBER:
        return tfr_json_number(node) == neutral;
    case TFR_JSON_ARRAY:
    case TFR_JSON_OBJECT:
        return tfr_json_size(node) == 0;
    default:
        return false;
    }
}

static void read_setting(struct tfr_config_reader *reader, const tfr_json *node, const char *key, enum tfr_origin origin) {
    char full[96], why[512];
    snprintf(full, sizeof full, "sampling.%s", key);
    const int option = tfr_option_find(full);
    if (tfr_json_kind(node) == TFR_JSON_NULL || tfr_config_asks_for_nothing(node)) {
        return;
    }
    char *ids;
    if (tfr_config_ids_that_occur(reader, node, &ids) != TFR_OK) {
        return;
    }
    if (ids != NULL) {
        char **member = tfr_option_member(&reader->config->options, option);
        tfr_free(*member);
        *member = ids;
        reader->config->origin[option] = (uint8_t)origin;
        return;
    }
    const enum tfr_status status = tfr_option_from_json(reader, option, node, why, sizeof why);
    if (status != TFR_OK) {
        tfr_config_complain(reader, node, status, "%s = %s", tfr_json_key(node), why);
        return;
    }
    reader->config->origin[option] = (uint8_t)origin;
}

static void read_bos(struct tfr_config_reader *reader, const tfr_json *node) {
    int64_t id;
    if (tfr_json_whole(reader->doc, node, &id)) { /* outside the vocabulary: none, as in config.json */
        reader->config->model.bos_token_id = id >= 0 && id < reader->config->model.vocab_size ? (int32_t)id : -1;
    } else if (tfr_json_kind(node) != TFR_JSON_NULL && !tfr_config_asks_for_nothing(node)) {
        tfr_config_complain(reader, node, TFR_CONFIG, "bos_token_id must be a token id or null");
    }
}

/* Keys that are not listed say how results are returned or how caches are kept (every release adds some), or
 * count only beside one that is refused (diversity_penalty beside num_beam_groups). */
static void read_settings(struct tfr_config_reader *reader, const tfr_json *object, enum tfr_origin origin) {
    for (const tfr_json *node = tfr_json_first(object); node != NULL; node = tfr_json_next(node)) {
        const char *name = tfr_json_key(node);
        for (size_t i = 0; i < TFR_COUNT_OF(settings); i++) {
            if (strcmp(name, settings[i].name) == 0) {
                read_setting(reader, node, settings[i].key != NULL ? settings[i].key : name, origin);
            }
        }
        for (size_t i = 0; i < TFR_COUNT_OF(refused); i++) {
            if (strcmp(name, refused[i].name) == 0 && !is_neutral(node, refused[i].neutral)) {
                tfr_config_complain(reader, node, TFR_UNSUPPORTED, "%s is not supported; take it out of %s", name,
                                    tfr_config_origin_name(origin));
            }
        }
        if (strcmp(name, "bos_token_id") == 0) {
            read_bos(reader, node);
        }
    }
}

void tfr_config_read_task_params(struct tfr_config_reader *reader, const tfr_json *root) {
    const tfr_json *task = tfr_json_member(tfr_json_member(root, "task_specific_params"), "text-generation");
    if (task != NULL && tfr_json_kind(task) == TFR_JSON_OBJECT) {
        read_settings(reader, task, TFR_ORIGIN_TASK_PARAMS);
    }
}

static void read_generation_doc(struct tfr_config_reader *outer, const struct tfr_json_doc *doc) {
    struct tfr_config_reader reader = {.config = outer->config, .doc = doc};
    const tfr_json *root = tfr_json_root(doc);
    if (tfr_json_kind(root) == TFR_JSON_OBJECT) {
        read_settings(&reader, root, TFR_ORIGIN_GENERATION);
    } else {
        tfr_config_complain(&reader, root, TFR_CONFIG, "this must be an object of generation settings");
    }
    const enum tfr_status status = tfr_complaints_raise(&reader.complaints, 40);
    if (status != TFR_OK) {
        tfr_complaints_add_lines(&outer->complaints, status, TFR_COMPLAINT_GENERATION_LINE, 0, tfr_failure_text());
    }
}

void tfr_config_read_generation_file(struct tfr_config_reader *reader) {
    char *path = tfr_path_join(reader->config->directory, "generation_config.json");
    struct tfr_json_doc *doc = NULL;
    if (path == NULL) { /* no memory is not no file */
        tfr_complaints_add(&reader->complaints, TFR_RESOURCE, TFR_COMPLAINT_GENERATION_LINE, 0, "%s", tfr_failure_text());
    } else if (tfr_path_exists(path)) {
        const enum tfr_status status = tfr_json_open_file(&doc, path, TFR_CONFIG);
        if (status == TFR_OK) {
            read_generation_doc(reader, doc);
        } else {
            tfr_complaints_add_lines(&reader->complaints, status, TFR_COMPLAINT_GENERATION_LINE, 0, tfr_failure_text());
        }
    }
    tfr_json_close(doc);
    tfr_free(path);
}

void tfr_config_read_eos_list(struct tfr_config_reader *reader, const tfr_json *list) {
    char *text;
    if (tfr_config_ids_that_occur(reader, list, &text) != TFR_OK) {
        return;
    }
    text = text != NULL ? text : tfr_config_json_text(reader->doc, list);
    if (text == NULL) {
        tfr_config_complain(reader, list, TFR_RESOURCE, "%s: no memory for the list", tfr_json_key(list));
    }
    char **member = tfr_option_member(&reader->config->options, tfr_option_find("sampling.eos_token_id"));
    tfr_free(*member);
    *member = text;
}
