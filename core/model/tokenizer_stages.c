/* tokenizer_stages.c - the stages of a tokenizer.json around its model. What changes no id is noted and let
 * pass, whatever its spelling: what the last call to the tokenizer left behind, sequences of one, stages that
 * do nothing. What would change an id, or text, is refused by its key. */
#include <string.h>

#include "base/status.h"
#include "model/tokenizer_internal.h"

static const char *type_of(const tfr_json *node) {
    const char *type = tfr_json_string(tfr_json_member(node, "type"));
    return type != NULL ? type : tfr_json_kind_name(tfr_json_kind(node));
}

/* A sequence of one stage is that stage; `list` is the name of its array. */
static const tfr_json *only_stage(const tfr_json *node, const char *list) {
    while (strcmp(type_of(node), "Sequence") == 0 && tfr_json_size(tfr_json_member(node, list)) == 1) {
        node = tfr_json_first(tfr_json_member(node, list));
    }
    return node;
}

static enum tfr_status refuse_stage(const struct tfr_json_doc *doc, const tfr_json *root, const tfr_json *node, const char *key) {
    return tfr_tokenizer_raise_at(doc, node != NULL ? node : root,
                                  "%s must be of type ByteLevel, this one is %s; only byte-level BPE is supported", key,
                                  type_of(node));
}

static bool is_byte_level(const tfr_json *node) {
    return strcmp(type_of(node), "ByteLevel") == 0;
}

static enum tfr_status read_pre_tokenizer(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *root) {
    const tfr_json *node = only_stage(tfr_json_member(root, "pre_tokenizer"), "pretokenizers");
    if (!is_byte_level(node)) {
        return refuse_stage(doc, root, node, "pre_tokenizer");
    }
    bool use_regex = true;
    TFR_TRY(tfr_tokenizer_read_flag(doc, node, "use_regex", &use_regex));
    if (!use_regex) {
        return tfr_tokenizer_raise_at(doc, tfr_json_member(node, "use_regex"),
                                      "pre_tokenizer: use_regex false is not supported; it must be true");
    }
    if (tfr_json_kind(tfr_json_member(node, "add_prefix_space")) == TFR_JSON_NULL) {
        return tfr_tokenizer_raise_at(doc, node, "pre_tokenizer lacks add_prefix_space, true or false");
    }
    return tfr_tokenizer_read_flag(doc, node, "add_prefix_space", &tokenizer->add_prefix_space);
}

/* Whether a normalizer is null or a sequence of nothing. */
static bool changes_nothing(const tfr_json *node) {
    if (tfr_json_kind(node) == TFR_JSON_NULL) {
        return true;
    }
    const tfr_json *list = tfr_json_member(node, "normalizers");
    if (strcmp(type_of(node), "Sequence") != 0 || tfr_json_kind(list) != TFR_JSON_ARRAY) {
        return false;
    }
    for (const tfr_json *item = tfr_json_first(list); item != NULL; item = tfr_json_next(item)) {
        if (!changes_nothing(item)) {
            return false;
        }
    }
    return true;
}

/* A template that puts nothing around a single text. */
static bool is_bare_template(const tfr_json *node) {
    const tfr_json *single = tfr_json_member(node, "single");
    return strcmp(type_of(node), "TemplateProcessing") == 0 && tfr_json_size(single) == 1 &&
           tfr_json_member(tfr_json_first(single), "Sequence") != NULL;
}

static enum tfr_status check_post_processor(const struct tfr_json_doc *doc, const tfr_json *node) {
    if (tfr_json_kind(node) == TFR_JSON_NULL || is_byte_level(node) || is_bare_template(node)) {
        return TFR_OK;
    }
    if (strcmp(type_of(node), "Sequence") == 0) {
        for (const tfr_json *item = tfr_json_first(tfr_json_member(node, "processors")); item != NULL; item = tfr_json_next(item)) {
            TFR_TRY(check_post_processor(doc, item));
        }
        return TFR_OK;
    }
    return tfr_tokenizer_raise_at(doc, node,
                                  "post_processor: this one (%s) puts tokens around each text, which is not supported; make it "
                                  "null and write the tokens into the prompt",
                                  type_of(node));
}

static void note_stage(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *root, const char *key,
                       const char *reason) {
    const tfr_json *node = tfr_json_member(root, key);
    if (tfr_json_kind(node) != TFR_JSON_NULL) {
        tfr_tokenizer_note(tokenizer, doc, node, key, TFR_VERDICT_NO_EFFECT, reason);
    }
}

enum tfr_status tfr_tokenizer_read_stages(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *root) {
    static const char left_behind[] = "what the last call asked for; a call that does not ask is not cut or padded";
    note_stage(tokenizer, doc, root, "truncation", left_behind);
    note_stage(tokenizer, doc, root, "padding", left_behind);
    const tfr_json *normalizer = tfr_json_member(root, "normalizer");
    if (!changes_nothing(normalizer)) {
        return tfr_tokenizer_raise_at(doc, normalizer,
                                      "normalizer is not supported, this one is %s: it rewrites texts in some releases of "
                                      "transformers and not in others; make it null",
                                      type_of(normalizer));
    }
    note_stage(tokenizer, doc, root, "normalizer", "a sequence of nothing");
    TFR_TRY(read_pre_tokenizer(tokenizer, doc, root));
    TFR_TRY(check_post_processor(doc, tfr_json_member(root, "post_processor")));
    note_stage(tokenizer, doc, root, "post_processor", "it puts no token around a text");
    const tfr_json *decoder = only_stage(tfr_json_member(root, "decoder"), "decoders");
    return is_byte_level(decoder) ? TFR_OK : refuse_stage(doc, root, decoder, "decoder");
}
