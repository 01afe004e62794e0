/* settings.c - see tfrun/settings.h. */
#include <tfrun/tfrun.h>

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "config/config_internal.h"

struct tfr_settings {
    struct tfr_config *config;
    char *name;
};

/* The folder's own name, also of ".". */
static char *folder_name(const char *directory) {
    char *real = realpath(directory, NULL);
    const char *path = real != NULL ? real : directory, *slash = strrchr(path, '/');
    char *name = tfr_strdup(slash != NULL && slash[1] != '\0' ? slash + 1 : path);
    free(real);
    return name;
}

enum tfr_status tfr_settings_open(struct tfr_settings **settings, const char *path, const struct tfr_override *overrides,
                                  size_t n_overrides) {
    *settings = NULL;
    struct tfr_settings *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = tfr_config_load(&made->config, path, overrides, n_overrides);
    if (status != TFR_OK) {
        tfr_free(made);
        return status;
    }
    const char *given = made->config->options.model_name;
    made->name = given != NULL && given[0] != '\0' ? tfr_strdup(given) : folder_name(made->config->directory);
    if (made->name == NULL) {
        tfr_settings_close(made);
        return TFR_RESOURCE;
    }
    *settings = made;
    return TFR_OK;
}

void tfr_settings_close(struct tfr_settings *settings) {
    if (settings != NULL) {
        tfr_config_free(settings->config);
        tfr_free(settings->name);
        tfr_free(settings);
    }
}

/* The member of a key, and its type; NULL where there is no such key. */
static const void *find(const struct tfr_settings *settings, const char *key, enum tfr_option_type *type) {
    const int option = tfr_option_find(key);
    if (option < 0) {
        return NULL;
    }
    *type = tfr_option_type(option);
    return tfr_option_member(&settings->config->options, option);
}

bool tfr_settings_bool(const struct tfr_settings *settings, const char *key) {
    enum tfr_option_type type;
    const void *member = find(settings, key, &type);
    return member != NULL && type == TFR_OPTION_BOOL && *(const bool *)member;
}

int64_t tfr_settings_int(const struct tfr_settings *settings, const char *key) {
    enum tfr_option_type type;
    const void *member = find(settings, key, &type);
    const bool fits = member != NULL && (type == TFR_OPTION_INT || type == TFR_OPTION_COUNT || type == TFR_OPTION_SEED);
    return fits ? *(const int64_t *)member : 0;
}

double tfr_settings_real(const struct tfr_settings *settings, const char *key) {
    enum tfr_option_type type;
    const void *member = find(settings, key, &type);
    return member != NULL && type == TFR_OPTION_REAL ? *(const double *)member : (double)tfr_settings_int(settings, key);
}

const char *tfr_settings_text(const struct tfr_settings *settings, const char *key) {
    enum tfr_option_type type;
    const void *member = find(settings, key, &type);
    if (member == NULL) {
        return NULL;
    }
    if (type == TFR_OPTION_CHOICE) {
        return tfr_choice_name(key, *(const int *)member);
    }
    return type == TFR_OPTION_TEXT || type == TFR_OPTION_PATH ? *(char *const *)member : NULL;
}

size_t tfr_settings_list(const struct tfr_settings *settings, const char *key, char *const **items) {
    enum tfr_option_type type;
    const struct tfr_string_list *list = find(settings, key, &type);
    *items = NULL;
    if (list == NULL || type != TFR_OPTION_LIST) {
        return 0;
    }
    *items = list->items;
    return list->n;
}

bool tfr_settings_is_given(const struct tfr_settings *settings, const char *key) {
    const int option = tfr_option_find(key);
    return option >= 0 && settings->config->origin[option] > TFR_ORIGIN_DEFAULT;
}

const char *tfr_settings_model_name(const struct tfr_settings *settings) {
    return settings->name;
}

int32_t tfr_settings_bos(const struct tfr_settings *settings) {
    return settings->config->model.bos_token_id;
}

int32_t tfr_settings_eos(const struct tfr_settings *settings) {
    return settings->config->model.eos_token_id;
}
