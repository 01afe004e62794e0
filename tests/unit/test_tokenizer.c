/* test_tokenizer.c - GPT-2's own vocabulary: golden ids, round trips, streaming, special tokens, long input.
 */
#include "model/tokenizer.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "tfr_test.h"

#define GPT2 TFR_SOURCE_DIR "/configs/tokenizer/gpt2"
#define END  50256

static struct tfr_tokenizer *open_gpt2(void) {
    struct tfr_tokenizer *tokenizer;
    assert_ok(tfr_tokenizer_open(&tokenizer, GPT2));
    return tokenizer;
}

static struct tfr_ids encode(const struct tfr_tokenizer *tokenizer, const char *text, size_t size, enum tfr_special special) {
    struct tfr_ids ids = {0};
    assert_ok(tfr_tokenizer_encode(tokenizer, text, size, special, &ids));
    return ids;
}

/* The bytes of all tokens, joined without replacement. */
static struct tfr_text join_bytes(const struct tfr_tokenizer *tokenizer, const struct tfr_ids *ids) {
    struct tfr_text text = {0};
    for (size_t i = 0; i < ids->n; i++) {
        size_t size;
        const char *bytes = tfr_tokenizer_bytes(tokenizer, ids->data[i], &size);
        assert_non_null(bytes);
        assert_ok(tfr_text_append(&text, bytes, size));
    }
    return text;
}

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static struct tfr_ids ids_of_json(const struct tfr_json_doc *doc, const tfr_json *array) {
    struct tfr_ids ids = {0};
    for (const tfr_json *node = tfr_json_first(array); node != NULL; node = tfr_json_next(node)) {
        int64_t id;
        assert_true(tfr_json_int64(doc, node, &id));
        assert_ok(tfr_ids_append(&ids, (int32_t)id));
    }
    return ids;
}

static void check_ids(const char *text, const struct tfr_ids *found, const struct tfr_ids *expected) {
    if (found->n != expected->n || (found->n > 0 && memcmp(found->data, expected->data, found->n * sizeof(*found->data)) != 0)) {
        fail_msg("\"%s\": %zu ids, expected %zu, or others", text, found->n, expected->n);
    }
}

static void check_encode_case(const struct tfr_tokenizer *tokenizer, const struct tfr_json_doc *doc, const tfr_json *node) {
    const char *text = tfr_json_string(tfr_json_member(node, "text"));
    const tfr_json *plain = tfr_json_member(node, "plain");
    struct tfr_ids parsed = ids_of_json(doc, tfr_json_member(node, "ids"));
    struct tfr_ids as_text = ids_of_json(doc, plain != NULL ? plain : tfr_json_member(node, "ids"));
    struct tfr_ids found = encode(tokenizer, text, strlen(text), TFR_SPECIAL_PARSE);
    check_ids(text, &found, &parsed);
    tfr_ids_free(&found);
    found = encode(tokenizer, text, strlen(text), TFR_SPECIAL_PLAIN);
    check_ids(text, &found, &as_text);
    tfr_ids_free(&found);
    tfr_ids_free(&parsed);
    tfr_ids_free(&as_text);
}

static void check_decode(const struct tfr_tokenizer *tokenizer, const struct tfr_ids *ids, enum tfr_decode_special special,
                         const char *expected) {
    struct tfr_text text = {0};
    assert_ok(tfr_tokenizer_decode(tokenizer, ids->data, ids->n, special, &text));
    assert_string_equal(text.data != NULL ? text.data : "", expected);
    tfr_text_free(&text);
}

static struct tfr_json_doc *open_golden(void) {
    struct tfr_json_doc *doc;
    assert_ok(tfr_json_open_file(&doc, TFR_SOURCE_DIR "/tests/model/golden/tokenizer_cases.json", TFR_CHECK));
    return doc;
}

