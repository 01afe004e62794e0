/* tokenizer_named.c - the tokens that the small files of a folder add and name.
 *
 * The order is transformers': first what was added, by id, then the named ones in their order, each under the
 * next free id if it has none. added_tokens_decoder in tokenizer_config.json makes transformers leave
 * added_tokens.json and special_tokens_map.json unread; without it special_tokens_map.json has the last word.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/tokenizer_internal.h"

struct entry {
    const tfr_json *node;
    int64_t id;
    const struct tfr_tokenizer_files *files;
};

/* The names of special tokens. */
static const struct {
    const char *name;
    bool has_default; /* GPT2Tokenizer has <|endoftext|> there */
} names[] = {{"bos_token", true},  {"eos_token", true},  {"unk_token", true},  {"sep_token", false},
             {"pad_token", false}, {"cls_token", false}, {"mask_token", false}};

/* The same thing before and after transformers 5: an array, or an object of name: token. */
static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};

static int by_id(const void *left, const void *right) {
    const struct entry *a = left, *b = right;
    return (a->id > b->id) - (a->id < b->id);
}

static const tfr_json *member_of(const struct tfr_json_doc *doc, const char *key) {
    return doc != NULL ? tfr_json_member(tfr_json_root(doc), key) : NULL;
}

/* The node that says what a name means, and its file; NULL where no file does. */
static const tfr_json *find_name(const struct tfr_tokenizer_files *files, const char *name, const struct tfr_json_doc **doc) {
    const tfr_json *node = member_of(files->named, name);
    *doc = node != NULL ? files->named : files->config;
    return node != NULL ? node : member_of(files->config, name);
}

/* A token is a text, or an object with one. */
static bool is_token(const tfr_json *node, const char *content) {
    const char *own = tfr_json_string(node);
    own = own != NULL ? own : tfr_json_string(tfr_json_member(node, "content"));
    return own != NULL && strcmp(own, content) == 0;
}

/* Those of an object come later, as in both lines of transformers. */
static bool is_in_lists(const struct tfr_json_doc *doc, const char *content) {
    for (size_t i = 0; i < TFR_COUNT_OF(lists); i++) {
        const tfr_json *list = member_of(doc, lists[i]);
        const tfr_json *node = tfr_json_kind(list) == TFR_JSON_ARRAY ? tfr_json_first(list) : NULL;
        while (node != NULL && !is_token(node, content)) {
            node = tfr_json_next(node);
        }
        if (node != NULL) {
            return true;
        }
    }
    return false;
}

/* Whether a file says that the token is a special one. */
static bool is_named(const struct tfr_tokenizer_files *files, const char *content) {
    const struct tfr_json_doc *doc;
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        if (is_token(find_name(files, names[i].name, &doc), content)) {
            return true;
        }
    }
    return is_in_lists(files->named, content) || is_in_lists(files->config, content);
}

/* added_tokens.json: {"content": id}. The names of special tokens say which of them are special. */
static enum tfr_status add_plain(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const struct entry *entry) {
    const bool special = is_named(entry->files, tfr_json_key(entry->node));
    const struct tfr_added_spec spec = {
        .content = tfr_json_key(entry->node), .id = entry->id, .special = special, .normalized = !special};
    return tfr_tokenizer_add_token(tokenizer, doc, entry->node, &spec);
}

/* added_tokens_decoder: {"50256": {"content": ..., "special": ...}}; tokenizer.json may have said something else. */
static enum tfr_status add_described(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const struct entry *entry) {
    struct tfr_added_spec spec;
    TFR_TRY(tfr_tokenizer_read_spec(doc, entry->node, false, &spec));
    spec.id = entry->id;
    spec.counts = true;
    return tfr_tokenizer_add_token(tokenizer, doc, entry->node, &spec);
}

static enum tfr_status id_of_value(const struct tfr_json_doc *doc, const tfr_json *node, int64_t *id) {
    if (!tfr_json_int64(doc, node, id) || *id < 0) {
        return tfr_tokenizer_raise_at(doc, node, "the id of token \"%.80s\" must be a whole number from 0", tfr_json_key(node));
    }
    return TFR_OK;
}

static enum tfr_status id_of_key(const struct tfr_json_doc *doc, const tfr_json *node, int64_t *id) {
    const char *key = tfr_json_key(node);
    const size_t digits = key != NULL ? strspn(key, "0123456789") : 0;
    if (digits == 0 || digits > 9 || key[digits] != '\0') {
        return tfr_tokenizer_raise_at(doc, node, "added_tokens_decoder: \"%.80s\" is not an id", key != NULL ? key : "");
    }
    *id = strtol(key, NULL, 10);
    return TFR_OK;
}

