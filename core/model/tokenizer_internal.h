/* tokenizer_internal.h - what a tokenizer is made of, for tokenizer*.c only. */
#ifndef TFR_MODEL_TOKENIZER_INTERNAL_H
#define TFR_MODEL_TOKENIZER_INTERNAL_H

#include "base/json.h"
#include "model/added_tokens.h"
#include "model/bpe.h"
#include "model/tokenizer.h"
#include "model/vocab.h"

struct tfr_tokenizer {
    struct tfr_vocab vocab;
    struct tfr_bpe bpe;
    struct tfr_added_set added;
    int32_t eos_id;
    bool add_prefix_space;
};

#define TFR_END_OF_TEXT "<|endoftext|>"

/* tokenizer_parts.c: shared by the readers of the files. */

/* TFR_MODEL with "file:line:column: " in front of the text. */
enum tfr_status tfr_tokenizer_raise_at(const struct tfr_json_doc *doc, const tfr_json *node,
                                       const char *format, ...) TFR_PRINTF(3, 4);
/* All members of a vocabulary object. */
enum tfr_status tfr_tokenizer_read_vocab(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                         const tfr_json *object);
/* The next merge by the names of its two tokens; they and what they make must be in the vocabulary. */
enum tfr_status tfr_tokenizer_add_merge(struct tfr_tokenizer *tokenizer, const char *left, size_t left_size,
                                        const char *right, size_t right_size);

/* An added token as a file describes it. id < 0: it must be in the vocabulary. */
struct tfr_added_spec {
    const char *content;
    int64_t id;
    bool special, normalized;
};
enum tfr_status tfr_tokenizer_add_token(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                        const tfr_json *node, const struct tfr_added_spec *spec);
/* A string, or an object like those under added_tokens: content, flags (absent: special as given, normalized
 * if not special) and id. lstrip, rstrip and single_word are refused where true. */
enum tfr_status tfr_tokenizer_read_spec(const struct tfr_json_doc *doc, const tfr_json *node, bool special,
                                        struct tfr_added_spec *spec);
/* A member that must be true or false; `value` stays as it is where the member is absent or null. */
enum tfr_status tfr_tokenizer_read_flag(const struct tfr_json_doc *doc, const tfr_json *object,
                                        const char *key, bool *value);

/* tokenizer_json.c: a whole tokenizer.json. */
enum tfr_status tfr_tokenizer_read_json(struct tfr_tokenizer *tokenizer, const char *path);

/* tokenizer_config.c: added_tokens.json, special_tokens_map.json and tokenizer_config.json of a folder.
 * `plain`: the vocabulary came from vocab.json and merges.txt. */
enum tfr_status tfr_tokenizer_read_folder(struct tfr_tokenizer *tokenizer, const char *folder, bool plain);

#endif
