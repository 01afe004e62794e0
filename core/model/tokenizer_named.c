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

/* Sorted. */
struct contents {
    const char **text;
    size_t n;
};

struct entry {
    const tfr_json *node;
    int64_t id;
    const struct contents *special;
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
static void put_content(struct contents *contents, const tfr_json *node) {
    const char *text = tfr_json_string(node);
    text = text != NULL ? text : tfr_json_string(tfr_json_member(node, "content"));
    if (text != NULL) {
        contents->text[contents->n++] = text;
    }
}

static int by_text(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The tokens that a file says are special ones; those of an object come later, as in both lines of transformers. Sorted:
 * added_tokens.json, which asks for each of its own, may be as long. */
static enum tfr_status list_specials(const struct tfr_tokenizer_files *files, struct contents *special) {
    const struct tfr_json_doc *const docs[] = {files->named, files->config}, *doc;
    const tfr_json *arrays[TFR_COUNT_OF(docs) * TFR_COUNT_OF(lists)];
    size_t room = TFR_COUNT_OF(names), n = 0;
    for (size_t i = 0; i < TFR_COUNT_OF(docs) * TFR_COUNT_OF(lists); i++) {
        const tfr_json *list = member_of(docs[i % TFR_COUNT_OF(docs)], lists[i / TFR_COUNT_OF(docs)]);
        if (tfr_json_kind(list) == TFR_JSON_ARRAY) {
            arrays[n++] = list;
            room += tfr_json_size(list);
        }
    }
    special->text = tfr_alloc(room, sizeof *special->text);
    if (special->text == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        put_content(special, find_name(files, names[i].name, &doc));
    }
    for (size_t i = 0; i < n; i++) {
        for (const tfr_json *node = tfr_json_first(arrays[i]); node != NULL; node = tfr_json_next(node)) {
            put_content(special, node);
        }
    }
    qsort(special->text, special->n, sizeof *special->text, by_text);
    return TFR_OK;
}

/* added_tokens.json: {"content": id}. The names of special tokens say which of them are special. */
static enum tfr_status add_plain(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const struct entry *entry) {
    const char *content = tfr_json_key(entry->node);
    const struct contents *known = entry->special;
    const bool special = bsearch(&content, known->text, known->n, sizeof *known->text, by_text) != NULL;
    const struct tfr_added_spec spec = {.content = content, .id = entry->id, .special = special, .normalized = !special};
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
add_by_id(struct tfr_tokenizer *tokenizer, const struct contents *special, const struct tfr_json_doc *doc, const tfr_json *object,
          enum tfr_status (*read_id)(const struct tfr_json_doc *, const tfr_json *, int64_t *),
          enum tfr_status (*add)(struct tfr_tokenizer *, const struct tfr_json_doc *, const struct entry *)) {
    size_t n = 0;
    struct entry *entries = tfr_alloc(tfr_json_size(object) + 1, sizeof *entries);
    enum tfr_status status = entries != NULL ? TFR_OK : TFR_RESOURCE;
    for (const tfr_json *node = tfr_json_first(object); node != NULL && status == TFR_OK; node = tfr_json_next(node)) {
        entries[n].node = node;
        entries[n].special = special;
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

static enum tfr_status add_all_plain(struct tfr_tokenizer *tokenizer, const struct tfr_tokenizer_files *files) {
    struct contents special = {0};
    enum tfr_status status = list_specials(files, &special);
    if (status == TFR_OK) {
        status = add_by_id(tokenizer, &special, files->added, tfr_json_root(files->added), id_of_value, add_plain);
    }
    tfr_free(special.text);
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
        TFR_TRY(add_by_id(tokenizer, NULL, files->config, table, id_of_key, add_described));
    } else if (files->added != NULL) {
        TFR_TRY(add_all_plain(tokenizer, files));
    }
    TFR_TRY(read_names(tokenizer, &read, family));
    TFR_TRY(read_lists(tokenizer, read.config));
    return read_lists(tokenizer, read.named);
}
