/* test_json.c - every refusal of the scanner with its place, the tree, exact integers, and the writer. */
#include "tfr_test.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"

struct refusal {
    const char *text;
    const char *message; /* behind "t.json:" */
};

static void check_refusal(const char *text, size_t size, const char *message) {
    char expected[256];
    snprintf(expected, sizeof(expected), "t.json:%s", message);
    /* An exact copy without a NUL, so that the address sanitizer sees a read past the end. */
    char *copy = malloc(size > 0 ? size : 1);
    memcpy(copy, text, size);
    assert_refused(tfr_json_scan("t.json", copy, size, TFR_MODEL), TFR_MODEL, expected);
    struct tfr_json_doc *doc = (struct tfr_json_doc *)&size;
    assert_refused(tfr_json_open(&doc, "t.json", copy, size, TFR_CONFIG), TFR_CONFIG, expected);
    assert_null(doc);
    free(copy);
}

static void check_refusals(const struct refusal *list, size_t n) {
    for (size_t i = 0; i < n; i++) {
        check_refusal(list[i].text, strlen(list[i].text), list[i].message);
    }
}

static struct tfr_json_doc *open_text(const char *text) {
    struct tfr_json_doc *doc;
    assert_ok(tfr_json_open(&doc, "t.json", text, strlen(text), TFR_CONFIG));
    return doc;
}

static void assert_accepted(const char *text) {
    tfr_json_close(open_text(text));
}

TFR_TEST(refuses_broken_structure) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"", "1:1: expected a value, found the end of the text"},
        {" \n ", "2:2: expected a value, found the end"},
        {"{\n  \"a\": 1,\n}", "3:1: expected a key in double quotes, found '}'"},
        {"[1,]", "1:4: expected a value, found ']'"},
        {"[1 2]", "1:4: expected ',' or ']', found '2'"},
        {"{\"a\" 1}", "1:6: expected ':' after the key, found '1'"},
        {"{\"a\":1 \"b\":2}", "1:8: expected ',' or '}', found '\"'"},
        {"{a:1}", "1:2: expected a key in double quotes, found 'a'"},
        {"[1", "1:3: expected ',' or ']', found the end"},
        {"{", "1:2: expected a key in double quotes, found the end"},
        {"[}", "1:2: expected a value, found '}'"},
        {"'a'", "1:1: expected a value, found '''"},
        {"// c\n1", "1:1: expected a value, found '/'"},
        {"\xEF\xBB\xBF{}", "1:1: the text starts with a byte order mark"},
        {"[\xC3\xA4]", "1:2: expected a value, found '\xC3\xA4'"},
        {"[\x01]", "1:2: expected a value, found byte 0x01"},
        {"[1,\f2]", "1:4: expected a value, found byte 0x0C"},
    };
    check_refusals(list, TFR_COUNT_OF(list));
}

TFR_TEST(refuses_trailing_text) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"{}\n x", "2:2: expected the end of the text, found 'x'"},
        {"1 1", "1:3: expected the end"},
        {"{}}", "1:3: expected the end of the text, found '}'"},
    };
    check_refusals(list, TFR_COUNT_OF(list));
    check_refusal("{}\0", 3, "1:3: expected the end of the text, found byte 0x00");
}

TFR_TEST(refuses_misspelt_literals) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"[nul]", "1:2: expected a value; did you mean null?"},
        {"tru", "1:1: expected a value; did you mean true?"},
        {"True", "1:1: expected a value, found 'T'"},
        {"NaN", "1:1: JSON has no NaN (Python writes it); write a number or null"},
        {"[1, -Infinity]", "1:5: JSON has no Infinity (Python writes it); write a number or null"},
        {"Nan", "1:1: expected a value, found 'N'"},
        {"-NaN", "1:2: expected a digit, found 'N'"},
        {"-Inf", "1:2: expected a digit, found 'I'"},
        {"truex", "1:5: expected the end of the text, found 'x'"},
    };
    check_refusals(list, TFR_COUNT_OF(list));
}

