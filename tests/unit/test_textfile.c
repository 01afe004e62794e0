/* test_textfile.c - what is taken off a text file, and what is refused in its place, with the cause. */
#include "tfr_test.h"

#include <stdio.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/status.h"
#include "base/textfile.h"

static char path[512]; /* of this process: the cases run side by side */
static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 548105171\n";

static void put(const char *text, size_t size) {
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(text, 1, size, stream), size);
    fclose(stream);
}

static void assert_read(const char *written, size_t written_size, const char *expected) {
    char *text;
    size_t size;
    put(written, written_size);
    assert_ok(tfr_textfile_read(path, 1 << 20, TFR_MODEL, &text, &size));
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    tfr_free(text);
}

static void assert_file_refused(const char *written, size_t size, const char *why) {
    char *text;
    size_t read;
    put(written, size);
    assert_refused(tfr_textfile_read(path, 1 << 20, TFR_MODEL, &text, &read), TFR_MODEL, why);
    assert_null(text);
}

TFR_TEST(a_byte_order_mark_is_taken_off) {
    TFR_UNUSED_STATE;
    assert_read("\xef\xbb\xbfhello", 8, "hello");
    assert_read("\xef\xbb\xbf", 3, "");
    assert_read("\xef\xbb", 2, "\xef\xbb");
    assert_read("", 0, "");
    assert_read("version ", 8, "version ");
}

TFR_TEST(a_pointer_and_utf16_are_refused_by_cause) {
    TFR_UNUSED_STATE;
    assert_file_refused(pointer, sizeof pointer - 1, "git lfs pull");
    assert_file_refused(pointer, 42, "git-lfs pointer");
    assert_file_refused("\xff\xfe{\0}\0", 6, "UTF-16");
    assert_file_refused("\xfe\xff\0{\0}", 6, "UTF-16");
}

TFR_TEST(the_beginning_of_a_pointer_is_enough) {
    TFR_UNUSED_STATE;
    assert_refused(tfr_refuse_pointer("a.bin", pointer, 42, TFR_RESOURCE), TFR_RESOURCE, "a.bin: a git-lfs pointer");
    assert_ok(tfr_refuse_pointer("a.bin", pointer, 30, TFR_RESOURCE));
    assert_ok(tfr_refuse_pointer("a.bin", NULL, 0, TFR_RESOURCE));
}

TFR_TEST(json_files_go_through_it) {
    TFR_UNUSED_STATE;
    struct tfr_json_doc *doc;
    put("\xef\xbb\xbf{\r\n\"a\": 1}\r\n", 15);
    assert_ok(tfr_json_open_file(&doc, path, TFR_CONFIG));
    assert_non_null(tfr_json_member(tfr_json_root(doc), "a"));
    tfr_json_close(doc);
    put(pointer, sizeof pointer - 1);
    assert_refused(tfr_json_open_file(&doc, path, TFR_CONFIG), TFR_CONFIG, "git lfs pull");
}

TFR_TEST(json_files_may_hold_the_words_of_python) {
    TFR_UNUSED_STATE;
    static const char text[] = "{\"a\": [NaN, 1, -Infinity],\n \"b\":Infinity, \"c\": 2}";
    struct tfr_json_doc *doc;
    int64_t integer;
    int line, column;
    put(text, sizeof text - 1);
    assert_ok(tfr_json_open_file(&doc, path, TFR_CONFIG));
    const tfr_json *root = tfr_json_root(doc), *list = tfr_json_first(tfr_json_member(root, "a"));
    assert_int_equal(tfr_json_kind(list), TFR_JSON_NOT_FINITE);
    assert_string_equal(tfr_json_not_finite(list), "NaN");
    assert_false(tfr_json_int64(doc, list, &integer));
    assert_true(tfr_json_int64(doc, tfr_json_next(list), &integer) && integer == 1);
    assert_string_equal(tfr_json_not_finite(tfr_json_next(tfr_json_next(list))), "-Infinity");
    tfr_json_place(doc, tfr_json_member(root, "b"), &line, &column);
    assert_true(line == 2 && column == 6);
    assert_string_equal(tfr_json_not_finite(tfr_json_member(root, "b")), "Infinity");
    assert_true(tfr_json_int64(doc, tfr_json_member(root, "c"), &integer) && integer == 2);
    struct tfr_json_out out = {0};
    tfr_json_put_node(&out, NULL, doc, root);
    assert_false(out.failed);
    assert_string_equal(out.text, "{\"a\":[\"NaN\",1,\"-Infinity\"],\"b\":\"Infinity\",\"c\":2}");
    tfr_free(out.text);
    tfr_json_close(doc);
}

static int remove_file(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

int main(int argc, char **argv) {
    const struct CMUnitTest cases[] = {
        TFR_CASE(a_byte_order_mark_is_taken_off),          TFR_CASE(a_pointer_and_utf16_are_refused_by_cause),
        TFR_CASE(the_beginning_of_a_pointer_is_enough),    TFR_CASE(json_files_go_through_it),
        TFR_CASE(json_files_may_hold_the_words_of_python),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    snprintf(path, sizeof path, "%s/test_textfile.%d", TFR_BINARY_DIR, (int)getpid());
    return cmocka_run_group_tests(cases, NULL, remove_file);
}
