/* config_generation.c - generation settings in Hugging Face's own places and names: task_specific_params of the config and
 * generation_config.json beside it. Each setting is honoured, without effect here, or refused by name.
 *
 * Once all sources are read, what they mean together is settled: who decides between greedy and sampling, which length counts. */
#include "config/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"

/* What transformers takes where sampling is asked for and nothing is said about top_k. */
static const int64_t default_top_k = 50;

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

static const char *source_name(enum tfr_origin origin) {
    static const char *const names[] = {"built in", "task_specific_params of the config", "generation_config.json",
                                        "tfrun of the config", "the command line", "the request"};
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
    char *ids = tfr_config_ids_that_occur(reader, node);
    if (ids != NULL) {
        char **member = tfr_option_member(&reader->config->options, option);
        tfr_free(*member);
        *member = ids;
        reader->config->origin[option] = (uint8_t)origin;
        return;
    }
    if (!tfr_option_from_json(reader, option, node, why, sizeof why)) {
        tfr_config_complain(reader, node, TFR_CONFIG, "%s = %s", tfr_json_key(node), why);
        return;
    }
    reader->config->origin[option] = (uint8_t)origin;
}

static void read_bos(struct tfr_config_reader *reader, const tfr_json *node) {
    int64_t id;
    if (tfr_json_whole(reader->doc, node, &id)) { /* outside the vocabulary: none, as in config.json */
        reader->config->model.bos_token_id =
            id >= 0 && id < reader->config->model.vocab_size ? (int32_t)id : -1;
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
                                    source_name(origin));
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
    char *text = tfr_config_ids_that_occur(reader, list);
    text = text != NULL ? text : tfr_config_json_text(reader->doc, list);
    char **member = tfr_option_member(&reader->config->options, tfr_option_find("sampling.eos_token_id"));
    tfr_free(*member);
    *member = text;
}

static void value_text(struct tfr_options *options, int option, char *text, size_t size) {
    size_t n;
    const void *member = tfr_option_member(options, option);
    const char *words;
    switch (tfr_option_type(option)) {
    case TFR_OPTION_BOOL:
        snprintf(text, size, "%s", *(const bool *)member ? "true" : "false");
        break;
    case TFR_OPTION_REAL:
        snprintf(text, size, "%g", *(const double *)member);
        break;
    case TFR_OPTION_CHOICE:
        snprintf(text, size, "%s", tfr_choice_name(tfr_option_table(&n)[option].key, *(const int *)member));
        break;
    case TFR_OPTION_INT:
    case TFR_OPTION_COUNT:
    case TFR_OPTION_SEED:
        snprintf(text, size, "%lld", (long long)*(const int64_t *)member);
        break;
    case TFR_OPTION_LIST:
        snprintf(text, size, "%zu texts", ((const struct tfr_string_list *)member)->n);
        break;
    default:
        words = *(char *const *)member;
        snprintf(text, size, "%.100s", words != NULL ? words : "null");
    }
}

static uint8_t *origin_of(struct tfr_config *config, const char *key) {
    return &config->origin[tfr_option_find(key)];
}

/* Temperature and do_sample may come from different places: the stronger source decides, and a temperature of 0 under a
 * do_sample of a stronger source is no temperature. */
static void settle_mode(struct tfr_config_reader *reader) {
    struct tfr_options *options = &reader->config->options;
    const uint8_t flag = *origin_of(reader->config, "sampling.do_sample");
    const uint8_t heat = *origin_of(reader->config, "sampling.temperature");
    const bool from_temperature = options->sampling_do_sample == TFR_SAMPLE_AUTO || (heat > flag && heat >= TFR_ORIGIN_FILE);
    if (from_temperature) {
        const bool hot = heat >= TFR_ORIGIN_FILE && options->sampling_temperature > 0;
        options->sampling_do_sample = hot ? TFR_SAMPLE_TRUE : TFR_SAMPLE_FALSE;
        *origin_of(reader->config, "sampling.do_sample") = heat;
        return;
    }
    if (options->sampling_do_sample == TFR_SAMPLE_TRUE && options->sampling_temperature == 0) {
        if (heat == flag) {
            tfr_complaints_add(
                &reader->complaints, tfr_option_fault(reader->config, "sampling.do_sample"),
                TFR_COMPLAINT_TOGETHER_LINE, 0,
                "%s gives sampling.do_sample = true and sampling.temperature = 0; give a temperature above 0",
                source_name((enum tfr_origin)flag));
        }
        options->sampling_temperature = 1;
    }
}

/* Sampling that only Hugging Face's files ask for is transformers' sampling: its default top_k. Where only the task's parameters
 * do, nobody asked for chance, so the same text comes every time. */