TFR_TEST(refuses_numbers_that_are_not_json) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"[01]", "1:2: a number must not start with 0"},
        {"[-01]", "1:2: a number must not start with 0"},
        {"[+1]", "1:2: expected a value, found '+'"},
        {"[.5]", "1:2: expected a value, found '.'"},
        {"[1.]", "1:4: expected a digit, found ']'"},
        {"[1.e5]", "1:4: expected a digit, found 'e'"},
        {"[1e]", "1:4: expected a digit"},
        {"[1e+]", "1:5: expected a digit"},
        {"-", "1:2: expected a digit, found the end"},
        {"0x10", "1:2: expected the end of the text, found 'x'"},
    };
    check_refusals(list, TFR_COUNT_OF(list));
}

TFR_TEST(refuses_numbers_that_are_not_finite_or_too_long) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"{\"a\":\n 1e999}", "2:2: the number 1e999 is not finite"},
        {"-1e309", "1:1: the number -1e309 is not finite"},
        {"0.1e310", "1:1: the number 0.1e310 is not finite"},
        {"1.8e308", "1:1: the number"},
        {"1e99999999999999999999", "1:1: the number"},
        {"1234567890123456789012345678901234567890123456789012345678901234", "1:1: a number of 64 characters"},
    };
    check_refusals(list, TFR_COUNT_OF(list));
}

TFR_TEST(accepts_numbers_at_the_limits) {
    TFR_UNUSED_STATE;
    struct tfr_json_doc *doc = open_text("[1.7976931348623157e308, 5e-324, 1e-99999999999999, -0, 0.0001e312, 1E+2, 0e999999,"
                                         " 123456789012345678901234567890123456789012345678901234567890123]");
    const tfr_json *item = tfr_json_first(tfr_json_root(doc));
    static const double expected[] = {1.7976931348623157e308, 5e-324, 0, 0, 1e308, 100, 0, 1.2345678901234568e62};
    for (size_t i = 0; i < TFR_COUNT_OF(expected); i++) {
        assert_true(tfr_json_number(item) == expected[i]);
        item = tfr_json_next(item);
    }
    assert_null(item);
    tfr_json_close(doc);
}

TFR_TEST(refuses_bad_strings) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"[\"ab", "1:2: a string without its closing quote"},
        {"[\"a\nb\"]", "1:4: control character 0x0A in a string"},
        {"\"\t\"", "1:2: control character 0x09"},
        {"\"\\x\"", "1:2: unknown escape"},
        {"\"\\", "1:2: unknown escape"},
        {"\"\\u12G4\"", "1:2: \\u needs four hexadecimal digits"},
        {"\"\\u123", "1:2: \\u needs four"},
        {"\"a\\u0000\"", "1:3: \\u0000 is not accepted"},
        {"\"\\uD800\"", "1:2: \\uD800 is half of a surrogate pair"},
        {"\"\\uDC00\"", "1:2: \\uDC00 is half"},
        {"\"\\uDC00\\uDC00\"", "1:2: \\uDC00 is half"},
        {"\"\\uD83D\\uD83D\"", "1:2: \\uD83D is half"},
        {"\"\\uD83D\\n\"", "1:2: \\uD83D is half"},
        {"\"\\uD83D\\u", "1:2: \\uD83D is half"},
    };
    check_refusals(list, TFR_COUNT_OF(list));
    check_refusal("\"a\0b\"", 5, "1:3: control character 0x00");
}

