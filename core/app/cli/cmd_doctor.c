/* cmd_doctor.c - `tfrun doctor`: mistakes of a launcher and of the machine's set-up, with the fix of each; also on ranks. */
#include <string.h>

#include "app/cli/cli.h"

/* How a model's blocks lie on ranks says nothing without a model. 0, or an exit code. */
static int check_layout(const struct tfr_args *args) {
    for (size_t i = 0; i < args->n_overrides && args->n_operands == 0; i++) {
        const struct tfr_override *said = &args->overrides[i];
        if (strncmp(said->key, "parallel.", strlen("parallel.")) == 0) {
            return tfr_cli_usage("%s is about the blocks of a model: name its config too, or leave it out", tfr_args_word(said));
        }
    }
    return 0;
}

static int run(struct tfr_args *args) {
    const enum tfr_report_form form = tfr_args_flag(args, "json") != NULL ? TFR_REPORT_JSON : TFR_REPORT_TEXT;
    char *text;
    int n_found;
    if (args->n_operands > 1) {
        return tfr_cli_usage("\"%s\": one config is enough", args->operands[1]);
    }
    const int refused = check_layout(args);
    if (refused != 0) {
        return refused;
    }
    const char *path = args->n_operands > 0 ? args->operands[0] : NULL;
    const enum tfr_status status = tfr_report_doctor(path, args->overrides, args->n_overrides, form, &text, &n_found);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    if (text == NULL) { /* a rank that is not the one that reports */
        return 0;
    }
    const int code = tfr_cli_print(text);
    return code == 0 && n_found > 0 ? tfr_exit_code(TFR_CHECK) : code;
}

static const struct tfr_flag flags[] = {{"json", NULL, "as JSON", 0}};
static const char *const reads[] = {
    "trust", "runtime.threads", "parallel.tensor", "parallel.replicas", "parallel.head", "parallel.split", NULL};

const struct tfr_command tfr_cmd_doctor = {
    .name = "doctor",
    .operands = "[CONFIG]",
    .help = "mistakes in how ranks are started on this machine, with the fix of each",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .on_all_ranks = true,
    .run = run,
};
