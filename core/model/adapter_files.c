/* adapter_files.c - the files of a folder that PEFT wrote, and which such folder a config means. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "config/config.h"
#include "model/adapter_config.h"
#include "model/lora.h"
#include "model/lora_config.h"
#include "model/model_check.h"

enum tfr_status tfr_adapter_open_config(struct tfr_json_doc **doc, const char *directory) {
    char *path = tfr_path_join(directory, "adapter_config.json");
    enum tfr_status status = path != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK && !tfr_path_exists(path)) {
        status = tfr_raise(TFR_RESOURCE, "%s: no adapter_config.json here; this is not a folder that PEFT wrote", directory);
    }
    if (status == TFR_OK) {
        status = tfr_json_open_file(doc, path, TFR_MODEL);
    }
    tfr_free(path);
    return status;
}

enum tfr_status tfr_adapter_open_weights(struct tfr_weights **weights, const char *directory) {
    static const char *const names[] = {"adapter_model.safetensors", "adapter_model.bin"};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        char *path = tfr_path_join(directory, names[i]);
        if (path == NULL) {
            return TFR_RESOURCE;
        }
        const bool is_there = tfr_path_exists(path);
        const enum tfr_status status = is_there ? tfr_weights_open(weights, path) : TFR_OK;
        tfr_free(path);
        if (is_there) {
            return status;
        }
    }
    return tfr_raise(TFR_RESOURCE, "%s: no adapter_model.safetensors and no adapter_model.bin here", directory);
}

static bool equal_tensors(const struct tfr_weights *a, const struct tfr_weights *b) {
    size_t n_a, n_b;
    const struct tfr_weight *all = tfr_weights_all(a, &n_a);
    tfr_weights_all(b, &n_b);
    bool is_equal = n_a == n_b;
    for (size_t i = 0; i < n_a && is_equal; i++) {
        const struct tfr_weight *other = tfr_weights_find(b, all[i].name);
        const struct tfr_tensor *tensor = &all[i].tensor;
        const size_t bytes = tfr_tensor_bytes(tensor);
        is_equal = other != NULL && other->tensor.dtype == tensor->dtype && tfr_tensor_bytes(&other->tensor) == bytes &&
                   (bytes == 0 || memcmp(other->tensor.data, tensor->data, bytes) == 0);
        tfr_weights_drop(a, &all[i]);
    }
    return is_equal;
}

static enum tfr_status open_both(const struct tfr_config *config, const char *there, struct tfr_weights *both[2]) {
    char *here = NULL;
    enum tfr_status status = tfr_model_find_weights(config, &here);
    status = status == TFR_OK ? tfr_weights_open(&both[0], here) : status;
    status = status == TFR_OK ? tfr_weights_open(&both[1], there) : status;
    tfr_free(here);
    return status;
}

/* Whether the weights of the config and those in another folder are the same. A folder without weights, or with damaged ones, has
 * others; what the system refuses now is no answer. */
static enum tfr_status compare_weights(const struct tfr_config *config, const char *directory, bool *is_same) {
    struct tfr_weights *both[2] = {NULL, NULL};
    char *there = NULL;
    enum tfr_status status = tfr_weights_find_in(directory, &there);
    const bool has_weights = tfr_weights_are_in(directory);
    status = status == TFR_OK ? open_both(config, there, both) : status;
    *is_same = status == TFR_OK && equal_tensors(both[0], both[1]);
    tfr_weights_close(both[0]);
    tfr_weights_close(both[1]);
    tfr_free(there);
    if (status != TFR_RESOURCE || !has_weights) {
        return TFR_OK;
    }
    return tfr_raise_prefix(status,
                            "%s: the adapter here names the model in %.500s, and these weights can't be compared with those there; "
                            "merge it all the same: --adapter %.500s, or leave it: --adapter-beside ignore",
                            config->directory, directory, config->directory);
}

/* The last name of a path, or of "owner/model"; slashes behind it are none of it. */
static size_t last_name(const char *path, const char **name) {
    size_t end = strlen(path), begin;
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    for (begin = end; begin > 0 && path[begin - 1] != '/';) {
        begin--;
    }
    *name = path + begin;
    return end - begin;
}

static bool have_one_name(const char *a, const char *b) {
    const char *name_a, *name_b;
    const size_t length = last_name(a, &name_a);
    return length == last_name(b, &name_b) && length > 0 && memcmp(name_a, name_b, length) == 0;
}

/* The adapter names the model that it was made for. from_pretrained would take the weights from there; here a
 * folder that somebody else's file names is read only where it may be. */
static enum tfr_status check_base(const struct tfr_config *config, const char *base) {
    const char *directory = config->directory;
    if (base == NULL || tfr_path_is_same(base, directory)) {
        return TFR_OK;
    }
    if (tfr_path_is_directory(base) && !tfr_config_may_read(config, base)) {
        return tfr_raise(TFR_CONFIG,
                         "%.500s: the adapter here names the model in %.500s, which is not inside this "
                         "folder and is not read for "
                         "it; merge it all the same: --adapter %.500s, leave it: --adapter-beside ignore, or "
                         "let the weights be "
                         "compared: --trust %.500s",
                         directory, base, directory, base);
    }
    if (tfr_path_is_directory(base)) {
        bool is_same;
        TFR_TRY(compare_weights(config, base, &is_same));
        if (is_same) {
            return TFR_OK; /* a copy */
        }
        return tfr_raise(TFR_UNSUPPORTED,
                         "%s: the adapter here is for the model in %.500s, not for the weights beside it; "
                         "run that one: tfrun "
                         "%.500s --adapter %s, or leave the adapter: --adapter-beside ignore",
                         directory, base, base, directory);
    }
    if (!have_one_name(directory, base)) {
        tfr_log(TFR_LOG_WARN, "model",
                "%s: merging the adapter here into the weights beside it, though it names %.200s; if they "
                "hold it already, say "
                "--adapter-beside ignore",
                directory, base);
    }
    return TFR_OK;
}

static enum tfr_status check_beside(const struct tfr_config *config) {
    struct tfr_lora_config lora;
    enum tfr_status status = tfr_lora_config_open(&lora, config->directory, &config->model);
    if (status == TFR_OK) {
        status = check_base(config, tfr_lora_base(&lora));
    } else {
        status = tfr_raise_prefix(status, "an adapter lies beside the weights (--adapter-beside ignore leaves it)");
    }
    tfr_lora_config_close(&lora);
    return status;
}

enum tfr_status tfr_lora_find(const struct tfr_config *config, char **directory) {
    const struct tfr_options *options = &config->options;
    *directory = NULL;
    if (options->model_adapter != NULL) {
        if (!tfr_path_is_directory(options->model_adapter)) {
            return tfr_raise(TFR_RESOURCE, "%s: this adapter is not there; --adapter names a folder that PEFT wrote",
                             options->model_adapter);
        }
        *directory = tfr_strdup(options->model_adapter);
        return *directory != NULL ? TFR_OK : TFR_RESOURCE;
    }
    /* --prefix may name the very adapter that lies here. */
    const bool is_prefix = options->model_prefix != NULL && tfr_path_is_same(options->model_prefix, config->directory);
    if (options->model_adapter_beside == TFR_BESIDE_IGNORE || is_prefix ||
        !tfr_path_holds(config->directory, "adapter_config.json")) {
        return TFR_OK;
    }
    TFR_TRY(check_beside(config));
    *directory = tfr_strdup(config->directory);
    return *directory != NULL ? TFR_OK : TFR_RESOURCE;
}
