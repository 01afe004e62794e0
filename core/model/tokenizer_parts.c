/* tokenizer_parts.c - what the readers of tokenizer files share: vocabulary, merges, added tokens, flags. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "model/tokenizer_internal.h"

enum tfr_status tfr_tokenizer_raise_at(const struct tfr_json_doc *doc, const tfr_json *node, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    int line, column;
    tfr_json_place(doc, node, &line, &column);
    return tfr_raise(TFR_MODEL, "%s:%d:%d: %s", tfr_json_name(doc), line, column, text);
}

static const char *file_of(const struct tfr_json_doc *doc) {
    const char *name = doc != NULL ? tfr_json_name(doc) : "";
    const char *slash = strrchr(name, '/');
    return slash != NULL ? slash + 1 : name;
}

void tfr_tokenizer_note(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node, const char *name,
                        enum tfr_verdict verdict, const char *reason) {
    if (tokenizer->notes == NULL) {
        return;
    }
    struct tfr_json_out value = {0};
    if (node != NULL) {
        tfr_json_put_node(&value, NULL, doc, node);
    }
    tfr_findings_add(tokenizer->notes, &(struct tfr_finding){.about = TFR_ABOUT_TOKENIZER,
                                                             .verdict = verdict,
                                                             .name = name,
                                                             .value = value.text,
                                                             .source = file_of(doc),
                                                             .reason = reason});
    tokenizer->notes->failed |= value.failed;
    tfr_free(value.text);
}

void tfr_tokenizer_warn_at(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node, const char *name,
                           const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    int line, column;
    tfr_json_place(doc, node, &line, &column);
    tfr_log(TFR_LOG_WARN, "tokenizer", "%s:%d:%d: %s: %s", tfr_json_name(doc), line, column, name, text);
    tfr_tokenizer_note(tokenizer, doc, node, name, TFR_VERDICT_NO_EFFECT, text);
}

/* Puts the place of `node` in front of a text that was raised without one. */
static enum tfr_status prefix_place(const struct tfr_json_doc *doc, const tfr_json *node, enum tfr_status status) {
    if (doc == NULL) {
        return status;
    }
    int line, column;
    tfr_json_place(doc, node, &line, &column);
    return tfr_raise_prefix(status, "%s:%d:%d", tfr_json_name(doc), line, column);
}

enum tfr_status tfr_tokenizer_read_vocab(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *object) {
    if (tfr_json_kind(object) != TFR_JSON_OBJECT) {
        return tfr_tokenizer_raise_at(doc, object, "the vocabulary must be an object of token: id, this is %s",
                                      tfr_json_kind_name(tfr_json_kind(object)));
    }
    TFR_TRY(tfr_vocab_open(&tokenizer->vocab, tfr_json_size(object)));
    for (const tfr_json *node = tfr_json_first(object); node != NULL; node = tfr_json_next(node)) {
        const char *name = tfr_json_key(node);
        int64_t id;
        if (!tfr_json_int64(doc, node, &id)) {
            return tfr_tokenizer_raise_at(doc, node, "the id of token \"%.80s\" must be a whole number", name);
        }
        const enum tfr_status status = tfr_vocab_add(&tokenizer->vocab, name, strlen(name), id);
        if (status != TFR_OK) {
            return prefix_place(doc, node, status);
        }
    }
    tokenizer->n_model = tokenizer->vocab.count;
    return TFR_OK;
}

enum tfr_status tfr_tokenizer_add_merge(struct tfr_tokenizer *tokenizer, const char *left, size_t left_size, const char *right,
                                        size_t right_size) {
    const int32_t left_id = tfr_vocab_find(&tokenizer->vocab, left, left_size);
    const int32_t right_id = tfr_vocab_find(&tokenizer->vocab, right, right_size);
    if (left_id < 0 || right_id < 0) {
        const size_t size = left_id < 0 ? left_size : right_size;
        return tfr_raise(TFR_MODEL, "the merge names token \"%.*s\", which is not in the vocabulary", (int)(size < 80 ? size : 80),
                         left_id < 0 ? left : right);
    }
    const int32_t merged = tfr_vocab_find_joined(&tokenizer->vocab, left_id, right_id);
    if (merged < 0) {
        return tfr_raise(TFR_MODEL, "the merge of \"%.*s\" and \"%.*s\" makes a token that is not in the vocabulary",
                         (int)(left_size < 80 ? left_size : 80), left, (int)(right_size < 80 ? right_size : 80), right);
    }
    tfr_bpe_add(&tokenizer->bpe, left_id, right_id, merged);
    return TFR_OK;
}

