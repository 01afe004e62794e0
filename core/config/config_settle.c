/* config_settle.c - what the settings of all sources mean together: who decides between greedy and sampling, which length counts,
 * which ways of generating exclude each other. */
#include "config/config_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"

/* What transformers takes where sampling is asked for and nothing is said about top_k. */
static const int64_t default_top_k = 50;

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
            tfr_complaints_add(&reader->complaints, tfr_option_fault(reader->config, "sampling.do_sample"),
                               TFR_COMPLAINT_TOGETHER_LINE, 0,
                               "%s gives sampling.do_sample = true and sampling.temperature = 0; give a temperature above 0",
                               tfr_config_origin_name((enum tfr_origin)flag));
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
    tfr_option_value_text(&config->options, option, text, sizeof text);
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
        {"sampling.num_assistant_tokens", "a draft model; give --assistant too", o->sampling_assistant != NULL},
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
    } else if (o->sampling_num_beams > 1 && (o->sampling_stop.n > 0 || o->sampling_stop_token_ids != NULL)) {
        snprintf(text, sizeof text, "sampling.%s with num_beams = %lld is not supported; beams end at end tokens and lengths",
                 o->sampling_stop.n > 0 ? "stop" : "stop_token_ids", (long long)o->sampling_num_beams);
    } else if (assisted && (o->sampling_num_beams > 1 || o->sampling_num_return_sequences > 1)) {
        snprintf(text, sizeof text,
                 "assisted decoding makes one sequence; it does not go with num_beams or num_return_sequences above 1");
    } else if (o->sampling_assistant != NULL && o->sampling_prompt_lookup > 0) {
        snprintf(text, sizeof text, "sampling.assistant and sampling.prompt_lookup are two ways to draft; give one");
    } else if (o->sampling_logprobs >= 0 && o->sampling_num_beams > 1) {
        snprintf(text, sizeof text, "sampling.logprobs with num_beams = %lld is not supported; leave one out",
                 (long long)o->sampling_num_beams);
    } else if (o->sampling_prompt_logprobs && (o->sampling_logprobs < 0 || assisted)) {
        snprintf(text, sizeof text, "sampling.prompt_logprobs %s",
                 assisted ? "does not go with drafts; leave one out" : "needs sampling.logprobs; give both");
    }
    if (text[0] != '\0') {
        tfr_complaints_add(&reader->complaints, fault_of_modes(reader->config), TFR_COMPLAINT_TOGETHER_LINE, 0, "%s", text);
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
        tfr_option_value_text(&options, (int)i, text, sizeof text);
        if (table[i].default_text == NULL || strcmp(text, table[i].default_text) != 0) {
            tfr_log(TFR_LOG_INFO, "config", "%s = %s, from %s", table[i].key, text,
                    tfr_config_origin_name((enum tfr_origin)config->origin[i]));
        }
    }
}
