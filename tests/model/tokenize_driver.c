/* tokenize_driver.c - the tokenizer behind pipes, for scripts/check_tokenizer.py.
 *
 * tokenize_driver PATH [plain]: reads records from stdin, answers each on stdout. A request is one byte, 'e'
 * (encode) or 'd' (decode), a u32 size and that many bytes: text, or i32 ids. The answer is a u32 size and
 * the ids as i32, or the text. Numbers are in the byte order of the machine. A failure ends the program with
 * status 1.
 */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "model/tokenizer.h"

static bool read_exactly(void *to, size_t size) {
    return size == 0 || fread(to, 1, size, stdin) == size;
}

static bool answer(const void *data, size_t size) {
    const uint32_t header = (uint32_t)size;
    return fwrite(&header, sizeof(header), 1, stdout) == 1 && (size == 0 || fwrite(data, 1, size, stdout) == size);
}

static enum tfr_status serve_one(const struct tfr_tokenizer *tokenizer, enum tfr_special special, char kind, const char *body,
                                 size_t size) {
    struct tfr_ids ids = {0};
    struct tfr_text text = {0};
    enum tfr_status status;
    if (kind == 'e') {
        status = tfr_tokenizer_encode(tokenizer, body, size, special, &ids);
    } else {
        status = tfr_tokenizer_decode(tokenizer, (const int32_t *)(const void *)body, size / sizeof(int32_t),
                                      special == TFR_SPECIAL_PLAIN ? TFR_DECODE_SKIP_SPECIAL : TFR_DECODE_ALL, &text);
    }
    if (status == TFR_OK) {
        const bool sent = kind == 'e' ? answer(ids.data, ids.n * sizeof(*ids.data)) : answer(text.data, text.size);
        status = sent ? TFR_OK : tfr_raise(TFR_RESOURCE, "stdout cannot be written");
    }
    tfr_ids_free(&ids);
    tfr_text_free(&text);
    return status;
}

static enum tfr_status serve(const struct tfr_tokenizer *tokenizer, enum tfr_special special) {
    char kind;
    uint32_t size;
    enum tfr_status status = TFR_OK;
    while (status == TFR_OK && read_exactly(&kind, 1)) {
        char *body = read_exactly(&size, sizeof(size)) ? tfr_alloc((size_t)size + 1, 1) : NULL;
        if (body == NULL || !read_exactly(body, size)) {
            status = tfr_raise(TFR_USAGE, "a record is cut short");
        } else {
            status = serve_one(tokenizer, special, kind, body, size);
        }
        tfr_free(body);
        if (status == TFR_OK && fflush(stdout) != 0) {
            status = tfr_raise(TFR_RESOURCE, "stdout cannot be written");
        }
    }
    return status;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "plain") != 0)) {
        fprintf(stderr, "usage: tokenize_driver PATH [plain]\n");
        return 2;
    }
    struct tfr_tokenizer *tokenizer;
    enum tfr_status status = tfr_tokenizer_open(&tokenizer, argv[1]);
    if (status == TFR_OK) {
        status = serve(tokenizer, argc == 3 ? TFR_SPECIAL_PLAIN : TFR_SPECIAL_PARSE);
        tfr_tokenizer_close(tokenizer);
    }
    if (status != TFR_OK) {
        fprintf(stderr, "tokenize_driver: %s\n", tfr_failure_text());
        return 1;
    }
    return 0;
}
