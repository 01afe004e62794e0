/* test_weights.c - safetensors: what the writer writes the reader reads, and every damaged file is refused by
 * name. */
#include "model/weights.h"

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "tfr_files.h"
#include "tfr_test.h"

static struct tfr_weights *weights;

static void done(void) {
    tfr_weights_close(weights);
    weights = NULL;
}

/* A file of a header and `data_size` data bytes (0, 1, 2, ...); returns its path. */
static const char *write_file(const char *name, const char *header, size_t data_size) {
    static uint8_t bytes[8192];
    const size_t length = strlen(header);
    memset(bytes, 0, 8);
    bytes[0] = (uint8_t)length;
    bytes[1] = (uint8_t)(length >> 8);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++) {
        bytes[8 + length + i] = (uint8_t)i;
    }
    return tfr_test_write(name, bytes, 8 + length + data_size);
}

static enum tfr_status open_header(const char *header, size_t data_size) {
    done();
    tfr_test_folder("weights");
    return tfr_weights_open(&weights, write_file("w.safetensors", header, data_size));
}

#define A_4 "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"

static enum tfr_status fill_counting(void *user, size_t tensor, int64_t first, int64_t n, void *buffer) {
    float *values = buffer;
    for (int64_t i = 0; i < n; i++) {
        values[i] = (float)(first + i) + 0.25f * (float)tensor;
    }
    return TFR_OK;
}

static enum tfr_status fill_nothing(void *user, size_t tensor, int64_t first, int64_t n, void *buffer) {
    return tfr_raise(TFR_CANCELLED, "stop here");
}

TFR_TEST(written_tensors_are_read_back) {
    TFR_UNUSED_STATE;
    const struct tfr_weight_spec specs[] = {
        {.name = "big", .dtype = TFR_DTYPE_F32, .rank = 2, .dim = {700, 500}}, /* more than one piece */
        {.name = "scalar", .dtype = TFR_DTYPE_F32, .rank = 0},
        {.name = "empty", .dtype = TFR_DTYPE_F32, .rank = 2, .dim = {0, 3}},
        {.name = "odd \"name\"", .dtype = TFR_DTYPE_F32, .rank = 1, .dim = {3}}};
    tfr_test_folder("weights");
    const char *path = tfr_test_path("w.safetensors");
    assert_ok(tfr_weights_write(path, specs, 4, fill_counting, NULL));
    assert_ok(tfr_weights_open(&weights, path));
    size_t n;
    tfr_weights_all(weights, &n);
    assert_int_equal(n, 4);
    const struct tfr_weight *big = tfr_weights_find(weights, "big");
    assert_non_null(big);
    assert_string_equal(big->file, path);
    assert_int_equal(big->tensor.dim[1], 500);
    for (size_t i = 0; i < 350000; i += 12345) {
        assert_true(((const float *)big->tensor.data)[i] == (float)i);
    }
    tfr_weights_drop(weights, big);
    assert_true(((const float *)big->tensor.data)[349999] == 349999.0f);
    assert_int_equal(tfr_weights_find(weights, "scalar")->tensor.rank, 0);
    assert_int_equal(tfr_tensor_bytes(&tfr_weights_find(weights, "empty")->tensor), 0);
    float odd;
    memcpy(&odd, (const float *)tfr_weights_find(weights, "odd \"name\"")->tensor.data + 2, sizeof(odd));
    assert_true(odd == 2.75f);
    assert_null(tfr_weights_find(weights, "nothing"));
    done();
}

TFR_TEST(notes_are_read_back_from_a_single_file) {
    TFR_UNUSED_STATE;
    const struct tfr_weight_spec spec = {.name = "a", .dtype = TFR_DTYPE_F32, .rank = 1, .dim = {3}};
    const struct tfr_weight_note notes[] = {{"kind", "a \"kind\""}, {"empty", ""}};
    tfr_test_folder("weights");
    const char *path = tfr_test_path("w.safetensors");
    assert_ok(tfr_weights_write_noted(path, notes, 2, &spec, 1, fill_counting, NULL));
    assert_ok(tfr_weights_open(&weights, path));
    assert_string_equal(tfr_weights_note(weights, "kind"), "a \"kind\"");
    assert_string_equal(tfr_weights_note(weights, "empty"), "");
    assert_string_equal(tfr_weights_note(weights, "format"), "pt");
    assert_null(tfr_weights_note(weights, "king"));
    done();
}

