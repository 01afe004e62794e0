/* config.c - loads a config: defaults, then the file, then overrides; raises everything that is wrong at
 * once. */
#include "config/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "config/config_internal.h"

enum { MAX_PROBLEMS = 40 };

void tfr_config_complain(struct tfr_config_reader *reader, const tfr_json *node, enum tfr_status status, const char *format, ...) {
    char text[768];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    int line = 1, column = 1;
    if (node != NULL) {
        tfr_json_place(reader->doc, node, &line, &column);
    }
    tfr_complaints_add(&reader->complaints, status, line, column, "%s:%d:%d: %s", tfr_json_name(reader->doc), line, column, text);
}

/* The folder of an adapter, or its config, is no model: what to type instead. The adapter may name its model.
 */
static enum tfr_status refuse_adapter(const char *directory, const char *path) {
    struct tfr_json_doc *doc = NULL;
    const tfr_json *node = NULL;
    if (tfr_json_open_file(&doc, path, TFR_CONFIG) == TFR_OK) {
        node = tfr_json_member(tfr_json_root(doc), "base_model_name_or_path");
    }
    const char *base = node != NULL ? tfr_json_string(node) : NULL;
    const bool is_here = base != NULL && tfr_path_is_directory(base);
    const bool is_named = base != NULL && base[0] != '\0' && !is_here;
    const enum tfr_status status = tfr_raise(
        TFR_RESOURCE, "%s: this is an adapter of PEFT, no model%s%.200s; run the model with it: tfrun %.500s --adapter %s",
        directory, is_named ? "; it was made for " : "", is_named ? base : "", is_here ? base : "MODEL", directory);
    tfr_json_close(doc);
    return status;
}

/* Refuses where an adapter stands in the place of a model; otherwise nothing is wrong with the path. */
static enum tfr_status check_adapter(const struct tfr_config *config, bool is_directory) {
    static const char name[] = "adapter_config.json";
    const char *slash = strrchr(config->path, '/');
    if (!is_directory && strcmp(slash != NULL ? slash + 1 : config->path, name) != 0) {
        return TFR_OK;
    }
    char *path = tfr_path_join(config->directory, name);
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = tfr_path_exists(path) ? refuse_adapter(config->directory, path) : TFR_OK;
    tfr_free(path);
    return status;
}

/* A folder stands for the config.json in it. */
static enum tfr_status resolve_path(struct tfr_config *config, const char *path) {
    const bool is_directory = tfr_path_is_directory(path);
    config->path = is_directory ? tfr_path_join(path, "config.json") : tfr_strdup(path);
    config->directory = is_directory ? tfr_strdup(path) : tfr_path_directory(path);
    if (config->path == NULL || config->directory == NULL) {
        return TFR_RESOURCE;
    }
    if (!is_directory || !tfr_path_exists(config->path)) {
        TFR_TRY(check_adapter(config, is_directory));
    }
    if (is_directory && !tfr_path_exists(config->path)) {
        return tfr_raise(TFR_RESOURCE, "%s: this folder has no config.json; a Hugging Face model folder has one", path);
    }
    if (!is_directory && !tfr_path_exists(path)) {
        return tfr_raise(TFR_RESOURCE, "%s: there is no such file; give a config.json or a model folder", path);
    }
    return TFR_OK;
}

static void read_root(struct tfr_config_reader *reader) {
    const tfr_json *root = tfr_json_root(reader->doc);
    if (tfr_json_kind(root) != TFR_JSON_OBJECT) {
        tfr_config_complain(reader, root, TFR_CONFIG, "a config must be an object, this is %s",
                            tfr_json_kind_name(tfr_json_kind(root)));
        return;
    }
    tfr_config_read_model(reader, root);
    tfr_config_read_task_params(reader, root);
    tfr_config_read_generation_file(reader);
    const tfr_json *tfrun = tfr_json_member(root, "tfrun");
    if (tfrun != NULL) {
        tfr_config_read_tfrun(reader, tfrun);
    }
}

