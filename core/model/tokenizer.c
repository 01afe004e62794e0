/* tokenizer.c - encoding and decoding. Opening is in tokenizer_load.c.
 *
 * Encoding: added tokens split the text (two passes), the pre-tokeniser cuts what is left, BPE merges each
 * piece.
 */
#include "model/tokenizer.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"
#include "model/pretokenize.h"
#include "model/tokenizer_internal.h"

/* One call of encode. */
struct encoder {
    const struct tfr_tokenizer *tokenizer;
    struct tfr_bpe_scratch scratch;
    struct tfr_ids *ids;
    enum tfr_special special;
};

/* The bytes of a text that have no token. transformers leaves them out, unless the vocabulary has an
 * unk_token: then its releases differ. A server reads texts of strangers all day: one line is enough. */
static enum tfr_status check_bytes(const struct tfr_tokenizer *tokenizer, const uint8_t *text, size_t size) {
    for (size_t i = 0; tokenizer->lacks_bytes && i < size; i++) {
        if (tokenizer->bpe.byte_id[text[i]] >= 0) {
            continue;
        }
        if (tokenizer->has_unknown) {
            return tfr_raise(TFR_MODEL,
                             "byte 0x%02x of the text has no token in this vocabulary, and releases of "
                             "transformers differ in what "
                             "they make of it; leave it out",
                             text[i]);
        }
        if (!atomic_exchange(&((struct tfr_tokenizer *)tokenizer)->told_of_bytes, true)) {
            tfr_log(TFR_LOG_WARN, "tokenizer",
                    "byte 0x%02x has no token in this vocabulary: it is left out of the text; no other one is told of", text[i]);
        }
        break;
    }
    return TFR_OK;
}

static enum tfr_status encode_pieces(struct encoder *encoder, const uint8_t *text, size_t size) {
    TFR_TRY(check_bytes(encoder->tokenizer, text, size));
    for (size_t at = 0; at < size;) {
        const size_t piece = tfr_pretokenize_next(text + at, size - at);
        TFR_TRY(tfr_bpe_encode(&encoder->tokenizer->bpe, &encoder->scratch, text + at, piece, encoder->ids));
        at += piece;
    }
    return TFR_OK;
}

/* Text between added tokens. Each such part gets its own leading space, as in `tokenizers`. */
static enum tfr_status encode_plain(struct encoder *encoder, const uint8_t *text, size_t size) {
    if (!encoder->tokenizer->add_prefix_space || size == 0 || text[0] == ' ') {
        return encode_pieces(encoder, text, size);
    }
    uint8_t *spaced = tfr_alloc(size + 1, 1);
    if (spaced == NULL) {
        return TFR_RESOURCE;
    }
    spaced[0] = ' ';
    memcpy(spaced + 1, text, size);
    const enum tfr_status status = encode_pieces(encoder, spaced, size + 1);
    tfr_free(spaced);
    return status;
}

static enum tfr_status encode_pass(struct encoder *encoder, int pass, const uint8_t *text, size_t size);

/* Where the blanks that end at `at` begin, not before `least`. */
static size_t blanks_before(const uint8_t *text, size_t least, size_t at) {
    while (at > least) {
        size_t start = at - 1;
        while (start > least && (text[start] & 0xC0) == 0x80) {
            start--;
        }
        if (!tfr_pretokenize_blank(text + start, at - start)) {
            break;
        }
        at = start;
    }
    return at;
}

static size_t blanks_behind(const uint8_t *text, size_t size, size_t at) {
    size_t length;
    while (at < size && (length = tfr_pretokenize_blank(text + at, size - at)) > 0) {
        at += length;
    }
    return at;
}

/* The added tokens that a scan finds, and what lies between them. As in `tokenizers`, the next one is looked
 * for behind the token itself, also where it took blanks along. */
static enum tfr_status encode_between(struct encoder *encoder, struct tfr_added_scan *scan) {
    size_t done = 0, from = 0, at = 0;
    for (;;) {
        const struct tfr_added_token *token;
        TFR_TRY(tfr_added_next(scan, from, &at, &token));
        if (token == NULL) {
            return encode_pass(encoder, scan->pass + 1, scan->text + done, scan->size - done);
        }
        from = at + token->size;
        if (encoder->special == TFR_SPECIAL_PLAIN && tfr_tokenizer_is_special(encoder->tokenizer, token->id)) {
            continue;
        }
        const bool takes_left = (token->flags & TFR_ADDED_LSTRIP) != 0, takes_right = (token->flags & TFR_ADDED_RSTRIP) != 0;
        const size_t start = takes_left ? blanks_before(scan->text, done, at) : at;
        const size_t known = from > done ? from : done; /* what was taken along before is blanks */
        const size_t stop = takes_right ? blanks_behind(scan->text, scan->size, known) : from;
        if (start > done) {
            TFR_TRY(encode_pass(encoder, scan->pass + 1, scan->text + done, start - done));
        }
        if (!takes_left || stop > done) { /* else all of it, blanks, went with the token before: no token */
            TFR_TRY(tfr_ids_append(encoder->ids, token->id));
        }
        done = stop;
    }
}

/* Splits at the added tokens of one pass; what lies between goes to the next pass, then to BPE. */
static enum tfr_status encode_pass(struct encoder *encoder, int pass, const uint8_t *text, size_t size) {
    if (pass == 2) {
        return encode_plain(encoder, text, size);
    }
    struct tfr_added_scan scan = tfr_added_scan_of(&encoder->tokenizer->added, pass, text, size);
    const enum tfr_status status = encode_between(encoder, &scan);
    tfr_added_scan_close(&scan);
    return status;
}