TFR_TEST(a_failed_writing_leaves_no_file) {
    TFR_UNUSED_STATE;
    const struct tfr_weight_spec spec = {.name = "a", .dtype = TFR_DTYPE_F32, .rank = 1, .dim = {3}};
    tfr_test_folder("weights");
    const char *path = tfr_test_path("w.safetensors");
    assert_refused(tfr_weights_write(path, &spec, 1, fill_nothing, NULL), TFR_CANCELLED, "stop here");
    assert_int_not_equal(access(path, F_OK), 0);
    assert_refused(tfr_weights_write(tfr_test_path("no/folder/w.safetensors"), &spec, 1, fill_counting, NULL), TFR_RESOURCE,
                   "no/folder/w.safetensors");
}

TFR_TEST(tensors_stand_in_the_order_of_their_data) {
    TFR_UNUSED_STATE;
    assert_ok(open_header("{\"z\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]},"
                          "\"__metadata__\":{\"format\":\"pt\"}," A_4 "}   ",
                          6));
    size_t n;
    const struct tfr_weight *all = tfr_weights_all(weights, &n);
    assert_int_equal(n, 2);
    assert_string_equal(all[0].name, "a");
    assert_int_equal(*(const uint8_t *)all[1].tensor.data, 4);
    assert_ok(open_header("{}", 0));
    done();
}

TFR_TEST(truncated_files_are_refused) {
    TFR_UNUSED_STATE;
    tfr_test_folder("weights");
    assert_refused(tfr_weights_open(&weights, tfr_test_write("w.safetensors", "1234567", 7)), TFR_MODEL,
                   "w.safetensors: 7 bytes are too few");
    assert_refused(tfr_weights_open(&weights, tfr_test_write("w.safetensors", "", 0)), TFR_MODEL, "too few");
    assert_refused(tfr_weights_open(&weights, tfr_test_write("w.safetensors", "\x10\0\0\0\0\0\0\0{}", 10)), TFR_MODEL,
                   "the header needs 16 bytes but the file ends after 2; it is truncated");
    assert_refused(open_header("{" A_4 "}", 3), TFR_MODEL,
                   "tensor a ends at byte 4 of the data but there are 3; the file is truncated");
}

TFR_TEST(header_length_is_capped) {
    TFR_UNUSED_STATE;
    tfr_test_folder("weights");
    assert_refused(tfr_weights_open(&weights, tfr_test_write("w.safetensors", "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)), TFR_MODEL,
                   "a header of 18446744073709551615 bytes is over the limit of 100000000");
    assert_refused(tfr_weights_open(&weights, tfr_test_write("w.safetensors", "\0\0\0\0\0\0\0\0{}", 10)), TFR_MODEL,
                   "does not start with '{'");
}

/* The letter by which each state of FNV-1a's lowest bits comes nearer to 0. */
static void find_ways(char *way, uint32_t *queue, uint32_t mask) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    uint32_t inverse = 1, n = 1;
    for (int i = 0; i < 5; i++) {
        inverse *= 2 - 0x1b3 * inverse;
    }
    queue[0] = 0;
    way[0] = '.';
    for (uint32_t i = 0; i < n; i++) {
        for (const char *letter = letters; *letter != '\0'; letter++) {
            const uint32_t before = ((queue[i] * inverse) ^ (uint32_t)*letter) & mask;
            if (way[before] == '\0') {
                way[before] = *letter;
                queue[n++] = before;
            }
        }
    }
    assert_int_equal(n, mask + 1);
}

/* Names of a stranger's file that fall into one slot of a table that is hashed by FNV-1a without a seed: that took minutes. */
TFR_TEST(names_that_collide_cost_no_square) {
    TFR_UNUSED_STATE;
    enum { MANY = 400000, MASK = (1 << 20) - 1, ROOM = 80 };
    char *way = calloc(MASK + 1, 1);
    uint32_t *queue = calloc(MASK + 1, sizeof *queue);
    uint8_t *bytes = calloc(MANY, ROOM);
    assert_true(way != NULL && queue != NULL && bytes != NULL);
    find_ways(way, queue, MASK);
    char *text = (char *)bytes + 8, *at = text;
    for (int i = 0; i < MANY; i++) {
        uint32_t state = 0x84222325 & MASK; /* FNV's start, its lowest bits */
        char *name = at + sprintf(at, "%c\"", i == 0 ? '{' : ',');
        at = name + sprintf(name, "%06d", i);
        for (const char *digit = name; digit < at; digit++) {
            state = ((state ^ (uint32_t)*digit) * 0x1b3) & MASK;
        }
        for (; state != 0; state = ((state ^ (uint32_t)at[-1]) * 0x1b3) & MASK) {
            *at++ = way[state];
        }
        at += sprintf(at, "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}");
    }
    *at++ = '}';
    for (int i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)((size_t)(at - text) >> 8 * i);
    }
    done();
    tfr_test_folder("weights");
    size_t n;
    assert_ok(tfr_weights_open(&weights, tfr_test_write("w.safetensors", bytes, (size_t)(at - (char *)bytes))));
    tfr_weights_all(weights, &n);
    assert_int_equal(n, MANY);
    free(way);
    free(queue);
    free(bytes);
    done();
}

