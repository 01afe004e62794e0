/* vocab.h - the table of tokens: id to name and bytes, name to id.
 *
 * A name is a token as spelled in vocab.json: each byte stands as one printable character (space is U+0120).
 * The bytes are the name mapped back; a name with a character outside that alphabet stands for its own UTF-8,
 * as in Hugging Face `tokenizers`. Ids may leave holes. Thread rule: filled on one thread, then read-only.
 */
#ifndef TFR_MODEL_VOCAB_H
#define TFR_MODEL_VOCAB_H

#include <tfrun/types.h>

/* Ids must be below this: far above every GPT-2, and a table of that size still fits anywhere. */
#define TFR_VOCAB_MAX_ID (1 << 22)

struct tfr_vocab_entry {
    uint32_t at; /* in the pool: name, then bytes */
    uint32_t name_size, bytes_size;
    bool used;
    bool special;      /* set by the tokenizer, and so is `added` */
    bool added;        /* found literally in the text */
    uint32_t added_at; /* of those: the tokenizer's place for it while it is opened */
};

struct tfr_vocab {
    struct tfr_vocab_entry *entry; /* by id */
    size_t n, capacity;            /* largest id + 1 */
    size_t count;                  /* ids in use */
    uint8_t *pool;
    size_t pool_size, pool_capacity;
    uint32_t *slot; /* hash of names: id + 1, 0 is empty */
    uint64_t seed;  /* of the hash: a file can't be made of names that collide */
    size_t n_slots; /* a power of two, at least twice count */
};

enum tfr_status tfr_vocab_open(struct tfr_vocab *vocab, size_t expected);
void tfr_vocab_close(struct tfr_vocab *vocab);
/* Refuses a name or an id that is taken; the caller puts the place in front of the message. */
enum tfr_status tfr_vocab_add(struct tfr_vocab *vocab, const char *name, size_t size, int64_t id);

int32_t tfr_vocab_find(const struct tfr_vocab *vocab, const char *name, size_t size); /* -1 if absent */
/* Id of the token that a merge of two makes; -1 if absent. */
int32_t tfr_vocab_find_joined(const struct tfr_vocab *vocab, int32_t left, int32_t right);
/* Borrowed; NULL for an id not in use. */
const char *tfr_vocab_name(const struct tfr_vocab *vocab, int32_t id, size_t *size);
const char *tfr_vocab_bytes(const struct tfr_vocab *vocab, int32_t id, size_t *size);

/* Ids of the 256 one-byte tokens, -1 where there is none; gives how many are missing. */
int tfr_vocab_byte_ids(const struct tfr_vocab *vocab, int32_t id[256]);

#endif
