/* fuzz_tokenizer.c - any bytes through encode and decode with the GPT-2 vocabulary, and any bytes as its
 * files.
 *
 * The first byte picks the mode. Encoding: the bytes of the ids are the input; decoding in pushes gives the
 * text of decoding at once. Opening: a tokenizer.json made of the input opens or is refused. The vocabulary
 * is read from TFR_SOURCE_DIR.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "model/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        fprintf(stderr, "fuzz_tokenizer: %s\n", tfr_failure_text());
        abort();
    }
}

static const struct tfr_tokenizer *gpt2(void) {
    static struct tfr_tokenizer *tokenizer;
    if (tokenizer == NULL) {
        require(tfr_tokenizer_open(&tokenizer, TFR_SOURCE_DIR "/configs/tokenizer/gpt2") == TFR_OK);
    }
    return tokenizer;
}

static void check_encoding(const uint8_t *data, size_t size, enum tfr_special special) {
    struct tfr_ids ids = {0};
    require(tfr_tokenizer_encode(gpt2(), (const char *)data, size, special, &ids) == TFR_OK);
    size_t at = 0;
    for (size_t i = 0; i < ids.n; i++) {
        size_t length;
        const char *bytes = tfr_tokenizer_bytes(gpt2(), ids.data[i], &length);
        require(bytes != NULL && length <= size - at && memcmp(data + at, bytes, length) == 0);
        require(special == TFR_SPECIAL_PARSE || !tfr_tokenizer_is_special(gpt2(), ids.data[i]));
        at += length;
    }
    require(at == size);
    tfr_ids_free(&ids);
}

static void check_decoding(const uint8_t *data, size_t size, enum tfr_decode_special special) {
    const size_t n = size / 2;
    struct tfr_ids ids = {0};
    struct tfr_text joined = {0}, whole = {0};
    struct tfr_decoder decoder;
    tfr_decoder_init(&decoder, gpt2(), special);
    for (size_t i = 0; i < n; i++) {
        const int32_t id = (data[2 * i] | data[2 * i + 1] << 8) % tfr_tokenizer_vocab_size(gpt2());
        require(tfr_ids_append(&ids, id) == TFR_OK);
        require(tfr_decoder_push(&decoder, id, &joined) == TFR_OK);
    }
    require(tfr_decoder_finish(&decoder, &joined) == TFR_OK);
    require(tfr_tokenizer_decode(gpt2(), ids.data, n, special, &whole) == TFR_OK);
    require(joined.size == whole.size && (whole.size == 0 || memcmp(joined.data, whole.data, whole.size) == 0));
    tfr_ids_free(&ids);
    tfr_text_free(&joined);
    tfr_text_free(&whole);
}

static void check_opening(const uint8_t *data, size_t size) {
    char path[64];
    snprintf(path, sizeof(path), "fuzz_tokenizer_%ld.json", (long)getpid());
    FILE *file = fopen(path, "wb");
    require(file != NULL);
    require(size == 0 || fwrite(data, 1, size, file) == size);
    require(fclose(file) == 0);
    struct tfr_tokenizer *tokenizer;
    if (tfr_tokenizer_open(&tokenizer, path) == TFR_OK) {
        tfr_tokenizer_close(tokenizer);
    } else {
        require(tfr_failure_text()[0] != '\0' && tokenizer == NULL);
    }
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    switch (data[0] % 5) {
    case 0:
        check_encoding(data + 1, size - 1, TFR_SPECIAL_PARSE);
        break;
    case 1:
        check_encoding(data + 1, size - 1, TFR_SPECIAL_PLAIN);
        break;
    case 2:
        check_decoding(data + 1, size - 1, TFR_DECODE_ALL);
        break;
    case 3:
        check_decoding(data + 1, size - 1, TFR_DECODE_SKIP_SPECIAL);
        break;
    default:
        check_opening(data + 1, size - 1);
    }
    return 0;
}