TFR_TEST(refuses_invalid_utf8) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"\"\x80\"", "1:2: byte 0x80 is not valid UTF-8"},
        {"\"\xC0\xAF\"", "1:2: byte 0xC0"},         /* overlong '/' */
        {"\"\xC1\xBF\"", "1:2: byte 0xC1"},         /* overlong */
        {"\"\xE0\x80\xAF\"", "1:2: byte 0xE0"},     /* overlong */
        {"\"\xE0\x9F\xBF\"", "1:2: byte 0xE0"},     /* overlong, the last */
        {"\"\xF0\x80\x80\xAF\"", "1:2: byte 0xF0"}, /* overlong */
        {"\"\xF0\x8F\xBF\xBF\"", "1:2: byte 0xF0"}, /* overlong, the last */
        {"\"\xED\xA0\x80\"", "1:2: byte 0xED"},     /* U+D800 */
        {"\"\xED\xBF\xBF\"", "1:2: byte 0xED"},     /* U+DFFF */
        {"\"\xF4\x90\x80\x80\"", "1:2: byte 0xF4"}, /* U+110000 */
        {"\"\xF5\x80\x80\x80\"", "1:2: byte 0xF5"},
        {"\"\xFF\"", "1:2: byte 0xFF"},
        {"\"\xE2\x82\"", "1:2: byte 0xE2"},               /* cut */
        {"\"\xC3\xA4\xE2\x82\xAC\xC3", "1:4: byte 0xC3"}, /* columns count characters */
    };
    check_refusals(list, TFR_COUNT_OF(list));
}

TFR_TEST(accepts_utf8_at_the_borders) {
    TFR_UNUSED_STATE;
    assert_accepted("[\"\x7F\", \"\xC2\x80\", \"\xDF\xBF\", \"\xE0\xA0\x80\", \"\xED\x9F\xBF\", \"\xEE\x80\x80\","
                    " \"\xEF\xBF\xBF\", \"\xF0\x90\x80\x80\", \"\xF4\x8F\xBF\xBF\"]");
}

TFR_TEST(refuses_duplicate_keys) {
    TFR_UNUSED_STATE;
    static const struct refusal list[] = {
        {"{\"a\": 1,\n \"b\": 2,\n \"a\": 3}", "3:2: duplicate key \"a\"; the first one is at 1:2"},
        {"{\"a\": 1, \"\\u0061\": 2}", "1:10: duplicate key"},
        {"{\"\": 1, \"\": 2}", "1:9: duplicate key \"\""},
        {"{\"\xF0\x9F\x98\x80\": 1, \"\\ud83D\\uDE00\": 2}", "1:10: duplicate key"},
        {"{\"\\/\\n\": 1, \"/\\u000A\": 2}", "1:13: duplicate key"},
        {"[{\"x\": {\"a\": 1}, \"a\": 1, \"x\": 2}]", "1:26: duplicate key \"x\""},
    };
    check_refusals(list, TFR_COUNT_OF(list));
    assert_accepted("{\"a\": {\"a\": [{\"a\": 1}, {\"a\": 2}]}, \"A\": 3, \"a \": 4, \"aa\": 5, \"\": 6}");
}

TFR_TEST(refuses_depth_over_64) {
    TFR_UNUSED_STATE;
    char text[140] = "";
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    assert_accepted(text);
    memset(text, '[', 65);
    check_refusal(text, 65, "1:65: nested deeper than 64 levels");
    /* Width is not depth. */
    char wide[301] = "[";
    for (int i = 0; i < 99; i++) {
        strcat(wide, "[],");
    }
    assert_accepted(strcat(wide, "0]"));
}

TFR_TEST(limits_of_a_stranger_are_kept) {
    TFR_UNUSED_STATE;
    static const struct tfr_json_limits limits = {.depth = 2, .values = 4, .n_digits = 3};
    static const struct {
        const char *text, *said; /* NULL: it is taken */
    } cases[] = {
        {"[[1], 123]", NULL},
        {"{\"a\": [1, 2]}", NULL},
        {"[[[1]]]", "nested deeper than 2 levels"},
        {"[1, 2, 3, 4]", "4 values"},
        {"1234", "characters; the limit is 3"},
        {"{\"a\": [1, 2, 3]}", "more than 4 values"},
    };
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        struct tfr_json_doc *doc;
        const enum tfr_status status =
            tfr_json_open_limited(&doc, "body", cases[i].text, strlen(cases[i].text), TFR_USAGE, &limits);
        assert_int_equal(status, cases[i].said != NULL ? TFR_USAGE : TFR_OK);
        if (cases[i].said != NULL) {
            assert_non_null(strstr(tfr_failure_text(), cases[i].said));
        }
        tfr_json_close(doc);
    }
}

