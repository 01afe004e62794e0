/* added_tokens.c - see added_tokens.h. Sorted contents serve as the trie: matching narrows a range of them.
 * Where a token is long, trying each place could cost its length every time: then an automaton looks through
 * the text, window by window. */
#include "model/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

/* Up to this size each place of a text is tried for itself. */
#define SHORT_TOKEN 64
#define WINDOW      ((size_t)1 << 16)

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

enum tfr_status tfr_added_put(struct tfr_added_set *set, const char *content, size_t size, int32_t id, int flags) {
    TFR_TRY(reserve_token(set));
    char *copy = tfr_strndup(content, size);
    if (copy == NULL) {
        return TFR_RESOURCE;
    }
    set->token[set->n++] = (struct tfr_added_token){.content = copy, .size = size, .id = id, .flags = flags};
    return TFR_OK;
}

static int pass_of(const struct tfr_added_token *token) {
    return (token->flags & TFR_ADDED_NORMALIZED) != 0 ? 1 : 0;
}

static int compare_tokens(const void *a, const void *b) {
    const struct tfr_added_token *left = a, *right = b;
    if (pass_of(left) != pass_of(right)) {
        return pass_of(left) - pass_of(right);
    }
    const size_t shorter = left->size < right->size ? left->size : right->size;
    const int order = memcmp(left->content, right->content, shorter);
    return order != 0 ? order : (left->size > right->size) - (left->size < right->size);
}

/* The automaton of a pass that has a long token. */
static enum tfr_status open_automaton(struct tfr_added_set *set, int pass) {
    const size_t low = pass == 0 ? 0 : set->n_first, high = pass == 0 ? set->n_first : set->n;
    size_t longest = 0;
    for (size_t i = low; i < high; i++) {
        longest = set->token[i].size > longest ? set->token[i].size : longest;
    }
    if (longest <= SHORT_TOKEN) {
        return TFR_OK;
    }
    struct tfr_suffix_word *words = tfr_alloc(high - low, sizeof *words);
    if (words == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = low; i < high; i++) {
        words[i - low] = (struct tfr_suffix_word){
            .text = (const uint8_t *)set->token[i].content, .size = set->token[i].size, .name = (uint32_t)i + 1};
    }
    const enum tfr_status status = tfr_suffix_open(&set->long_ones[pass], words, high - low);
    tfr_free(words);
    return status;
}

enum tfr_status tfr_added_finish(struct tfr_added_set *set) {
    if (set->n > 0) {
        qsort(set->token, set->n, sizeof(*set->token), compare_tokens);
    }
    set->n_first = 0;
    for (size_t i = 0; i < set->n; i++) {
        const int pass = pass_of(&set->token[i]);
        set->n_first += pass == 0;
        set->starts[pass][(uint8_t)set->token[i].content[0]] = true;
    }
    TFR_TRY(open_automaton(set, 0));
    return open_automaton(set, 1);
}

void tfr_added_close(struct tfr_added_set *set) {
    for (size_t i = 0; i < set->n; i++) {
        tfr_free(set->token[i].content);
    }
    tfr_free(set->token);
    tfr_suffix_close(&set->long_ones[0]);
    tfr_suffix_close(&set->long_ones[1]);
    *set = (struct tfr_added_set){0};
}

/* First token of [low, high) whose byte at `depth` is not below `byte`; all of them share depth bytes and are
 * longer. */
static size_t first_not_below(const struct tfr_added_token *token, size_t low, size_t high, size_t depth, unsigned byte) {
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
static const struct tfr_added_token *longest_at(const struct tfr_added_token *token, size_t low, size_t high, const uint8_t *text,
                                                size_t size, uint64_t *steps) {
    const struct tfr_added_token *found = NULL;
    for (size_t depth = 0; low < high; depth++) {
        ++*steps;
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

struct tfr_added_scan tfr_added_scan_of(const struct tfr_added_set *set, int pass, const uint8_t *text, size_t size) {
    return (struct tfr_added_scan){.set = set, .pass = pass, .text = text, .size = size};
}

void tfr_added_scan_close(struct tfr_added_scan *scan) {
    tfr_free(scan->longest);
    scan->longest = NULL;
}

/* Tries each place: quick as long as no token is long. */
static const struct tfr_added_token *next_short(struct tfr_added_scan *scan, size_t from, size_t *at) {
    const struct tfr_added_set *set = scan->set;
    const size_t low = scan->pass == 0 ? 0 : set->n_first, high = scan->pass == 0 ? set->n_first : set->n;
    for (size_t i = from; low < high && i < scan->size; i++) {
        scan->steps++;
        if (!set->starts[scan->pass][scan->text[i]]) {
            continue;
        }
        const struct tfr_added_token *found = longest_at(set->token, low, high, scan->text + i, scan->size - i, &scan->steps);
        if (found != NULL) {
            *at = i;
            return found;
        }
    }
    return NULL;
}

/* A window is at least as wide as the longest token reaches behind it. */
static enum tfr_status move_window(struct tfr_added_scan *scan, size_t from) {
    const struct tfr_suffix_automaton *automaton = &scan->set->long_ones[scan->pass];
    const size_t least = automaton->longest > WINDOW ? automaton->longest : WINDOW;
    const size_t room = scan->size < least ? scan->size : least;
    if (scan->longest == NULL) {
        scan->longest = tfr_alloc(room, sizeof *scan->longest);
        if (scan->longest == NULL) {
            return TFR_RESOURCE;
        }
    }
    scan->begin = from;
    scan->end = scan->size - from < room ? scan->size : from + room;
    scan->steps += tfr_suffix_look(automaton, scan->text, scan->size, scan->begin, scan->end, scan->longest);
    return TFR_OK;
}

enum tfr_status tfr_added_next(struct tfr_added_scan *scan, size_t from, size_t *at, const struct tfr_added_token **found) {
    *found = NULL;
    if (scan->set->long_ones[scan->pass].state == NULL) {
        *found = next_short(scan, from, at);
        return TFR_OK;
    }
    for (size_t i = from; i < scan->size; i++) {
        if (i >= scan->end) {
            TFR_TRY(move_window(scan, i));
        }
        const uint32_t name = scan->longest[i - scan->begin];
        if (name != 0) {
            *found = &scan->set->token[name - 1];
            *at = i;
            return TFR_OK;
        }
    }
    return TFR_OK;
}
