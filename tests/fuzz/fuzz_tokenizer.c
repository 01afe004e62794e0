/* fuzz_tokenizer.c - prompts through encode and decode, and any bytes as the files of a tokenizer.
 *
 * prompt: the first byte picks the mode (its bit of 4: a small tokenizer that adds a space); with GPT-2's vocabulary the bytes of
 * the ids are the input, and decoding in pushes gives the text of decoding at once. tokenizer: the input is a tokenizer.json.
 * vocab: it is the files of a folder. Whatever opens as a tokenizer encodes and decodes within its own ids.
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "config/findings.h"
#include "harness.h"
#include "model/tokenizer.h"

static void require(bool holds) {
    tfr_fuzz_require(holds, "ids are those of the text, and the text that of the ids");
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

static void check_decoding(const struct tfr_tokenizer *tokenizer, const struct tfr_ids *ids, enum tfr_decode_special special) {
    struct tfr_text joined = {0}, whole = {0};
    struct tfr_decoder decoder;
    tfr_decoder_init(&decoder, tokenizer, special);
    for (size_t i = 0; i < ids->n; i++) {
        require(tfr_decoder_push(&decoder, ids->data[i], &joined) == TFR_OK);
    }
    require(tfr_decoder_finish(&decoder, &joined) == TFR_OK);
    require(tfr_tokenizer_decode(tokenizer, ids->data, ids->n, special, &whole) == TFR_OK);
    require(joined.size == whole.size && (whole.size == 0 || memcmp(joined.data, whole.data, whole.size) == 0));
    tfr_text_free(&joined);
    tfr_text_free(&whole);
}

static void check_ids(const uint8_t *data, size_t size, enum tfr_decode_special special) {
    struct tfr_ids ids = {0};
    for (size_t i = 0; i < size / 2; i++) {
        const int32_t id = (data[2 * i] | data[2 * i + 1] << 8) % tfr_tokenizer_vocab_size(gpt2());
        require(tfr_ids_append(&ids, id) == TFR_OK);
    }
    check_decoding(gpt2(), &ids, special);
    tfr_ids_free(&ids);
}

/* One that puts a space before a text, takes blanks into its added token, and knows few bytes. */
static const struct tfr_tokenizer *spaced(void) {
    static const char text[] = "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,\"\\u0120a\":4},"
                               "\"merges\":[\"a b\",\"\\u0120 a\"]},"
                               "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true},"
                               "\"decoder\":{\"type\":\"ByteLevel\"},"
                               "\"added_tokens\":[{\"id\":5,\"content\":\"<s>\",\"lstrip\":true,\"rstrip\":true,\"normalized\":"
                               "false,\"single_word\":false,"
                               "\"special\":true}]}";
    static struct tfr_tokenizer *tokenizer;
    if (tokenizer == NULL) {
        require(tfr_tokenizer_open(&tokenizer, tfr_fuzz_write("tokenizer.json", text, sizeof text - 1)) == TFR_OK);
        require(tfr_tokenizer_adds_prefix_space(tokenizer) && tfr_tokenizer_find(tokenizer, "ab", 2) == 2);
    }
    return tokenizer;
}

/* Where some bytes are lost, ids are those of the tokenizer all the same, and decoding in pushes gives the text of decoding at
 * once. */
static void check_spaced(const uint8_t *data, size_t size) {
    struct tfr_ids ids = {0};
    require(tfr_tokenizer_encode(spaced(), (const char *)data, size, TFR_SPECIAL_PARSE, &ids) == TFR_OK);
    for (size_t i = 0; i < ids.n; i++) {
        require(ids.data[i] >= 0 && ids.data[i] < tfr_tokenizer_vocab_size(spaced()));
    }
    check_decoding(spaced(), &ids, TFR_DECODE_ALL);
    check_decoding(spaced(), &ids, TFR_DECODE_SKIP_SPECIAL);
    tfr_ids_free(&ids);
}

int tfr_fuzz_prompt(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    if (data[0] / 4 % 2 == 1) {
        check_spaced(data + 1, size - 1);
        return 0;
    }
    switch (data[0] % 4) {
    case 0:
        check_encoding(data + 1, size - 1, TFR_SPECIAL_PARSE);
        break;
    case 1:
        check_encoding(data + 1, size - 1, TFR_SPECIAL_PLAIN);
        break;
    case 2:
        check_ids(data + 1, size - 1, TFR_DECODE_ALL);
        break;
    default:
        check_ids(data + 1, size - 1, TFR_DECODE_SKIP_SPECIAL);
    }
    return 0;
}

/* Text with words, numbers, blanks, characters of several bytes, and what is special in GPT-2. */
static const char sample[] =
    "It's 42  degrees,\n\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80 <|endoftext|> don't \xff\xfe the ab abc low lower";

static void use(const struct tfr_tokenizer *tokenizer) {
    struct tfr_ids ids = {0};
    const int32_t most = tfr_tokenizer_vocab_size(tokenizer), eos = tfr_tokenizer_eos(tokenizer);
    require(eos >= -1 && eos < most && tfr_tokenizer_n_model(tokenizer) <= most);
    require(tfr_tokenizer_find(tokenizer, "", 0) < most);
    (void)tfr_tokenizer_adds_prefix_space(tokenizer);
    if (tfr_fuzz_accepted(tfr_tokenizer_encode(tokenizer, sample, sizeof sample - 1, TFR_SPECIAL_PARSE, &ids))) {
        for (size_t i = 0; i < ids.n; i++) {
            size_t length;
            require(ids.data[i] >= 0 && ids.data[i] < most && tfr_tokenizer_bytes(tokenizer, ids.data[i], &length) != NULL);
        }
        check_decoding(tokenizer, &ids, TFR_DECODE_ALL);
        check_decoding(tokenizer, &ids, TFR_DECODE_SKIP_SPECIAL);
    }
    tfr_ids_free(&ids);
}

/* With notes and without them the same. */
static void open_path(const char *path) {
    struct tfr_tokenizer *tokenizer = NULL, *noted = NULL;
    struct tfr_findings notes = {0};
    const enum tfr_status status = tfr_tokenizer_open(&tokenizer, path);
    tfr_fuzz_require(tfr_fuzz_accepted(status) || tokenizer == NULL, "a tokenizer that is refused is NULL");
    tfr_fuzz_require(tfr_tokenizer_open_noting(&noted, path, &notes) == status, "notes change nothing");
    if (tokenizer != NULL) {
        use(tokenizer);
    }
    tfr_tokenizer_close(tokenizer);
    tfr_tokenizer_close(noted);
    tfr_findings_clear(&notes);
}

int tfr_fuzz_tokenizer(const uint8_t *data, size_t size) {
    open_path(tfr_fuzz_write("tokenizer.json", data, size));
    return 0;
}

int tfr_fuzz_vocab(const uint8_t *data, size_t size) {
    static const char *const names[] = {"vocab.json",        "merges.txt",    "tokenizer_config.json", "special_tokens_map.json",
                                        "added_tokens.json", "tokenizer.json"};
    open_path(tfr_fuzz_unpack(names, TFR_COUNT_OF(names), data, size));
    return 0;
}