TFR_TEST(byte_0_is_taken_where_it_may_be_there) {
    TFR_UNUSED_STATE;
    static const struct tfr_json_limits limits = {.depth = 2, .values = 4, .n_digits = 3, .takes_nul = true};
    static const char text[] = "{\"a\": \"b\\u0000c\", \"d\": 1}";
    struct tfr_json_doc *doc;
    assert_int_equal(tfr_json_open_limited(&doc, "reply", text, strlen(text), TFR_USAGE, &limits), TFR_OK);
    assert_string_equal(tfr_json_string(tfr_json_member(tfr_json_root(doc), "a")), "b");
    assert_non_null(tfr_json_member(tfr_json_root(doc), "d"));
    tfr_json_close(doc);
}

TFR_TEST(tree_is_walked_in_order_with_exact_keys) {
    TFR_UNUSED_STATE;
    struct tfr_json_doc *doc = open_text("{\"n\": 1.5, \"N\": true, \"s\": \"\\u00e9\\uD83D\\uDE00\\n\", \"z\": null,"
                                         " \"l\": [1, 2, 3]}");
    const tfr_json *root = tfr_json_root(doc);
    assert_string_equal(tfr_json_name(doc), "t.json");
    assert_int_equal(tfr_json_kind(root), TFR_JSON_OBJECT);
    assert_int_equal(tfr_json_size(root), 5);
    assert_true(tfr_json_number(tfr_json_member(root, "n")) == 1.5);
    assert_true(tfr_json_bool(tfr_json_member(root, "N")));
    assert_string_equal(tfr_json_string(tfr_json_member(root, "s")), "\xC3\xA9\xF0\x9F\x98\x80\n");
    assert_int_equal(tfr_json_kind(tfr_json_member(root, "z")), TFR_JSON_NULL);
    assert_null(tfr_json_member(root, "S"));
    assert_null(tfr_json_member(tfr_json_member(root, "l"), "n"));
    assert_string_equal(tfr_json_key(tfr_json_next(tfr_json_first(root))), "N");
    const tfr_json *item = tfr_json_first(tfr_json_member(root, "l"));
    assert_null(tfr_json_key(item));
    assert_true(tfr_json_number(tfr_json_next(item)) == 2);
    assert_null(tfr_json_string(item));
    assert_true(isnan(tfr_json_number(root)));
    assert_false(tfr_json_bool(item));
    assert_string_equal(tfr_json_kind_name(tfr_json_kind(root)), "an object");
    tfr_json_close(doc);
}

static void assert_place(const struct tfr_json_doc *doc, const tfr_json *node, int line, int column) {
    int found_line, found_column;
    tfr_json_place(doc, node, &found_line, &found_column);
    assert_int_equal(found_line, line);
    assert_int_equal(found_column, column);
}

TFR_TEST(places_are_those_of_the_values) {
    TFR_UNUSED_STATE;
    struct tfr_json_doc *doc = open_text("\n{\"\xC3\xA4\": 1,\r\n  \"b\": [true, {\"c\": null}, \"x\"],\n\"d\" :\n\t{}}");
    const tfr_json *root = tfr_json_root(doc), *list = tfr_json_member(root, "b");
    assert_place(doc, root, 2, 1);
    assert_place(doc, tfr_json_first(root), 2, 7);
    assert_place(doc, list, 3, 8);
    assert_place(doc, tfr_json_first(list), 3, 9);
    assert_place(doc, tfr_json_member(tfr_json_next(tfr_json_first(list)), "c"), 3, 21);
    assert_place(doc, tfr_json_next(tfr_json_next(tfr_json_first(list))), 3, 28);
    assert_place(doc, tfr_json_member(root, "d"), 5, 2);
    tfr_json_close(doc);
}

