/* cmd_init.c - `tfrun init`: a randomly initialised checkpoint of any config. */
#include "app/cli/cli.h"

static const char *const reads[] = {"output.file", "output.force", "runtime.dtype", "sampling.seed", "model.", NULL};

static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config");
    char *directory;
    if (config == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    enum tfr_status status = tfr_checkpoint_init(config, args->overrides, args->n_overrides, &directory);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    fprintf(stderr, "tfrun: wrote %s; next: tfrun %s -p \"Hello\"\n", directory, directory);
    tfr_string_free(directory);
    return 0;
}

const struct tfr_command tfr_cmd_init = {
    .name = "init",
    .operands = "CONFIG -o DIR",
    .help = "write a randomly initialised checkpoint (--seed N, --dtype f32|bf16, --force)",
    .reads = reads,
    .run = run,
};
