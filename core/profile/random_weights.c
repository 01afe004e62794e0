/* random_weights.c - random weights in a temporary folder, for models that have none: see tfrun/profile.h. */
#include <tfrun/profile.h>
#include <tfrun/tfrun.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "config/config.h"
#include "model/model_check.h"

/* GPT-2 124M, as its config.json says it. */
static const char shape[] = "{\"model_type\": \"gpt2\", \"vocab_size\": 50257, \"n_positions\": 1024, \"n_embd\": 768, "
                            "\"n_layer\": 12, \"n_head\": 12, \"activation_function\": \"gelu_new\"}\n";

static enum tfr_status make_folder(struct tfr_random_weights *made) {
    const char *temporary = getenv("TMPDIR");
    made->folder = tfr_path_join(temporary != NULL && temporary[0] == '/' ? temporary : "/tmp", "tfrun-random-XXXXXX");
    if (made->folder == NULL) {
        return TFR_RESOURCE;
    }
    if (mkdtemp(made->folder) == NULL) {
        const int error = errno;
        const enum tfr_status status =
            tfr_raise(TFR_RESOURCE, "%s: cannot make this folder: %s; set TMPDIR", made->folder, strerror(error));
        tfr_free(made->folder);
        made->folder = NULL;
        return status;
    }
    made->config = tfr_path_join(made->folder, "config.json");
    made->weights = tfr_path_join(made->folder, "model.safetensors");
    return made->config != NULL && made->weights != NULL ? TFR_OK : TFR_RESOURCE;
}

static enum tfr_status write_shape(const char *path) {
    struct tfr_outfile out;
    TFR_TRY(tfr_outfile_open(&out, path));
    enum tfr_status status = tfr_outfile_write(&out, shape, sizeof shape - 1);
    status = status == TFR_OK ? tfr_outfile_commit(&out) : status;
    tfr_outfile_abandon(&out);
    return status;
}

static enum tfr_status fill(struct tfr_random_weights *made, const char *config) {
    TFR_TRY(make_folder(made));
    if (config == NULL) {
        TFR_TRY(write_shape(made->config));
    }
    const struct tfr_override overrides[] = {
        {.key = "output.file", .value = made->folder, .origin = "-o"},
        {.key = "output.force", .value = "true", .origin = "--force"},
        {.key = "runtime.dtype", .value = "bf16", .origin = "--dtype"},
        {.key = "sampling.seed", .value = "1", .origin = "--seed"},
    };
    return tfr_checkpoint_init(config != NULL ? config : made->config, overrides, TFR_COUNT_OF(overrides), NULL);
}

enum tfr_status tfr_random_weights_make(struct tfr_random_weights *made, const char *config) {
    *made = (struct tfr_random_weights){0};
    const enum tfr_status status = fill(made, config);
    if (status != TFR_OK) {
        tfr_random_weights_remove(made);
    }
    return status;
}

void tfr_random_weights_remove(struct tfr_random_weights *made) {
    static const char *const names[] = {
        "config.json",       "model.safetensors",       "vocab.json",           "merges.txt", "tokenizer.json",
        "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"}; /* what init writes */
    for (size_t i = 0; made->folder != NULL && i < TFR_COUNT_OF(names); i++) {
        char *path = tfr_path_join(made->folder, names[i]);
        if (path != NULL) {
            unlink(path);
        }
        tfr_free(path);
    }
    if (made->folder != NULL) {
        rmdir(made->folder);
    }
    tfr_free(made->folder);
    tfr_free(made->config);
    tfr_free(made->weights);
    *made = (struct tfr_random_weights){0};
}

enum tfr_status tfr_weights_are_missing(const char *path, const struct tfr_override *overrides, size_t n_overrides, bool *missing) {
    struct tfr_config *config;
    char *weights = NULL;
    TFR_TRY(tfr_config_load(&config, path, overrides, n_overrides));
    const enum tfr_status status = tfr_model_find_weights(config, &weights);
    /* Weights that were named must be there; and the status is that of no memory, too. */
    *missing = status == TFR_RESOURCE && config->options.model_weights == NULL && !tfr_model_has_weights(config);
    tfr_free(weights);
    tfr_config_free(config);
    return *missing ? TFR_OK : status;
}
