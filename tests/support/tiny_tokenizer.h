/* tiny_tokenizer.h - small tokenizer folders for tests: 256 one-byte tokens (id = byte), "ab" 256, "abc" 257.
 */
#ifndef TINY_TOKENIZER_H
#define TINY_TOKENIZER_H

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "model/token_buffer.h"
#include "tfr_test.h"

#define TINY_VOCAB_TAIL "\"ab\":256,\"abc\":257"
#define TINY_MERGES     "#version: 0.2\na b\nab c\n"

static inline void tiny_put(struct tfr_text *text, const char *part) {
    assert_int_equal(tfr_text_append(text, part, strlen(part)), TFR_OK);
}

/* Members of the vocabulary object for the 256 bytes, each followed by a comma. */
static inline void tiny_put_bytes(struct tfr_text *text) {
    unsigned moved = 256;
    for (unsigned byte = 0; byte < 256; byte++) {
        const int same = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
        char member[32];
        snprintf(member, sizeof(member), "\"\\u%04x\":%u,", same ? byte : moved++, byte);
        tiny_put(text, member);
    }
}

/* {bytes, tail}: free with tfr_text_free. */
static inline struct tfr_text tiny_vocab(const char *tail) {
    struct tfr_text text = {0};
    tiny_put(&text, "{");
    tiny_put_bytes(&text);
    tiny_put(&text, tail);
    tiny_put(&text, "}");
    return text;
}

/* A new empty folder in the build folder; the name stays until the next call. */
static inline const char *tiny_folder(void) {
    static char path[512];
    snprintf(path, sizeof(path), "%s/tokenizer_XXXXXX", TFR_BINARY_DIR);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void tiny_write(const char *folder, const char *name, const char *content) {
    char path[640];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, strlen(content), file), strlen(content));
    assert_int_equal(fclose(file), 0);
}

static inline void tiny_remove(const char *folder) {
    static const char *const names[] = {"tokenizer.json",        "vocab.json",        "merges.txt",
                                        "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[640];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* vocab.json with `tail` and merges.txt. */
static inline const char *tiny_plain(const char *tail, const char *merges) {
    const char *folder = tiny_folder();
    struct tfr_text vocab = tiny_vocab(tail);
    tiny_write(folder, "vocab.json", vocab.data);
    tiny_write(folder, "merges.txt", merges);
    tfr_text_free(&vocab);
    return folder;
}

#endif
