/* test_torch_file.c - files of torch.save from bytes: the stack machine's limits, and no memory lost where it
 * ends. The golden cases and the refused files are tests/app/test_bin.py. */
#include "model/torch_file.h"

#include <stdio.h>
#include <time.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "tfr_files.h"
#include "tfr_test.h"

static struct tfr_pickle pickle;

static enum tfr_status parse(const char *bytes, size_t size) {
    tfr_pickle_clear(&pickle);
    return tfr_pickle_parse(&pickle, "p", (const uint8_t *)bytes, size);
}

#define PARSE(text) parse(text, sizeof(text) - 1)

static const struct tfr_pickle_value *root(void) {
    return &pickle.values[pickle.root];
}

TFR_TEST(numbers_of_all_widths) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *text;
        size_t size;
        int64_t value;
    } cases[] = {{"K\xff.", 3, 255},
                 {"M\xff\xff.", 4, 65535},
                 {"J\xff\xff\xff\xff.", 6, -1},
                 {"J\x00\x00\x00\x80.", 6, INT32_MIN},
                 {"\x8a\x00.", 3, 0},
                 {"\x8a\x01\x80.", 4, -128},
                 {"\x8a\x02\x00\x80.", 5, -32768},
                 {"\x8a\x05\x00\x00\x00\x00\x01.", 8, INT64_C(1) << 32},
                 {"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f.", 11, INT64_MAX}};
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        assert_ok(parse(cases[i].text, cases[i].size));
        assert_int_equal(root()->kind, TFR_PICKLE_INT);
        assert_true(root()->as.integer == cases[i].value);
        assert_int_equal(pickle.end, cases[i].size);
    }
    assert_ok(PARSE("G\x3f\xf8\x00\x00\x00\x00\x00\x00."));
    assert_true(root()->as.real == 1.5);
    assert_ok(PARSE("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."));
    assert_int_equal(root()->kind, TFR_PICKLE_LONG);
    tfr_pickle_clear(&pickle);
}

static size_t append(char *to, size_t at, const char *bytes, size_t size, int times) {
    for (int i = 0; i < times; i++, at += size) {
        memcpy(to + at, bytes, size);
    }
    return at;
}

#define APPEND(text, times) at = append(bytes, at, text, sizeof(text) - 1, times)

/* Ten thousand million looks, were each tensor's tuple read to its end. Dimensions beyond the limit are refused later, by name. */
TFR_TEST(a_long_tuple_in_many_tensors_costs_no_square) {
    TFR_UNUSED_STATE;
    enum { N = 100000 };
    char *bytes = malloc((size_t)N * 24 + 256);
    size_t at = 0;
    assert_non_null(bytes);
    APPEND("\x80\x02((U\x07storagectorch\nFloatStorage\nU\x01"
           "0U\x03"
           "cpuK\x04tQq\x00(",
           1);
    APPEND("K\x01", N);
    APPEND("tq\x01"
           "ctorch._utils\n_rebuild_tensor_v2\nq\x02",
           1);
    APPEND("h\x02(h\x00K\x00h\x01h\x01NNtR", N);
    APPEND("t.", 1);
    const clock_t begun = clock();
    assert_ok(parse(bytes, at));
    assert_true(clock() - begun < 10 * CLOCKS_PER_SEC); /* of the processor; 0.04 s, and 23 with the squares */
    assert_int_equal(root()->as.items.n, N + 3);
    tfr_pickle_clear(&pickle);
    free(bytes);
}

TFR_TEST(containers_hold_what_is_put_in) {
    TFR_UNUSED_STATE;
    assert_ok(PARSE("\x80\x02}q\x00(X\x01\x00\x00\x00"
                    "aK\x01U\x01"
                    "bNu]r\x01\x00\x00\x00(K\x02K\x03"
                    "eK\x04"
                    "aX\x01\x00\x00\x00x\x87."));
    assert_int_equal(root()->kind, TFR_PICKLE_TUPLE);
    assert_int_equal(root()->as.items.n, 3);
    const struct tfr_pickle_value *list = &pickle.values[root()->as.items.at[1]];
    const struct tfr_pickle_value *dict = &pickle.values[root()->as.items.at[0]];
    assert_int_equal(list->kind, TFR_PICKLE_LIST);
    assert_int_equal(list->as.items.n, 3);
    assert_int_equal(pickle.values[list->as.items.at[2]].as.integer, 4);
    assert_int_equal(tfr_pickle_member(&pickle, dict, "a")->as.integer, 1);
    assert_int_equal(tfr_pickle_member(&pickle, dict, "b")->kind, TFR_PICKLE_NONE);
    assert_null(tfr_pickle_member(&pickle, dict, "c"));
    tfr_pickle_clear(&pickle);
}