static void settle_sampling_defaults(struct tfr_config *config) {
    const uint8_t flag = *origin_of(config, "sampling.do_sample");
    const bool from_files = flag == TFR_ORIGIN_TASK_PARAMS || flag == TFR_ORIGIN_GENERATION;
    if (config->options.sampling_do_sample != TFR_SAMPLE_TRUE || !from_files) {
        return;
    }
    if (*origin_of(config, "sampling.top_k") == TFR_ORIGIN_DEFAULT) {
        config->options.sampling_top_k = default_top_k;
        *origin_of(config, "sampling.top_k") = flag;
    }
    if (flag == TFR_ORIGIN_TASK_PARAMS && config->options.sampling_seed < 0) {
        config->options.sampling_seed = 0;
        *origin_of(config, "sampling.seed") = flag;
    }
}

/* max_tokens beats max_length, and min_tokens min_length, unless the other comes from a stronger source. */
static void settle_lengths(struct tfr_config *config) {
    const uint8_t tokens = *origin_of(config, "sampling.max_tokens"), length = *origin_of(config, "sampling.max_length");
    if (tokens >= length) {
        config->options.sampling_max_length = 0;
    }
    const uint8_t min_tokens = *origin_of(config, "sampling.min_tokens"), min_length = *origin_of(config, "sampling.min_length");
    if (min_length > min_tokens) {
        config->options.sampling_min_tokens = 0;
    } else if (min_tokens > TFR_ORIGIN_DEFAULT) {
        config->options.sampling_min_length = 0;
    }
}

/* Whether the command line gives an option a value that is not its default. */
static bool is_asked_for(struct tfr_config *config, int option) {
    size_t n;
    const char *usual = tfr_option_table(&n)[option].default_text;
    char text[128];
    value_text(&config->options, option, text, sizeof text);
    return config->origin[option] == TFR_ORIGIN_OVERRIDE && (usual == NULL || strcmp(text, usual) != 0);
}

/* A flag that the way of generating leaves without effect is refused; a file may hold settings for several ways. */
static void check_idle_flags(struct tfr_config_reader *reader) {
    const struct tfr_options *o = &reader->config->options;
    const bool samples = o->sampling_do_sample == TFR_SAMPLE_TRUE;
    size_t n;
    const struct {
        const char *key, *fix;
        bool has_effect;
    } needs[] = {
        {"sampling.top_k", "sampling; give --temperature 1 too", samples},
        {"sampling.top_p", "sampling; give --temperature 1 too", samples},
        {"sampling.min_p", "sampling; give --temperature 1 too", samples},
        {"sampling.typical_p", "sampling; give --temperature 1 too", samples},
        {"sampling.epsilon_cutoff", "sampling; give --temperature 1 too", samples},
        {"sampling.eta_cutoff", "sampling; give --temperature 1 too", samples},
        {"sampling.length_penalty", "beams; give --num-beams too", o->sampling_num_beams > 1},
        {"sampling.early_stopping", "beams; give --num-beams too", o->sampling_num_beams > 1},
        {"sampling.num_assistant_tokens", "a draft model; give --assistant too",
         o->sampling_assistant != NULL},
        {"sampling.max_matching_ngram_size", "prompt lookup; give --prompt-lookup too", o->sampling_prompt_lookup > 0},
        {"sampling.logprobs", "JSON output; give --json too", o->output_format == TFR_FORMAT_JSON},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(needs); i++) {
        const int option = tfr_option_find(needs[i].key);
        const char *flag = tfr_option_table(&n)[option].flag;
        if (!needs[i].has_effect && is_asked_for(reader->config, option)) {
            tfr_complaints_add(&reader->complaints, TFR_USAGE, TFR_COMPLAINT_LAST_LINE, 0, "%s%s does nothing without %s",
                               flag != NULL ? "--" : "", flag != NULL ? flag : needs[i].key, needs[i].fix);
        }
    }
}

/* Of settings that exclude each other: the command line's, if one of them is its word. */
static enum tfr_status fault_of_modes(const struct tfr_config *config) {
    static const char *const keys[] = {
        "sampling.num_beams",     "sampling.num_return_sequences", "sampling.stop",      "sampling.assistant",
        "sampling.prompt_lookup", "sampling.temperature",          "sampling.do_sample", "runtime.max_batch"};
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        if (tfr_option_fault(config, keys[i]) == TFR_USAGE) {
            return TFR_USAGE;
        }
    }
    return TFR_CONFIG;
}