TFR_TEST(ranges_must_fill_the_data) {
    TFR_UNUSED_STATE;
    assert_refused(open_header("{" A_4 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}", 6), TFR_MODEL,
                   "the data of tensors a and b overlap");
    assert_refused(open_header("{" A_4 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[6,10]}}", 10), TFR_MODEL,
                   "2 bytes before tensor b belong to no tensor");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[1,5]}}", 5), TFR_MODEL,
                   "1 bytes before tensor a");
    assert_refused(open_header("{" A_4 "}", 5), TFR_MODEL, "1 bytes after the last tensor belong to no tensor");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4), TFR_MODEL,
                   "tensor a of F32 [2] takes 8 bytes but its data_offsets span 4");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4), TFR_MODEL,
                   "data_offsets of tensor a must be [begin, end]");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4), TFR_MODEL,
                   "data_offsets of tensor a");
}

TFR_TEST(headers_must_be_right) {
    TFR_UNUSED_STATE;
    assert_refused(open_header("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1), TFR_MODEL,
                   "tensor a has dtype F8_E4M3, which tfrun does not know");
    assert_refused(open_header("{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4), TFR_MODEL, "dtype f32");
    assert_refused(open_header("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4), TFR_MODEL, "tensor a has no dtype");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4), TFR_MODEL, "tensor a has no shape");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4), TFR_MODEL, "data_offsets of tensor a");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4), TFR_MODEL,
                   "the shape of tensor a must be whole numbers from 0");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4), TFR_MODEL, "the shape");
    assert_refused(open_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],\"data_offsets\":[0,0]}}", 0),
                   TFR_MODEL, "the size of tensor a overflows");
    assert_refused(open_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,1]}}", 1), TFR_MODEL,
                   "tensor a has 5 dimensions; the limit is 4");
    assert_refused(open_header("{\"a\":3}", 0), TFR_MODEL, "tensor a is not described by an object");
    assert_refused(open_header("{\"__metadata__\":{\"n\":3}}", 0), TFR_MODEL, "__metadata__.n must be a text");
    assert_refused(open_header("{" A_4 "," A_4 "}", 4), TFR_MODEL, "w.safetensors:1:");
    assert_refused(open_header("{" A_4, 4), TFR_MODEL, "w.safetensors:1:");
    assert_refused(open_header("{" A_4 "} {", 4), TFR_MODEL, "w.safetensors:1:");
}

TFR_TEST(broken_pickles_are_refused) {
    TFR_UNUSED_STATE;
#ifdef TFR_WITH_LIBZIP
    const enum tfr_status damaged = TFR_MODEL;
#else
    const enum tfr_status damaged = TFR_UNSUPPORTED; /* no archive is read */
#endif
    tfr_test_folder("weights");
    assert_refused(tfr_weights_open(&weights, tfr_test_write("pytorch_model.bin", "PK\003\004............", 16)), damaged,
                   "pytorch_model.bin: ");
    assert_refused(tfr_weights_open(&weights, tfr_test_write("model.pt", "\x80\x02.........", 11)), TFR_MODEL,
                   "model.pt: nothing is on the stack at byte 2 of the pickle (STOP)");
}

TFR_TEST(missing_files_are_named) {
    TFR_UNUSED_STATE;
    const char *folder = tfr_test_folder("weights");
    assert_refused(tfr_weights_open(&weights, tfr_test_path("none.safetensors")), TFR_RESOURCE, "none.safetensors");
    assert_refused(tfr_weights_open(&weights, folder), TFR_RESOURCE, "is a folder");
    assert_null(weights);
}

