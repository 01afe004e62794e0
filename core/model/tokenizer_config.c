/* tokenizer_config.c - the small files beside a vocabulary: added_tokens.json, special_tokens_map.json and
 * tokenizer_config.json. What would change ids and is not done here is refused by its key; keys that concern
 * padding, lengths or chat stay unread. clean_up_tokenization_spaces has no effect: decoding is exact. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "model/tokenizer_internal.h"

typedef enum tfr_status (*read_fn)(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                   const tfr_json *root);

/* added_tokens.json: {"content": id}. */
static enum tfr_status read_added_tokens(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                         const tfr_json *root) {
    for (const tfr_json *node = tfr_json_first(root); node != NULL; node = tfr_json_next(node)) {
        struct tfr_added_spec spec = {.content = tfr_json_key(node), .normalized = true};
        if (!tfr_json_int64(doc, node, &spec.id) || spec.id < 0) {
            return tfr_tokenizer_raise_at(
                doc, node, "the id of token \"%.80s\" must be a whole number from 0", spec.content);
        }
        TFR_TRY(tfr_tokenizer_add_token(tokenizer, doc, node, &spec));
    }
    return TFR_OK;
}

static enum tfr_status read_special(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                    const tfr_json *node, int32_t *id) {
    struct tfr_added_spec spec;
    TFR_TRY(tfr_tokenizer_read_spec(doc, node, true, &spec));
    spec.special = true; /* being named here makes it so */
    TFR_TRY(tfr_tokenizer_add_token(tokenizer, doc, node, &spec));
    *id = tfr_vocab_find(&tokenizer->vocab, spec.content, strlen(spec.content));
    return TFR_OK;
}

/* The named tokens that special_tokens_map.json and tokenizer_config.json both may hold. */
static enum tfr_status read_named(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                  const tfr_json *root) {
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        const tfr_json *node = tfr_json_member(root, names[i]);
        if (tfr_json_kind(node) == TFR_JSON_NULL) {
            continue;
        }
        int32_t id;
        TFR_TRY(read_special(tokenizer, doc, node, &id));
        if (strcmp(names[i], "eos_token") == 0) {
            tokenizer->eos_id = id;
        }
    }
    /* The same thing before and after transformers 5: an array, or an object of name: token. */
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    for (size_t i = 0; i < TFR_COUNT_OF(lists); i++) {
        const tfr_json *node = tfr_json_first(tfr_json_member(root, lists[i]));
        for (; node != NULL; node = tfr_json_next(node)) {
            int32_t id;
            TFR_TRY(read_special(tokenizer, doc, node, &id));
        }
    }
    return TFR_OK;
}

/* added_tokens_decoder: {"50256": {"content": ..., "special": ...}}. */
static enum tfr_status read_decoder_table(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                          const tfr_json *root) {
    const tfr_json *node = tfr_json_first(tfr_json_member(root, "added_tokens_decoder"));
    for (; node != NULL; node = tfr_json_next(node)) {
        struct tfr_added_spec spec;
        TFR_TRY(tfr_tokenizer_read_spec(doc, node, false, &spec));
        const char *key = tfr_json_key(node);
        const size_t digits = key != NULL ? strspn(key, "0123456789") : 0;
        if (digits == 0 || digits > 9 || key[digits] != '\0') {
            return tfr_tokenizer_raise_at(doc, node, "added_tokens_decoder: \"%.80s\" is not an id",
                                          key != NULL ? key : "");
        }
        spec.id = strtol(key, NULL, 10);
        TFR_TRY(tfr_tokenizer_add_token(tokenizer, doc, node, &spec));
    }
    return TFR_OK;
}

static enum tfr_status read_config(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                   const tfr_json *root) {
    static const char *const must_be_false[] = {"add_bos_token", "add_eos_token", "split_special_tokens"};
    for (size_t i = 0; i < TFR_COUNT_OF(must_be_false); i++) {
        bool value = false;
        TFR_TRY(tfr_tokenizer_read_flag(doc, root, must_be_false[i], &value));
        if (value) {
            return tfr_tokenizer_raise_at(
                doc, tfr_json_member(root, must_be_false[i]),
                "%s is not supported; set it to false and write the token into the prompt", must_be_false[i]);
        }
    }
    const tfr_json *errors = tfr_json_member(root, "errors");
    if (errors != NULL &&
        (tfr_json_string(errors) == NULL || strcmp(tfr_json_string(errors), "replace") != 0)) {
        return tfr_tokenizer_raise_at(doc, errors, "errors must be \"replace\"");
    }
    TFR_TRY(tfr_tokenizer_read_flag(doc, root, "add_prefix_space", &tokenizer->add_prefix_space));
    return read_named(tokenizer, doc, root);
}

/* vocab.json and merges.txt also carry other tokenizers (RoBERTa puts tokens around the text). */
static enum tfr_status check_class(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                   const tfr_json *root) {
    static const char *const known[] = {"GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast",
                                        "TokenizersBackend"};
    const tfr_json *node = tfr_json_member(root, "tokenizer_class");
    if (tfr_json_kind(node) == TFR_JSON_NULL) {
        return TFR_OK;
    }
    for (size_t i = 0; tfr_json_string(node) != NULL && i < TFR_COUNT_OF(known); i++) {
        if (strcmp(tfr_json_string(node), known[i]) == 0) {
            return TFR_OK;
        }
    }
    return tfr_tokenizer_raise_at(doc, node, "tokenizer_class must be GPT2Tokenizer, this is %.80s",
                                  tfr_json_string(node) != NULL ? tfr_json_string(node) : "no string");
}

/* Reads a file of the folder if it is there; its root must be an object. */
static enum tfr_status read_if_there(struct tfr_tokenizer *tokenizer, const char *folder, const char *name,
                                     read_fn read) {
    char *path = tfr_path_join(folder, name);
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    if (!tfr_path_exists(path)) {
        tfr_free(path);
        return TFR_OK;
    }
    struct tfr_json_doc *doc = NULL;
    enum tfr_status status = tfr_json_open_file(&doc, path, TFR_MODEL);
    if (status == TFR_OK && tfr_json_kind(tfr_json_root(doc)) != TFR_JSON_OBJECT) {
        status = tfr_tokenizer_raise_at(doc, tfr_json_root(doc), "must be an object");
    }
    if (status == TFR_OK) {
        status = read(tokenizer, doc, tfr_json_root(doc));
    }
    tfr_json_close(doc);
    tfr_free(path);
    return status;
}

enum tfr_status tfr_tokenizer_read_folder(struct tfr_tokenizer *tokenizer, const char *folder, bool plain) {
    if (plain) {
        TFR_TRY(read_if_there(tokenizer, folder, "tokenizer_config.json", check_class));
    }
    TFR_TRY(read_if_there(tokenizer, folder, "added_tokens.json", read_added_tokens));
    /* Twice the named tokens: tokenizer_config.json is the newer file and has the last word on eos_token. */
    TFR_TRY(read_if_there(tokenizer, folder, "tokenizer_config.json", read_decoder_table));
    TFR_TRY(read_if_there(tokenizer, folder, "special_tokens_map.json", read_named));
    return read_if_there(tokenizer, folder, "tokenizer_config.json", read_config);
}
