/* tokenizer_config.c - the small files beside a vocabulary: opens added_tokens.json, special_tokens_map.json
 * and tokenizer_config.json, and reads the settings of the last. What would change ids and is not done here
 * is refused by its key; keys that concern padding, lengths or chat stay unread. */
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "model/tokenizer_internal.h"

/* Classes that read the files of GPT-2 as GPT-2's own, in transformers 4.57 and 5.x alike. */
static const struct {
    const char *name;
    enum tfr_tokenizer_family family;
} classes[] = {
    {"GPT2Tokenizer", TFR_FAMILY_GPT2},          {"GPT2TokenizerFast", TFR_FAMILY_GPT2},
    {"CodeGenTokenizer", TFR_FAMILY_GPT2},       {"CodeGenTokenizerFast", TFR_FAMILY_GPT2},
    {"PreTrainedTokenizer", TFR_FAMILY_BACKEND}, {"PreTrainedTokenizerFast", TFR_FAMILY_BACKEND},
    {"TokenizersBackend", TFR_FAMILY_BACKEND},
};

static enum tfr_status read_class(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, bool plain,
                                  enum tfr_tokenizer_family *family) {
    *family = TFR_FAMILY_GPT2; /* what AutoTokenizer takes for a model of type gpt2 */
    const tfr_json *node = tfr_json_member(tfr_json_root(doc), "tokenizer_class");
    if (tfr_json_kind(node) == TFR_JSON_NULL) {
        return TFR_OK;
    }
    for (size_t i = 0; tfr_json_string(node) != NULL && i < TFR_COUNT_OF(classes); i++) {
        if (strcmp(tfr_json_string(node), classes[i].name) == 0) {
            *family = plain ? TFR_FAMILY_GPT2 : classes[i].family;
            tfr_tokenizer_note(tokenizer, doc, node, "tokenizer_class", TFR_VERDICT_HONOURED, "reads the files as GPT-2's");
            return TFR_OK;
        }
    }
    return tfr_tokenizer_raise_at(
        doc, node,
        "tokenizer_class must be GPT2Tokenizer, this is %.80s, which puts tokens of its own around a text "
        "or reads the files in another way; if the files are GPT-2's, write GPT2Tokenizer",
        tfr_json_string(node) != NULL ? tfr_json_string(node) : "no string");
}

static void note_overruled(struct tfr_tokenizer *tokenizer, bool of_json) {
    if (of_json != tokenizer->add_prefix_space) {
        tfr_tokenizer_note(tokenizer, NULL, NULL, "add_prefix_space of tokenizer.json", TFR_VERDICT_NO_EFFECT,
                           "GPT2Tokenizer takes it from tokenizer_config.json, where absent is false");
    }
}

/* GPT2Tokenizer takes add_prefix_space from tokenizer_config.json alone. The other classes take it from there
 * in transformers 4 and from tokenizer.json in transformers 5. */
static enum tfr_status read_prefix_space(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc,
                                         enum tfr_tokenizer_family family) {
    static const char key[] = "add_prefix_space";
    const tfr_json *root = tfr_json_root(doc), *node = tfr_json_member(root, key);
    const bool of_json = tokenizer->add_prefix_space;
    bool value = false;
    TFR_TRY(tfr_tokenizer_read_flag(doc, root, key, &value));
    const char *name = tfr_json_string(tfr_json_member(root, "tokenizer_class"));
    const bool newer = family == TFR_FAMILY_BACKEND && name != NULL && strcmp(name, "TokenizersBackend") == 0;
    if (family == TFR_FAMILY_BACKEND && value != of_json && !(newer && node == NULL)) {
        return tfr_tokenizer_raise_at(doc, node != NULL ? node : root,
                                      "add_prefix_space is %s here and %s in tokenizer.json; transformers 4 follows this file and "
                                      "transformers 5 that one: make them the same",
                                      value          ? "true"
                                      : node != NULL ? "false"
                                                     : "absent (false)",
                                      of_json ? "true" : "false");
    }
    tokenizer->add_prefix_space = family == TFR_FAMILY_BACKEND ? of_json : value;
    note_overruled(tokenizer, of_json);
    if (node != NULL) {
        tfr_tokenizer_note(tokenizer, doc, node, key, TFR_VERDICT_HONOURED,
                           tokenizer->add_prefix_space ? "a space before each text" : "no space before a text");
    }
    return TFR_OK;
}

/* add_bos_token and add_eos_token count where the vocabulary comes from vocab.json, for transformers 4 alone.
 */
