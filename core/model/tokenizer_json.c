/* tokenizer_json.c - a whole tokenizer.json: its model, vocabulary, merges and added tokens. What would
 * change an id and is not done here is refused by its key. */
#include <string.h>

#include "base/status.h"
#include "model/tokenizer_internal.h"

static bool is_absent(const tfr_json *node) {
    return tfr_json_kind(node) == TFR_JSON_NULL;
}

/* Every member of `object` must have one of these names. */
static enum tfr_status check_keys(const struct tfr_json_doc *doc, const tfr_json *object, const char *what,
                                  const char *const *known, size_t n_known) {
    if (tfr_json_kind(object) != TFR_JSON_OBJECT) {
        return tfr_tokenizer_raise_at(doc, object, "%s must be an object, this is %s", what,
                                      tfr_json_kind_name(tfr_json_kind(object)));
    }
    for (const tfr_json *node = tfr_json_first(object); node != NULL; node = tfr_json_next(node)) {
        size_t i = 0;
        while (i < n_known && strcmp(tfr_json_key(node), known[i]) != 0) {
            i++;
        }
        if (i == n_known) {
            return tfr_tokenizer_raise_at(doc, node, "%s: key \"%.80s\" is not supported", what, tfr_json_key(node));
        }
    }
    return TFR_OK;
}

static enum tfr_status check_model(const struct tfr_json_doc *doc, const tfr_json *model) {
    static const char *const known[] = {
        "type",          "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
        "ignore_merges", "vocab",   "merges"};
    static const char *const must_be_empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    TFR_TRY(check_keys(doc, model, "model", known, TFR_COUNT_OF(known)));
    const tfr_json *type = tfr_json_member(model, "type");
    if (!is_absent(type) && (tfr_json_string(type) == NULL || strcmp(tfr_json_string(type), "BPE") != 0)) {
        return tfr_tokenizer_raise_at(doc, type, "model: type must be BPE");
    }
    const tfr_json *dropout = tfr_json_member(model, "dropout");
    if (!is_absent(dropout) && !(tfr_json_kind(dropout) == TFR_JSON_NUMBER && tfr_json_number(dropout) == 0.0)) {
        return tfr_tokenizer_raise_at(doc, dropout, "model: dropout is not supported; it must be null");
    }
    for (size_t i = 0; i < TFR_COUNT_OF(must_be_empty); i++) {
        const tfr_json *node = tfr_json_member(model, must_be_empty[i]);
        if (!is_absent(node) && (tfr_json_string(node) == NULL || tfr_json_string(node)[0] != '\0')) {
            return tfr_tokenizer_raise_at(doc, node, "model: %s is not supported; it must be null or \"\"", must_be_empty[i]);
        }
    }
    return TFR_OK;
}

static enum tfr_status read_model_flags(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *model) {
    bool fallback = false;
    TFR_TRY(tfr_tokenizer_read_flag(doc, model, "byte_fallback", &fallback));
    TFR_TRY(tfr_tokenizer_read_flag(doc, model, "ignore_merges", &tokenizer->ignore_merges));
    tokenizer->has_unknown = !is_absent(tfr_json_member(model, "unk_token"));
    if (fallback) {
        tfr_tokenizer_note(tokenizer, doc, tfr_json_member(model, "byte_fallback"), "byte_fallback", TFR_VERDICT_NO_EFFECT,
                           "the vocabulary is byte-level already");
    }
    return TFR_OK;
}

/* "left right", or ["left", "right"] as newer files write it. */
static enum tfr_status read_merge(struct tfr_tokenizer *tokenizer, const tfr_json *node) {
    const char *left = tfr_json_string(node), *right = NULL;
    size_t left_size = 0;
    if (left != NULL) {
        const char *space = strchr(left, ' ');
        left_size = space != NULL ? (size_t)(space - left) : 0;
        right = space != NULL && strchr(space + 1, ' ') == NULL ? space + 1 : NULL;
    } else if (tfr_json_kind(node) == TFR_JSON_ARRAY) {
        const tfr_json *first = tfr_json_first(node), *second = tfr_json_next(first);
        left = tfr_json_string(first);
        left_size = left != NULL ? strlen(left) : 0;
        right = tfr_json_next(second) == NULL ? tfr_json_string(second) : NULL;
    }
    if (left_size == 0 || right == NULL || right[0] == '\0') {
        return tfr_raise(TFR_MODEL, "a merge is \"left right\" or [\"left\", \"right\"]");
    }
    return tfr_tokenizer_add_merge(tokenizer, left, left_size, right, strlen(right));
}

static enum tfr_status read_merges(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *merges,
                                   const tfr_json *model) {
    if (tfr_json_kind(merges) != TFR_JSON_ARRAY) {
        return tfr_tokenizer_raise_at(doc, merges != NULL ? merges : model, "model: merges must be an array");
    }
    TFR_TRY(tfr_bpe_open(&tokenizer->bpe, tfr_json_size(merges)));
    for (const tfr_json *node = tfr_json_first(merges); node != NULL; node = tfr_json_next(node)) {
        const enum tfr_status status = read_merge(tokenizer, node);
        if (status != TFR_OK) {
            int line, column;
            tfr_json_place(doc, node, &line, &column);
            return tfr_raise_prefix(status, "%s:%d:%d", tfr_json_name(doc), line, column);
        }
    }
    return TFR_OK;
}

static enum tfr_status read_added(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *array) {
    if (!is_absent(array) && tfr_json_kind(array) != TFR_JSON_ARRAY) {
        return tfr_tokenizer_raise_at(doc, array, "added_tokens must be an array");
    }
    for (const tfr_json *node = tfr_json_first(array); node != NULL; node = tfr_json_next(node)) {
        struct tfr_added_spec spec;
        TFR_TRY(tfr_tokenizer_read_spec(doc, node, false, &spec));
        TFR_TRY(tfr_tokenizer_add_token(tokenizer, doc, node, &spec));
    }
    return TFR_OK;
}

static enum tfr_status read_root(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc) {
    const tfr_json *root = tfr_json_root(doc);
    const tfr_json *model = tfr_json_member(root, "model");
    static const char *const known[] = {"version",       "truncation",     "padding", "added_tokens", "normalizer",
                                        "pre_tokenizer", "post_processor", "decoder", "model"};
    TFR_TRY(check_keys(doc, root, "tokenizer.json", known, TFR_COUNT_OF(known)));
    TFR_TRY(tfr_tokenizer_read_stages(tokenizer, doc, root));
    TFR_TRY(check_model(doc, model != NULL ? model : root));
    TFR_TRY(read_model_flags(tokenizer, doc, model));
    const tfr_json *vocab = tfr_json_member(model, "vocab");
    TFR_TRY(tfr_tokenizer_read_vocab(tokenizer, doc, vocab != NULL ? vocab : model));
    TFR_TRY(read_merges(tokenizer, doc, tfr_json_member(model, "merges"), model));
    return read_added(tokenizer, doc, tfr_json_member(root, "added_tokens"));
}

enum tfr_status tfr_tokenizer_read_json(struct tfr_tokenizer *tokenizer, const char *path) {
    struct tfr_json_doc *doc;
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    const enum tfr_status status = read_root(tokenizer, doc);
    tfr_json_close(doc);
    return status;
}
