/* vocabulary.c - the tokenizer as the public interface shows it, and the small library-wide functions. */
#include <tfrun/tfrun.h>

#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "config/config.h"
#include "model/tokenizer.h"
#include "rank/rank.h"

struct tfr_vocabulary {
    const struct tfr_tokenizer *tokenizer;
    struct tfr_tokenizer *owned; /* NULL: an engine's */
};

const char *tfr_version(void) {
    return TFR_VERSION_TEXT;
}

const char *tfr_last_error(void) {
    return tfr_failure_text();
}

int tfr_exit_code(enum tfr_status status) {
    return tfr_status_exit_code(status);
}

void tfr_string_free(void *memory) {
    tfr_free(memory);
}

/* Without a config nobody else reads what is said beside it. */
static enum tfr_status check_said(const char *path, const struct tfr_override *overrides, size_t n_overrides) {
    struct tfr_config *config;
    TFR_TRY(tfr_config_alone(&config, overrides, n_overrides));
    const char *other = config->options.model_tokenizer;
    const enum tfr_status status =
        other == NULL
            ? TFR_OK
            : tfr_raise(TFR_USAGE, "%s is a tokenizer itself, and --tokenizer %s names another one; leave one of the two out", path,
                        other);
    tfr_config_free(config);
    return status;
}

/* A folder without config.json and a tokenizer.json are taken as they are; anything else is a config. */
static enum tfr_status tokenizer_path(const char *path, const struct tfr_override *overrides, size_t n_overrides, char **found) {
    size_t length = strlen(path);
    static const char file[] = "tokenizer.json";
    bool is_tokenizer = length >= sizeof file - 1 && strcmp(path + length - (sizeof file - 1), file) == 0;
    char *config_path = tfr_path_join(path, "config.json");
    if (config_path == NULL) {
        return TFR_RESOURCE;
    }
    bool bare_folder = tfr_path_is_directory(path) && !tfr_path_exists(config_path);
    tfr_free(config_path);
    if (is_tokenizer || bare_folder) {
        TFR_TRY(check_said(path, overrides, n_overrides));
        *found = tfr_strdup(path);
        return *found != NULL ? TFR_OK : TFR_RESOURCE;
    }
    struct tfr_config *config;
    TFR_TRY(tfr_config_load(&config, path, overrides, n_overrides));
    *found = tfr_strdup(config->options.model_tokenizer != NULL ? config->options.model_tokenizer : config->directory);
    tfr_config_free(config);
    return *found != NULL ? TFR_OK : TFR_RESOURCE;
}

enum tfr_status tfr_vocabulary_open(struct tfr_vocabulary **vocabulary, const char *path, const struct tfr_override *overrides,
                                    size_t n_overrides) {
    *vocabulary = NULL;
    char *found;
    TFR_TRY(tokenizer_path(path, overrides, n_overrides, &found));
    struct tfr_vocabulary *made = tfr_alloc(1, sizeof *made);
    enum tfr_status status = made != NULL ? tfr_tokenizer_open(&made->owned, found) : TFR_RESOURCE;
    tfr_free(found);
    if (status != TFR_OK) {
        tfr_free(made);
        return status;
    }
    made->tokenizer = made->owned;
    *vocabulary = made;
    return TFR_OK;
}

enum tfr_status tfr_vocabulary_of(struct tfr_vocabulary **vocabulary, struct tfr_engine *engine) {
    bool found;
    *vocabulary = NULL;
    TFR_TRY(tfr_engine_find_tokenizer(engine, &found));
    if (!found) {
        return TFR_OK;
    }
    struct tfr_vocabulary *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = tfr_engine_tokenizer(engine, &made->tokenizer);
    if (status != TFR_OK) {
        tfr_free(made);
        return status;
    }
    *vocabulary = made;
    return TFR_OK;
}

void tfr_vocabulary_close(struct tfr_vocabulary *vocabulary) {
    if (vocabulary != NULL) {
        tfr_tokenizer_close(vocabulary->owned);
        tfr_free(vocabulary);
    }
}

enum tfr_status tfr_vocabulary_encode(const struct tfr_vocabulary *vocabulary, const char *text, size_t size, bool plain,
                                      int32_t **ids, size_t *n) {
    struct tfr_ids list = {0};
    enum tfr_status status =
        tfr_tokenizer_encode(vocabulary->tokenizer, text, size, plain ? TFR_SPECIAL_PLAIN : TFR_SPECIAL_PARSE, &list);
    if (status != TFR_OK) {
        tfr_ids_free(&list);
        return status;
    }
    *ids = list.data;
    *n = list.n;
    return TFR_OK;
}

enum tfr_status tfr_vocabulary_decode(const struct tfr_vocabulary *vocabulary, const int32_t *ids, size_t n, char **text,
                                      size_t *size) {
    struct tfr_text all = {0};
    enum tfr_status status = tfr_tokenizer_decode(vocabulary->tokenizer, ids, n, TFR_DECODE_ALL, &all);
    if (status == TFR_OK) {
        status = tfr_text_append(&all, "", 0);
    }
    if (status != TFR_OK) {
        tfr_text_free(&all);
        return status;
    }
    *text = all.data;
    *size = all.size;
    return TFR_OK;
}

bool tfr_vocabulary_is_special(const struct tfr_vocabulary *vocabulary, int32_t id) {
    return tfr_tokenizer_is_special(vocabulary->tokenizer, id);
}

const char *tfr_vocabulary_bytes(const struct tfr_vocabulary *vocabulary, int32_t id, size_t *size) {
    return tfr_tokenizer_bytes(vocabulary->tokenizer, id, size);
}
