/* config_leftovers.c - settings that somebody's last call to generate left in a file and that ask for
 * nothing: transformers runs such files, so they are no error here. */
#include "config/config_internal.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"

static bool is_one_of(const char *name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool tfr_config_asks_for_nothing(const tfr_json *node) {
    static const char *const lengths[] = {"no_repeat_ngram_size", "min_new_tokens", "min_length"};
    const enum tfr_json_kind kind = tfr_json_kind(node);
    if (kind == TFR_JSON_NUMBER) {
        return tfr_json_number(node) < 0 && is_one_of(tfr_json_key(node), lengths, sizeof lengths / sizeof lengths[0]);
    }
    return (kind == TFR_JSON_ARRAY || kind == TFR_JSON_OBJECT) && tfr_json_size(node) == 0 &&
           strcmp(tfr_json_key(node), "eos_token_id") != 0;
}

/* False for what is no id. */
static bool put_id(const struct tfr_config_reader *reader, const tfr_json *node, struct tfr_json_out *out) {
    int64_t id;
    if (!tfr_json_whole(reader->doc, node, &id)) {
        return false;
    }
    if (id >= 0 && id < reader->config->model.vocab_size) {
        tfr_json_put_int(out, NULL, id);
    } else {
        tfr_log(TFR_LOG_DEBUG, "config", "%s: token %lld is outside the vocabulary of %lld and can't come",
                tfr_json_name(reader->doc), (long long)id, (long long)reader->config->model.vocab_size);
    }
    return true;
}

enum tfr_status tfr_config_ids_that_occur(struct tfr_config_reader *reader, const tfr_json *node, char **ids) {
    static const char *const lists[] = {"eos_token_id", "suppress_tokens", "begin_suppress_tokens"};
    *ids = NULL;
    if (!is_one_of(tfr_json_key(node), lists, sizeof lists / sizeof lists[0])) {
        return TFR_OK;
    }
    struct tfr_json_out out = {0};
    const bool is_list = tfr_json_kind(node) == TFR_JSON_ARRAY;
    tfr_json_begin(&out, NULL, '[');
    bool good = is_list || put_id(reader, node, &out);
    for (const tfr_json *item = is_list ? tfr_json_first(node) : NULL; item != NULL && good; item = tfr_json_next(item)) {
        good = put_id(reader, item, &out);
    }
    tfr_json_end(&out, ']');
    if (good && !out.failed) {
        *ids = out.text;
        return TFR_OK;
    }
    tfr_free(out.text);
    if (good) { /* no memory is not no list */
        tfr_config_complain(reader, node, TFR_RESOURCE, "%s: no memory for the list", tfr_json_key(node));
    }
    return good ? TFR_RESOURCE : TFR_OK;
}
