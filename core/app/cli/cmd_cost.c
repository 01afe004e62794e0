/* cmd_cost.c - `tfrun cost`: FLOPs and bytes of a forward, of PyTorch's reference and of what tfrun executes; no weights needed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/cost_measured.h"

enum { MOST_SEQUENCES = 4096 };

static const struct tfr_flag flags[] = {
    {"batch", "N", "sequences [1]", 0},
    {"seq", "N[,N...]", "new positions of a sequence; a list: of each [1024, or what n_positions leaves]", 0},
    {"cache", "N[,N...]", "cached positions of a sequence; a list: of each [0; decode: n_positions - 1]", 0},
    {"phase", "PHASE", "prefill, or decode: one new position behind a full cache [prefill]", 0},
    {"encoder-len", "N", "positions of encoder states that cross-attention reads [none]", 0},
    {"level", "LEVEL", "kernel, module, or line: the forward of Hugging Face's class line by line [kernel]", 0},
    {"form", "FORM", "numeric, symbolic (polynomials in batch_size, seq_len, ...) or both [numeric; of lines both]", 0},
    {"logits", "WHICH", "all, last or none [the reference's all, tfrun's last]", 0},
    {"head", "HEAD", "lm, token-cls, seq-cls, qa, double or none [the config's architecture]", 0},
    {"ranks", "N", "split over this many ranks, and count messages [1]", 0},
    {"stored", "TYPE", "f32, bf16 or f16: type of the embedding tables [the checkpoint's; without one --dtype]", 0},
    {"measured", NULL,
     "run the step too and print its profile below: the config as it is, so without --head, --logits and --stored", 0},
    {"factor", "", "common factors of formulas before a bracket [yes, but in json and csv of kernels and modules]", 0},
    {"any-length", NULL, "answer also for more positions than the model has", 0},
    {"format", "FORM", "table, md, json or csv [table]", 0},
    {"class", "NAME", "lines of this class, such as GPT2Block, Linear, GPT2Attention-cross [the head's]", 0},
    {"release", "VERSION", "lines of this release of transformers [the newest that has a table]; kernels and modules are of 4.40.2",
     0},
    {"attn", "KIND", "lines of eager or of fused attention, which sdpa means too [eager]", 0},
    {"expand", "N", "of lines: look into references N levels deep; 9 is down to ops [0]", 0},
    {"json", NULL, "the same as --format json", 0},
};

static const char *const reads[] = {"trust", "runtime.", "parallel.", "plugins", NULL};

/* Index of a flag's word in a list that ends with NULL, 0 if the flag is absent; -1 after a message. */
static int word_of(const struct tfr_args *args, const char *flag, const char *const *words) {
    const char *given = tfr_args_flag(args, flag);
    char list[128] = "";
    for (int i = 0; words[i] != NULL; i++) {
        if (given == NULL || strcmp(given, words[i]) == 0) {
            return i;
        }
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : words[i + 1] == NULL ? " and " : ", ", words[i]);
    }
    tfr_cli_usage("--%s: \"%s\" is none of %s", flag, given, list);
    return -1;
}

/* "5,17,3"; false after a message. */
static bool take_list(const struct tfr_args *args, const char *flag, int64_t least, int64_t *list, size_t *n) {
    const char *at = tfr_args_flag(args, flag);
    *n = 0;
    while (at != NULL) {
        char *end;
        errno = 0;
        const long long number = strtoll(at, &end, 10);
        const bool is_number = *at >= '0' && *at <= '9' && errno == 0 && (*end == '\0' || *end == ',') && number >= least;
        if (!is_number) {
            tfr_cli_usage("--%s: \"%s\" is not a whole number in %lld..2^63 - 1, or a list of them with commas", flag,
                          tfr_args_flag(args, flag), (long long)least);
            return false;
        }
        if (*n == MOST_SEQUENCES) {
            tfr_cli_usage("--%s lists more than %d sequences; sequences that are alike are better given with --batch", flag,
                          MOST_SEQUENCES);
            return false;
        }
        list[(*n)++] = number;
        at = *end == ',' ? end + 1 : NULL;
    }
    return true;
}

static bool take_words(const struct tfr_args *args, struct tfr_cost_query *query) {
    static const char *const phases[] = {"prefill", "decode", NULL}, *const levels[] = {"kernel", "module", "line", NULL},
                             *const forms[] = {"numeric", "symbolic", "both", NULL},
                             *const formats[] = {"table", "md", "json", "csv", NULL},
                             *const logits[] = {"default", "all", "last", "none", NULL},
                             *const stored[] = {"default", "f32", "bf16", "f16", NULL};
    static const enum tfr_dtype types[] = {TFR_DTYPE_NONE, TFR_DTYPE_F32, TFR_DTYPE_BF16, TFR_DTYPE_F16};
    const int phase = word_of(args, "phase", phases), level = phase < 0 ? -1 : word_of(args, "level", levels);
    const int form = level < 0 ? -1 : word_of(args, "form", forms), format = form < 0 ? -1 : word_of(args, "format", formats);
    const int kept = format < 0 ? -1 : word_of(args, "logits", logits), type = kept < 0 ? -1 : word_of(args, "stored", stored);
    if (type < 0) {
        return false;
    }
    const bool is_json = tfr_args_flag(args, "json") != NULL;
    if (is_json && tfr_args_flag(args, "format") != NULL && format != TFR_COST_JSON) {
        tfr_cli_usage("--json and --format %s exclude each other; give one", formats[format]);
        return false;
    }
    query->phase = (enum tfr_cost_phase)phase;
    query->level = (enum tfr_cost_level)level;
    query->form = level == TFR_COST_LINE && tfr_args_flag(args, "form") == NULL ? TFR_COST_BOTH : (enum tfr_cost_form)form;
    query->format = is_json ? TFR_COST_JSON : (enum tfr_cost_format)format;
    query->logits = (enum tfr_cost_logits)kept;
    query->stored = types[type];
    const int factor = tfr_args_switch(args, "factor");
    const bool is_factored = query->format == TFR_COST_TABLE || query->format == TFR_COST_MARKDOWN || level == TFR_COST_LINE;
    query->plain_formulas = factor == TFR_SWITCH_OFF || (factor == TFR_SWITCH_CONFIG && !is_factored);
    return true;
}

