/* cmd_init.c - `tfrun init`: a randomly initialised checkpoint of any config. */
#include "app/cli/cli.h"

static const struct tfr_flag flags[] = {TFR_FOLDER_FLAG};

static const char *const reads[] = {"trust",           "output.file", "output.force", "runtime.dtype", "sampling.seed",
                                    "model.tokenizer", NULL};

static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config");
    char *directory;
    if (config == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    tfr_cli_take_folder(args);
    enum tfr_status status = tfr_checkpoint_init(config, args->overrides, args->n_overrides, &directory);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    const char *ways[] = {"-p \"Hello\"", "--prompt-ids 1,2,3"}; /* the second where no tokenizer came along */
    struct tfr_vocabulary *vocabulary = NULL;
    const bool has_text = tfr_vocabulary_open(&vocabulary, directory, NULL, 0) == TFR_OK;
    tfr_vocabulary_close(vocabulary);
    fprintf(stderr, "tfrun: wrote %s; next: tfrun %s %s\n", directory, directory, ways[has_text ? 0 : 1]);
    tfr_string_free(directory);
    return 0;
}

const struct tfr_command tfr_cmd_init = {
    .name = "init",
    .operands = "CONFIG -o DIR",
    .help = "write a randomly initialised checkpoint (--seed N, --dtype f32|bf16, --force)",
    .flags = flags,
    .n_flags = sizeof flags / sizeof flags[0],
    .reads = reads,
    .run = run,
};
