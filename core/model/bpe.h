/* bpe.h - the merges of byte-pair encoding, and one piece of text turned into ids.
 *
 * The pair of neighbours with the lowest rank merges first, the leftmost of equals; again until no pair has a
 * merge (the order of Hugging Face `tokenizers`). Long pieces use a heap and a linked list: O(n log n).
 * Thread rule: building on one thread, then read-only; a scratch belongs to one caller.
 */
#ifndef TFR_MODEL_BPE_H
#define TFR_MODEL_BPE_H

#include <tfrun/types.h>

#include "model/token_buffer.h"

struct tfr_bpe_cell {
    int32_t left, right; /* left < 0: empty */
    uint32_t rank;
};

struct tfr_bpe {
    struct tfr_bpe_cell *cell; /* hash table, linear probing, at most half full */
    uint32_t mask;
    uint64_t seed;   /* of the hash: a file can't be made of pairs that collide */
    int32_t *merged; /* id that the merge of a rank makes */
    uint32_t n_merges, capacity;
    int32_t byte_id[256]; /* -1: no token */
};

/* Room for `n_merges` merges. byte_id is the caller's to fill. */
enum tfr_status tfr_bpe_open(struct tfr_bpe *bpe, size_t n_merges);
void tfr_bpe_close(struct tfr_bpe *bpe);
/* The next rank. A pair that is there already takes the new rank, as in the reference. */
void tfr_bpe_add(struct tfr_bpe *bpe, int32_t left, int32_t right, int32_t merged);

/* Working memory for long pieces, grown as needed. Zero-initialise. */
struct tfr_bpe_scratch {
    uint64_t *heap;
    uint32_t *rank, *next, *previous;
    size_t capacity;
};
void tfr_bpe_scratch_free(struct tfr_bpe_scratch *scratch);

/* Appends the ids of one piece. A byte without a token (byte_id < 0) is as if it were not there. */
enum tfr_status tfr_bpe_encode(const struct tfr_bpe *bpe, struct tfr_bpe_scratch *scratch, const uint8_t *piece, size_t size,
                               struct tfr_ids *ids);

#endif
