/* config_shown.c - numbers of config.json that no forward pass needs: `tfrun summary` prints them as Python would. */
#include "config/config_internal.h"

#include "base/status.h"

/* `none` is what an absent field means. */
static struct tfr_shown_number read_number(const struct tfr_config_reader *reader, const tfr_json *root, const char *name,
                                           struct tfr_shown_number none) {
    const tfr_json *node = tfr_json_member(root, name);
    int64_t whole;
    if (node == NULL) {
        return none;
    }
    if (tfr_json_kind(node) != TFR_JSON_NUMBER) {
        return (struct tfr_shown_number){.kind = TFR_SHOWN_WRONG, .field = name};
    }
    const bool is_whole = tfr_json_int64(reader->doc, node, &whole);
    return (struct tfr_shown_number){
        .kind = is_whole ? TFR_SHOWN_WHOLE : TFR_SHOWN_REAL, .value = tfr_json_number(node), .field = name};
}

/* The classification of tokens takes the first of two fields that is there and not null. */
static struct tfr_shown_number read_classifier(const struct tfr_config_reader *reader, const tfr_json *root) {
    static const char *const names[] = {"classifier_dropout", "hidden_dropout"};
    const struct tfr_shown_number usual = {.kind = TFR_SHOWN_REAL, .value = 0.1};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        const tfr_json *node = tfr_json_member(root, names[i]);
        if (node != NULL && tfr_json_kind(node) != TFR_JSON_NULL) {
            return read_number(reader, root, names[i], usual);
        }
    }
    return usual;
}

void tfr_config_read_shown(struct tfr_config_reader *reader, const tfr_json *root) {
    const struct tfr_shown_number tenth = {.kind = TFR_SHOWN_REAL, .value = 0.1};
    const struct tfr_shown_number epsilon = {.kind = TFR_SHOWN_REAL, .value = 1e-5}, none = {.kind = TFR_SHOWN_NONE};
    reader->config->shown = (struct tfr_shown){
        .embd_pdrop = read_number(reader, root, "embd_pdrop", tenth),
        .attn_pdrop = read_number(reader, root, "attn_pdrop", tenth),
        .resid_pdrop = read_number(reader, root, "resid_pdrop", tenth),
        .layer_norm_epsilon = read_number(reader, root, "layer_norm_epsilon", epsilon),
        .classifier_dropout = read_classifier(reader, root),
        .summary_first_dropout = read_number(reader, root, "summary_first_dropout", tenth),
        .summary_last_dropout = read_number(reader, root, "summary_last_dropout", none),
    };
}