/* Two shards: a in one.safetensors, b in two.safetensors. */
static enum tfr_status open_index(const char *index) {
    done();
    tfr_test_folder("weights");
    write_file("one.safetensors", "{" A_4 "}", 4);
    write_file("two.safetensors", "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    write_file("twice.safetensors", "{" A_4 "}", 4);
    return tfr_weights_open(&weights, tfr_test_write_text("model.safetensors.index.json", index));
}

TFR_TEST(shards_are_one_table) {
    TFR_UNUSED_STATE;
    assert_ok(open_index("{\"metadata\": {\"total_size\": 6},"
                         "\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}"));
    size_t n;
    tfr_weights_all(weights, &n);
    assert_int_equal(n, 2);
    const struct tfr_weight *b = tfr_weights_find(weights, "b");
    assert_non_null(strstr(b->file, "two.safetensors"));
    assert_int_equal(((const uint8_t *)b->tensor.data)[1], 1);
    tfr_weights_drop(weights, b);
    assert_non_null(tfr_weights_find(weights, "a"));
    done();
}

TFR_TEST(wrong_indexes_are_refused) {
    TFR_UNUSED_STATE;
    assert_refused(open_index("{\"weight_map\": {\"a\": \"../one.safetensors\"}}"), TFR_MODEL,
                   "shard name \"../one.safetensors\" is not a plain file name");
    assert_refused(open_index("{\"weight_map\": {\"a\": \"/etc/passwd\"}}"), TFR_MODEL, "is not a plain file name");
    assert_refused(open_index("{\"weight_map\": {\"a\": \"three.safetensors\"}}"), TFR_RESOURCE,
                   "three.safetensors is not there; every file named in the index is needed");
    assert_refused(open_index("{\"weight_map\": {\"a\": \"two.safetensors\", \"b\": \"one.safetensors\"}}"), TFR_MODEL,
                   "tensor a should be in two.safetensors but is in one.safetensors");
    assert_ok(open_index("{\"weight_map\": {\"a\": \"one.safetensors\", \"c\": \"one.safetensors\"}}"));
    assert_string_equal(tfr_weights_absent(weights, 0), "c");
    assert_null(tfr_weights_absent(weights, 1));
    assert_refused(open_index("{\"weight_map\": {\"a\": \"one.safetensors\", \"x\": \"twice.safetensors\"}}"), TFR_MODEL,
                   "twice.safetensors: tensor a is also in ");
    assert_refused(open_index("{\"weight_map\": {\"a\": 1}}"), TFR_MODEL, "weight_map.a must be a file name");
    assert_refused(open_index("{\"weight_map\": {}}"), TFR_MODEL, "has no weight_map");
    assert_refused(open_index("[]"), TFR_MODEL, "has no weight_map");
    /* What the index says of sizes has no effect. */
    assert_ok(open_index("{\"metadata\": {\"total_size\": \"6\"}, \"weight_map\": {\"a\": \"one.safetensors\"}}"));
}

/* A shard that the map never names must not be opened, whatever it holds. */
TFR_TEST(files_outside_the_map_are_not_touched) {
    TFR_UNUSED_STATE;
    assert_ok(open_index("{\"weight_map\": {\"b\": \"two.safetensors\"}}"));
    size_t n;
    tfr_weights_all(weights, &n);
    assert_int_equal(n, 1);
    done();
}

TFR_TEST(no_leak_when_memory_ends) {
    TFR_UNUSED_STATE;
    for (uint64_t i = 1; i < 5000; i++) {
        tfr_alloc_fail_after(i);
        const enum tfr_status status = open_index("{\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}");
        tfr_alloc_fail_after(0);
        if (status == TFR_OK) {
            assert_true(i > 3);
            done();
            return;
        }
        assert_null(weights);
    }
    fail_msg("opening never succeeded");
}

TFR_TEST_MAIN(TFR_CASE(written_tensors_are_read_back), TFR_CASE(notes_are_read_back_from_a_single_file),
              TFR_CASE(a_failed_writing_leaves_no_file), TFR_CASE(tensors_stand_in_the_order_of_their_data),
              TFR_CASE(truncated_files_are_refused), TFR_CASE(header_length_is_capped), TFR_CASE(names_that_collide_cost_no_square),
              TFR_CASE(ranges_must_fill_the_data), TFR_CASE(headers_must_be_right), TFR_CASE(broken_pickles_are_refused),
              TFR_CASE(missing_files_are_named), TFR_CASE(shards_are_one_table), TFR_CASE(wrong_indexes_are_refused),
              TFR_CASE(files_outside_the_map_are_not_touched), TFR_CASE(no_leak_when_memory_ends))
