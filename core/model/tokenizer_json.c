/* tokenizer_json.c - a whole tokenizer.json: what we do is read, all else is refused by its key.
 *
 * Keys that cannot change the ids of a byte-level vocabulary with all 256 bytes (unk_token, fuse_unk,
 * trim_offsets, version) are let pass.
 */
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
            return tfr_tokenizer_raise_at(doc, node, "%s: key \"%.80s\" is not supported", what,
                                          tfr_json_key(node));
        }
    }
    return TFR_OK;
}

/* `object` (a pre-tokenizer, decoder or post-processor) must be of type ByteLevel. */
static enum tfr_status check_byte_level(const struct tfr_json_doc *doc, const tfr_json *root,
                                        const char *key) {
    static const char *const known[] = {"type", "add_prefix_space", "trim_offsets", "use_regex"};
    const tfr_json *node = tfr_json_member(root, key);
    const char *type = tfr_json_string(tfr_json_member(node, "type"));
    if (type == NULL || strcmp(type, "ByteLevel") != 0) {
        return tfr_tokenizer_raise_at(
            doc, node != NULL ? node : root,
            "%s must be of type ByteLevel, this one is %s; only byte-level BPE is supported", key,
            type != NULL ? type : tfr_json_kind_name(tfr_json_kind(node)));
    }
    return check_keys(doc, node, key, known, TFR_COUNT_OF(known));
}

static enum tfr_status read_pre_tokenizer(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                          const tfr_json *root) {
    TFR_TRY(check_byte_level(doc, root, "pre_tokenizer"));
    const tfr_json *node = tfr_json_member(root, "pre_tokenizer");
    bool use_regex = true;
    TFR_TRY(tfr_tokenizer_read_flag(doc, node, "use_regex", &use_regex));
    if (!use_regex) {
        return tfr_tokenizer_raise_at(doc, tfr_json_member(node, "use_regex"),
                                      "pre_tokenizer: use_regex false is not supported; it must be true");
    }
    if (is_absent(tfr_json_member(node, "add_prefix_space"))) {
        return tfr_tokenizer_raise_at(doc, node, "pre_tokenizer lacks add_prefix_space, true or false");
    }
    return tfr_tokenizer_read_flag(doc, node, "add_prefix_space", &tokenizer->add_prefix_space);
}

/* The stages around the model. */
static enum tfr_status read_stages(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                   const tfr_json *root) {
    static const char *const known[] = {"version",        "truncation", "padding",
                                        "added_tokens",   "normalizer", "pre_tokenizer",
                                        "post_processor", "decoder",    "model"};
    static const char *const must_be_null[] = {"truncation", "padding", "normalizer"};
    TFR_TRY(check_keys(doc, root, "tokenizer.json", known, TFR_COUNT_OF(known)));
    for (size_t i = 0; i < TFR_COUNT_OF(must_be_null); i++) {
        const tfr_json *node = tfr_json_member(root, must_be_null[i]);
        if (!is_absent(node)) {
            return tfr_tokenizer_raise_at(doc, node, "%s is not supported; it must be null", must_be_null[i]);
        }
    }
    TFR_TRY(read_pre_tokenizer(tokenizer, doc, root));
    if (!is_absent(tfr_json_member(root, "post_processor"))) {
        TFR_TRY(check_byte_level(doc, root, "post_processor"));
    }
    return check_byte_level(doc, root, "decoder");
}

static enum tfr_status check_model(const struct tfr_json_doc *doc, const tfr_json *model) {
    static const char *const known[] = {"type",
                                        "dropout",
                                        "unk_token",
                                        "continuing_subword_prefix",
                                        "end_of_word_suffix",
                                        "fuse_unk",
                                        "byte_fallback",
                                        "ignore_merges",
                                        "vocab",
                                        "merges"};
    static const char *const must_be_false[] = {"byte_fallback", "ignore_merges"};
    static const char *const must_be_empty[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    TFR_TRY(check_keys(doc, model, "model", known, TFR_COUNT_OF(known)));
    const tfr_json *type = tfr_json_member(model, "type");
    if (!is_absent(type) && (tfr_json_string(type) == NULL || strcmp(tfr_json_string(type), "BPE") != 0)) {
        return tfr_tokenizer_raise_at(doc, type, "model: type must be BPE");
    }
    const tfr_json *dropout = tfr_json_member(model, "dropout");
    if (!is_absent(dropout) &&
        !(tfr_json_kind(dropout) == TFR_JSON_NUMBER && tfr_json_number(dropout) == 0.0)) {
        return tfr_tokenizer_raise_at(doc, dropout, "model: dropout is not supported; it must be null");
    }
    for (size_t i = 0; i < TFR_COUNT_OF(must_be_false); i++) {
        bool value = false;
        TFR_TRY(tfr_tokenizer_read_flag(doc, model, must_be_false[i], &value));
        if (value) {
            return tfr_tokenizer_raise_at(doc, tfr_json_member(model, must_be_false[i]),
                                          "model: %s is not supported; it must be false", must_be_false[i]);
        }
    }
    for (size_t i = 0; i < TFR_COUNT_OF(must_be_empty); i++) {
        const tfr_json *node = tfr_json_member(model, must_be_empty[i]);
        if (!is_absent(node) && (tfr_json_string(node) == NULL || tfr_json_string(node)[0] != '\0')) {
            return tfr_tokenizer_raise_at(doc, node, "model: %s is not supported; it must be null or \"\"",
                                          must_be_empty[i]);
        }
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

static enum tfr_status read_merges(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                   const tfr_json *merges, const tfr_json *model) {
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

/* `tokenizers` gives an added token that is not in the vocabulary the next free id, whatever the file says: a
 * file that says something else would mean two things. */
static enum tfr_status read_added(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                  const tfr_json *array) {
    if (!is_absent(array) && tfr_json_kind(array) != TFR_JSON_ARRAY) {
        return tfr_tokenizer_raise_at(doc, array, "added_tokens must be an array");
    }
    for (const tfr_json *node = tfr_json_first(array); node != NULL; node = tfr_json_next(node)) {
        struct tfr_added_spec spec;
        TFR_TRY(tfr_tokenizer_read_spec(doc, node, false, &spec));
        const struct tfr_vocab *vocab = &tokenizer->vocab;
        const bool is_new = tfr_vocab_find(vocab, spec.content, strlen(spec.content)) < 0;
        if (is_new && spec.id >= 0 && spec.id != (int64_t)vocab->n) {
            return tfr_tokenizer_raise_at(doc, node,
                                          "added token \"%.80s\" must have the next free id %zu, not %lld",
                                          spec.content, vocab->n, (long long)spec.id);
        }
        TFR_TRY(tfr_tokenizer_add_token(tokenizer, doc, node, &spec));
    }
    return TFR_OK;
}

static enum tfr_status read_root(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc) {
    const tfr_json *root = tfr_json_root(doc);
    const tfr_json *model = tfr_json_member(root, "model");
    TFR_TRY(read_stages(tokenizer, doc, root));
    TFR_TRY(check_model(doc, model != NULL ? model : root));
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