static void override_problem(struct tfr_config_reader *reader, const struct tfr_override *override, enum tfr_status status,
                             const char *why) {
    const bool is_set = strcmp(override->origin, "--set") == 0;
    tfr_complaints_add(&reader->complaints, status, TFR_COMPLAINT_LAST_LINE, 0, "%s%s%s: %s", override->origin, is_set ? " " : "",
                       is_set ? override->key : "", why);
}

static void unknown_override(struct tfr_config_reader *reader, const struct tfr_override *override) {
    const char *key = tfr_option_plain(override->key);
    const char *dot = strrchr(key, '.');
    char prefix[128] = "", nearest[128], why[512];
    if (dot != NULL) {
        snprintf(prefix, sizeof(prefix), "%.*s", (int)(dot + 1 - key), key);
    }
    if (tfr_config_is_model_field(key)) {
        snprintf(why, sizeof(why), "a field of the model cannot be overridden; change it in %s", reader->config->path);
    } else if (tfr_option_is_section(key)) {
        snprintf(why, sizeof(why), "%s is a section; name one key of it, as in \"%s.KEY=VALUE\"", key, key);
    } else if (tfr_option_nearest(prefix, dot != NULL ? dot + 1 : key, nearest, sizeof(nearest))) {
        const char *whole = tfr_option_plain(nearest);
        snprintf(why, sizeof(why), "unknown key %s; did you mean \"%s%s\"?", key, whole != nearest ? "" : prefix, whole);
    } else {
        snprintf(why, sizeof(why), "unknown key %s; docs/config.md lists the known ones", key);
    }
    override_problem(reader, override, TFR_USAGE, why);
}

/* The map comes as JSON text; its places count within that text, so the origin serves as the name of the
 * file. */
static void override_device_map(struct tfr_config_reader *reader, const struct tfr_override *override) {
    struct tfr_json_doc *doc = NULL;
    enum tfr_status status = tfr_json_open(&doc, override->origin, override->value, strlen(override->value), TFR_CONFIG);
    if (status != TFR_OK) {
        tfr_complaints_add_lines(&reader->complaints, status == TFR_RESOURCE ? status : TFR_USAGE, TFR_COMPLAINT_LAST_LINE, 0,
                                 tfr_failure_text());
        return;
    }
    struct tfr_config_reader inner = {.config = reader->config, .doc = doc};
    tfr_config_read_device_map(&inner, tfr_json_root(doc));
    status = tfr_complaints_raise(&inner.complaints, MAX_PROBLEMS);
    if (status != TFR_OK) {
        tfr_complaints_add_lines(&reader->complaints, status == TFR_RESOURCE ? status : TFR_USAGE, TFR_COMPLAINT_LAST_LINE, 0,
                                 tfr_failure_text());
    }
    tfr_json_close(doc);
}

static bool is_input_source(int option) {
    return option == tfr_option_find("input.prompt") || option == tfr_option_find("input.prompts") ||
           option == tfr_option_find("input.file");
}

/* True if an earlier override names the same option, or (for the prompt) another source of the same thing. */
static bool was_overridden(const struct tfr_override *overrides, size_t n, int option, bool any_input) {
    for (size_t i = 0; i < n; i++) {
        const int earlier = tfr_option_find(tfr_option_plain(overrides[i].key));
        if (earlier == option || (any_input && is_input_source(earlier))) {
            return true;
        }
    }
    return false;
}

/* What the file says about a list, or about the source of the prompt, gives way to the first override of it.
 */