/* n items of four columns with their comma, five bytes: a character of each has two. */
static size_t write_items(char *text, int n) {
    size_t length = 0;
    for (int i = 0; i < n; i++) {
        length += (size_t)sprintf(text + length, "%s\"\xC3\xA4\"", i > 0 ? "," : "");
    }
    return length;
}

TFR_TEST(places_far_from_the_beginning_are_those_of_the_values) {
    TFR_UNUSED_STATE;
    enum { LINES = 60, ITEM = 4 };
    char *text = calloc(LINES * LINES, ITEM + 3);
    assert_non_null(text);
    size_t length = (size_t)sprintf(text, "[");
    for (int line = 1; line <= LINES; line++) {
        length += (size_t)sprintf(text + length, "%s\n", line > 1 ? "," : "");
        length += write_items(text + length, line);
    }
    sprintf(text + length, "]");
    struct tfr_json_doc *doc = open_text(text);
    const tfr_json *item = tfr_json_first(tfr_json_root(doc));
    for (int line = 1; line <= LINES; line++) {
        for (int i = 0; i < line; i++, item = tfr_json_next(item)) {
            assert_place(doc, item, line + 1, 1 + i * ITEM);
        }
    }
    assert_null(item);
    tfr_json_close(doc);
    free(text);
}

TFR_TEST(int64_is_exact_and_strict) {
    TFR_UNUSED_STATE;
    struct tfr_json_doc *doc = open_text("[9007199254740993, 9223372036854775807, -9223372036854775808, -0, 42,"
                                         " 9223372036854775808, -9223372036854775809, 1.0, 1e2, \"7\", true, null,"
                                         " 99999999999999999999999999]");
    static const int64_t exact[] = {9007199254740993, INT64_MAX, INT64_MIN, 0, 42};
    const tfr_json *item = tfr_json_first(tfr_json_root(doc));
    int64_t value;
    for (size_t i = 0; i < TFR_COUNT_OF(exact); i++, item = tfr_json_next(item)) {
        assert_true(tfr_json_int64(doc, item, &value));
        assert_true(value == exact[i]);
    }
    for (; item != NULL; item = tfr_json_next(item)) {
        assert_false(tfr_json_int64(doc, item, &value));
    }
    assert_false(tfr_json_int64(doc, NULL, &value));
    tfr_json_close(doc);
}

TFR_TEST(file_errors_name_the_file) {
    TFR_UNUSED_STATE;
    struct tfr_json_doc *doc;
    assert_refused(tfr_json_open_file(&doc, "no/such.json", TFR_CONFIG), TFR_RESOURCE, "no/such.json: cannot open");
    assert_null(doc);
}

/* Every allocation on the way fails once: no leak (the sanitizer looks), the right status, no document. */
TFR_TEST(each_failing_allocation_is_reported) {
    TFR_UNUSED_STATE;
    const char *text = "{\"a\": [1, 2, {\"b\": \"text\"}], \"c\": null}";
    struct tfr_json_doc *doc = NULL;
    int failures = 0;
    for (uint64_t n = 1; doc == NULL; n++) {
        tfr_alloc_fail_after(n);
        enum tfr_status status = tfr_json_open(&doc, "t.json", text, strlen(text), TFR_CONFIG);
        tfr_alloc_fail_after(0);
        assert_int_equal(status, doc == NULL ? TFR_RESOURCE : TFR_OK);
        failures += doc == NULL;
    }
    assert_true(failures > 10);
    tfr_json_close(doc);
}

