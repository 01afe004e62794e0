/* report_config.c - the effective options of a config as JSON, one member per line of the option table. */
#include <tfrun/tfrun.h>

#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "config/config.h"

static void put_text(struct tfr_json_out *out, const char *key, const char *text) {
    if (text != NULL) {
        tfr_json_put_text(out, key, text);
    }
}

static void put_count(struct tfr_json_out *out, const char *key, int64_t value) {
    if (value == 0) {
        tfr_json_put_text(out, key, "auto");
    } else {
        tfr_json_put_int(out, key, value);
    }
}

static void put_seed(struct tfr_json_out *out, const char *key, int64_t value) {
    if (value < 0) {
        tfr_json_put_null(out, key);
    } else {
        tfr_json_put_int(out, key, value);
    }
}

/* The text was looked at when the config was read: what fails here is memory. */
static void put_json(struct tfr_json_out *out, const char *key, const char *text) {
    struct tfr_json_doc *doc;
    if (text == NULL) {
        return;
    }
    if (tfr_json_open(&doc, key, text, strlen(text), TFR_CONFIG) != TFR_OK) {
        out->failed = true;
        return;
    }
    tfr_json_put_node(out, key, doc, tfr_json_root(doc));
    tfr_json_close(doc);
}

#define PUT_BOOL(key, value)   tfr_json_put_bool(out, key, value)
#define PUT_INT(key, value)    tfr_json_put_int(out, key, value)
#define PUT_REAL(key, value)   tfr_json_put_number(out, key, value)
#define PUT_TEXT(key, value)   put_text(out, key, value)
#define PUT_PATH(key, value)   put_text(out, key, value)
#define PUT_JSON(key, value)   put_json(out, key, value)
#define PUT_CHOICE(key, value) tfr_json_put_text(out, key, tfr_choice_name(key, value))
#define PUT_COUNT(key, value)  put_count(out, key, value)
#define PUT_SEED(key, value)   put_seed(out, key, value)
#define PUT_LIST(key, value)   tfr_json_put_texts(out, key, (value).items, (value).n)

static void put_options(struct tfr_json_out *out, const struct tfr_options *options) {
    tfr_json_begin(out, "tfrun", '{');
#define TFR_OPTION(member, key, type, trust, def, min, max, choices, flag, short_flag, operand, help)                              \
    PUT_##type(key, options->member);
#include "config/config.def"
#undef TFR_OPTION
    tfr_json_end(out, '}');
}

enum tfr_status tfr_report_config(const char *path, const struct tfr_override *overrides, size_t n_overrides, char **text) {
    struct tfr_config *config;
    TFR_TRY(tfr_config_load(&config, path, overrides, n_overrides));
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "config", config->path);
    tfr_json_put_int(&out, "n_layer", config->model.n_layer);
    tfr_json_put_int(&out, "n_head", config->model.n_head);
    tfr_json_put_int(&out, "n_embd", config->model.n_embd);
    tfr_json_put_int(&out, "n_inner", config->model.n_inner);
    tfr_json_put_int(&out, "n_positions", config->model.n_positions);
    tfr_json_put_int(&out, "vocab_size", config->model.vocab_size);
    tfr_json_put_text(&out, "activation_function", config->model.activation_name);
    put_options(&out, &config->options);
    tfr_json_end(&out, '}');
    tfr_config_free(config);
    return tfr_json_take(&out, text);
}
