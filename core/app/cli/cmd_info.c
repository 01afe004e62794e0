/* cmd_info.c - `tfrun plugins`, `tfrun topology`, `tfrun config`: what there is. */
#include <string.h>

#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {{"json", NULL, "as JSON", 0}};
enum { N_FLAGS = sizeof flags / sizeof flags[0] };

static enum tfr_report_form form_of(const struct tfr_args *args) {
    return tfr_args_flag(args, "json") != NULL ? TFR_REPORT_JSON : TFR_REPORT_TEXT;
}

static int plugins(struct tfr_args *args) {
    const char *paths[TFR_MAX_ARGS_GIVEN];
    size_t n = 0;
    for (size_t i = 0; i < args->n_overrides; i++) {
        if (strcmp(args->overrides[i].key, "plugins") == 0) {
            paths[n++] = args->overrides[i].value;
        }
    }
    char *text;
    enum tfr_status status = tfr_report_plugins(paths, n, form_of(args), &text);
    return status == TFR_OK ? tfr_cli_print(text) : tfr_cli_fail(status);
}

static int topology(struct tfr_args *args) {
    char *text;
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
