/* weights_find.c - which file of a model folder holds the weights, in the order of transformers; and what to
 * do about a folder that has them in another form only. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "model/model_check.h"
#include "model/weights_foreign.h"

static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                                    "pytorch_model.bin.index.json"};

/* Forms that tfrun does not read, with the call of transformers that does; it then saves safetensors. */
static const struct {
    const char *name, *form, *fix;
} foreign[] = {
    {"tf_model.h5", "weights of TensorFlow", "GPT2LMHeadModel.from_pretrained(DIR, from_tf=True)"},
    {"tf_model.h5.index.json", "weights of TensorFlow", "GPT2LMHeadModel.from_pretrained(DIR, from_tf=True)"},
    {"model.ckpt.index", "a checkpoint of TensorFlow 1", "transformers' convert_gpt2_original_tf_checkpoint_to_pytorch.py"},
    {"flax_model.msgpack", "weights of Flax", "GPT2LMHeadModel.from_pretrained(DIR, from_flax=True)"},
    {"flax_model.msgpack.index.json", "weights of Flax", "GPT2LMHeadModel.from_pretrained(DIR, from_flax=True)"},
    {"rust_model.ot", "weights of rust-bert", "rust-bert's converter"},
    {"model.onnx", "an ONNX graph", "the checkpoint that it was exported from"},
    {"decoder_model.onnx", "an ONNX graph", "the checkpoint that it was exported from"},
};

/* What a file is by its first bytes, when it is named as weights. */
static const struct {
    const char *magic, *form;
} magics[] = {
    {"GGUF", "a GGUF file of llama.cpp"},
    {"\x89HDF\r\n", "an HDF5 file, as TensorFlow writes them"},
};

enum tfr_status tfr_weights_refuse_foreign(const char *path, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < TFR_COUNT_OF(magics); i++) {
        const size_t length = strlen(magics[i].magic);
        if (size >= length && memcmp(data, magics[i].magic, length) == 0) {
            return tfr_raise(TFR_UNSUPPORTED,
                             "%s: this is %s, which tfrun does not read; take the model's safetensors or "
                             "pytorch_model.bin",
                             path, magics[i].form);
        }
    }
    const char *dot = strrchr(path, '.');
    const bool is_torch = dot != NULL && (strcmp(dot, ".bin") == 0 || strcmp(dot, ".pt") == 0 || strcmp(dot, ".pth") == 0);
    if (is_torch && (size <= 8 || data[8] != '{')) {
        return tfr_raise(TFR_MODEL, "%s: neither an archive nor a pickle of torch.save; fetch the file again", path);
    }
    return TFR_OK;
}

static bool has_ending(const char *directory, const char *ending) {
    DIR *stream = opendir(directory);
    bool is_there = false;
    for (const struct dirent *entry; stream != NULL && !is_there && (entry = readdir(stream)) != NULL;) {
        const size_t length = strlen(entry->d_name), tail = strlen(ending);
        is_there = length > tail && strcmp(entry->d_name + length - tail, ending) == 0;
    }
    if (stream != NULL) {
        closedir(stream);
    }
    return is_there;
}

static enum tfr_status no_weights(const char *directory) {
    if (tfr_path_holds(directory, "adapter_config.json")) {
        return tfr_raise(TFR_RESOURCE,
                         "%s: an adapter alone, without the weights that it changes; name the model and this folder: "
                         "tfrun MODEL --adapter %s",
                         directory, directory);
    }
    if (has_ending(directory, ".gguf")) {
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: only a GGUF file is here, of llama.cpp, which tfrun does not read; take the safetensors or "
                         "pytorch_model.bin that it was made from",
                         directory);
    }
    for (size_t i = 0; i < TFR_COUNT_OF(foreign); i++) {
        if (tfr_path_holds(directory, foreign[i].name)) {
            return tfr_raise(TFR_UNSUPPORTED,
                             "%s: only %s is here, %s, which tfrun does not read; take %s and save_pretrained(DIR) to get "
                             "model.safetensors",
                             directory, foreign[i].name, foreign[i].form, foreign[i].fix);
        }
    }
    return tfr_raise(TFR_RESOURCE,
                     "%s: no model.safetensors, pytorch_model.bin or index of them here; scripts/get_model.py fetches a "
                     "checkpoint, `tfrun init` makes a random one, --weights names one elsewhere",
                     directory);
}

bool tfr_weights_are_in(const char *directory) {
    bool is_there = false;
    for (size_t i = 0; i < TFR_COUNT_OF(names) && !is_there; i++) {
        is_there = tfr_path_holds(directory, names[i]);
    }
    return is_there;
}

enum tfr_status tfr_weights_find_in(const char *directory, char **path) {
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        if (tfr_path_holds(directory, names[i])) {
            *path = tfr_path_join(directory, names[i]);
            return *path != NULL ? TFR_OK : TFR_RESOURCE;
        }
    }
    return no_weights(directory);
}

enum tfr_status tfr_model_find_weights(const struct tfr_config *config, char **path) {
    const char *named = config->options.model_weights;
    if (named == NULL) {
        return tfr_weights_find_in(config->directory, path);
    }
    if (!tfr_path_exists(named)) {
        return tfr_raise(TFR_RESOURCE,
                         "%s: these weights are not there; scripts/get_model.py fetches a checkpoint, `tfrun init` makes "
                         "a random one, --weights names another file",
                         named);
    }
    *path = tfr_strdup(named);
    return *path != NULL ? TFR_OK : TFR_RESOURCE;
}

bool tfr_model_has_weights(const struct tfr_config *config) {
    const char *named = config->options.model_weights;
    return named != NULL ? tfr_path_exists(named) : tfr_weights_are_in(config->directory);
}

/* Whether the file that model.weights names is the one of this name in the folder. */
static bool is_named(const struct tfr_config *config, const char *name) {
    const char *weights = config->options.model_weights;
    char path[PATH_MAX];
    return weights != NULL && tfr_path_put(path, config->directory, name) && tfr_path_is_same(weights, path);
}

void tfr_model_each_unread(const struct tfr_config *config, void (*unread)(void *user, const char *name, int error), void *user) {
    bool is_found = config->options.model_weights != NULL;
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        int error;
        if (tfr_path_look(config->directory, names[i], &error)) {
            if (is_found && !is_named(config, names[i])) {
                unread(user, names[i], error);
            }
            is_found = true;
        }
    }
}
