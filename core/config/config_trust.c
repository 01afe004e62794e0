/* config_trust.c - what a config that somebody else wrote may do: read in its own folder, nothing more, until
 * the user says so. The column `trust` of config.def says which rule an option has; docs/security.md states
 * the rules. */
#include "config/config_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mapfile.h"

/* Threads that any machine stands. */
enum { THREADS_ALWAYS = 64 };

/* A folder of TFRUN_PLUGIN_PATH, "a:b:c", holds `path`. */
static bool in_plugin_path(const char *path) {
    const char *at = getenv("TFRUN_PLUGIN_PATH");
    bool found = false;
    while (at != NULL && *at != '\0' && !found) {
        const size_t length = strcspn(at, ":");
        char folder[PATH_MAX]; /* on the stack: no memory must not look like another folder */
        snprintf(folder, sizeof folder, "%.*s", (int)length, at);
        found = length > 0 && length < sizeof folder && tfr_path_is_within(path, folder);
        at += length + (at[length] == ':');
    }
    return found;
}

static bool in_trusted(const struct tfr_config *config, const char *path) {
    const struct tfr_string_list *trusted = &config->options.trust;
    for (size_t i = 0; i < trusted->n; i++) {
        if (tfr_path_is_within(path, trusted->items[i])) {
            return true;
        }
    }
    return false;
}

bool tfr_option_is_users(const char *key) {
    const int option = tfr_option_find(tfr_option_plain(key));
    const enum tfr_option_trust trust = option >= 0 ? tfr_option_trust(option) : TFR_TRUST_FREE;
    return trust == TFR_TRUST_WRITES || trust == TFR_TRUST_LOADS || trust == TFR_TRUST_USER;
}

bool tfr_config_may_read(const struct tfr_config *config, const char *path) {
    return tfr_path_is_within(path, config->directory) || in_trusted(config, path) || in_trusted(config, config->directory);
}

/* A link, a device and a pipe in the folder are judged by what they are, not by their names. */
static void check_read(struct tfr_config_reader *reader, int option, const struct tfr_option_info *info, const tfr_json *node) {
    const struct tfr_config *config = reader->config;
    const char *path = *(char *const *)tfr_option_member(&reader->config->options, option);
    const bool is_stream = path != NULL && strcmp(path, "-") == 0 && tfr_option_takes_dash(option);
    if (path == NULL || is_stream || in_trusted(config, path)) {
        return;
    }
    if (!tfr_path_is_within(path, config->directory)) {
        tfr_config_complain(reader, node, TFR_CONFIG,
                            "tfrun.%s = \"%.300s\" is not inside the folder of the config; say it on the "
                            "command line (--%s %s), "
                            "or trust a folder that holds it (--trust DIR)",
                            info->key, path, info->flag, info->operand);
    } else if (tfr_path_exists(path) && !tfr_path_is_plain(path)) {
        tfr_config_complain(reader, node, TFR_CONFIG,
                            "tfrun.%s = \"%.300s\" is neither a file nor a folder; say it on the command line (--%s %s)", info->key,
                            path, info->flag, info->operand);
    }
}

/* The value itself may be text for the file, so neither a new file nor an old one is the config's to name. */
static void check_write(struct tfr_config_reader *reader, int option, const struct tfr_option_info *info, const tfr_json *node) {
    void *member = tfr_option_member(&reader->config->options, option);
    if (tfr_option_type(option) == TFR_OPTION_BOOL && *(const bool *)member) {
        tfr_config_complain(reader, node, TFR_CONFIG,
                            "tfrun.%s = true: a config may not have files overwritten; say it on the command "
                            "line (--%s or --no-%s), "
                            "or trust the folder of the config (--trust DIR)",
                            info->key, info->flag, info->flag);
    } else if (tfr_option_type(option) != TFR_OPTION_BOOL && *(char *const *)member != NULL) {
        tfr_config_complain(reader, node, TFR_CONFIG,
                            "tfrun.%s = \"%.300s\": a config may not say what is written; say it on the "
                            "command line (--%s %s), "
                            "or trust the folder of the config (--trust DIR)",
                            info->key, *(char *const *)member, info->flag, info->operand);
    }
}

static void check_plugins(struct tfr_config_reader *reader, const tfr_json *node) {
    const struct tfr_string_list *plugins = &reader->config->options.plugins;
    for (size_t i = 0; i < plugins->n; i++) {
        const char *path = plugins->items[i];
        if (!in_plugin_path(path) && !in_trusted(reader->config, path)) {
            tfr_config_complain(reader, node, TFR_CONFIG,
                                "tfrun.plugins = \"%.300s\": a config may not bring code with it; load it by "
                                "--plugin %.300s, or trust a "
                                "folder that holds it (--trust DIR, TFRUN_PLUGIN_PATH)",
                                path, path);
        }
    }
}

/* Whether the config gives away more than the default does. Any file will do for keys, also one of a folder that is trusted for
 * another's sake. */
