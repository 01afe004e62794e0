/* cmd_summary.c - `tfrun summary`: the modules of a config as PyTorch prints them, torchinfo's table, and what memory it takes. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {
    {"head", "HEAD", "lm, token-cls, seq-cls, qa, double or none [the config's architecture]", 0},
    {"cross-attention", "", "blocks with cross-attention [the config's add_cross_attention]", 0},
    {"depth", "N", "levels of the table [3]", 0},
    {"batch", "N", "sequences of the step whose activations are told [1]", 0},
    {"seq", "N", "tokens of each of them [n_positions]", 0},
    {"only", "PART", "print or table alone, for scripts", 0},
    {"torch", "VERSION", "print as this PyTorch does: a LayerNorm shows its bias since 2.12 [2.11]; classes of transformers 4.57",
     0},
    {"format", "FORM", "text or json [text]", 0},
    {"json", NULL, "the same as --format json", 0},
};

static const char *const reads[] = {"trust", TFR_NO_START, "!runtime.hugepages", "runtime.", "plugins", NULL};

/* Index of a flag's word in a list of `n`, 0 if the flag is absent; -1 after a message. */
static int word_of(const struct tfr_args *args, const char *flag, const char *const *words, int n) {
    const char *given = tfr_args_flag(args, flag);
    for (int i = 0; i < n && given != NULL; i++) {
        if (words[i] != NULL && strcmp(given, words[i]) == 0) {
            return i;
        }
    }
    if (given != NULL) {
        tfr_cli_usage("--%s: \"%s\" is neither %s nor %s", flag, given, words[n - 2], words[n - 1]);
    }
    return given == NULL ? 0 : -1;
}

/* "2.11": whether a LayerNorm shows its bias; false after a message. */
static bool read_torch(const struct tfr_args *args, bool *norm_shows_bias) {
    enum { MAJOR = 2, MINOR = 12 };
    const char *given = tfr_args_flag(args, "torch");
    char *end;
    if (given == NULL) {
        return true;
    }
    const long major = strtol(given, &end, 10);
    const char *point = end;
    const long minor = *point == '.' ? strtol(point + 1, &end, 10) : -1;
    if (point == given || end == point + 1 || (*end != '\0' && *end != '.' && *end != '+') || major < 1 || minor < 0) {
        tfr_cli_usage("--torch: \"%s\" is no version of PyTorch; write one like 2.11", given);
        return false;
    }
    *norm_shows_bias = major > MAJOR || (major == MAJOR && minor >= MINOR);
    return true;
}

/* A flag that would change nothing in what is printed; NULL: none. */
static const char *idle_flag(const struct tfr_args *args, bool is_json, enum tfr_summary_part part) {
    const struct {
        const char *flag;
        bool is_idle;
    } flag[] = {{"depth", is_json || part == TFR_SUMMARY_PRINT},
                {"torch", part == TFR_SUMMARY_TABLE},
                {"batch", part != TFR_SUMMARY_ALL},
                {"seq", part != TFR_SUMMARY_ALL}};
    for (size_t i = 0; i < sizeof flag / sizeof flag[0]; i++) {
        if (flag[i].is_idle && tfr_args_flag(args, flag[i].flag) != NULL) {
            return flag[i].flag;
        }
    }
    return NULL;
}

static int run(struct tfr_args *args) {
    static const char *const parts[] = {[TFR_SUMMARY_ALL] = NULL, [TFR_SUMMARY_PRINT] = "print", [TFR_SUMMARY_TABLE] = "table"};
    static const char *const forms[] = {[TFR_REPORT_TEXT] = "text", [TFR_REPORT_JSON] = "json"};
    struct tfr_summary_question question = {
        .head = tfr_args_flag(args, "head"), .cross_attention = tfr_args_switch(args, "cross-attention"), .batch = 1};
    const char *config = tfr_cli_operand(args, "a config");
    int64_t depth = 3;
    if (config == NULL || !tfr_cli_int(args, "depth", 0, 64, &depth) || !tfr_cli_int(args, "batch", 1, 65536, &question.batch) ||
        !tfr_cli_int(args, "seq", 1, INT64_MAX, &question.seq) || !read_torch(args, &question.norm_shows_bias)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const int part = word_of(args, "only", parts, 3), form = word_of(args, "format", forms, 2);
    if (part < 0 || form < 0) {
        return tfr_exit_code(TFR_USAGE);
    }
    const bool is_json = form == TFR_REPORT_JSON || tfr_args_flag(args, "json") != NULL;
    if (is_json && part != TFR_SUMMARY_ALL) {
        return tfr_cli_usage("--only chooses a part of the text; JSON has all of them: leave one of the two out");
    }
    if (tfr_args_flag(args, "json") != NULL && tfr_args_flag(args, "format") != NULL && form != TFR_REPORT_JSON) {
        return tfr_cli_usage("--json is --format json: give one");
    }
    const char *idle = idle_flag(args, is_json, (enum tfr_summary_part)part);
    if (idle != NULL) {
        return tfr_cli_usage("--%s changes nothing in %s: leave it out", idle,
                             is_json                     ? "JSON"
                             : part == TFR_SUMMARY_PRINT ? "--only print"
                                                         : "--only table");
    }
    question.depth = (int)depth;
    question.part = (enum tfr_summary_part)part;
    char *text;
    enum tfr_status status = tfr_report_summary(config, args->overrides, args->n_overrides, &question,
                                                is_json ? TFR_REPORT_JSON : TFR_REPORT_TEXT, &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

const struct tfr_command tfr_cmd_summary = {
    .name = "summary",
    .operands = "CONFIG",
    .help = "the modules as PyTorch prints them, torchinfo's table, and the memory they take",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};
