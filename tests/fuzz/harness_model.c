/* harness_model.c - the small models of harness.h: one block each, random weights, the tokenizer of tests/model/text. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "harness.h"

static const struct kind {
    const char *name, *architecture, *more;
} kinds[] = {
    {"lm", "GPT2LMHeadModel", ""},
    {"cross", "GPT2LMHeadModel", "\"add_cross_attention\": true, "},
    {"double", "GPT2DoubleHeadsModel", ""},
    {"seq", "GPT2ForSequenceClassification", "\"num_labels\": 3, \"pad_token_id\": 0, "},
    {"token", "GPT2ForTokenClassification", "\"num_labels\": 3, "},
    {"prefix", "GPT2LMHeadModel", ""},
    {"span", "GPT2ForQuestionAnswering", ""},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static const struct tfr_override fixed[] = {{"runtime.threads", "1", "fuzz"},
                                            {"runtime.max_batch", "4", "fuzz"},
                                            {"runtime.bind", "none", "fuzz"},
                                            {"runtime.warmup", "false", "fuzz"},
                                            {"sampling.max_tokens", "2", "fuzz"}};

enum { N_FIXED = sizeof fixed / sizeof fixed[0] };

static int find_kind(const char *name) {
    int i = 0;
    while (i < N_KINDS && strcmp(kinds[i].name, name) != 0) {
        i++;
    }
    tfr_fuzz_require(i < N_KINDS, "a kind of model that there is");
    return i;
}

const char *tfr_fuzz_model(const char *name) {
    static char made[N_KINDS][512];
    const int i = find_kind(name);
    char config[1024], key[64];
    if (made[i][0] != '\0') {
        return made[i];
    }
    snprintf(config, sizeof config,
             "{\"model_type\": \"gpt2\", \"architectures\": [\"%s\"], %s\"vocab_size\": 261, \"n_positions\": 32, \"n_embd\": 16,"
             " \"n_head\": 2, \"n_layer\": 1, \"bos_token_id\": 260, \"eos_token_id\": 260,"
             " \"tfrun\": {\"model\": {\"tokenizer\": \"%s/tests/model/text/tokenizer\"}}}",
             kinds[i].architecture, kinds[i].more, TFR_SOURCE_DIR);
    snprintf(key, sizeof key, "%s.json", name);
    const char *from = tfr_fuzz_write(key, config, strlen(config));
    char source[512], target[512];
    snprintf(source, sizeof source, "%s", from);
    snprintf(target, sizeof target, "%s", tfr_fuzz_path(name));
    const struct tfr_override overrides[] = {
        {"output.file", target, "fuzz"}, {"trust", TFR_SOURCE_DIR, "fuzz"}, {"sampling.seed", "1", "fuzz"}};
    tfr_fuzz_require(tfr_checkpoint_init(source, overrides, 3, NULL) == TFR_OK, "a small model is made");
    memcpy(made[i], target, sizeof target);
    return made[i];
}

/* Keys and values of three positions, all zeros, as a file of past_key_values. */
static const char *write_prefix(void) {
    static const char header[] = "{\"past_key_values.0.key\":{\"dtype\":\"F32\",\"shape\":[1,2,3,8],\"data_offsets\":[0,192]},"
                                 "\"past_key_values.0.value\":{\"dtype\":\"F32\",\"shape\":[1,2,3,8],\"data_offsets\":[192,384]}}";
    char bytes[8 + sizeof header - 1 + 384] = {0};
    const uint64_t n = sizeof header - 1;
    memcpy(bytes, &n, sizeof n);
    memcpy(bytes + 8, header, sizeof header - 1);
    return tfr_fuzz_write("prefix.safetensors", bytes, sizeof bytes);
}

struct tfr_engine *tfr_fuzz_engine(const char *name) {
    static struct tfr_engine *engines[N_KINDS];
    const int i = find_kind(name);
    if (engines[i] == NULL) {
        const char *folder = tfr_fuzz_model(name);
        const bool has_prefix = strcmp(name, "prefix") == 0;
        struct tfr_override overrides[N_FIXED + 1] = {[N_FIXED] = {"model.prefix", has_prefix ? write_prefix() : "", "fuzz"}};
        memcpy(overrides, fixed, sizeof fixed);
        const enum tfr_status status = tfr_engine_open(&engines[i], folder, overrides, N_FIXED + has_prefix);
        tfr_fuzz_require(status == TFR_OK, "a small model opens");
        tfr_log_set_level(TFR_LOG_INFO); /* opening sets that of the config */
    }
    return engines[i];
}
