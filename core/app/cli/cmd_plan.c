/* cmd_plan.c - `tfrun plan`: which kernel runs each node, why, and what it should cost; or what each layout of ranks should. No
 * weights needed. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"

enum { MOST_RANKS = 4096 };

static const struct tfr_flag flags[] = {
    {"explain", NULL, "also list every refused kernel with its reason", 0},
    {"rows", "N", "token rows of the step: 1 is decode, more is prefill [1]", 0},
    {"context", "N", "cached positions assumed for attention [128, or as many as the model has room for]", 0},
    {"ranks", "N", "plan for this many ranks [1]", 0},
    {"net", "US,GBIT_S",
     "what each layout of the ranks would take, each on a node of its own, with such links between them; or calibrated: as "
     "calibrate --net found them",
     0},
    {"cluster", "FILE", "the same on the nodes that this file describes (docs/scaling.md)", 0},
    {"sweep", "A..B", "with --net or --cluster: the best layout of each number of ranks", 0},
    {"prompt-tokens", "N", "with --net or --cluster: prompt of the first token [512, or half of what the model has]", 0},
    {"sequences", "N", "with --net or --cluster: sequences that are generated together [8]", 0},
    {"format", "FORM", "with --net or --cluster: table, md, json or csv [table]", 0},
    {"json", NULL, "as JSON", 0},
};

/* max_tokens: what --split mixed weighs. Nothing starts here. */
static const char *const reads[] = {"trust", TFR_NO_START, "runtime.", "parallel.", "sampling.max_tokens", "plugins", NULL};

/* The first flag of a list that was given; NULL: none was. */
static const char *first_given(const struct tfr_args *args, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (tfr_args_flag(args, names[i]) != NULL) {
            return names[i];
        }
    }
    return NULL;
}

/* "1..64"; false after a message. */
static bool take_sweep(const struct tfr_args *args, struct tfr_layouts_question *question) {
    const char *text = tfr_args_flag(args, "sweep");
    char *end;
    if (text == NULL) {
        return true;
    }
    if (tfr_args_flag(args, "ranks") != NULL) {
        tfr_cli_usage("--sweep says how many ranks there are, as --ranks does; give one");
        return false;
    }
    const long first = strtol(text, &end, 10);
    const bool has_dots = end != text && strncmp(end, "..", 2) == 0;
    const char *behind = has_dots ? end + 2 : end;
    const long last = strtol(behind, &end, 10);
    if (!has_dots || end == behind || *end != '\0' || first < 1 || last < first || last > MOST_RANKS) {
        tfr_cli_usage("--sweep: \"%s\" is not A..B with 1 <= A <= B <= %d, such as 1..64", text, MOST_RANKS);
        return false;
    }
    question->first_ranks = (int)first;
    question->last_ranks = (int)last;
    return true;
}

static bool take_format(const struct tfr_args *args, struct tfr_layouts_question *question) {
    static const char *const words[] = {
        [TFR_COST_TABLE] = "table", [TFR_COST_MARKDOWN] = "md", [TFR_COST_JSON] = "json", [TFR_COST_CSV] = "csv"};
    const char *given = tfr_args_flag(args, "format");
    const bool is_json = tfr_args_flag(args, "json") != NULL;
    question->format = is_json ? TFR_COST_JSON : TFR_COST_TABLE;
    if (given == NULL) {
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(given, words[i]) == 0 && (!is_json || i == TFR_COST_JSON)) {
            question->format = (enum tfr_cost_format)i;
            return true;
        }
    }
    tfr_cli_usage(is_json ? "--json and --format %s exclude each other; give one"
                          : "--format: \"%s\" is none of table, md, json, csv",
                  given);
    return false;
}

