/* tokenizer_load.c - opening: which files a path means, and merges.txt. See tokenizer.h for the rules. */
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/textfile.h"
#include "model/tokenizer_internal.h"

#define MERGES_MAX_BYTES ((size_t)1 << 28)
#define MERGES_HEADER    "#version"

/* One line "left right" without its newline. */
static enum tfr_status read_merge(struct tfr_tokenizer *tokenizer, const char *line, size_t size) {
    const char *space = memchr(line, ' ', size);
    const size_t left = space == NULL ? 0 : (size_t)(space - line);
    if (left == 0 || left + 1 == size || memchr(space + 1, ' ', size - left - 1) != NULL) {
        return tfr_raise(TFR_MODEL, "a merge is two tokens with one space between them, this is \"%.*s\"",
                         (int)(size < 80 ? size : 80), line);
    }
    return tfr_tokenizer_add_merge(tokenizer, line, left, space + 1, size - left - 1);
}

/* The readers of Hugging Face disagree about a first line that is no header and about a last line that does
 * not end (one skips them, the other does not), so both are refused. */
static enum tfr_status check_merges(const char *path, const char *text, size_t size) {
    if (size < strlen(MERGES_HEADER) || memcmp(text, MERGES_HEADER, strlen(MERGES_HEADER)) != 0) {
        return tfr_raise(TFR_MODEL, "%s:1: the first line must begin with \"%s\", as in \"#version: 0.2\"",
                         path, MERGES_HEADER);
    }
    if (text[size - 1] != '\n') {
        return tfr_raise(TFR_MODEL, "%s: the last line does not end with a newline: is the file cut short?",
                         path);
    }
    return TFR_OK;
}

static size_t count_lines(const char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        n += text[i] == '\n';
    }
    return n;
}

static enum tfr_status parse_merges(struct tfr_tokenizer *tokenizer, const char *path, const char *text,
                                    size_t size) {
    TFR_TRY(check_merges(path, text, size));
    TFR_TRY(tfr_bpe_open(&tokenizer->bpe, count_lines(text, size) - 1));
    const char *line = text, *end = text + size;
    for (size_t number = 1; line < end; number++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (number > 1) {
            const enum tfr_status status = read_merge(tokenizer, line, (size_t)(newline - line));
            if (status != TFR_OK) {
                return tfr_raise_prefix(status, "%s:%zu", path, number);
            }
        }
        line = newline + 1;
    }
    return TFR_OK;
}

static enum tfr_status load_merges(struct tfr_tokenizer *tokenizer, const char *path) {
    char *text;
    size_t size;
    TFR_TRY(tfr_textfile_read(path, MERGES_MAX_BYTES, TFR_MODEL, &text, &size));
    const enum tfr_status status = parse_merges(tokenizer, path, text, size);
    tfr_free(text);
    return status;
}

static enum tfr_status load_vocab(struct tfr_tokenizer *tokenizer, const char *path) {
    struct tfr_json_doc *doc;
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    enum tfr_status status = tfr_tokenizer_read_vocab(tokenizer, doc, tfr_json_root(doc));
    const int32_t eot =
        status == TFR_OK ? tfr_vocab_find(&tokenizer->vocab, TFR_END_OF_TEXT, strlen(TFR_END_OF_TEXT)) : -1;
    if (eot >= 0) {
        const struct tfr_added_spec spec = {.content = TFR_END_OF_TEXT, .id = eot, .special = true};
        status = tfr_tokenizer_add_token(tokenizer, doc, tfr_json_root(doc), &spec);
    }
    tfr_json_close(doc);
    return status;
}

/* The three names that a folder may hold. */
struct folder_files {
    char *json, *vocab, *merges;
};

static enum tfr_status read_vocabulary(struct tfr_tokenizer *tokenizer, const char *folder,
                                       const struct folder_files *files, bool *plain) {
    if (files->json == NULL || files->vocab == NULL || files->merges == NULL) {
        return TFR_RESOURCE;
    }
    *plain = !tfr_path_exists(files->json);
    if (!*plain) {
        TFR_TRY(tfr_tokenizer_read_json(tokenizer, files->json));
        return tfr_vocab_byte_ids(&tokenizer->vocab, files->json, tokenizer->bpe.byte_id);
    }
    const bool has_vocab = tfr_path_exists(files->vocab), has_merges = tfr_path_exists(files->merges);
    if (!has_vocab || !has_merges) {
        return tfr_raise(TFR_RESOURCE,
                         "%s: no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt%s", folder,
                         has_vocab    ? " (merges.txt is missing)"
                         : has_merges ? " (vocab.json is missing)"
                                      : "");
    }
    TFR_TRY(load_vocab(tokenizer, files->vocab));
    TFR_TRY(load_merges(tokenizer, files->merges));
    return tfr_vocab_byte_ids(&tokenizer->vocab, files->vocab, tokenizer->bpe.byte_id);
}

static enum tfr_status open_folder(struct tfr_tokenizer *tokenizer, const char *folder) {
    struct folder_files files = {.json = tfr_path_join(folder, "tokenizer.json"),
                                 .vocab = tfr_path_join(folder, "vocab.json"),
                                 .merges = tfr_path_join(folder, "merges.txt")};
    bool plain = false;
    enum tfr_status status = read_vocabulary(tokenizer, folder, &files, &plain);
    if (status == TFR_OK) {
        status = tfr_tokenizer_read_folder(tokenizer, folder, plain);
    }
    tfr_free(files.json);
    tfr_free(files.vocab);
    tfr_free(files.merges);
    return status;
}

static enum tfr_status open_file(struct tfr_tokenizer *tokenizer, const char *path) {
    TFR_TRY(tfr_tokenizer_read_json(tokenizer, path));
    return tfr_vocab_byte_ids(&tokenizer->vocab, path, tokenizer->bpe.byte_id);
}

enum tfr_status tfr_tokenizer_open(struct tfr_tokenizer **out, const char *path) {
    *out = NULL;
    struct tfr_tokenizer *tokenizer = tfr_alloc(1, sizeof(*tokenizer));
    if (tokenizer == NULL) {
        return TFR_RESOURCE;
    }
    tokenizer->eos_id = -1;
    const enum tfr_status status =
        tfr_path_is_directory(path) ? open_folder(tokenizer, path) : open_file(tokenizer, path);
    if (status != TFR_OK) {
        tfr_tokenizer_close(tokenizer);
        return status;
    }
    if (tokenizer->eos_id < 0) {
        tokenizer->eos_id = tfr_vocab_find(&tokenizer->vocab, TFR_END_OF_TEXT, strlen(TFR_END_OF_TEXT));
    }
    tfr_added_finish(&tokenizer->added);
    *out = tokenizer;
    return TFR_OK;
}

void tfr_tokenizer_close(struct tfr_tokenizer *tokenizer) {
    if (tokenizer == NULL) {
        return;
    }
    tfr_vocab_close(&tokenizer->vocab);
    tfr_bpe_close(&tokenizer->bpe);
    tfr_added_close(&tokenizer->added);
    tfr_free(tokenizer);
}
