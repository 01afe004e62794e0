/* checkpoint.c - `tfrun init` as a function: all that it needs is in the config. */
#include <tfrun/tfrun.h>

#include "base/arena.h"
#include "base/status.h"
#include "config/config.h"
#include "model/model.h"

static enum tfr_status init(const struct tfr_config *config) {
    const struct tfr_options *options = &config->options;
    if (options->output_file == NULL) {
        return tfr_raise(TFR_USAGE, "init needs -o DIR, the folder to write");
    }
    if (options->runtime_dtype != TFR_PACK_F32 && options->runtime_dtype != TFR_PACK_BF16) {
        return tfr_raise(TFR_USAGE, "a new checkpoint is stored in f32 or bf16, not in %s; give --dtype f32 or bf16",
                         tfr_choice_name("runtime.dtype", options->runtime_dtype));
    }
    const enum tfr_dtype dtype = options->runtime_dtype == TFR_PACK_F32 ? TFR_DTYPE_F32 : TFR_DTYPE_BF16;
    const uint64_t seed = options->sampling_seed >= 0 ? (uint64_t)options->sampling_seed : 0;
    return tfr_model_init(config, options->output_file, dtype, seed, options->output_force);
}

enum tfr_status tfr_checkpoint_init(const char *config_path, const struct tfr_override *overrides, size_t n_overrides,
                                    char **directory) {
    struct tfr_config *config;
    TFR_TRY(tfr_config_load(&config, config_path, overrides, n_overrides));
    const char *path = config->options.output_file;
    char *copy = path != NULL ? tfr_strdup(path) : NULL; /* before the work: a checkpoint that is written is no failure */
    enum tfr_status status = path == NULL || copy != NULL ? init(config) : TFR_RESOURCE;
    if (status == TFR_OK && directory != NULL) {
        *directory = copy;
        copy = NULL;
    }
    tfr_free(copy);
    tfr_config_free(config);
    return status;
}
