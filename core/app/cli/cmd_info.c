/* cmd_info.c - `tfrun plugins`, `tfrun topology`, `tfrun config`: what there is. */
#include <string.h>

#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {{"json", NULL, "as JSON", 0}};
enum { N_FLAGS = sizeof flags / sizeof flags[0] };

static enum tfr_report_form form_of(const struct tfr_args *args) {
    return tfr_args_flag(args, "json") != NULL ? TFR_REPORT_JSON : TFR_REPORT_TEXT;
}

/* These commands read no config: an option of it has nothing to act on, but for `allowed`. */
static bool has_stray(const struct tfr_args *args, const char *allowed) {
    for (size_t i = 0; i < args->n_overrides; i++) {
        if (strcmp(args->overrides[i].key, allowed) != 0) {
            tfr_cli_usage("%s has no effect on this command; leave it out", args->overrides[i].origin);
            return true;
        }
    }
    if (args->n_operands > 0) {
        tfr_cli_usage("\"%s\": this command takes no operand", args->operands[0]);
    }
    return args->n_operands > 0;
}

static int plugins(struct tfr_args *args) {
    const char *paths[TFR_MAX_ARGS_GIVEN];
    size_t n = 0;
    if (has_stray(args, "plugins")) {
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
    if (has_stray(args, "")) {
        return tfr_exit_code(TFR_USAGE);
    }
    enum tfr_status status = tfr_report_topology(form_of(args), &text);
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
    "plugins", "", "plugins and kernels, and which of them run on this CPU", flags, N_FLAGS, plugins};
const struct tfr_command tfr_cmd_topology = {
    "topology", "", "the machine, its limits, and where threads would go", flags, N_FLAGS, topology};
const struct tfr_command tfr_cmd_config = {
    "config", "CONFIG", "check a config and print the effective options as JSON", flags, N_FLAGS, config};
