/* cmd_graph.c - `tfrun graph`: the nodes of a step and what flows between them, as a picture; no weights needed. */
#include <string.h>

#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {
    {"format", "F", "txt, json, dot, or svg (laid out by graphviz) [txt]", 0},
    {"stage", "S", "fused: as it runs; built: before fusion; both [fused]", 0},
    {"rows", "N", "token rows of the step: 1 is decode, more is prefill [1]", 0},
    {"seq", "N", "the same, of each sequence", 0},
    {"batch", "N", "sequences [1]", 0},
    {"context", "N", "cached positions of each sequence [128, or as many as fit]", 0},
    {"encoder-len", "N", "encoder rows of each sequence, of a model with cross-attention [0]", 0},
    {"head", "HEAD", "lm, token-cls, seq-cls, qa, double or none [the config's architecture]", 0},
    {"logits", "L", "last: of the last row of each sequence; all [last]", 0},
    {"ranks", "N", "split over this many ranks [1]", 0},
    {"unfold", NULL, "every block, not equal ones once", 0},
    {"critical-path", NULL, "mark the path that is predicted to take longest", 0},
    {"measured", "FILE", "colour by share of the time, from a file of --trace", 0},
    {"json", NULL, "the same as --format json", 0},
};

static const char *const reads[] = {"trust", TFR_NO_START, "!runtime.hugepages", "runtime.", "parallel.", "plugins", NULL};

/* Index of the word of a flag in a list, 0 when absent; -1 after tfr_cli_usage. */
static int choice(const struct tfr_args *args, const char *flag, const char *const *words, int n, const char *list) {
    const char *word = tfr_args_flag(args, flag);
    if (word == NULL) {
        return 0;
    }
    for (int i = 0; i < n; i++) {
        if (strcmp(word, words[i]) == 0) {
            return i;
        }
    }
    tfr_cli_usage("--%s %s: it is one of %s", flag, word, list);
    return -1;
}

/* --rows is all of them, --seq those of a sequence. */
static bool read_rows(const struct tfr_args *args, struct tfr_graph_question *question) {
    enum { MOST = 1 << 20 };
    int64_t rows = 0; /* how many the model has room for is asked later */
    if (!tfr_cli_int(args, "batch", 1, MOST, &question->batch) || !tfr_cli_int(args, "rows", 1, INT64_MAX, &rows) ||
        !tfr_cli_int(args, "seq", 1, INT64_MAX, &question->seq)) {
        return false;
    }
    if (tfr_args_flag(args, "rows") == NULL) {
        return true;
    }
    if (tfr_args_flag(args, "seq") != NULL) {
        tfr_cli_usage("--rows and --seq exclude each other; give one");
        return false;
    }
    if (rows % question->batch != 0) {
        tfr_cli_usage("--rows %lld can't be shared by %lld sequences; give a multiple of --batch, or --seq", (long long)rows,
                      (long long)question->batch);
        return false;
    }
    question->seq = rows / question->batch;
    return true;
}

static bool read_question(const struct tfr_args *args, struct tfr_graph_question *question) {
    static const char *const stages[] = {"fused", "built", "both"}, *const logits[] = {"last", "all"};
    enum { MOST = 1 << 20, MOST_RANKS = 4096 };
    int64_t ranks = 1;
    const int stage = choice(args, "stage", stages, 3, "fused, built, both"),
              all = stage < 0 ? -1 : choice(args, "logits", logits, 2, "last, all");
    if (all < 0 || !read_rows(args, question) || !tfr_cli_int(args, "context", 0, INT64_MAX, &question->context) ||
        !tfr_cli_int(args, "encoder-len", 0, MOST, &question->encoder) || !tfr_cli_int(args, "ranks", 1, MOST_RANKS, &ranks)) {
        return false;
    }
    question->stage = (enum tfr_graph_stage)stage;
    question->all_logits = all == 1;
    question->n_ranks = (int)ranks;
    question->unfold = tfr_args_flag(args, "unfold") != NULL;
    question->critical_path = tfr_args_flag(args, "critical-path") != NULL;
    question->measured = tfr_args_flag(args, "measured");
    question->head = tfr_args_flag(args, "head");
    return true;
}

/* The form, also by --json; -1 after tfr_cli_usage. */
static int read_form(const struct tfr_args *args) {
    static const char *const forms[] = {"txt", "json", "dot", "svg"};
    enum { JSON = 1 };
    const int form = choice(args, "format", forms, 4, "txt, json, dot, svg");
    if (form < 0 || tfr_args_flag(args, "json") == NULL) {
        return form;
    }
    if (form != JSON && tfr_args_flag(args, "format") != NULL) {
        tfr_cli_usage("--json and --format %s exclude each other; give one", forms[form]);
        return -1;
    }
    return JSON;
}

static int run(struct tfr_args *args) {
    static const enum tfr_report_form reports[] = {TFR_REPORT_TEXT, TFR_REPORT_JSON, TFR_REPORT_DOT, TFR_REPORT_SVG};
    struct tfr_graph_question question = {.seq = 1, .batch = 1, .context = -1};
    const char *config = tfr_cli_operand(args, "a config");
    const int form = config == NULL ? -1 : read_form(args);
    if (form < 0 || !read_question(args, &question)) {
        return tfr_exit_code(TFR_USAGE);
    }
    char *text;
    enum tfr_status status = tfr_report_graph(config, args->overrides, args->n_overrides, &question, reports[form], &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

const struct tfr_command tfr_cmd_graph = {
    .name = "graph",
    .operands = "CONFIG",
    .help = "the step as a picture: nodes, shapes, FLOPs, what flows where",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};