/* Seconds of this process's processor that reading an object of `n` members takes: other programs do not count. */
static double seconds_to_read(int n) {
    struct tfr_json_out out = {0};
    char key[32];
    tfr_json_begin(&out, NULL, '{');
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof(key), "token%d", i);
        tfr_json_put_int(&out, key, i);
    }
    tfr_json_end(&out, '}');
    assert_false(out.failed);
    struct tfr_json_doc *doc;
    const clock_t start = clock();
    assert_ok(tfr_json_open(&doc, "t.json", out.text, out.size, TFR_MODEL));
    const clock_t end = clock();
    assert_int_equal(tfr_json_size(tfr_json_root(doc)), n);
    tfr_json_close(doc);
    tfr_free(out.text);
    return (double)(end - start) / CLOCKS_PER_SEC;
}

/* Sixteen times the members: linear takes some 16 times as long, more where caches are left; quadratic 256 times. */
TFR_TEST(large_object_takes_linear_time) {
    TFR_UNUSED_STATE;
    const double few = seconds_to_read(12500), many = seconds_to_read(200000);
    assert_true(many < 100 * few);
}

TFR_TEST(writer_places_commas_and_keys) {
    TFR_UNUSED_STATE;
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_text(&out, "a", "x");
    tfr_json_begin(&out, "l", '[');
    tfr_json_put_int(&out, NULL, INT64_MIN);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_end(&out, '}');
    tfr_json_put_bool(&out, NULL, false);
    tfr_json_end(&out, ']');
    char *texts[] = {"b", "c"};
    tfr_json_put_texts(&out, "t", texts, 2);
    tfr_json_put_texts(&out, "e", NULL, 0);
    tfr_json_put_text_or_null(&out, "y", "z");
    tfr_json_put_text_or_null(&out, "w", NULL);
    tfr_json_put_number(&out, "n\"", 0.1);
    tfr_json_end(&out, '}');
    tfr_json_put_raw(&out, "\n");
    assert_false(out.failed);
    assert_string_equal(
        out.text,
        "{\"a\":\"x\",\"l\":[-9223372036854775808,{},false],\"t\":[\"b\",\"c\"],\"e\":[],\"y\":\"z\",\"w\":null,\"n\\\"\":0.1}\n");
    assert_int_equal(out.size, strlen(out.text));
    tfr_free(out.text);
}

TFR_TEST(writer_escapes_parse_back) {
    TFR_UNUSED_STATE;
    char all[300];
    size_t size = 0;
    for (int byte = 1; byte < 0x80; byte++) {
        all[size++] = (char)byte;
    }
    memcpy(all + size, "\xC3\xA9\xE2\x80\xA8\xE2\x80\xA9\xF0\x9F\x98\x80", 13);
    size += 13 - 1;
    all[size] = '\0';
    struct tfr_json_out out = {0};
    tfr_json_put_string(&out, NULL, all, size);
    for (size_t i = 0; i < out.size; i++) {
        assert_true((unsigned char)out.text[i] >= 0x20);
    }
    assert_null(strstr(out.text, "\xE2\x80\xA8"));
    struct tfr_json_doc *doc = open_text(out.text);
    assert_string_equal(tfr_json_string(tfr_json_root(doc)), all);
    tfr_json_close(doc);
    tfr_free(out.text);
}

TFR_TEST(writer_takes_keys_of_any_bytes) {
    TFR_UNUSED_STATE;
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_key(&out, "a\0b", 3);
    tfr_json_put_int(&out, NULL, 1);
    tfr_json_put_key(&out, "c", 1);
    tfr_json_begin(&out, NULL, '[');
    tfr_json_put_bytes(&out, "7", 1);
    tfr_json_end(&out, ']');
    tfr_json_end(&out, '}');
    assert_string_equal(out.text, "{\"a\\u0000b\":1,\"c\":[7]}");
    tfr_free(out.text);
}

