/* added_tokens.h - tokens found literally in the text before anything else, special ones among them.
 *
 * Two passes, as in Hugging Face `tokenizers`: first the tokens that are not "normalized" (special ones by
 * default), then the others in what is left; each pass takes the leftmost match, the longest there. Time is
 * linear in the text, whatever the tokens are. Thread rule: filled on one thread, then read-only; a scan
 * belongs to one caller.
 */
#ifndef TFR_MODEL_ADDED_TOKENS_H
#define TFR_MODEL_ADDED_TOKENS_H

#include <tfrun/types.h>

#include "model/suffix_automaton.h"

enum tfr_added_flag {
    TFR_ADDED_NORMALIZED = 1, /* belongs to the second pass */
    TFR_ADDED_LSTRIP = 2,     /* takes the blanks in front of it along */
    TFR_ADDED_RSTRIP = 4      /* takes those behind it along */
};

struct tfr_added_token {
    char *content;
    size_t size;
    int32_t id;
    int flags;
};

struct tfr_added_set {
    struct tfr_added_token *token; /* after finish: sorted by pass, then content */
    size_t n, capacity;
    size_t n_first;                           /* tokens of the first pass */
    bool starts[2][256];                      /* by pass: a token starts with this byte */
    struct tfr_suffix_automaton long_ones[2]; /* by pass, where a token is so long that trying each place costs too much */
};

/* Adds a token; the caller sees to it that none comes twice or is empty. */
enum tfr_status tfr_added_put(struct tfr_added_set *set, const char *content, size_t size, int32_t id, int flags);
enum tfr_status tfr_added_finish(struct tfr_added_set *set);
void tfr_added_close(struct tfr_added_set *set);

/* One text looked through in one pass. */
struct tfr_added_scan {
    const struct tfr_added_set *set;
    int pass;
    const uint8_t *text;
    size_t size;
    uint32_t *longest; /* of the window [begin, end): which token is the longest that starts there, + 1 */
    size_t begin, end;
    uint64_t steps; /* work done: at most 130 for each byte */
};
struct tfr_added_scan tfr_added_scan_of(const struct tfr_added_set *set, int pass, const uint8_t *text, size_t size);
void tfr_added_scan_close(struct tfr_added_scan *scan);

/* Next match at or after `from`, which does not fall; *found is NULL if there is none. *at is where it
 * starts. */
enum tfr_status tfr_added_next(struct tfr_added_scan *scan, size_t from, size_t *at, const struct tfr_added_token **found);

#endif