TFR_TEST(golden_texts_give_the_ids_of_tokenizers) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    struct tfr_json_doc *doc = open_golden();
    const tfr_json *cases = tfr_json_member(tfr_json_root(doc), "encode");
    assert_true(tfr_json_size(cases) >= 300);
    for (const tfr_json *node = tfr_json_first(cases); node != NULL; node = tfr_json_next(node)) {
        check_encode_case(tokenizer, doc, node);
    }
    tfr_json_close(doc);
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(golden_ids_give_the_texts_of_tokenizers) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    struct tfr_json_doc *doc = open_golden();
    const tfr_json *cases = tfr_json_member(tfr_json_root(doc), "decode");
    assert_true(tfr_json_size(cases) >= 50);
    for (const tfr_json *node = tfr_json_first(cases); node != NULL; node = tfr_json_next(node)) {
        struct tfr_ids ids = ids_of_json(doc, tfr_json_member(node, "ids"));
        check_decode(tokenizer, &ids, TFR_DECODE_ALL, tfr_json_string(tfr_json_member(node, "text")));
        check_decode(tokenizer, &ids, TFR_DECODE_SKIP_SPECIAL, tfr_json_string(tfr_json_member(node, "skipped")));
        tfr_ids_free(&ids);
    }
    tfr_json_close(doc);
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(facts_of_gpt2) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    assert_int_equal(tfr_tokenizer_vocab_size(tokenizer), 50257);
    assert_int_equal(tfr_tokenizer_eos(tokenizer), END);
    assert_true(tfr_tokenizer_is_special(tokenizer, END));
    assert_false(tfr_tokenizer_is_special(tokenizer, 0));
    assert_false(tfr_tokenizer_is_special(tokenizer, -1));
    assert_false(tfr_tokenizer_is_special(tokenizer, 50257));
    assert_false(tfr_tokenizer_adds_prefix_space(tokenizer));
    assert_int_equal(tfr_tokenizer_find(tokenizer, "\xc4\xa0the", 5), 262);
    assert_int_equal(tfr_tokenizer_find(tokenizer, " the", 4), -1);
    size_t size = 9;
    assert_memory_equal(tfr_tokenizer_bytes(tokenizer, 262, &size), " the", 4);
    assert_int_equal(size, 4);
    assert_null(tfr_tokenizer_bytes(tokenizer, 50257, &size));
    assert_int_equal(size, 0);
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(random_bytes_come_back) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    uint32_t state = 1;
    for (int round = 0; round < 2000; round++) {
        char text[300];
        const size_t size = next_random(&state) % sizeof(text);
        for (size_t i = 0; i < size; i++) {
            const uint32_t pick = next_random(&state);
            text[i] = round % 2 ? (char)pick : "a \xc3\xa9'\xf0\x9f\n"[pick % 8];
        }
        struct tfr_ids ids = encode(tokenizer, text, size, TFR_SPECIAL_PARSE);
        struct tfr_text joined = join_bytes(tokenizer, &ids);
        assert_int_equal(joined.size, size);
        assert_true(size == 0 || memcmp(joined.data, text, size) == 0);
        tfr_ids_free(&ids);
        tfr_text_free(&joined);
    }
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(a_nul_byte_is_a_byte_like_others) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    struct tfr_ids ids = encode(tokenizer, "a\0b", 3, TFR_SPECIAL_PARSE);
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.data[1], 188);
    tfr_ids_free(&ids);
    tfr_tokenizer_close(tokenizer);
}

/* Valid UTF-8 to the last byte. */
static void check_whole(const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        const uint8_t lead = (uint8_t)text[i];
        const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        assert_true(lead < 0x80 || lead >= 0xc2);
        assert_true(i + length <= size);
        i += length;
    }
}