TFR_TEST(writer_replaces_bytes_that_are_not_utf8) {
    TFR_UNUSED_STATE;
    struct tfr_json_out out = {0};
    tfr_json_put_string(&out, NULL, "a\xFF\xE2\x82z\xED\xA0\x80\0\xF0\x9F", 11);
    const char *bad = "\xEF\xBF\xBD";
    char expected[100];
    snprintf(expected, sizeof(expected), "\"a%s%sz%s%s%s\\u0000%s\"", bad, bad, bad, bad, bad, bad);
    assert_string_equal(out.text, expected);
    tfr_free(out.text);
}

TFR_TEST(writer_numbers_read_back_exactly) {
    TFR_UNUSED_STATE;
    static const double values[] = {
        0, -0.0, 1, 1e15, 1e16, 1.0 / 3, 5e-324, 1.7976931348623157e308, 1e-5, 0.1f, -2.5e-7, 123456, 1e21, 0.30000000000000004};
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '[');
    for (size_t i = 0; i < TFR_COUNT_OF(values); i++) {
        tfr_json_put_number(&out, NULL, values[i]);
    }
    tfr_json_end(&out, ']');
    struct tfr_json_doc *doc = open_text(out.text);
    const tfr_json *item = tfr_json_first(tfr_json_root(doc));
    for (size_t i = 0; i < TFR_COUNT_OF(values); i++, item = tfr_json_next(item)) {
        assert_true(tfr_json_number(item) == values[i]);
    }
    tfr_json_close(doc);
    tfr_free(out.text);
}

TFR_TEST(writer_refuses_numbers_that_are_not_finite) {
    TFR_UNUSED_STATE;
    struct tfr_json_out out = {0};
    tfr_json_begin(&out, NULL, '{');
    tfr_json_put_number(&out, "loss", NAN);
    tfr_json_end(&out, '}');
    assert_true(out.failed);
    assert_non_null(strstr(tfr_failure_text(), "loss"));
    tfr_free(out.text);
}

TFR_TEST(writer_out_of_memory_is_kept) {
    TFR_UNUSED_STATE;
    struct tfr_json_out out = {0};
    tfr_alloc_fail_after(1);
    tfr_json_begin(&out, NULL, '{');
    tfr_json_end(&out, '}');
    assert_true(out.failed);
    assert_null(out.text);
}

TFR_TEST_MAIN(TFR_CASE(limits_of_a_stranger_are_kept), TFR_CASE(byte_0_is_taken_where_it_may_be_there),
              TFR_CASE(writer_takes_keys_of_any_bytes), TFR_CASE(refuses_broken_structure), TFR_CASE(refuses_trailing_text),
              TFR_CASE(refuses_misspelt_literals), TFR_CASE(refuses_numbers_that_are_not_json),
              TFR_CASE(refuses_numbers_that_are_not_finite_or_too_long), TFR_CASE(accepts_numbers_at_the_limits),
              TFR_CASE(refuses_bad_strings), TFR_CASE(refuses_invalid_utf8), TFR_CASE(accepts_utf8_at_the_borders),
              TFR_CASE(refuses_duplicate_keys), TFR_CASE(refuses_depth_over_64), TFR_CASE(tree_is_walked_in_order_with_exact_keys),
              TFR_CASE(places_are_those_of_the_values), TFR_CASE(places_far_from_the_beginning_are_those_of_the_values),
              TFR_CASE(int64_is_exact_and_strict), TFR_CASE(file_errors_name_the_file),
              TFR_CASE(each_failing_allocation_is_reported), TFR_CASE(large_object_takes_linear_time),
              TFR_CASE(writer_places_commas_and_keys), TFR_CASE(writer_escapes_parse_back),
              TFR_CASE(writer_replaces_bytes_that_are_not_utf8), TFR_CASE(writer_numbers_read_back_exactly),
              TFR_CASE(writer_refuses_numbers_that_are_not_finite), TFR_CASE(writer_out_of_memory_is_kept))