static void make_way(struct tfr_options *options, const struct tfr_override *overrides, size_t i, int option) {
    if (is_input_source(option) && !was_overridden(overrides, i, option, true)) {
        tfr_option_clear(options, tfr_option_find("input.prompt"));
        tfr_option_clear(options, tfr_option_find("input.prompts"));
        tfr_option_clear(options, tfr_option_find("input.file"));
    }
    if (tfr_option_type(option) == TFR_OPTION_LIST && !was_overridden(overrides, i, option, false)) {
        tfr_option_clear(options, option);
    }
}

static void apply_overrides(struct tfr_config_reader *reader, const struct tfr_override *overrides, size_t n) {
    struct tfr_options *options = &reader->config->options;
    char why[512];
    for (size_t i = 0; i < n; i++) {
        const char *key = tfr_option_plain(overrides[i].key);
        const int option = tfr_option_find(key);
        if (strcmp(key, "parallel.device_map") == 0) {
            override_device_map(reader, &overrides[i]);
            continue;
        }
        if (option < 0) {
            unknown_override(reader, &overrides[i]);
            continue;
        }
        make_way(options, overrides, i, option);
        const enum tfr_status status = tfr_option_from_text(options, option, overrides[i].value, why, sizeof(why));
        if (status != TFR_OK) {
            override_problem(reader, &overrides[i], status == TFR_RESOURCE ? status : TFR_USAGE, why);
        } else {
            reader->config->origin[option] = TFR_ORIGIN_OVERRIDE;
        }
    }
    const int n_inputs = (options->input_prompt != NULL) + (options->input_prompts.n > 0) + (options->input_file != NULL);
    if (n_inputs > 1 && reader->complaints.n == 0) {
        tfr_complaints_add(&reader->complaints, TFR_USAGE, TFR_COMPLAINT_LAST_LINE, 0,
                           "the command line names %d sources of the prompt; give one of --prompt and --file", n_inputs);
    }
    if (options->input_encoder_states != NULL && !reader->config->model.add_cross_attention) {
        tfr_complaints_add(&reader->complaints, tfr_option_fault(reader->config, "input.encoder_states"), TFR_COMPLAINT_LAST_LINE,
                           0, "input.encoder_states is given, but the model has no cross-attention (add_cross_attention)");
    }
}

static void check_capacity(struct tfr_config_reader *reader) {
    const int64_t capacity = reader->config->options.runtime_kv_capacity, limit = reader->config->model.n_positions;
    if (reader->complaints.n == 0 && capacity > limit) {
        tfr_complaints_add(&reader->complaints, tfr_option_fault(reader->config, "runtime.kv_capacity"), TFR_COMPLAINT_LAST_LINE, 0,
                           "%s: tfrun.runtime.kv_capacity = %lld is more than n_positions = %lld; take at "
                           "most that, or 0 for all",
                           reader->config->path, (long long)capacity, (long long)limit);
    }
}

/* With `findings`, complaints become some of them and are not raised; a file that is no object still is. */
static enum tfr_status settle(struct tfr_config_reader *reader, const struct tfr_override *overrides, size_t n_overrides,
                              struct tfr_findings *findings) {
    if (findings == NULL || tfr_json_kind(tfr_json_root(reader->doc)) != TFR_JSON_OBJECT) {
        return tfr_complaints_raise(&reader->complaints, MAX_PROBLEMS);
    }
    const enum tfr_status status = tfr_config_collect(reader, overrides, n_overrides, findings);
    tfr_complaints_clear(&reader->complaints);
    return status;
}

