/* cmd_init.c - `tfrun init`: a randomly initialised checkpoint of any config. */
#include <stdlib.h>
#include <string.h>

#include "app/cli/cli.h"

static enum tfr_dtype stored_dtype(const struct tfr_args *args) {
    for (size_t i = args->n_overrides; i > 0; i--) {
        if (strcmp(args->overrides[i - 1].key, "runtime.dtype") == 0) {
            return strcmp(args->overrides[i - 1].value, "bf16") == 0 ? TFR_DTYPE_BF16 : TFR_DTYPE_F32;
        }
    }
    return TFR_DTYPE_F32;
}

/* The last value given for a key; NULL if none. */
static const char *override_of(const struct tfr_args *args, const char *key) {
    for (size_t i = args->n_overrides; i > 0; i--) {
        if (strcmp(args->overrides[i - 1].key, key) == 0) {
            return args->overrides[i - 1].value;
        }
    }
    return NULL;
}

static int run(struct tfr_args *args) {
    const char *config = tfr_cli_operand(args, "a config");
    const char *directory = override_of(args, "output.file");
    const char *seed = override_of(args, "sampling.seed");
    if (config == NULL) {
        return tfr_exit_code(TFR_USAGE);
    }
    if (directory == NULL) {
        return tfr_cli_usage("init needs -o DIR, the folder to write");
    }
    const char *force = override_of(args, "output.force");
    enum tfr_status status =
        tfr_checkpoint_init(config, args->overrides, args->n_overrides, directory, stored_dtype(args),
                            seed != NULL ? strtoull(seed, NULL, 10) : 0, force != NULL && strcmp(force, "true") == 0);
    if (status != TFR_OK) {
        return tfr_cli_fail(status);
    }
    fprintf(stderr, "tfrun: wrote %s; next: tfrun %s -p \"Hello\"\n", directory, directory);
    return 0;
}

const struct tfr_command tfr_cmd_init = {
    "init", "CONFIG -o DIR", "write a randomly initialised checkpoint (--seed N, --dtype f32|bf16, --force)", NULL, 0, run};
