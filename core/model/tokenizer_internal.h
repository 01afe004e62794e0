/* tokenizer_internal.h - what a tokenizer is made of, for tokenizer*.c only. */
#ifndef TFR_MODEL_TOKENIZER_INTERNAL_H
#define TFR_MODEL_TOKENIZER_INTERNAL_H

#include <stdatomic.h>

#include "base/json.h"
#include "config/findings.h"
#include "model/added_tokens.h"
#include "model/bpe.h"
#include "model/tokenizer.h"
#include "model/vocab.h"

struct tfr_tokenizer {
    struct tfr_vocab vocab;
    struct tfr_bpe bpe;
    struct tfr_added_set added;
    size_t n_model;     /* tokens of the vocabulary alone, without added ones */
    int32_t last_added; /* largest id of an added token, -1: none */
    int32_t eos_id;
    bool add_prefix_space;
    bool split_special;         /* special tokens spelled out in a text are text in any case */
    bool ignore_merges;         /* as tokenizer.json says; only let through where it changes nothing */
    bool has_unknown;           /* tokenizer.json has an unk_token for bytes that no token has */
    bool lacks_bytes;           /* some byte has no token */
    atomic_bool told_of_bytes;  /* that a text lost one: by any thread, though all else stays as it was opened */
    bool told_of_ids;           /* once is enough: that the file says other ids than the tokens have */
    struct tfr_findings *notes; /* while opening; NULL: nobody asks */
};

/* Which tokenizer class of transformers reads the files: they differ in what they take from where. */
enum tfr_tokenizer_family {
    TFR_FAMILY_GPT2,   /* GPT2Tokenizer: prefix space of tokenizer_config.json, <|endoftext|> by default */
    TFR_FAMILY_BACKEND /* PreTrainedTokenizerFast, TokenizersBackend: tokenizer.json as it is */
};

#define TFR_END_OF_TEXT "<|endoftext|>"

/* tokenizer_parts.c: shared by the readers of the files. */

/* TFR_MODEL with "file:line:column: " in front of the text. */
enum tfr_status tfr_tokenizer_raise_at(const struct tfr_json_doc *doc, const tfr_json *node, const char *format, ...)
    TFR_PRINTF(3, 4);
/* All members of a vocabulary object. */
enum tfr_status tfr_tokenizer_read_vocab(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *object);
/* The next merge by the names of its two tokens; they and what they make must be in the vocabulary. */
enum tfr_status tfr_tokenizer_add_merge(struct tfr_tokenizer *tokenizer, const char *left, size_t left_size, const char *right,
                                        size_t right_size);

/* What `tfrun check` shows; `reason` says why a key has no effect. Nothing where nobody asks. */
void tfr_tokenizer_note(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node, const char *name,
                        enum tfr_verdict verdict, const char *reason);
/* The same, and a warning: a person should look at it. */
void tfr_tokenizer_warn_at(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node, const char *name,
                           const char *format, ...) TFR_PRINTF(5, 6);

/* An added token as a file describes it. A token that the vocabulary lacks gets the next free id, whatever id
 * the file says. */
struct tfr_added_spec {
    const char *content;
    int64_t id;
    bool special, normalized, lstrip, rstrip;
    bool counts; /* its flags take the place of those that an earlier file gave the token */
};
enum tfr_status tfr_tokenizer_add_token(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node,
                                        const struct tfr_added_spec *spec);
/* A string, or an object like those under added_tokens: content, flags (absent: special as given, normalized
 * if not special) and id. single_word is refused where true. */
enum tfr_status tfr_tokenizer_read_spec(const struct tfr_json_doc *doc, const tfr_json *node, bool special,
                                        struct tfr_added_spec *spec);
/* A member that must be true or false; `value` stays as it is where the member is absent or null. */
enum tfr_status tfr_tokenizer_read_flag(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, bool *value);

/* tokenizer_json.c: a whole tokenizer.json. */
enum tfr_status tfr_tokenizer_read_json(struct tfr_tokenizer *tokenizer, const char *path);
/* tokenizer_stages.c: the stages around the model of a tokenizer.json. */
enum tfr_status tfr_tokenizer_read_stages(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *root);

/* tokenizer_merges.c: merges.txt. */
enum tfr_status tfr_tokenizer_read_merges(struct tfr_tokenizer *tokenizer, const char *path);

/* The small files of a folder; NULL where a file is absent. */
struct tfr_tokenizer_files {
    struct tfr_json_doc *config, *named, *added; /* tokenizer_config.json, special_tokens_map.json, added_tokens.json */
};
/* tokenizer_named.c: the tokens that they add and name, in the order in which transformers adds them. */
enum tfr_status tfr_tokenizer_read_tokens(struct tfr_tokenizer *tokenizer, const struct tfr_tokenizer_files *files,
                                          enum tfr_tokenizer_family family);

/* tokenizer_config.c: added_tokens.json, special_tokens_map.json and tokenizer_config.json of a folder.
 * `plain`: the vocabulary came from vocab.json and merges.txt. */
enum tfr_status tfr_tokenizer_read_folder(struct tfr_tokenizer *tokenizer, const char *folder, bool plain);

#endif
