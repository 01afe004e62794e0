/* config_options.c - config.def as a table: look-up by key, members by index, nearest names. */
#include "config/config.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "config/config_internal.h"

static const struct tfr_option_info option_infos[] = {
#define TFR_OPTION(member, key_, type_, trust_, def, min_, max_, choices_, flag_, short_flag_, operand_, help_)                    \
    {.key = key_,                                                                                                                  \
     .type = #type_,                                                                                                               \
     .default_text = def,                                                                                                          \
     .choices = choices_,                                                                                                          \
     .flag = flag_,                                                                                                                \
     .operand = operand_,                                                                                                          \
     .help = help_,                                                                                                                \
     .short_flag = short_flag_,                                                                                                    \
     .min = min_,                                                                                                                  \
     .max = max_},
#include "config/config.def"
#undef TFR_OPTION
};

static const struct {
    size_t offset;
    enum tfr_option_type type;
    enum tfr_option_trust trust;
} option_slots[] = {
#define TFR_OPTION(member, key, type, trust, def, min, max, choices, flag, short_flag, operand, help)                              \
    {offsetof(struct tfr_options, member), TFR_OPTION_##type, TFR_TRUST_##trust},
#include "config/config.def"
#undef TFR_OPTION
};

/* Not in the table because its value is an object; named here so that "did you mean" knows it. */
static const char device_map_key[] = "parallel.device_map";

enum { N_OPTIONS = TFR_COUNT_OF(option_infos), MAX_NAME = 64 };

int tfr_option_find(const char *key) {
    for (int i = 0; i < N_OPTIONS; i++) {
        if (strcmp(option_infos[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

const char *tfr_option_plain(const char *key) {
    static const char section[] = "tfrun.";
    return strncmp(key, section, strlen(section)) == 0 ? key + strlen(section) : key;
}

enum tfr_option_type tfr_option_type(int option) {
    return option_slots[option].type;
}

enum tfr_option_trust tfr_option_trust(int option) {
    return option_slots[option].trust;
}

bool tfr_option_takes_dash(int option) {
    static const char *const keys[] = {"input.file", "eval.data", "output.file"};
    bool takes = false;
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        takes |= strcmp(option_infos[option].key, keys[i]) == 0;
    }
    return takes;
}

void *tfr_option_member(struct tfr_options *options, int option) {
    return (char *)options + option_slots[option].offset;
}

enum tfr_status tfr_option_fault(const struct tfr_config *config, const char *key) {
    return config->origin[tfr_option_find(key)] == TFR_ORIGIN_OVERRIDE ? TFR_USAGE : TFR_CONFIG;
}

const char *tfr_option_said(const struct tfr_config *config, const char *key, const char *value, char *text, size_t size) {
    const int option = tfr_option_find(key);
    const bool is_flag = config->origin[option] == TFR_ORIGIN_OVERRIDE && option_infos[option].flag != NULL;
    snprintf(text, size, is_flag ? "--%s %s" : "%s: tfrun.%s = %s", is_flag ? option_infos[option].flag : config->path,
             is_flag ? value : key, value);
    return text;
}

bool tfr_config_is_overridden(const struct tfr_config *config, const char *key) {
    return config->origin[tfr_option_find(key)] == TFR_ORIGIN_OVERRIDE;
}

bool tfr_config_is_default(const struct tfr_config *config, const char *key) {
    return config->origin[tfr_option_find(key)] == TFR_ORIGIN_DEFAULT;
}

/* The option whose key a text begins with; -1 if none. Of two, the longer. */
static int option_of_text(const char *text) {
    int found = -1;
    for (int i = 0; i < N_OPTIONS; i++) {
        const size_t length = strlen(option_infos[i].key);
        const bool is_longer = found < 0 || length > strlen(option_infos[found].key);
        if (is_longer && strncmp(text, option_infos[i].key, length) == 0) {
            found = i;
        }
    }
    return found;
}

enum tfr_status tfr_config_blame(const struct tfr_config *config, const char *key, enum tfr_status status) {
    const bool is_section = key[strlen(key) - 1] == '.';
    const int option = is_section ? option_of_text(tfr_failure_text()) : tfr_option_find(key);
    const bool is_given = option >= 0 && config->origin[option] == TFR_ORIGIN_OVERRIDE;
    return status == TFR_CONFIG && is_given ? TFR_USAGE : status;
}

bool tfr_option_is_section(const char *key) {
    const size_t length = strlen(key);
    for (int i = 0; i < N_OPTIONS; i++) {
        if (strncmp(option_infos[i].key, key, length) == 0 && option_infos[i].key[length] == '.') {
            return true;
        }
    }
    return false;
}

/* The part of `key` below `prefix` up to the next dot; false if `key` does not stand there. */
static bool name_below(const char *key, const char *prefix, char *name) {
    const size_t skip = strlen(prefix);
    if (strncmp(key, prefix, skip) != 0) {
        return false;
    }
    snprintf(name, MAX_NAME, "%.*s", (int)strcspn(key + skip, "."), key + skip);
    return true;
}

bool tfr_option_nearest(const char *prefix, const char *name, char *text, size_t size) {
    char below[N_OPTIONS + 1][MAX_NAME];
    const char *names[N_OPTIONS + 1];
    size_t n = 0;
    for (int i = 0; i <= N_OPTIONS; i++) {
        const char *key = i < N_OPTIONS ? option_infos[i].key : device_map_key;
        if (name_below(key, prefix, below[n])) {
            names[n] = below[n];
            n++;
        }
    }
    const char *nearest = tfr_nearest_name(name, names, n);
    if (nearest != NULL) {
        snprintf(text, size, "%s", nearest);
        return true;
    }
    /* The right word in the wrong section: "tfrun.threads" means "runtime.threads". */
    for (int i = 0; i < N_OPTIONS; i++) {
        const char *dot = strrchr(option_infos[i].key, '.');
        if (dot != NULL && strcmp(dot + 1, name) == 0) {
            snprintf(text, size, "tfrun.%s", option_infos[i].key);
            return true;
        }
    }
    return false;
}

const struct tfr_option_info *tfr_option_table(size_t *n) {
    *n = N_OPTIONS;
    return option_infos;
}

/* The names stand in the table as "a|b|c", callers want C strings: each is cut into a place of its own, so
 * that two results can be used in one expression. A thread has its own places, and every cut writes the same
 * bytes. */
const char *tfr_choice_name(const char *key, int index) {
    enum { MAX_CHOICES = 8, MAX_CHOICE = 24 };
    static _Thread_local char names[N_OPTIONS][MAX_CHOICES][MAX_CHOICE];
    const int option = tfr_option_find(key);
    if (option < 0 || option_infos[option].choices == NULL || index < 0 || index >= MAX_CHOICES) {
        return NULL;
    }
    const char *at = option_infos[option].choices;
    for (int i = 0; i < index; i++) {
        at = strchr(at, '|');
        if (at == NULL) {
            return NULL;
        }
        at++;
    }
    snprintf(names[option][index], MAX_CHOICE, "%.*s", (int)strcspn(at, "|"), at);
    return names[option][index];
}
