/* cmd_check.c - `tfrun check`: what of a config, its options and its checkpoint is honoured. */
#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {{"json", NULL, "as JSON", 0}};

/* The exit code is that of running the config: 0 only if nothing is refused. */
static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config");
    if (config == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    const enum tfr_report_form form = tfr_args_flag(args, "json") != NULL ? TFR_REPORT_JSON : TFR_REPORT_TEXT;
    char *text;
    enum tfr_status verdict;
    const enum tfr_status status = tfr_report_check(config, args->overrides, args->n_overrides, form, &text, &verdict);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const int code = tfr_cli_print(text);
    return code != 0 ? code : tfr_exit_code(verdict);
}

const struct tfr_command tfr_cmd_check = {
    .name = "check",
    .operands = "CONFIG",
    .help = "every field, option and tensor: honoured, no effect, or refused, and why",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .run = run,
};