static enum tfr_status read_bos_flags(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, bool plain) {
    static const char *const keys[] = {"add_bos_token", "add_eos_token"};
    const tfr_json *root = tfr_json_root(doc);
    for (size_t i = 0; i < TFR_COUNT_OF(keys); i++) {
        bool value = false;
        TFR_TRY(tfr_tokenizer_read_flag(doc, root, keys[i], &value));
        const tfr_json *node = tfr_json_member(root, keys[i]);
        if (value && plain) {
            return tfr_tokenizer_raise_at(doc, node, "%s is not supported; set it to false and write the token into the prompt",
                                          keys[i]);
        }
        if (node != NULL) {
            tfr_tokenizer_note(tokenizer, doc, node, keys[i], TFR_VERDICT_NO_EFFECT,
                               plain ? "false" : "not read beside a tokenizer.json: the post_processor there says it");
        }
    }
    return TFR_OK;
}

static enum tfr_status read_settings(struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, bool plain) {
    const tfr_json *root = tfr_json_root(doc);
    bool clean = false;
    TFR_TRY(tfr_tokenizer_read_flag(doc, root, "clean_up_tokenization_spaces", &clean));
    if (clean) {
        tfr_tokenizer_warn_at(tokenizer, doc, tfr_json_member(root, "clean_up_tokenization_spaces"), "clean_up_tokenization_spaces",
                              "texts keep their spaces, as in transformers 5; transformers 4 drops some "
                              "(\"it 's\" to \"it's\")");
    }
    TFR_TRY(tfr_tokenizer_read_flag(doc, root, "split_special_tokens", &tokenizer->split_special));
    if (tfr_json_member(root, "split_special_tokens") != NULL) {
        tfr_tokenizer_note(tokenizer, doc, tfr_json_member(root, "split_special_tokens"), "split_special_tokens",
                           TFR_VERDICT_HONOURED, "true: special tokens in a text are text");
    }
    if (tfr_json_member(root, "errors") != NULL) {
        tfr_tokenizer_note(tokenizer, doc, tfr_json_member(root, "errors"), "errors", TFR_VERDICT_NO_EFFECT,
                           "what is not UTF-8 is replaced in any case, as by the fast tokenizers");
    }
    return read_bos_flags(tokenizer, doc, plain);
}

/* A file of the folder, NULL if it is not there; its root must be an object. */
static enum tfr_status open_if_there(const char *folder, const char *name, struct tfr_json_doc **doc) {
    *doc = NULL;
    char *path = tfr_path_join(folder, name);
    enum tfr_status status = path == NULL ? TFR_RESOURCE : TFR_OK;
    if (status == TFR_OK && tfr_path_exists(path)) {
        status = tfr_json_open_file(doc, path, TFR_MODEL);
        if (status == TFR_OK && tfr_json_kind(tfr_json_root(*doc)) != TFR_JSON_OBJECT) {
            status = tfr_tokenizer_raise_at(*doc, tfr_json_root(*doc), "must be an object");
        }
    }
    tfr_free(path);
    return status;
}

/* A folder with nothing but a tokenizer.json names no class. */
static enum tfr_status look_for_class(const char *folder, bool plain, bool *names_none) {
    char *path = tfr_path_join(folder, "config.json");
    if (path == NULL) {
        return TFR_RESOURCE;
    }
    *names_none = !plain && !tfr_path_exists(path);
    tfr_free(path);
    return TFR_OK;
}

/* Without a tokenizer_config.json. */
static enum tfr_status read_bare(struct tfr_tokenizer *tokenizer, const char *folder, bool plain,
                                 enum tfr_tokenizer_family *family) {
    const bool of_json = tokenizer->add_prefix_space;
    bool names_none;
    TFR_TRY(look_for_class(folder, plain, &names_none));
    if (names_none) {
        *family = TFR_FAMILY_BACKEND;
    } else {
        tokenizer->add_prefix_space = false;
        note_overruled(tokenizer, of_json);
    }
    return TFR_OK;
}

static enum tfr_status read_files(struct tfr_tokenizer *tokenizer, const struct tfr_tokenizer_files *files, const char *folder,
                                  bool plain) {
    enum tfr_tokenizer_family family = TFR_FAMILY_GPT2;
    if (files->config != NULL) {
        TFR_TRY(read_class(tokenizer, files->config, plain, &family));
        TFR_TRY(read_prefix_space(tokenizer, files->config, family));
        TFR_TRY(read_settings(tokenizer, files->config, plain));
    } else {
        TFR_TRY(read_bare(tokenizer, folder, plain, &family));
    }
    return tfr_tokenizer_read_tokens(tokenizer, files, family);
}

enum tfr_status tfr_tokenizer_read_folder(struct tfr_tokenizer *tokenizer, const char *folder, bool plain) {
    struct tfr_tokenizer_files files = {0};
    enum tfr_status status = open_if_there(folder, "tokenizer_config.json", &files.config);
    if (status == TFR_OK) {
        status = open_if_there(folder, "special_tokens_map.json", &files.named);
    }
    if (status == TFR_OK) {
        status = open_if_there(folder, "added_tokens.json", &files.added);
    }
    if (status == TFR_OK) {
        status = read_files(tokenizer, &files, folder, plain);
    }
    tfr_json_close(files.config);
    tfr_json_close(files.named);
    tfr_json_close(files.added);
    return status;
}
