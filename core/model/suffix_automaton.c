/* suffix_automaton.c - see suffix_automaton.h. States are made breadth first out of the sorted words: a state
 * is a range of words that share their last bytes. */
#include "model/suffix_automaton.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

/* Words that share `depth` last bytes. */
struct range {
    size_t low, high, depth;
};

static int compare_backwards(const void *left, const void *right) {
    const struct tfr_suffix_word *a = left, *b = right;
    const size_t shorter = a->size < b->size ? a->size : b->size;
    for (size_t i = 1; i <= shorter; i++) {
        if (a->text[a->size - i] != b->text[b->size - i]) {
            return a->text[a->size - i] < b->text[b->size - i] ? -1 : 1;
        }
    }
    return (a->size > b->size) - (a->size < b->size);
}

static uint8_t byte_of(const struct tfr_suffix_word *word, size_t depth) {
    return word->text[word->size - 1 - depth];
}

/* The state one byte longer; 0 if there is none. */
static uint32_t child_of(const struct tfr_suffix_automaton *automaton, uint32_t at, uint8_t byte) {
    const struct tfr_suffix_state *state = &automaton->state[at];
    size_t low = 0, high = state->n_children;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (automaton->state[state->first + middle].byte < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const bool found = low < state->n_children && automaton->state[state->first + low].byte == byte;
    return found ? state->first + (uint32_t)low : 0;
}

/* The longest state from `at` on down that goes on with `byte`, taken one byte further. */
static uint32_t step(const struct tfr_suffix_automaton *automaton, uint32_t at, uint8_t byte, uint64_t *steps) {
    for (;;) {
        const uint32_t child = child_of(automaton, at, byte);
        ++*steps;
        if (child != 0 || at == 0) {
            return child;
        }
        at = automaton->state[at].fall;
    }
}

static void open_child(struct tfr_suffix_automaton *automaton, struct range *ranges, uint32_t parent, struct range range) {
    const uint32_t at = (uint32_t)automaton->n++;
    struct tfr_suffix_state *state = &automaton->state[parent];
    state->first = state->n_children == 0 ? at : state->first;
    state->n_children++;
    ranges[at] = range;
}

/* The states one byte longer than `at`. They fall to where the shorter state's fall goes with the same byte.
 */
static void grow(struct tfr_suffix_automaton *automaton, struct range *ranges, const struct tfr_suffix_word *words, uint32_t at) {
    struct range range = ranges[at];
    if (range.depth > 0 && words[range.low].size == range.depth) {
        automaton->state[at].word = words[range.low++].name; /* the shortest sorts first */
    }
    while (range.low < range.high) {
        const uint8_t byte = byte_of(&words[range.low], range.depth);
        size_t end = range.low + 1;
        while (end < range.high && byte_of(&words[end], range.depth) == byte) {
            end++;
        }
        const uint32_t child = (uint32_t)automaton->n;
        uint64_t steps = 0;
        open_child(automaton, ranges, at, (struct range){.low = range.low, .high = end, .depth = range.depth + 1});
        automaton->state[child].byte = byte;
        automaton->state[child].fall = at != 0 ? step(automaton, automaton->state[at].fall, byte, &steps) : 0;
        range.low = end;
    }
    if (automaton->state[at].word == 0) {
        automaton->state[at].word = automaton->state[automaton->state[at].fall].word;
    }
}

enum tfr_status tfr_suffix_open(struct tfr_suffix_automaton *automaton, struct tfr_suffix_word *words, size_t n) {
    *automaton = (struct tfr_suffix_automaton){0};
    size_t total = 1;
    for (size_t i = 0; i < n; i++) {
        total += words[i].size;
        automaton->longest = words[i].size > automaton->longest ? words[i].size : automaton->longest;
    }
    if (total >= UINT32_MAX) {
        return tfr_raise(TFR_RESOURCE, "tokenizer: the added tokens are larger than 4 GiB together");
    }
    struct range *ranges = tfr_alloc(total, sizeof *ranges);
    automaton->state = tfr_alloc(total, sizeof *automaton->state);
    if (ranges == NULL || automaton->state == NULL) {
        tfr_free(ranges);
        tfr_suffix_close(automaton);
        return TFR_RESOURCE;
    }
    qsort(words, n, sizeof *words, compare_backwards);
    ranges[0] = (struct range){.high = n};
    automaton->n = 1;
    for (size_t at = 0; at < automaton->n; at++) {
        grow(automaton, ranges, words, (uint32_t)at);
    }
    tfr_free(ranges);
    return TFR_OK;
}

void tfr_suffix_close(struct tfr_suffix_automaton *automaton) {
    tfr_free(automaton->state);
    *automaton = (struct tfr_suffix_automaton){0};
}

uint64_t tfr_suffix_look(const struct tfr_suffix_automaton *automaton, const uint8_t *text, size_t size, size_t begin, size_t end,
                         uint32_t *word) {
    uint64_t steps = 0;
    uint32_t at = 0;
    const size_t from = size - end > automaton->longest ? end + automaton->longest : size;
    for (size_t i = from; i-- > begin;) {
        at = step(automaton, at, text[i], &steps);
        if (i < end) {
            word[i - begin] = automaton->state[at].word;
        }
    }
    return steps;
}
