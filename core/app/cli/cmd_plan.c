/* cmd_plan.c - `tfrun plan`: which kernel runs each node, why, and what it should cost; no weights needed. */
#include <string.h>

#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {
    {"explain", NULL, "also list every refused kernel with its reason", 0},
    {"rows", "N", "token rows of the step: 1 is decode, more is prefill [1]", 0},
    {"context", "N", "cached positions assumed for attention [128]", 0},
    {"ranks", "N", "plan for this many ranks [1]", 0},
    {"json", NULL, "as JSON", 0},
};

static const char *const reads[] = {"trust", "runtime.", "parallel.", "plugins", NULL};

static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config");
    int64_t rows = 1, context = 128, ranks = 1;
    if (config == NULL || !tfr_cli_int(args, "rows", 1, 65536, &rows) || !tfr_cli_int(args, "context", 0, 1 << 20, &context) ||
        !tfr_cli_int(args, "ranks", 1, 4096, &ranks)) {
        return tfr_exit_code(TFR_USAGE);
    }
    const struct tfr_plan_question question = {
        .rows = rows, .context = context, .n_ranks = (int)ranks, .refusals = tfr_args_flag(args, "explain") != NULL};
    const enum tfr_report_form form = tfr_args_flag(args, "json") != NULL ? TFR_REPORT_JSON : TFR_REPORT_TEXT;
    char *text;
    enum tfr_status status = tfr_report_plan(config, args->overrides, args->n_overrides, &question, form, &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

const struct tfr_command tfr_cmd_plan = {
    .name = "plan",
    .operands = "CONFIG",
    .help = "every node with its kernel, FLOPs, bytes and predicted time",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};
