/* tokenizer_load.c - opening: which files a path means, and what holds once all are read. See tokenizer.h for
 * the rules. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "model/pretokenize.h"
#include "model/tokenizer_internal.h"

static enum tfr_status load_vocab(struct tfr_tokenizer *tokenizer, const char *path) {
    struct tfr_json_doc *doc;
    TFR_TRY(tfr_json_open_file(&doc, path, TFR_MODEL));
    const enum tfr_status status = tfr_tokenizer_read_vocab(tokenizer, doc, tfr_json_root(doc));
    tfr_json_close(doc);
    return status;
}

/* The three names that a folder may hold. */
struct folder_files {
    char *json, *vocab, *merges;
};

static enum tfr_status read_vocabulary(struct tfr_tokenizer *tokenizer, const char *folder, const struct folder_files *files,
                                       bool *plain) {
    if (files->json == NULL || files->vocab == NULL || files->merges == NULL) {
        return TFR_RESOURCE;
    }
    *plain = !tfr_path_exists(files->json);
    if (!*plain) {
        return tfr_tokenizer_read_json(tokenizer, files->json);
    }
    const bool has_vocab = tfr_path_exists(files->vocab), has_merges = tfr_path_exists(files->merges);
    if (!has_vocab || !has_merges) {
        return tfr_raise(TFR_RESOURCE, "%s: no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt%s", folder,
                         has_vocab    ? " (merges.txt is missing)"
                         : has_merges ? " (vocab.json is missing)"
                                      : "");
    }
    TFR_TRY(load_vocab(tokenizer, files->vocab));
    return tfr_tokenizer_read_merges(tokenizer, files->merges);
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

/* A byte without a token matters once a text holds it: transformers leaves it out, or writes the model's
 * unk_token. */
static void settle_bytes(struct tfr_tokenizer *tokenizer) {
    const int missing = tfr_vocab_byte_ids(&tokenizer->vocab, tokenizer->bpe.byte_id);
    tokenizer->lacks_bytes = missing > 0;
    if (missing > 0) {
        char reason[96];
        snprintf(reason, sizeof reason, "%d of the 256 bytes have no token; %s", missing,
                 tokenizer->has_unknown ? "a text that holds one is refused" : "a text loses them, as in transformers");
        tfr_tokenizer_note(tokenizer, NULL, NULL, "bytes", TFR_VERDICT_HONOURED, reason);
    }
}

/* Whether merging makes token `id` out of its bytes; true also for what never is a piece of a text. */
static enum tfr_status check_reached(const struct tfr_tokenizer *tokenizer, struct tfr_bpe_scratch *scratch, struct tfr_ids *ids,
                                     int32_t id, bool *reached) {
    size_t size;
    const uint8_t *bytes = (const uint8_t *)tfr_vocab_bytes(&tokenizer->vocab, id, &size);
    *reached = true;
    if (bytes == NULL || size == 0 || tokenizer->vocab.entry[id].added || tfr_pretokenize_next(bytes, size) != size) {
        return TFR_OK;
    }
    ids->n = 0;
    TFR_TRY(tfr_bpe_encode(&tokenizer->bpe, scratch, bytes, size, ids));
    *reached = ids->n == 1 && ids->data[0] == id;
    return TFR_OK;
}

/* ignore_merges takes a word that is a token as that token. Nothing changes where the merges make each token
 * anyway. */
static enum tfr_status check_ignore_merges(struct tfr_tokenizer *tokenizer) {
    struct tfr_bpe_scratch scratch = {0};
    struct tfr_ids ids = {0};
    enum tfr_status status = TFR_OK;
    bool reached = true;
    int32_t id = 0;
    while (tokenizer->ignore_merges && status == TFR_OK && (size_t)id < tokenizer->vocab.n) {
        status = check_reached(tokenizer, &scratch, &ids, id, &reached);
        if (!reached) {
            break;
        }
        id++;
    }
    tfr_bpe_scratch_free(&scratch);
    tfr_ids_free(&ids);
    if (status == TFR_OK && !reached) {
        size_t size;
        const char *name = tfr_vocab_name(&tokenizer->vocab, id, &size);
        return tfr_raise(TFR_MODEL,
                         "model: ignore_merges is true and no merges make token \"%.*s\", so that it counts; "
                         "releases of transformers "
                         "differ: set it to false",
                         (int)(size < 80 ? size : 80), name);
    }
    if (tokenizer->ignore_merges) {
        tfr_tokenizer_note(tokenizer, NULL, NULL, "ignore_merges", TFR_VERDICT_NO_EFFECT, "the merges make every token anyway");
    }
    return status;
}

static enum tfr_status read_all(struct tfr_tokenizer *tokenizer, const char *path) {
    TFR_TRY(tfr_path_is_directory(path) ? open_folder(tokenizer, path) : tfr_tokenizer_read_json(tokenizer, path));
    settle_bytes(tokenizer);
    const enum tfr_status status = check_ignore_merges(tokenizer);
    return status == TFR_MODEL ? tfr_raise_prefix(status, "%s", path) : status;
}

enum tfr_status tfr_tokenizer_open_noting(struct tfr_tokenizer **out, const char *path, struct tfr_findings *notes) {
    *out = NULL;
    struct tfr_tokenizer *tokenizer = tfr_alloc(1, sizeof(*tokenizer));
    if (tokenizer == NULL) {
        return TFR_RESOURCE;
    }
    tokenizer->eos_id = tokenizer->last_added = -1;
    tokenizer->notes = notes;
    atomic_init(&tokenizer->told_of_bytes, false);
    enum tfr_status status = read_all(tokenizer, path);
    tokenizer->notes = NULL;
    status = status == TFR_OK ? tfr_added_finish(&tokenizer->added) : status;
    if (status != TFR_OK) {
        tfr_tokenizer_close(tokenizer);
        return status;
    }
    if (tokenizer->eos_id < 0) {
        tokenizer->eos_id = tfr_vocab_find(&tokenizer->vocab, TFR_END_OF_TEXT, strlen(TFR_END_OF_TEXT));
    }
    *out = tokenizer;
    return TFR_OK;
}

enum tfr_status tfr_tokenizer_open(struct tfr_tokenizer **out, const char *path) {
    return tfr_tokenizer_open_noting(out, path, NULL);
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