TFR_TEST(a_dict_may_hold_itself) {
    TFR_UNUSED_STATE;
    assert_ok(PARSE("}q\x00X\x01\x00\x00\x00"
                    "ah\x00s."));
    assert_ptr_equal(tfr_pickle_member(&pickle, root(), "a"), root());
    tfr_pickle_clear(&pickle);
}

TFR_TEST(damaged_pickles_are_refused) {
    TFR_UNUSED_STATE;
    assert_refused(PARSE(""), TFR_MODEL, "the file ends within an opcode");
    assert_refused(PARSE("K"), TFR_MODEL, "the file ends within an opcode at byte 0 of the pickle (BININT1)");
    assert_refused(PARSE("X\xff\xff\xff\xff"
                         "a."),
                   TFR_MODEL, "the file ends within an opcode");
    assert_refused(PARSE("cos\nsystem"), TFR_MODEL, "the file ends within a name");
    assert_refused(PARSE("."), TFR_MODEL, "nothing is on the stack");
    assert_refused(PARSE("K\x01K\x02."), TFR_MODEL, "values are left on the stack");
    assert_refused(PARSE("(K\x01."), TFR_MODEL, "values are left on the stack");
    assert_refused(PARSE("t"), TFR_MODEL, "no mark is on the stack");
    assert_refused(PARSE("K\x01(s"), TFR_MODEL, "too few values are on the stack");
    assert_refused(PARSE("K\x01K\x02K\x03s"), TFR_MODEL, "no dict takes these items");
    assert_refused(PARSE("}(K\x02u"), TFR_MODEL, "no dict takes these items");
    assert_refused(PARSE("h\x00"), TFR_MODEL, "a number of the memo was never set");
    assert_refused(PARSE("Nr\xff\xff\xff\xff"), TFR_MODEL, "a number of the memo is out of range");
    assert_refused(PARSE("NNR"), TFR_MODEL, "what is called is no name");
    assert_refused(PARSE("NQ"), TFR_MODEL, "a storage is not described");
    assert_refused(PARSE("NNb"), TFR_MODEL, "attributes are set on something that is no dict");
    assert_refused(PARSE("\xfe."), TFR_MODEL, "byte 0 of the pickle is 0xfe, which is no opcode");
    assert_refused(PARSE("\x80\x07N."), TFR_UNSUPPORTED, "pickle protocol 7");
    assert_null(pickle.values);
}

TFR_TEST(whatever_could_run_is_refused) {
    TFR_UNUSED_STATE;
    assert_refused(PARSE("cposix\nsystem\n."), TFR_UNSUPPORTED, "asks for posix.system");
    assert_refused(PARSE("c__builtin__\neval\n."), TFR_UNSUPPORTED, "asks for __builtin__.eval");
    assert_refused(PARSE("ctorch\nload\n."), TFR_UNSUPPORTED, "asks for torch.load");
    assert_refused(PARSE("\x8c\x05posix\x8c\x06system\x93."), TFR_UNSUPPORTED, "asks for posix.system");
    assert_refused(PARSE("(iposix\nsystem\n."), TFR_UNSUPPORTED, "uses INST");
    assert_refused(PARSE("(o."), TFR_UNSUPPORTED, "uses OBJ");
    assert_refused(PARSE("N)\x81."), TFR_UNSUPPORTED, "uses NEWOBJ");
    assert_refused(PARSE("\x82\x01."), TFR_UNSUPPORTED, "uses EXT1");
    assert_refused(PARSE("ctorch\nFloatStorage\n)R."), TFR_UNSUPPORTED, "calls torch.FloatStorage");
    assert_refused(PARSE("ccollections\nOrderedDict\n(K\x01tR."), TFR_UNSUPPORTED, "calls collections.OrderedDict");
}

