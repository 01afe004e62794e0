/* cmd_info.c - `tfrun plugins`, `tfrun topology`, `tfrun config`: what there is. */
#include <string.h>

#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {{"json", NULL, "as JSON", 0}};
enum { N_FLAGS = sizeof flags / sizeof flags[0] };

static enum tfr_report_form form_of(const struct tfr_args *args) {
    return tfr_args_flag(args, "json") != NULL ? TFR_REPORT_JSON : TFR_REPORT_TEXT;
}

static const char *const reads_plugins[] = {"plugins", NULL}, *const reads_nothing[] = {NULL};

/* These commands read no config. */
static bool has_operand(const struct tfr_args *args) {
    if (args->n_operands > 0) {
        tfr_cli_usage("\"%s\": this command takes no operand", args->operands[0]);
    }
    return args->n_operands > 0;
}

static int plugins(struct tfr_args *args) {
    const char *paths[TFR_MAX_ARGS_GIVEN];
    size_t n = 0;
    if (has_operand(args)) {
        return tfr_exit_code(TFR_USAGE);
    }
    for (; n < args->n_overrides; n++) {
        paths[n] = args->overrides[n].value;
    }
    char *text;
    enum tfr_status status = tfr_report_plugins(paths, n, form_of(args), &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

static int topology(struct tfr_args *args) {
    char *text;
    if (has_operand(args)) {
        return tfr_exit_code(TFR_USAGE);
    }
    enum tfr_status status = tfr_report_topology(form_of(args), &text);
    if (status == TFR_OK && text == NULL) { /* a rank that is not the one that reports */
        return tfr_exit_code(TFR_OK);
    }
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

static int config(struct tfr_args *args) {
    const char *path = tfr_cli_operand(args, "a config");
    if (path == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    char *text;
    enum tfr_status status = tfr_report_config(path, args->overrides, args->n_overrides, &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

const struct tfr_command tfr_cmd_plugins = {
    .name = "plugins",
    .operands = "",
    .help = "plugins and kernels, and which of them run on this CPU",
    .flags = flags,
    .n_flags = N_FLAGS,
    .reads = reads_plugins,
    .run = plugins,
};
const struct tfr_command tfr_cmd_topology = {
    .name = "topology",
    .operands = "",
    .help = "the machine, its limits, and where threads would go",
    .flags = flags,
    .n_flags = N_FLAGS,
    .reads = reads_nothing,
    .on_all_ranks = true,
    .run = topology,
};
const struct tfr_command tfr_cmd_config = {
    .name = "config",
    .operands = "CONFIG",
    .help = "check a config and print the effective options as JSON",
    .flags = flags,
    .n_flags = N_FLAGS,
    .run = config,
};