/* Adds the members of `object` in the order of their ids. */
static enum tfr_status
add_by_id(struct tfr_tokenizer *tokenizer, const struct tfr_tokenizer_files *files, const struct tfr_json_doc *doc,
          const tfr_json *object, enum tfr_status (*read_id)(const struct tfr_json_doc *, const tfr_json *, int64_t *),
          enum tfr_status (*add)(struct tfr_tokenizer *, const struct tfr_json_doc *, const struct entry *)) {
    size_t n = 0;
    struct entry *entries = tfr_alloc(tfr_json_size(object) + 1, sizeof *entries);
    enum tfr_status status = entries != NULL ? TFR_OK : TFR_RESOURCE;
    for (const tfr_json *node = tfr_json_first(object); node != NULL && status == TFR_OK; node = tfr_json_next(node)) {
        entries[n].node = node;
        entries[n].files = files;
        status = read_id(doc, node, &entries[n++].id);
    }
    if (status == TFR_OK && n > 0) {
        qsort(entries, n, sizeof *entries, by_id);
    }
    for (size_t i = 0; i < n && status == TFR_OK; i++) {
        status = add(tokenizer, doc, &entries[i]);
    }
    tfr_free(entries);
    return status;
}

static enum tfr_status add_named(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node,
                                 int32_t *id) {
    struct tfr_added_spec spec;
    TFR_TRY(tfr_tokenizer_read_spec(doc, node, true, &spec));
    spec.special = true; /* being named here makes it so */
    TFR_TRY(tfr_tokenizer_add_token(tokenizer, doc, node, &spec));
    *id = tfr_vocab_find(&tokenizer->vocab, spec.content, strlen(spec.content));
    return TFR_OK;
}

static enum tfr_status add_end_of_text(struct tfr_tokenizer *tokenizer, int32_t *id) {
    const struct tfr_added_spec spec = {.content = TFR_END_OF_TEXT, .id = -1, .special = true};
    TFR_TRY(tfr_tokenizer_add_token(tokenizer, NULL, NULL, &spec));
    *id = tfr_vocab_find(&tokenizer->vocab, TFR_END_OF_TEXT, strlen(TFR_END_OF_TEXT));
    return TFR_OK;
}

static enum tfr_status read_names(struct tfr_tokenizer *tokenizer, const struct tfr_tokenizer_files *files,
                                  enum tfr_tokenizer_family family) {
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        const struct tfr_json_doc *doc;
        const tfr_json *node = find_name(files, names[i].name, &doc);
        int32_t id = -1;
        if (node == NULL && names[i].has_default && family == TFR_FAMILY_GPT2) {
            TFR_TRY(add_end_of_text(tokenizer, &id));
        } else if (tfr_json_kind(node) != TFR_JSON_NULL) {
            TFR_TRY(add_named(tokenizer, doc, node, &id));
            char reason[64];
            snprintf(reason, sizeof reason, "special, id %d", (int)id);
            tfr_tokenizer_note(tokenizer, doc, node, names[i].name, TFR_VERDICT_HONOURED, reason);
        }
        tokenizer->eos_id = strcmp(names[i].name, "eos_token") == 0 ? id : tokenizer->eos_id;
    }
    return TFR_OK;
}

static enum tfr_status read_lists(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc) {
    for (size_t i = 0; i < TFR_COUNT_OF(lists); i++) {
        const tfr_json *list = member_of(doc, lists[i]);
        for (const tfr_json *node = tfr_json_first(list); node != NULL; node = tfr_json_next(node)) {
            int32_t id;
            TFR_TRY(add_named(tokenizer, doc, node, &id));
        }
        if (tfr_json_size(list) > 0) {
            tfr_tokenizer_note(tokenizer, doc, list, lists[i], TFR_VERDICT_HONOURED, "special tokens");
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_tokenizer_read_tokens(struct tfr_tokenizer *tokenizer, const struct tfr_tokenizer_files *files,
                                          enum tfr_tokenizer_family family) {
    struct tfr_tokenizer_files read = *files;
    const tfr_json *table = member_of(files->config, "added_tokens_decoder");
    if (table != NULL) {
        static const char reason[] = "added_tokens_decoder in tokenizer_config.json says it all";
        const struct tfr_json_doc *const unread[] = {files->named, files->added};
        for (size_t i = 0; i < TFR_COUNT_OF(unread); i++) {
            if (unread[i] != NULL) {
                tfr_tokenizer_note(tokenizer, unread[i], NULL, "(all of it)", TFR_VERDICT_NO_EFFECT, reason);
            }
        }
        read.named = NULL;
        TFR_TRY(add_by_id(tokenizer, files, files->config, table, id_of_key, add_described));
    } else if (files->added != NULL) {
        TFR_TRY(add_by_id(tokenizer, files, files->added, tfr_json_root(files->added), id_of_value, add_plain));
    }
    TFR_TRY(read_names(tokenizer, &read, family));
    TFR_TRY(read_lists(tokenizer, read.config));
    return read_lists(tokenizer, read.named);
}