TFR_TEST(pushed_pieces_are_whole_and_join_to_the_whole_text) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    uint32_t state = 5;
    for (int round = 0; round < 2000; round++) {
        struct tfr_ids ids = {0};
        struct tfr_text whole = {0}, joined = {0};
        struct tfr_decoder decoder;
        tfr_decoder_init(&decoder, tokenizer, TFR_DECODE_SKIP_SPECIAL);
        for (size_t n = next_random(&state) % 20; n > 0; n--) {
            assert_ok(tfr_ids_append(&ids, (int32_t)(next_random(&state) % (round % 2 ? 256 : 50257))));
            const size_t before = joined.size;
            assert_ok(tfr_decoder_push(&decoder, ids.data[ids.n - 1], &joined));
            check_whole(joined.data + before, joined.size - before);
        }
        assert_ok(tfr_decoder_finish(&decoder, &joined));
        assert_ok(tfr_tokenizer_decode(tokenizer, ids.data, ids.n, TFR_DECODE_SKIP_SPECIAL, &whole));
        assert_int_equal(joined.size, whole.size);
        assert_true(joined.size == 0 || memcmp(joined.data, whole.data, whole.size) == 0);
        tfr_ids_free(&ids);
        tfr_text_free(&whole);
        tfr_text_free(&joined);
    }
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(half_a_character_waits_and_finish_replaces_it) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    struct tfr_text text = {0};
    struct tfr_decoder decoder;
    tfr_decoder_init(&decoder, tokenizer, TFR_DECODE_ALL);
    assert_ok(tfr_decoder_push(&decoder, 12520, &text)); /* " " and the first two bytes of an emoji */
    assert_string_equal(text.data, " ");
    assert_ok(tfr_decoder_finish(&decoder, &text));
    assert_string_equal(text.data, " \xef\xbf\xbd");
    assert_ok(tfr_decoder_finish(&decoder, &text)); /* nothing waits any more */
    assert_int_equal(text.size, 4);
    tfr_text_free(&text);
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(an_unknown_id_gives_no_text) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    struct tfr_text text = {0};
    const int32_t ids[] = {15496, 50257, -1, INT32_MAX, 995}, half[] = {447, 50257, 247};
    assert_ok(tfr_tokenizer_decode(tokenizer, ids, TFR_COUNT_OF(ids), TFR_DECODE_ALL, &text));
    assert_string_equal(text.data, "Hello world");
    text.size = 0;
    assert_ok(tfr_tokenizer_decode(tokenizer, half, TFR_COUNT_OF(half), TFR_DECODE_SKIP_SPECIAL, &text));
    assert_string_equal(text.data, "\xe2\x80\x99"); /* as if it were not there */
    tfr_text_free(&text);
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(ids_are_appended) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    struct tfr_ids ids = {0};
    assert_ok(tfr_tokenizer_encode(tokenizer, "Hello", 5, TFR_SPECIAL_PARSE, &ids));
    assert_ok(tfr_tokenizer_encode(tokenizer, " world", 6, TFR_SPECIAL_PARSE, &ids));
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.data[0], 15496);
    assert_int_equal(ids.data[1], 995);
    tfr_ids_free(&ids);
    tfr_tokenizer_close(tokenizer);
}

/* A quadratic way would take hours here. */
TFR_TEST(a_megabyte_without_a_space) {
    TFR_UNUSED_STATE;
    static const char alphabets[][16] = {"a", "etaoinshrdlucmf", " ", "0123456789", "\xc3"};
    struct tfr_tokenizer *tokenizer = open_gpt2();
    const size_t size = 1000000;
    char *text = tfr_alloc(size, 1);
    uint32_t state = 3;
    for (size_t a = 0; a < TFR_COUNT_OF(alphabets); a++) {
        for (size_t i = 0; i < size; i++) {
            text[i] = alphabets[a][next_random(&state) % strlen(alphabets[a])];
        }
        struct tfr_ids ids = encode(tokenizer, text, size, TFR_SPECIAL_PARSE);
        struct tfr_text joined = join_bytes(tokenizer, &ids);
        assert_int_equal(joined.size, size);
        assert_memory_equal(joined.data, text, size);
        tfr_ids_free(&ids);
        tfr_text_free(&joined);
    }
    tfr_free(text);
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST(lack_of_memory_is_reported_at_every_allocation) {
    TFR_UNUSED_STATE;
    struct tfr_tokenizer *tokenizer = open_gpt2();
    static const char text[] = "x<|endoftext|>aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b";
    uint64_t n = 1;
    enum tfr_status status = TFR_RESOURCE;
    for (; status != TFR_OK && n < 100; n++) {
        struct tfr_ids ids = {0};
        tfr_alloc_fail_after(n);
        status = tfr_tokenizer_encode(tokenizer, text, strlen(text), TFR_SPECIAL_PARSE, &ids);
        tfr_alloc_fail_after(0);
        assert_true(status == TFR_OK || status == TFR_RESOURCE);
        tfr_ids_free(&ids);
    }
    assert_in_range(n, 4, 50);
    tfr_tokenizer_close(tokenizer);
}

TFR_TEST_MAIN(TFR_CASE(golden_texts_give_the_ids_of_tokenizers), TFR_CASE(golden_ids_give_the_texts_of_tokenizers),
              TFR_CASE(facts_of_gpt2), TFR_CASE(random_bytes_come_back), TFR_CASE(a_nul_byte_is_a_byte_like_others),
              TFR_CASE(pushed_pieces_are_whole_and_join_to_the_whole_text), TFR_CASE(half_a_character_waits_and_finish_replaces_it),
              TFR_CASE(an_unknown_id_gives_no_text), TFR_CASE(ids_are_appended), TFR_CASE(a_megabyte_without_a_space),
              TFR_CASE(lack_of_memory_is_reported_at_every_allocation))
