/* added_tokens.c - see added_tokens.h. Sorted contents serve as the trie: matching narrows a range of them.
 */
#include "model/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

static enum tfr_status reserve_token(struct tfr_added_set *set) {
    if (set->n < set->capacity) {
        return TFR_OK;
    }
    const size_t capacity = set->capacity == 0 ? 8 : 2 * set->capacity;
    struct tfr_added_token *token = tfr_realloc(set->token, capacity, sizeof(*token));
    if (token == NULL) {
        return TFR_RESOURCE;
    }
    set->token = token;
    set->capacity = capacity;
    return TFR_OK;
}

enum tfr_status tfr_added_put(struct tfr_added_set *set, const char *content, size_t size, int32_t id,
                              bool normalized) {
    TFR_TRY(reserve_token(set));
    char *copy = tfr_strndup(content, size);
    if (copy == NULL) {
        return TFR_RESOURCE;
    }
    set->token[set->n++] =
        (struct tfr_added_token){.content = copy, .size = size, .id = id, .normalized = normalized};
    return TFR_OK;
}

static int compare_tokens(const void *a, const void *b) {
    const struct tfr_added_token *left = a, *right = b;
    if (left->normalized != right->normalized) {
        return left->normalized ? 1 : -1;
    }
    const size_t shorter = left->size < right->size ? left->size : right->size;
    const int order = memcmp(left->content, right->content, shorter);
    return order != 0 ? order : (left->size > right->size) - (left->size < right->size);
}

void tfr_added_finish(struct tfr_added_set *set) {
    if (set->n > 0) {
        qsort(set->token, set->n, sizeof(*set->token), compare_tokens);
    }
    set->n_first = 0;
    for (size_t i = 0; i < set->n; i++) {
        const int pass = set->token[i].normalized ? 1 : 0;
        set->n_first += pass == 0;
        set->starts[pass][(uint8_t)set->token[i].content[0]] = true;
    }
}

void tfr_added_close(struct tfr_added_set *set) {
    for (size_t i = 0; i < set->n; i++) {
        tfr_free(set->token[i].content);
    }
    tfr_free(set->token);
    *set = (struct tfr_added_set){0};
}

/* First token of [low, high) whose byte at `depth` is not below `byte`; all of them share depth bytes and are
 * longer. */
static size_t first_not_below(const struct tfr_added_token *token, size_t low, size_t high, size_t depth,
                              unsigned byte) {
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((uint8_t)token[middle].content[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Longest token of [low, high) that stands at the start of `text`. */
static const struct tfr_added_token *longest_at(const struct tfr_added_token *token, size_t low, size_t high,
                                                const uint8_t *text, size_t size) {
    const struct tfr_added_token *found = NULL;
    for (size_t depth = 0; low < high; depth++) {
        /* The shortest sorts first: at most one ends here. */
        if (token[low].size == depth) {
            found = &token[low++];
        }
        if (depth == size) {
            break;
        }
        low = first_not_below(token, low, high, depth, text[depth]);
        high = first_not_below(token, low, high, depth, text[depth] + 1u);
    }
    return found;
}

const struct tfr_added_token *tfr_added_next(const struct tfr_added_set *set, int pass, const uint8_t *text,
                                             size_t size, size_t from, size_t *at) {
    const size_t low = pass == 0 ? 0 : set->n_first, high = pass == 0 ? set->n_first : set->n;
    if (low == high) {
        return NULL;
    }
    for (size_t i = from; i < size; i++) {
        if (!set->starts[pass][text[i]]) {
            continue;
        }
        const struct tfr_added_token *found = longest_at(set->token, low, high, text + i, size - i);
        if (found != NULL) {
            *at = i;
            return found;
        }
    }
    return NULL;
}