static int print(enum tfr_status status, char *text) {
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

/* Options that are one layout; all of them are compared. In a config they are for its runs. 0, or an exit code. */
static int check_layout_is_open(const struct tfr_args *args) {
    static const char *const keys[] = {"parallel.split", "parallel.head", "parallel.tensor", "parallel.replicas",
                                       "parallel.device_map"};
    for (size_t i = 0; i < args->n_overrides; i++) {
        const struct tfr_override *said = &args->overrides[i];
        const bool by_set = strcmp(said->origin, "--set") == 0;
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            if (strcmp(said->key, keys[k]) == 0) {
                return tfr_cli_usage(
                    "%s%s%s chooses a layout, and --net and --cluster compare all: leave it out, or plan the one without "
                    "them",
                    said->origin, by_set ? " " : "", by_set ? said->key : "");
            }
        }
    }
    return 0;
}

static int run_layouts(const struct tfr_args *args, const char *config, int64_t context, int64_t ranks) {
    static const char *const of_one_plan[] = {"explain", "rows"};
    struct tfr_layouts_question question = {
        .first_ranks = (int)ranks,
        .last_ranks = (int)ranks,
        .net = tfr_args_flag(args, "net"),
        .cluster = tfr_args_flag(args, "cluster"),
        .sequences = 8,
        .context = context,
    };
    const char *idle = first_given(args, of_one_plan, sizeof of_one_plan / sizeof of_one_plan[0]);
    if (idle != NULL) {
        return tfr_cli_usage("--%s is about the plan of one step, and --net and --cluster compare layouts; leave one out", idle);
    }
    if (question.net != NULL && question.cluster != NULL && strcmp(question.net, "calibrated") != 0) {
        return tfr_cli_usage(
            "--net describes the links and --cluster does too; give one, or --net calibrated, for nodes of the file "
            "with links as they were measured");
    }
    if (tfr_args_flag(args, "ranks") == NULL && tfr_args_flag(args, "sweep") == NULL) {
        return tfr_cli_usage("--%s compares layouts of ranks: say of how many with --ranks N or --sweep A..B",
                             question.net != NULL ? "net" : "cluster");
    }
    if (check_layout_is_open(args) != 0 || !take_sweep(args, &question) || !take_format(args, &question) ||
        !tfr_cli_int(args, "prompt-tokens", 1, INT32_MAX, &question.prompt) ||
        !tfr_cli_int(args, "sequences", 1, 1 << 20, &question.sequences)) {
        return tfr_exit_code(TFR_USAGE);
    }
    char *text;
    const enum tfr_status status = tfr_report_layouts(config, args->overrides, args->n_overrides, &question, &text);
    return print(status, text);
}

static int run(struct tfr_args *args) {
    static const char *const of_layouts[] = {"sweep", "prompt-tokens", "sequences", "format"};
    const char *config = tfr_cli_operand(args, "a config");
    int64_t rows = 1, context = -1, ranks = 1;
    if (config == NULL || !tfr_cli_int(args, "rows", 1, 65536, &rows) || !tfr_cli_int(args, "context", 0, 1 << 20, &context) ||
        !tfr_cli_int(args, "ranks", 1, MOST_RANKS, &ranks)) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (tfr_args_flag(args, "net") != NULL || tfr_args_flag(args, "cluster") != NULL) {
        return run_layouts(args, config, context, ranks);
    }
    const char *idle = first_given(args, of_layouts, sizeof of_layouts / sizeof of_layouts[0]);
    if (idle != NULL) {
        return tfr_cli_usage("--%s is about layouts of ranks: give --net US,GBIT_S or --cluster FILE too", idle);
    }
    const struct tfr_plan_question question = {
        .rows = rows, .context = context, .n_ranks = (int)ranks, .refusals = tfr_args_flag(args, "explain") != NULL};
    const enum tfr_report_form form = tfr_args_flag(args, "json") != NULL ? TFR_REPORT_JSON : TFR_REPORT_TEXT;
    char *text;
    const enum tfr_status status = tfr_report_plan(config, args->overrides, args->n_overrides, &question, form, &text);
    return print(status, text);
}

const struct tfr_command tfr_cmd_plan = {
    .name = "plan",
    .operands = "CONFIG",
    .help = "every node with kernel, FLOPs, bytes, predicted time; or ranks compared",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};