int32_t tfr_tokenizer_vocab_size(const struct tfr_tokenizer *tokenizer) {
    return (int32_t)tokenizer->vocab.n;
}

int64_t tfr_tokenizer_n_model(const struct tfr_tokenizer *tokenizer) {
    return (int64_t)tokenizer->n_model;
}

int32_t tfr_tokenizer_eos(const struct tfr_tokenizer *tokenizer) {
    return tokenizer->eos_id;
}

bool tfr_tokenizer_adds_prefix_space(const struct tfr_tokenizer *tokenizer) {
    return tokenizer->add_prefix_space;
}

bool tfr_tokenizer_is_special(const struct tfr_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && (size_t)id < tokenizer->vocab.n && tokenizer->vocab.entry[id].special;
}

int32_t tfr_tokenizer_find(const struct tfr_tokenizer *tokenizer, const char *name, size_t size) {
    return tfr_vocab_find(&tokenizer->vocab, name, size);
}

enum tfr_status tfr_tokenizer_encode(const struct tfr_tokenizer *tokenizer, const char *text, size_t size, enum tfr_special special,
                                     struct tfr_ids *ids) {
    if (size == 0) {
        return TFR_OK; /* `text` may be NULL */
    }
    struct encoder encoder = {
        .tokenizer = tokenizer, .ids = ids, .special = tokenizer->split_special ? TFR_SPECIAL_PLAIN : special};
    const enum tfr_status status = encode_pass(&encoder, 0, (const uint8_t *)text, size);
    tfr_bpe_scratch_free(&encoder.scratch);
    return status;
}

const char *tfr_tokenizer_bytes(const struct tfr_tokenizer *tokenizer, int32_t id, size_t *size) {
    return tfr_vocab_bytes(&tokenizer->vocab, id, size);
}

void tfr_decoder_init(struct tfr_decoder *decoder, const struct tfr_tokenizer *tokenizer, enum tfr_decode_special special) {
    *decoder = (struct tfr_decoder){.tokenizer = tokenizer, .special = special};
}

static enum tfr_status append_replacement(struct tfr_text *text) {
    return tfr_text_append(text, "\xef\xbf\xbd", 3);
}

/* The character that waits cannot go on with `byte`, or ends with it. True if `byte` is used up. */
static enum tfr_status continue_pending(struct tfr_decoder *decoder, uint8_t byte, struct tfr_text *text, bool *used) {
    *used = tfr_utf8_continues(decoder->pending[0], decoder->n_pending, byte);
    if (!*used) {
        decoder->n_pending = 0;
        return append_replacement(text);
    }
    decoder->pending[decoder->n_pending++] = byte;
    if (decoder->n_pending < tfr_utf8_lead_length(decoder->pending[0])) {
        return TFR_OK;
    }
    const size_t length = decoder->n_pending;
    decoder->n_pending = 0;
    return tfr_text_append(text, decoder->pending, length);
}

/* A whole character, a bad part or the beginning of a character at `bytes`; *taken is its length. */
static enum tfr_status take_next(struct tfr_decoder *decoder, const uint8_t *bytes, size_t left, size_t *taken,
                                 struct tfr_text *text) {
    uint32_t code_point;
    const int length = tfr_utf8_take(bytes, left, &code_point);
    *taken = (size_t)(length < 0 ? -length : length);
    if (length > 0) {
        return tfr_text_append(text, bytes, *taken);
    }
    if (!tfr_utf8_is_cut(bytes, left)) {
        return append_replacement(text);
    }
    memcpy(decoder->pending, bytes, left);
    decoder->n_pending = (uint8_t)left;
    return TFR_OK;
}

enum tfr_status tfr_decoder_push(struct tfr_decoder *decoder, int32_t id, struct tfr_text *text) {
    size_t size;
    const uint8_t *bytes = (const uint8_t *)tfr_tokenizer_bytes(decoder->tokenizer, id, &size);
    if (bytes == NULL) {
        return TFR_OK;
    }
    if (decoder->special == TFR_DECODE_SKIP_SPECIAL && tfr_tokenizer_is_special(decoder->tokenizer, id)) {
        return TFR_OK;
    }
    size_t at = 0;
    while (at < size && decoder->n_pending > 0) {
        bool used;
        TFR_TRY(continue_pending(decoder, bytes[at], text, &used));
        at += used;
    }
    while (at < size) {
        size_t taken;
        TFR_TRY(take_next(decoder, bytes + at, size - at, &taken, text));
        at += taken;
    }
    return TFR_OK;
}

enum tfr_status tfr_decoder_finish(struct tfr_decoder *decoder, struct tfr_text *text) {
    if (decoder->n_pending == 0) {
        return TFR_OK;
    }
    decoder->n_pending = 0;
    return append_replacement(text);
}

enum tfr_status tfr_tokenizer_decode(const struct tfr_tokenizer *tokenizer, const int32_t *ids, size_t n,
                                     enum tfr_decode_special special, struct tfr_text *text) {
    struct tfr_decoder decoder;
    tfr_decoder_init(&decoder, tokenizer, special);
    for (size_t i = 0; i < n; i++) {
        TFR_TRY(tfr_decoder_push(&decoder, ids[i], text));
    }
    return tfr_decoder_finish(&decoder, text);
}
