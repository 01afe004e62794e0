/* tokenizer.h - byte-level BPE of GPT-2: bytes to token ids and back, equal to Hugging Face `tokenizers`.
 *
 * Input is any bytes. The pre-tokeniser reads UTF-8; a byte that is not part of a valid character counts
 * as one character of class "other", like a symbol (Hugging Face never sees such bytes). Where every byte has
 * a token encoding loses nothing: the bytes of the ids joined are the input (plus the leading space that
 * add_prefix_space asks for). Decoding never rewrites spaces (clean_up_tokenization_spaces is not done).
 * docs/files.md lists which files and features are served.
 *
 * Thread rule: any thread; a tokenizer does not change after opening, working memory belongs to the call. That a text
 * has a byte without a token is logged once, of the first of them.
 */
#ifndef TFR_MODEL_TOKENIZER_H
#define TFR_MODEL_TOKENIZER_H

#include <tfrun/types.h>

#include "model/token_buffer.h"

struct tfr_tokenizer;
struct tfr_findings;

/* Opens `path`:
 *  - a folder with tokenizer.json: that file (as Hugging Face does, also when vocab.json lies beside it);
 *  - a folder with vocab.json and merges.txt: these two;
 *  - a file: read as a tokenizer.json, its neighbours are not looked at.
 * From a folder, added_tokens.json, special_tokens_map.json and tokenizer_config.json are honoured where
 * present: added tokens, special tokens (<|endoftext|> where nothing else is named, as GPT2Tokenizer has it),
 * add_prefix_space. A token without an id gets the next free one. `notes`, unless NULL, gets a line for each
 * key that counts or does not. Failure: TFR_MODEL for content that is wrong or that this tokenizer does not
 * do, named with file and key (or line); TFR_RESOURCE for a file that cannot be read or lack of memory. *out
 * is NULL on failure. */
enum tfr_status tfr_tokenizer_open_noting(struct tfr_tokenizer **out, const char *path, struct tfr_findings *notes);
enum tfr_status tfr_tokenizer_open(struct tfr_tokenizer **out, const char *path); /* without notes */
void tfr_tokenizer_close(struct tfr_tokenizer *tokenizer);                        /* NULL-safe */

/* Largest id + 1, added tokens included: may be more than the model has rows, or fewer. */
int32_t tfr_tokenizer_vocab_size(const struct tfr_tokenizer *tokenizer);
/* Tokens of the vocabulary proper, without added ones: more than the model has rows is another model's
 * tokenizer. */
int64_t tfr_tokenizer_n_model(const struct tfr_tokenizer *tokenizer);
/* The eos_token of tokenizer_config.json or special_tokens_map.json, else <|endoftext|>, else -1. */
int32_t tfr_tokenizer_eos(const struct tfr_tokenizer *tokenizer);
bool tfr_tokenizer_adds_prefix_space(const struct tfr_tokenizer *tokenizer);
bool tfr_tokenizer_is_special(const struct tfr_tokenizer *tokenizer, int32_t id);
/* Id of a token spelled as in vocab.json ("\xc4\xa0the" for " the"); -1 if there is none. */
int32_t tfr_tokenizer_find(const struct tfr_tokenizer *tokenizer, const char *name, size_t size);

/* What a special token spelled out in the text means. Text of strangers is encoded PLAIN: otherwise it can end
 * the document. Added tokens that are not special are recognised in both, as by encode_special_tokens. */
enum tfr_special { TFR_SPECIAL_PARSE, TFR_SPECIAL_PLAIN };

/* Appends the ids of `size` bytes to `ids`. Time is O(n log n) at worst, also for text without spaces.
 * On failure (TFR_RESOURCE) `ids` may hold a part. */
enum tfr_status tfr_tokenizer_encode(const struct tfr_tokenizer *tokenizer, const char *text, size_t size, enum tfr_special special,
                                     struct tfr_ids *ids);

/* The bytes of one token, borrowed until the tokenizer closes; may be part of a character. NULL and *size 0
 * for an id that no token has. */
const char *tfr_tokenizer_bytes(const struct tfr_tokenizer *tokenizer, int32_t id, size_t *size);

enum tfr_decode_special { TFR_DECODE_ALL, TFR_DECODE_SKIP_SPECIAL };

/* Ids to text as they come. Each push appends only whole characters: an unfinished one waits for its rest,
 * and what is not UTF-8 becomes U+FFFD by maximal subparts (Python's errors="replace"). All output joined
 * equals Hugging Face's decode of all ids. A value, nothing to close; after `finish` it is ready
 * again. */
struct tfr_decoder {
    const struct tfr_tokenizer *tokenizer;
    enum tfr_decode_special special;
    uint8_t pending[4]; /* start of a character, valid so far */
    uint8_t n_pending;
};

void tfr_decoder_init(struct tfr_decoder *decoder, const struct tfr_tokenizer *tokenizer, enum tfr_decode_special special);
/* An id that no token has gives no text, as in Hugging Face. TFR_RESOURCE without memory. */
enum tfr_status tfr_decoder_push(struct tfr_decoder *decoder, int32_t id, struct tfr_text *text);
enum tfr_status tfr_decoder_finish(struct tfr_decoder *decoder, struct tfr_text *text);

/* Both at once: the text of n ids, appended. */
enum tfr_status tfr_tokenizer_decode(const struct tfr_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                     enum tfr_decode_special special, struct tfr_text *text);

#endif