static bool admits(int option, const struct tfr_option_info *info, const void *member) {
    switch (tfr_option_type(option)) {
    case TFR_OPTION_BOOL:
        return *(const bool *)member;
    case TFR_OPTION_LIST:
        return ((const struct tfr_string_list *)member)->n > 0;
    case TFR_OPTION_CHOICE:
        return strcmp(tfr_choice_name(info->key, *(const int *)member), info->default_text) != 0;
    default:
        return *(char *const *)member != NULL;
    }
}

/* A key that came with a model is known to whoever made it, and so is an origin that it lets in. */
static void check_admission(struct tfr_config_reader *reader, int option, const struct tfr_option_info *info,
                            const tfr_json *node) {
    if (admits(option, info, tfr_option_member(&reader->config->options, option))) {
        tfr_config_complain(reader, node, TFR_CONFIG,
                            "tfrun.%s: a config may not say whom a server answers, nor who learns what others ask; say it on the "
                            "command line (--%s%s%s), or trust the folder of the config (--trust DIR)",
                            info->key, info->flag, info->operand != NULL ? " " : "", info->operand != NULL ? info->operand : "");
    }
}

static void check_count(struct tfr_config_reader *reader, int64_t count, const struct tfr_option_info *info, const tfr_json *node) {
    const long found = sysconf(_SC_NPROCESSORS_CONF);
    const int64_t limit = found > THREADS_ALWAYS ? found : THREADS_ALWAYS;
    if (count > limit) {
        tfr_config_complain(reader, node, TFR_CONFIG,
                            "tfrun.%s = %lld: a config may ask for %lld on this machine; say it on the "
                            "command line (--%s %s), or trust "
                            "the folder of the config (--trust DIR)",
                            info->key, (long long)count, (long long)limit, info->flag, info->operand);
    }
}

static void judge(struct tfr_config_reader *reader, int option, const tfr_json *node) {
    size_t n;
    const struct tfr_option_info *info = &tfr_option_table(&n)[option];
    struct tfr_options *options = &reader->config->options;
    switch (tfr_option_trust(option)) {
    case TFR_TRUST_FREE:
        return;
    case TFR_TRUST_READS:
        check_read(reader, option, info, node);
        return;
    case TFR_TRUST_WRITES:
        check_write(reader, option, info, node);
        return;
    case TFR_TRUST_LOADS:
        check_plugins(reader, node);
        return;
    case TFR_TRUST_ADMITS:
        check_admission(reader, option, info, node);
        return;
    case TFR_TRUST_COUNTS:
        check_count(reader, *(int64_t *)tfr_option_member(options, option), info, node);
        return;
    case TFR_TRUST_USER:
        tfr_config_complain(reader, node, TFR_CONFIG, "tfrun.%s: only the command line may say this (--%s%s%s)", info->key,
                            info->flag, info->operand != NULL ? " " : "", info->operand != NULL ? info->operand : "");
        return;
    }
}

/* What is refused is as if it were not said: `tfrun check` goes on, and must not read what the config may not name. */
static void check_option(struct tfr_config_reader *reader, int option, const tfr_json *node) {
    const size_t n_before = reader->complaints.n + reader->complaints.n_lost;
    judge(reader, option, node);
    if (reader->complaints.n + reader->complaints.n_lost > n_before) {
        tfr_option_reset(&reader->config->options, option);
    }
}

/* A misspelt folder would trust nothing, and the refusal that follows would puzzle. */
static void check_folders(struct tfr_config_reader *reader) {
    const struct tfr_string_list *trusted = &reader->config->options.trust;
    for (size_t i = 0; i < trusted->n; i++) {
        if (!tfr_path_is_directory(trusted->items[i])) {
            tfr_complaints_add(&reader->complaints, TFR_USAGE, TFR_COMPLAINT_LAST_LINE, 0,
                               "--trust: %.300s: there is no such folder", trusted->items[i]);
        }
    }
}

void tfr_config_check_trust(struct tfr_config_reader *reader, const tfr_json *tfrun) {
    const struct tfr_config *config = reader->config;
    const int trust = tfr_option_find("trust");
    size_t n;
    tfr_option_table(&n);
    if (config->origin[trust] == TFR_ORIGIN_FILE) { /* before the others: it is refused, so nothing is trusted */
        check_option(reader, trust, tfr_config_find_option(tfrun, "trust"));
    } else {
        check_folders(reader);
    }
    /* Where the folder is trusted it could load code, and all else is less; what only the command line says stays there. */
    const bool trusted = in_trusted(config, config->directory);
    for (int i = 0; i < (int)n; i++) {
        if (i == trust || (trusted && tfr_option_trust(i) != TFR_TRUST_USER)) {
            continue;
        }
        if (config->origin[i] != TFR_ORIGIN_DEFAULT && config->origin[i] != TFR_ORIGIN_OVERRIDE) {
            check_option(reader, i, tfr_config_find_option(tfrun, tfr_option_table(&n)[i].key));
        }
    }
}