/* A file of one opcode over and over: memory stays bounded, and no call goes deeper. */
TFR_TEST(size_and_depth_are_bounded) {
    TFR_UNUSED_STATE;
    const size_t n = 3 << 20;
    char *bytes = malloc(n);
    assert_non_null(bytes);
    static const char ops[] = {'N', '(', ']', '}', ')'};
    for (size_t i = 0; i < sizeof ops; i++) {
        memset(bytes, ops[i], n);
        assert_refused(parse(bytes, n), TFR_UNSUPPORTED, "the pickle");
    }
    memset(bytes, '\x85', n); /* a tuple in a tuple in a tuple */
    bytes[0] = 'N';
    assert_refused(parse(bytes, n), TFR_UNSUPPORTED, "the pickle");
    const size_t deep = 100000;
    bytes[deep] = '.';
    assert_ok(parse(bytes, n));
    assert_int_equal(pickle.end, deep + 1);
    tfr_pickle_clear(&pickle);
    free(bytes);
}

static void open_until_there_is_memory(const char *name) {
    char path[512], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/tests/model/golden/bin/cases/%s/pytorch_model.bin", TFR_SOURCE_DIR, name);
    assert_ok(tfr_file_read(path, (size_t)1 << 20, &data, &size));
    for (uint64_t i = 1;; i++) {
        struct tfr_torch_file file;
        tfr_alloc_fail_after(i);
        const enum tfr_status status = tfr_torch_parse(&file, name, (const uint8_t *)data, size);
        tfr_alloc_fail_after(0);
        if (status == TFR_OK) {
            assert_true(i > 10 && file.n >= 16);
            tfr_torch_clear(&file);
            break;
        }
        assert_int_equal(status, TFR_RESOURCE);
        assert_null(file.entries);
        assert_true(i < 5000);
    }
    tfr_free(data);
}

TFR_TEST(no_leak_when_memory_ends) {
    TFR_UNUSED_STATE;
    open_until_there_is_memory("stream_sliced");
#ifdef TFR_WITH_LIBZIP
    open_until_there_is_memory("zip_transposed");
#endif
}

TFR_TEST(archives_need_libzip) {
    TFR_UNUSED_STATE;
    struct tfr_torch_file file;
    static const uint8_t zip[] = "PK\003\004............";
#ifdef TFR_WITH_LIBZIP
    assert_refused(tfr_torch_parse(&file, "x.bin", zip, sizeof zip), TFR_MODEL, "x.bin: a damaged zip archive");
#else
    assert_refused(tfr_torch_parse(&file, "x.bin", zip, sizeof zip), TFR_UNSUPPORTED, "built without libzip");
#endif
    assert_null(file.entries);
}

TFR_TEST(safetensors_are_no_pickles) {
    TFR_UNUSED_STATE;
    assert_false(tfr_torch_is_file((const uint8_t *)"\x80\x02\0\0\0\0\0\0{\"a\"", 12));
    assert_true(tfr_torch_is_file((const uint8_t *)"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", 15));
    assert_true(tfr_torch_is_file((const uint8_t *)"\x80\x04\x95\x0d\0\0\0\0\0\0\0\x8a", 12));
    assert_true(tfr_torch_is_file((const uint8_t *)"PK\003\004", 4));
    assert_false(tfr_torch_is_file((const uint8_t *)"PK", 2));
}

TFR_TEST_MAIN(TFR_CASE(numbers_of_all_widths), TFR_CASE(a_long_tuple_in_many_tensors_costs_no_square),
              TFR_CASE(containers_hold_what_is_put_in), TFR_CASE(a_dict_may_hold_itself), TFR_CASE(damaged_pickles_are_refused),
              TFR_CASE(whatever_could_run_is_refused), TFR_CASE(size_and_depth_are_bounded), TFR_CASE(no_leak_when_memory_ends),
              TFR_CASE(archives_need_libzip), TFR_CASE(safetensors_are_no_pickles))