/* As in `tokenizers`: behind the vocabulary and behind what was added before. */
static int64_t next_free_id(const struct tfr_tokenizer *tokenizer) {
    const int64_t behind = (int64_t)tokenizer->last_added + 1, model = (int64_t)tokenizer->n_model;
    return behind > model ? behind : model;
}

/* The id of the token, which joins the vocabulary if it is new. The file's id is only what it says. */
static enum tfr_status settle_id(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node,
                                 const struct tfr_added_spec *spec, int32_t *id) {
    const size_t size = strlen(spec->content);
    *id = tfr_vocab_find(&tokenizer->vocab, spec->content, size);
    if (*id < 0) {
        const int64_t free_id = next_free_id(tokenizer);
        const enum tfr_status status = tfr_vocab_add(&tokenizer->vocab, spec->content, size, free_id);
        if (status != TFR_OK) {
            return prefix_place(doc, node, status);
        }
        *id = (int32_t)free_id;
    }
    if (spec->id >= 0 && spec->id != *id && !tokenizer->told_of_ids) {
        tokenizer->told_of_ids = true;
        tfr_tokenizer_warn_at(tokenizer, doc, node, spec->content,
                              "the file says id %lld; it has id %d, as in transformers, and so on", (long long)spec->id, (int)*id);
    }
    return TFR_OK;
}

enum tfr_status tfr_tokenizer_add_token(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node,
                                        const struct tfr_added_spec *spec) {
    if (spec->content[0] == '\0') {
        return tfr_tokenizer_raise_at(doc, node, "an added token must not be empty");
    }
    int32_t id;
    TFR_TRY(settle_id(tokenizer, doc, node, spec, &id));
    struct tfr_vocab_entry *entry = &tokenizer->vocab.entry[id];
    const int flags = (spec->normalized ? TFR_ADDED_NORMALIZED : 0) | (spec->lstrip ? TFR_ADDED_LSTRIP : 0) |
                      (spec->rstrip ? TFR_ADDED_RSTRIP : 0);
    if (!entry->added) {
        entry->added_at = (uint32_t)tokenizer->added.n;
        TFR_TRY(tfr_added_put(&tokenizer->added, spec->content, strlen(spec->content), id, flags));
    } else if (spec->counts) {
        tokenizer->added.token[entry->added_at].flags = flags;
    }
    entry->added = true;
    entry->special = entry->special || spec->special;
    tokenizer->last_added = id > tokenizer->last_added ? id : tokenizer->last_added;
    return TFR_OK;
}

enum tfr_status tfr_tokenizer_read_flag(const struct tfr_json_doc *doc, const tfr_json *object, const char *key, bool *value) {
    const tfr_json *node = tfr_json_member(object, key);
    if (tfr_json_kind(node) == TFR_JSON_NULL) {
        return TFR_OK;
    }
    if (tfr_json_kind(node) != TFR_JSON_BOOL) {
        return tfr_tokenizer_raise_at(doc, node, "%s must be true or false, this is %s", key,
                                      tfr_json_kind_name(tfr_json_kind(node)));
    }
    *value = tfr_json_bool(node);
    return TFR_OK;
}

enum tfr_status tfr_tokenizer_read_spec(const struct tfr_json_doc *doc, const tfr_json *node, bool special,
                                        struct tfr_added_spec *spec) {
    *spec = (struct tfr_added_spec){.content = tfr_json_string(node), .id = -1, .special = special, .normalized = !special};
    if (spec->content != NULL) {
        return TFR_OK;
    }
    spec->content = tfr_json_string(tfr_json_member(node, "content"));
    if (spec->content == NULL) {
        return tfr_tokenizer_raise_at(doc, node, "an added token must be a string or an object with \"content\"");
    }
    bool single_word = false;
    TFR_TRY(tfr_tokenizer_read_flag(doc, node, "single_word", &single_word));
    if (single_word) {
        return tfr_tokenizer_raise_at(doc, node, "token \"%.80s\": single_word is not supported; it must be false", spec->content);
    }
    TFR_TRY(tfr_tokenizer_read_flag(doc, node, "lstrip", &spec->lstrip));
    TFR_TRY(tfr_tokenizer_read_flag(doc, node, "rstrip", &spec->rstrip));
    TFR_TRY(tfr_tokenizer_read_flag(doc, node, "special", &spec->special));
    spec->normalized = !spec->special;
    TFR_TRY(tfr_tokenizer_read_flag(doc, node, "normalized", &spec->normalized));
    const tfr_json *id = tfr_json_member(node, "id");
    if (id != NULL && (!tfr_json_int64(doc, id, &spec->id) || spec->id < 0)) {
        return tfr_tokenizer_raise_at(doc, id, "the id of token \"%.80s\" must be a whole number from 0", spec->content);
    }
    return TFR_OK;
}
