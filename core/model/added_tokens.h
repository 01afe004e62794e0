/* added_tokens.h - tokens found literally in the text before anything else, special ones among them.
 *
 * Two passes, as in Hugging Face `tokenizers`: first the tokens that are not "normalized" (special ones by
 * default), then the others in what is left; each pass takes the leftmost match, the longest there.
 * Thread rule: filled on one thread, then read-only.
 */
#ifndef TFR_MODEL_ADDED_TOKENS_H
#define TFR_MODEL_ADDED_TOKENS_H

#include <tfrun/types.h>

struct tfr_added_token {
    char *content;
    size_t size;
    int32_t id;
    bool normalized; /* belongs to the second pass */
};

struct tfr_added_set {
    struct tfr_added_token *token; /* after finish: sorted by pass, then content */
    size_t n, capacity;
    size_t n_first;      /* tokens of the first pass */
    bool starts[2][256]; /* by pass: a token starts with this byte */
};

/* Adds a token; the caller sees to it that none comes twice or is empty. */
enum tfr_status tfr_added_put(struct tfr_added_set *set, const char *content, size_t size, int32_t id,
                              bool normalized);
void tfr_added_finish(struct tfr_added_set *set);
void tfr_added_close(struct tfr_added_set *set);

/* Next match of the pass (0 or 1) at or after `from`; NULL if none. *at is where it starts. */
const struct tfr_added_token *tfr_added_next(const struct tfr_added_set *set, int pass, const uint8_t *text,
                                             size_t size, size_t from, size_t *at);

#endif