static enum tfr_status load(struct tfr_config *config, const char *path, const struct tfr_override *overrides, size_t n_overrides,
                            bool to_quantize, struct tfr_findings *findings) {
    size_t n_options;
    tfr_option_table(&n_options);
    config->origin = tfr_alloc(n_options, sizeof *config->origin);
    if (config->origin == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(resolve_path(config, path));
    tfr_options_set_defaults(&config->options);
    struct tfr_json_doc *doc = NULL;
    TFR_TRY(tfr_json_open_file(&doc, config->path, TFR_CONFIG));
    struct tfr_config_reader reader = {.config = config, .doc = doc, .to_quantize = to_quantize};
    read_root(&reader);
    apply_overrides(&reader, overrides, n_overrides);
    tfr_config_settle_sampling(&reader);
    tfr_config_check_trust(&reader, tfr_json_member(tfr_json_root(doc), "tfrun"));
    check_capacity(&reader);
    tfr_config_check_sums(&reader);
    tfr_config_check_quantization(&reader);
    tfr_config_check_rounding(&reader);
    config->model.allow_missing_head = config->options.model_allow_missing_head;
    const enum tfr_status status = settle(&reader, overrides, n_overrides, findings);
    tfr_json_close(doc);
    return status;
}

static enum tfr_status open_config(struct tfr_config **config, const char *path, const struct tfr_override *overrides,
                                   size_t n_overrides, bool to_quantize, struct tfr_findings *findings) {
    *config = NULL;
    struct tfr_config *loaded = tfr_alloc(1, sizeof(*loaded));
    if (loaded == NULL) {
        return TFR_RESOURCE;
    }
    const enum tfr_status status = load(loaded, path, overrides, n_overrides, to_quantize, findings);
    if (status != TFR_OK) {
        tfr_config_free(loaded);
        return status;
    }
    *config = loaded;
    return TFR_OK;
}

enum tfr_status tfr_config_load(struct tfr_config **config, const char *path, const struct tfr_override *overrides,
                                size_t n_overrides) {
    return open_config(config, path, overrides, n_overrides, false, NULL);
}

enum tfr_status tfr_config_load_to_quantize(struct tfr_config **config, const char *path, const struct tfr_override *overrides,
                                            size_t n_overrides) {
    return open_config(config, path, overrides, n_overrides, true, NULL);
}

enum tfr_status tfr_config_survey(struct tfr_config **config, const char *path, const struct tfr_override *overrides,
                                  size_t n_overrides, struct tfr_findings *findings) {
    return open_config(config, path, overrides, n_overrides, false, findings);
}

/* What options may be set to is checked as for a model that says nothing. */
static enum tfr_status set_alone(struct tfr_config *config, const struct tfr_override *overrides, size_t n_overrides) {
    static const char nothing[] = "{}";
    size_t n_options;
    tfr_option_table(&n_options);
    config->origin = tfr_alloc(n_options, sizeof *config->origin);
    config->path = tfr_strdup("the command line");
    config->directory = tfr_strdup(".");
    if (config->origin == NULL || config->path == NULL || config->directory == NULL) {
        return TFR_RESOURCE;
    }
    tfr_options_set_defaults(&config->options);
    struct tfr_json_doc *doc = NULL;
    TFR_TRY(tfr_json_open(&doc, config->path, nothing, strlen(nothing), TFR_CONFIG));
    struct tfr_config_reader reader = {.config = config, .doc = doc};
    apply_overrides(&reader, overrides, n_overrides);
    const enum tfr_status status = settle(&reader, overrides, n_overrides, NULL);
    tfr_json_close(doc);
    return status;
}

enum tfr_status tfr_config_alone(struct tfr_config **config, const struct tfr_override *overrides, size_t n_overrides) {
    *config = NULL;
    struct tfr_config *made = tfr_alloc(1, sizeof *made);
    const enum tfr_status status = made != NULL ? set_alone(made, overrides, n_overrides) : TFR_RESOURCE;
    if (status != TFR_OK) {
        tfr_config_free(made);
        return status;
    }
    *config = made;
    return TFR_OK;
}

void tfr_config_free(struct tfr_config *config) {
    if (config == NULL) {
        return;
    }
    tfr_options_free(&config->options);
    tfr_config_free_labels(&config->labels);
    tfr_free(config->device_map.rank_of_block);
    tfr_free(config->directory);
    tfr_free(config->path);
    tfr_free(config->origin);
    tfr_free(config);
}