/* Ways of generating that exclude each other. */
static void check_modes(struct tfr_config_reader *reader) {
    const struct tfr_options *o = &reader->config->options;
    const bool assisted = o->sampling_assistant != NULL || o->sampling_prompt_lookup > 0;
    char text[256] = "";
    if (o->sampling_num_beams > 1 && o->sampling_num_return_sequences > o->sampling_num_beams) {
        snprintf(text, sizeof text, "sampling.num_return_sequences = %lld is more than sampling.num_beams = %lld",
                 (long long)o->sampling_num_return_sequences, (long long)o->sampling_num_beams);
    } else if (o->sampling_num_beams == 1 && o->sampling_num_return_sequences > 1 && o->sampling_do_sample == TFR_SAMPLE_FALSE) {
        snprintf(text, sizeof text,
                 "sampling.num_return_sequences = %lld with greedy decoding would give one text many times; set a temperature or "
                 "num_beams",
                 (long long)o->sampling_num_return_sequences);
    } else if (o->sampling_num_beams > o->runtime_max_batch) {
        snprintf(text, sizeof text,
                 "sampling.num_beams = %lld needs runtime.max_batch of at least as much, it is %lld; raise --max-batch",
                 (long long)o->sampling_num_beams, (long long)o->runtime_max_batch);
    } else if (o->sampling_num_beams > 1 && o->sampling_stop.n > 0) {
        snprintf(text, sizeof text, "sampling.stop with num_beams = %lld is not supported; beams end at end tokens and lengths",
                 (long long)o->sampling_num_beams);
    } else if (assisted && (o->sampling_num_beams > 1 || o->sampling_num_return_sequences > 1)) {
        snprintf(text, sizeof text,
                 "assisted decoding makes one sequence; it does not go with num_beams or num_return_sequences above 1");
    } else if (o->sampling_assistant != NULL && o->sampling_prompt_lookup > 0) {
        snprintf(text, sizeof text, "sampling.assistant and sampling.prompt_lookup are two ways to draft; give one");
    } else if (o->sampling_logprobs >= 0 && o->sampling_num_beams > 1) {
        snprintf(text, sizeof text, "sampling.logprobs with num_beams = %lld is not supported; leave one out",
                 (long long)o->sampling_num_beams);
    } else if (o->sampling_prompt_logprobs && (o->sampling_logprobs < 0 || assisted)) {
        snprintf(text, sizeof text, "sampling.prompt_logprobs %s", assisted ? "does not go with drafts; leave one out"
                                                                            : "needs sampling.logprobs; give both");
    }
    if (text[0] != '\0') {
        tfr_complaints_add(&reader->complaints, fault_of_modes(reader->config), TFR_COMPLAINT_TOGETHER_LINE,
                           0, "%s", text);
    }
}

void tfr_config_settle_sampling(struct tfr_config_reader *reader) {
    settle_mode(reader);
    settle_sampling_defaults(reader->config);
    settle_lengths(reader->config);
    check_idle_flags(reader);
    check_modes(reader);
}

void tfr_config_settle_request(struct tfr_config_reader *reader) {
    settle_mode(reader);
    settle_sampling_defaults(reader->config);
    settle_lengths(reader->config);
    check_modes(reader);
}

void tfr_config_log_sampling(const struct tfr_config *config) {
    size_t n;
    const struct tfr_option_info *table = tfr_option_table(&n);
    if (config->options.sampling_max_length == 0 && config->options.sampling_min_tokens > config->options.sampling_max_tokens) {
        tfr_log(TFR_LOG_WARN, "config",
                "sampling.min_tokens = %lld is more than sampling.max_tokens = %lld: no end of the text is allowed",
                (long long)config->options.sampling_min_tokens, (long long)config->options.sampling_max_tokens);
    }
    struct tfr_options options = config->options; /* a view: members are looked up in something that is not const */
    for (size_t i = 0; i < n; i++) {
        if (strncmp(table[i].key, "sampling.", 9) != 0 || config->origin[i] == TFR_ORIGIN_DEFAULT) {
            continue;
        }
        char text[128];
        value_text(&options, (int)i, text, sizeof text);
        if (table[i].default_text == NULL || strcmp(text, table[i].default_text) != 0) {
            tfr_log(TFR_LOG_INFO, "config", "%s = %s, from %s", table[i].key, text,
                    source_name((enum tfr_origin)config->origin[i]));
        }
    }
}

char *tfr_config_json_text(const struct tfr_json_doc *doc, const tfr_json *node) {
    struct tfr_json_out out = {0};
    tfr_json_put_node(&out, NULL, doc, node);
    if (out.failed) {
        tfr_free(out.text);
        return NULL;
    }
    return out.text;
}
