/* config_labels.c - id2label: how many labels a classification head has, and what they are called. */
#include "config/config_internal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

void tfr_config_choose_head(struct tfr_config *config, int head) {
    config->model.head = head;
    /* GPT2DoubleHeadsModel sets it so before it makes its summary. */
    config->model.num_labels = head == TFR_HEAD_DOUBLE ? 1 : config->n_labels;
}

/* Label of one member of id2label: TFR_CONFIG where there is none. */
static enum tfr_status read_name(const tfr_json *item, struct tfr_string_list *labels) {
    char *end;
    const long long at = strtoll(tfr_json_key(item), &end, 10);
    const char *name = tfr_json_string(item);
    if (*end != '\0' || at < 0 || (size_t)at >= labels->n || name == NULL) {
        return TFR_CONFIG;
    }
    tfr_free(labels->items[at]);
    labels->items[at] = tfr_strdup(name);
    return labels->items[at] != NULL ? TFR_OK : TFR_RESOURCE;
}

/* Hugging Face's names for labels that have none. */
static enum tfr_status name_the_others(struct tfr_string_list *labels) {
    for (size_t i = 0; i < labels->n; i++) {
        if (labels->items[i] == NULL) {
            labels->items[i] = tfr_format("LABEL_%zu", i);
        }
        if (labels->items[i] == NULL) {
            return TFR_RESOURCE;
        }
    }
    return TFR_OK;
}

void tfr_config_read_labels(struct tfr_config_reader *reader, const tfr_json *root) {
    struct tfr_hparams *model = &reader->config->model;
    struct tfr_string_list *labels = &reader->config->labels;
    const tfr_json *map = tfr_json_member(root, "id2label");
    const bool has_map = map != NULL && tfr_json_kind(map) == TFR_JSON_OBJECT && tfr_json_size(map) > 0;
    if (has_map) {
        model->num_labels = (int64_t)tfr_json_size(map);
    }
    reader->config->n_labels = model->num_labels;
    tfr_config_choose_head(reader->config, model->head);
    if (model->head != TFR_HEAD_SEQUENCE && model->head != TFR_HEAD_TOKEN) {
        return;
    }
    labels->items = tfr_alloc((size_t)model->num_labels, sizeof *labels->items);
    labels->n = labels->items != NULL ? (size_t)model->num_labels : 0;
    enum tfr_status status = labels->items != NULL ? TFR_OK : TFR_RESOURCE;
    for (const tfr_json *item = has_map ? tfr_json_first(map) : NULL; item != NULL && status == TFR_OK;
         item = tfr_json_next(item)) {
        status = read_name(item, labels);
    }
    status = status == TFR_OK ? name_the_others(labels) : status;
    if (status == TFR_RESOURCE) {
        tfr_config_complain(reader, has_map ? map : root, status, "id2label: no memory for the labels");
    } else if (status != TFR_OK) {
        tfr_config_complain(reader, has_map ? map : root, TFR_CONFIG, "id2label does not map \"0\" to \"%lld\" to texts",
                            (long long)model->num_labels - 1);
    }
}

void tfr_config_free_labels(struct tfr_string_list *labels) {
    for (size_t i = 0; i < labels->n; i++) {
        tfr_free(labels->items[i]);
    }
    tfr_free(labels->items);
}
