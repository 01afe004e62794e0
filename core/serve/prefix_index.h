/* prefix_index.h - which sequences begin alike, in whole blocks of tokens, and which of them nobody has asked for longest.
 *
 * There are as many entries as an engine has slots: they are compared with token by token, one after the other, which takes
 * microseconds beside steps of milliseconds, and no hash can ever be wrong. Entries of different spaces never meet. Thread rule:
 * one thread. */
#ifndef TFR_SERVE_PREFIX_INDEX_H
#define TFR_SERVE_PREFIX_INDEX_H

#include <tfrun/types.h>

/* Tokens in a space, of which whole blocks count. */
struct tfr_prefix_key {
    const char *space;
    const int32_t *ids;
    int64_t n;
    int64_t logprobs; /* that each token has, or is to have, beside its keys and values; 0: none */
};

struct tfr_prefix_entry {
    /* the owner's */
    void *owner;
    int64_t ready;  /* tokens that can be taken by now */
    int64_t scored; /* those that have log-probabilities as well */
    uint64_t user;  /* which request is about to write it, counted from 1: it is not given up then; 0: nobody */
    /* the index's */
    struct tfr_prefix_key key; /* copies; n is whole blocks */
    struct tfr_prefix_entry *older, *newer;
};

struct tfr_prefix_index {
    int64_t block;
    struct tfr_prefix_entry *oldest, *newest;
};

void tfr_prefix_index_close(struct tfr_prefix_index *index); /* removes all entries; what they own is the caller's */

/* The newest entry then. */
enum tfr_status tfr_prefix_add(struct tfr_prefix_index *index, const struct tfr_prefix_key *key, struct tfr_prefix_entry **entry);
void tfr_prefix_remove(struct tfr_prefix_index *index, struct tfr_prefix_entry *entry);
void tfr_prefix_touch(struct tfr_prefix_index *index, struct tfr_prefix_entry *entry); /* the newest again */

struct tfr_prefix_match {
    struct tfr_prefix_entry *entry; /* NULL: none */
    int64_t n;                      /* tokens, whole blocks */
};
/* The longest beginning of these tokens that is ready; of several alike the entry with the least behind it. */
struct tfr_prefix_match tfr_prefix_find(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key);
/* The same among entries of nobody. */
struct tfr_prefix_match tfr_prefix_find_idle(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key);
/* The longest beginning that entries of users before this one have, ready or not. */
struct tfr_prefix_match tfr_prefix_coming(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key, uint64_t user);
/* An entry of nobody that these tokens begin with, all of it, and no fewer log-probabilities of them; NULL: none. */
struct tfr_prefix_entry *tfr_prefix_covered(const struct tfr_prefix_index *index, const struct tfr_prefix_key *key);
/* The entry of nobody that has not been asked for longest; NULL: none. */
struct tfr_prefix_entry *tfr_prefix_oldest(const struct tfr_prefix_index *index);

#endif
