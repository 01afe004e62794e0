/* config_storage.c - the options as a whole: defaults, clearing, freeing, copying with all their texts and lists. */
#include "config/config_internal.h"

#include "base/arena.h"
#include "base/status.h"

void tfr_option_reset(struct tfr_options *options, int option) {
    size_t n;
    const char *usual = tfr_option_table(&n)[option].default_text;
    char why[256];
    tfr_option_clear(options, option);
    if (tfr_option_type(option) == TFR_OPTION_SEED) {
        *(int64_t *)tfr_option_member(options, option) = -1;
    }
    if (usual != NULL) {
        tfr_option_from_text(options, option, usual, why, sizeof(why));
    }
}

void tfr_options_set_defaults(struct tfr_options *options) {
    size_t n;
    tfr_option_table(&n);
    for (size_t i = 0; i < n; i++) {
        tfr_option_reset(options, (int)i);
    }
}

void tfr_option_clear(struct tfr_options *options, int option) {
    const enum tfr_option_type type = tfr_option_type(option);
    if (type == TFR_OPTION_TEXT || type == TFR_OPTION_PATH || type == TFR_OPTION_JSON) {
        char **member = tfr_option_member(options, option);
        tfr_free(*member);
        *member = NULL;
    }
    if (type == TFR_OPTION_LIST) {
        struct tfr_string_list *list = tfr_option_member(options, option);
        for (size_t i = 0; i < list->n; i++) {
            tfr_free(list->items[i]);
        }
        tfr_free(list->items);
        *list = (struct tfr_string_list){0};
    }
}

void tfr_options_free(struct tfr_options *options) {
    size_t n;
    tfr_option_table(&n);
    for (size_t i = 0; i < n; i++) {
        tfr_option_clear(options, (int)i);
    }
}

static bool owns_text(int option) {
    const enum tfr_option_type type = tfr_option_type(option);
    return type == TFR_OPTION_TEXT || type == TFR_OPTION_PATH || type == TFR_OPTION_JSON;
}

static enum tfr_status copy_list(struct tfr_string_list *to, const struct tfr_string_list *from) {
    to->items = from->n > 0 ? tfr_alloc(from->n, sizeof(*to->items)) : NULL;
    for (; to->items != NULL && to->n < from->n; to->n++) {
        to->items[to->n] = tfr_strdup(from->items[to->n]);
        if (to->items[to->n] == NULL) {
            return TFR_RESOURCE;
        }
    }
    return to->n == from->n ? TFR_OK : TFR_RESOURCE;
}

enum tfr_status tfr_options_copy(struct tfr_options *to, const struct tfr_options *from) {
    struct tfr_options *source = (struct tfr_options *)from; /* members are looked up in something that is not const */
    size_t n;
    tfr_option_table(&n);
    *to = *from;
    for (size_t i = 0; i < n; i++) {
        if (owns_text((int)i)) {
            *(char **)tfr_option_member(to, (int)i) = NULL;
        } else if (tfr_option_type((int)i) == TFR_OPTION_LIST) {
            *(struct tfr_string_list *)tfr_option_member(to, (int)i) = (struct tfr_string_list){0};
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (tfr_option_type((int)i) == TFR_OPTION_LIST) {
            TFR_TRY(copy_list(tfr_option_member(to, (int)i), tfr_option_member(source, (int)i)));
        } else if (owns_text((int)i) && *(char **)tfr_option_member(source, (int)i) != NULL) {
            char **text = tfr_option_member(to, (int)i);
            *text = tfr_strdup(*(char **)tfr_option_member(source, (int)i));
            if (*text == NULL) {
                return TFR_RESOURCE;
            }
        }
    }
    return TFR_OK;
}