/* What only lines have. */
static bool take_lines(const struct tfr_args *args, struct tfr_cost_query *query) {
    static const char *const only_lines[] = {"class", "release", "attn", "expand"}, *const kinds[] = {"eager", "fused", "sdpa",
                                                                                                      NULL};
    for (size_t i = 0; i < sizeof only_lines / sizeof only_lines[0] && query->level != TFR_COST_LINE; i++) {
        if (tfr_args_flag(args, only_lines[i]) != NULL) {
            tfr_cli_usage("--%s is about lines; give --level line too%s", only_lines[i],
                          strcmp(only_lines[i], "release") == 0 ? " (kernels and modules stand for 4.40.2)"
                          : strcmp(only_lines[i], "attn") == 0  ? " (tfrun's own way of attention is --set runtime.attn=...)"
                                                                : "");
            return false;
        }
    }
    const int kind = word_of(args, "attn", kinds);
    int64_t expand = 0;
    query->class_name = tfr_args_flag(args, "class");
    query->release = tfr_args_flag(args, "release");
    query->fused_attention = kind >= 1;
    if (kind < 0 || !tfr_cli_int(args, "expand", 0, 9, &expand)) {
        return false;
    }
    query->expand = (int)expand;
    return true;
}

/* A flag that would change nothing in the answer: 0, or an exit code. */
static int check_idle(const struct tfr_args *args, const struct tfr_cost_query *query) {
    static const char *const of_formulas[] = {"factor", "expand"};
    for (size_t i = 0; i < sizeof of_formulas / sizeof of_formulas[0] && query->form == TFR_COST_NUMERIC; i++) {
        if (tfr_args_flag(args, of_formulas[i]) != NULL) {
            return tfr_cli_usage(
                "--%s is about formulas, and --form numeric has none: give --form symbolic or both, or leave it out",
                of_formulas[i]);
        }
    }
    if (query->level == TFR_COST_LINE && query->stored != TFR_DTYPE_NONE) {
        return tfr_cli_usage(
            "--stored is about the tables of kernels and modules; lines have tensors of --dtype alone: leave it out");
    }
    return 0;
}

/* What is about the start of a run is read where one is measured. 0, or an exit code. */
static int check_start(const struct tfr_args *args) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *said = &args->overrides[i];
        if (strcmp(said->key, "runtime.warmup") == 0 || strcmp(said->key, "runtime.pack_cache") == 0) {
            return tfr_cli_usage("%s has no effect on `tfrun cost` without --measured, which runs the step; leave it out",
                                 tfr_args_word(said));
        }
    }
    return 0;
}

static int run(struct tfr_args *args) {
    static int64_t seq[MOST_SEQUENCES], cache[MOST_SEQUENCES];
    const char *config = tfr_cli_operand(args, "a config");
    struct tfr_cost_query query = {
        .seq = seq, .cache = cache, .head = tfr_args_flag(args, "head"), .any_length = tfr_args_flag(args, "any-length") != NULL};
    int64_t ranks = 1;
    if (config == NULL || !take_words(args, &query) || !take_lines(args, &query) ||
        !tfr_cli_int(args, "batch", 1, INT64_MAX, &query.batch) ||
        !tfr_cli_int(args, "encoder-len", 1, INT64_MAX, &query.encoder_len) || !tfr_cli_int(args, "ranks", 1, 4096, &ranks) ||
        !take_list(args, "seq", 1, seq, &query.n_seq) || !take_list(args, "cache", 0, cache, &query.n_cache)) {
        return tfr_exit_code(TFR_USAGE);
    }
    query.n_ranks = (int)ranks;
    const bool is_measured = tfr_args_flag(args, "measured") != NULL;
    int code = is_measured ? tfr_cost_check_measured(&query) : check_start(args);
    code = code == 0 ? check_idle(args, &query) : code;
    if (code != 0) {
        return code;
    }
    char *text;
    const enum tfr_status status = tfr_report_cost(config, args->overrides, args->n_overrides, &query, &text);
    code = status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
    return code == 0 && is_measured ? tfr_cost_print_measured(args, &query) : code;
}

const struct tfr_command tfr_cmd_cost = {
    .name = "cost",
    .operands = "CONFIG",
    .help = "FLOPs and bytes of a forward, exact and as formulas: PyTorch's unfused and tfrun's",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};
