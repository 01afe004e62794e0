/* test_pack_file.c - files of packed weights: where things stand in them, what is found again, and each way in which a file can be
 * unusable, with the words that tell it. */
#include "plan/pack_file.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "tfr_test.h"

/* The format as its comment has it: five numbers, the key, the entries at a multiple of 8, each weight at a page. */
enum { FILE_BYTES = 1, KEY_BYTES, N_ENTRIES, TABLE_SUM, N_NUMBERS };
enum { PAGE = 4096, N = 5, PIECE = 1 << 20, LARGE = 2 * PIECE + 5 };

static const char key[] = "made by a test";
static char folder[256], path[512], said[1024];
static struct tfr_team *team;
static uint8_t *large;

static void keep(void *user, enum tfr_log_level level, const char *area, const char *text) {
    (void)user, (void)level, (void)area;
    snprintf(said, sizeof said, "%s", text);
}

static int open_all(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/test_pack_file.XXXXXX", TFR_BINARY_DIR);
    large = tfr_alloc(LARGE, 1);
    for (size_t i = 0; i < LARGE; i++) {
        large[i] = (uint8_t)(i * 31 + i / PIECE);
    }
    tfr_log_set_callback(keep, NULL);
    umask(022);
    if (mkdtemp(folder) == NULL || tfr_team_open(&team, 3, NULL, true) != TFR_OK) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/packs", folder);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    tfr_team_close(team);
    tfr_free(large);
    unlink(path);
    return rmdir(folder);
}

/* Sizes about a page and more than one piece of the sums; one entry that has no bytes at all. */
static void fill(struct tfr_pack_entry *entries, const void **data) {
    static const uint64_t bytes[N] = {PAGE, 1, LARGE, PAGE + 1, 0};
    for (int i = 0; i < N; i++) {
        entries[i] = (struct tfr_pack_entry){.format = "panel64", .first = 2, .n = 3, .slice = {1, 2, 3, 4}, .dtype = 5};
        snprintf(entries[i].name, sizeof entries[i].name, "w%d", i);
        entries[i].bytes = bytes[i];
        entries[i].exact = i == N - 1;
        data[i] = large + i;
    }
    data[2] = large;
}

static void write_file(struct tfr_pack_entry *entries) {
    const void *data[N];
    fill(entries, data);
    assert_ok(tfr_pack_file_write(path, key, 0644, entries, data, N, team));
}

static void assert_unusable(const char *why) {
    struct tfr_pack_file *file;
    said[0] = '\0';
    assert_ok(tfr_pack_file_open(&file, path, key, team));
    assert_null(file);
    assert_non_null(strstr(said, "is not used"));
    assert_non_null(strstr(said, why));
}

static struct tfr_pack_file *open_file(void) {
    struct tfr_pack_file *file;
    said[0] = '\0';
    assert_ok(tfr_pack_file_open(&file, path, key, team));
    assert_string_equal(said, "");
    assert_non_null(file);
    return file;
}

static uint64_t entries_at(uint64_t key_bytes) {
    return (N_NUMBERS * sizeof(uint64_t) + key_bytes + 7) / 8 * 8;
}

static uint8_t *read_file(size_t *size) {
    char *text;
    assert_ok(tfr_file_read(path, 1 << 26, &text, size));
    return (uint8_t *)text;
}

static void put_file(const void *data, size_t size) {
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, size, stream), size);
    fclose(stream);
}

TFR_TEST(what_was_written_is_found_again) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    const void *data[N];
    write_file(entries);
    fill(entries, data);
    struct tfr_pack_file *file = open_file();
    size_t n;
    const struct tfr_pack_entry *all = tfr_pack_file_entries(file, &n);
    assert_int_equal(n, N);
    uint64_t at = PAGE; /* the head, the key and five entries fit into one page */
    for (int i = 0; i < N; i++) {
        assert_ptr_equal(tfr_pack_file_find(file, &entries[i]), &all[i]);
        assert_int_equal(all[i].offset, at);
        at += (all[i].bytes + PAGE - 1) / PAGE * PAGE;
        assert_memory_equal(tfr_pack_file_data(file, &all[i]), data[i], entries[i].bytes);
    }
    tfr_pack_file_close(file);
}

TFR_TEST(any_threads_write_the_same_bytes) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    const void *data[N];
    size_t size, size_alone;
    write_file(entries);
    uint8_t *bytes = read_file(&size);
    struct tfr_team *alone;
    assert_ok(tfr_team_open(&alone, 1, NULL, true));
    fill(entries, data);
    assert_ok(tfr_pack_file_write(path, key, 0644, entries, data, N, alone));
    tfr_team_close(alone);
    uint8_t *again = read_file(&size_alone);
    assert_int_equal(size, size_alone);
    assert_memory_equal(bytes, again, size);
    tfr_free(bytes);
    tfr_free(again);
}

TFR_TEST(the_first_weight_begins_the_page_behind_the_table) {
    TFR_UNUSED_STATE;
    enum { FULL = 20 };
    struct tfr_pack_entry entries[FULL];
    const void *data[FULL];
    for (size_t length = 40; length < 72; length++) { /* about 55, with which table and head are just a page */
        char long_key[80] = {0};
        memset(long_key, 'k', length);
        for (int i = 0; i < FULL; i++) {
            entries[i] = (struct tfr_pack_entry){.format = "f", .first = i, .bytes = length % 2}; /* none: the table is all */
            data[i] = large;
        }
        assert_ok(tfr_pack_file_write(path, long_key, 0644, entries, data, FULL, team));
        const uint64_t end = entries_at(length + 1) + FULL * sizeof *entries;
        assert_int_equal(entries[0].offset, end <= PAGE ? PAGE : 2 * PAGE);
        struct tfr_pack_file *file;
        assert_ok(tfr_pack_file_open(&file, path, long_key, team));
        assert_non_null(file);
        tfr_pack_file_close(file);
    }
}

TFR_TEST(a_file_without_entries_is_a_file) {
    TFR_UNUSED_STATE;
    assert_ok(tfr_pack_file_write(path, key, 0644, NULL, NULL, 0, team));
    struct tfr_pack_file *file = open_file();
    const struct tfr_pack_entry wanted = {.name = "w0"};
    size_t n = 9;
    assert_null(tfr_pack_file_find(file, &wanted));
    tfr_pack_file_entries(file, &n);
    assert_int_equal(n, 0);
    tfr_pack_file_close(file);
    n = 9;
    assert_null(tfr_pack_file_entries(NULL, &n));
    assert_int_equal(n, 0);
    assert_null(tfr_pack_file_find(NULL, &wanted));
    tfr_pack_file_close(NULL);
}

TFR_TEST(an_absent_file_is_none_and_no_fault) {
    TFR_UNUSED_STATE;
    struct tfr_pack_file *file;
    unlink(path);
    said[0] = '\0';
    assert_ok(tfr_pack_file_open(&file, path, key, team));
    assert_null(file);
    assert_string_equal(said, "");
}

TFR_TEST(entries_are_the_same_where_all_they_say_is) {
    TFR_UNUSED_STATE;
    const struct tfr_pack_entry base = {
        .name = "w", .format = "f", .first = 1, .n = 2, .slice = {1, 2, 3, 4}, .dtype = 5, .bytes = 6};
    struct tfr_pack_entry other[] = {base, base, base, base, base, base, base, base, base};
    other[0].name[0] = 'v';
    other[1].format[0] = 'g';
    other[2].first++;
    other[3].n++;
    other[4].slice[3]++;
    other[5].exact = 1;
    other[6].dtype++;
    other[7].bytes++;
    for (int i = 0; i < 8; i++) {
        assert_false(tfr_pack_entry_same(&base, &other[i]));
        assert_false(tfr_pack_entry_same(&other[i], &base));
    }
    assert_true(tfr_pack_entry_same(&base, &other[8]));
    other[8].offset = other[8].sum = 7; /* filled in when they are written */
    assert_true(tfr_pack_entry_same(&base, &other[8]));
    for (int i = 6; i < 9; i++) { /* of those that say what is exact, the same rows */
        other[i].exact = 1;
        assert_true(tfr_pack_entry_same(&other[5], &other[i]));
    }
}

TFR_TEST(a_short_file_is_told) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    size_t size;
    write_file(entries);
    uint8_t *bytes = read_file(&size);
    const size_t left[] = {0, 1, 39, 40, 41, entries_at(sizeof key) + 10, PAGE, size - 1};
    for (size_t i = 0; i < TFR_COUNT_OF(left); i++) {
        put_file(bytes, left[i]);
        assert_unusable("it is cut short");
    }
    put_file(bytes, size);
    tfr_pack_file_close(open_file());
    tfr_free(bytes);
}

/* With byte `at` changed. */
static void assert_damage(uint8_t *bytes, size_t size, size_t at, const char *why) {
    bytes[at] ^= 1;
    put_file(bytes, size);
    assert_unusable(why);
    bytes[at] ^= 1;
}

TFR_TEST(each_changed_byte_is_seen) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    size_t size;
    write_file(entries);
    uint8_t *bytes = read_file(&size);
    const size_t table = entries_at(sizeof key), weight = entries[2].offset;
    assert_damage(bytes, size, 0, "it is no file of packed weights of this version");
    assert_damage(bytes, size, 8 * FILE_BYTES, "it is cut short");
    assert_damage(bytes, size, 8 * KEY_BYTES, "it was made of another checkpoint, or by another program");
    assert_damage(bytes, size, 8 * N_ENTRIES, "its table is damaged");
    assert_damage(bytes, size, 8 * TABLE_SUM, "its table is damaged");
    assert_damage(bytes, size, 8 * N_NUMBERS, "it was made of another checkpoint, or by another program");
    assert_damage(bytes, size, 8 * N_NUMBERS + sizeof key - 2, "it was made of another checkpoint, or by another program");
    assert_damage(bytes, size, table, "its table is damaged");
    assert_damage(bytes, size, table + N * sizeof *entries - 1, "its table is damaged");
    const size_t in_weights[] = {
        entries[0].offset, entries[0].offset + PAGE - 1, entries[1].offset,       weight, weight + PIECE - 1,
        weight + PIECE,    weight + LARGE - 1,           entries[3].offset + PAGE};
    for (size_t i = 0; i < TFR_COUNT_OF(in_weights); i++) {
        assert_damage(bytes, size, in_weights[i], "a weight in it is damaged");
    }
    tfr_free(bytes);
}

TFR_TEST(pieces_that_changed_places_are_seen) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    size_t size;
    write_file(entries);
    uint8_t *bytes = read_file(&size), *weight = bytes + entries[2].offset;
    uint8_t *piece = tfr_alloc(PIECE, 1);
    memcpy(piece, weight, PIECE);
    memcpy(weight, weight + PIECE, PIECE);
    memcpy(weight + PIECE, piece, PIECE);
    put_file(bytes, size);
    assert_unusable("a weight in it is damaged");
    tfr_free(piece);
    tfr_free(bytes);
}

/* A table with a sum that is right, whatever it says. */
static void put_forged(uint8_t *bytes, size_t size, const uint64_t *numbers, const struct tfr_pack_entry *entries) {
    uint64_t head[N_NUMBERS];
    memcpy(head, numbers, sizeof head);
    head[TABLE_SUM] = tfr_hash(tfr_hash(TFR_HASH_START, key, sizeof key), entries, N * sizeof *entries);
    memcpy(bytes, head, sizeof head);
    memcpy(bytes + entries_at(sizeof key), entries, N * sizeof *entries);
    put_file(bytes, size);
}

TFR_TEST(a_table_that_points_outside_is_damaged) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N], table[N];
    size_t size;
    write_file(entries);
    uint8_t *bytes = read_file(&size);
    uint64_t numbers[N_NUMBERS];
    memcpy(numbers, bytes, sizeof numbers);
    put_forged(bytes, size, numbers, entries);
    tfr_pack_file_close(open_file()); /* the forging is right */
    memcpy(table, entries, sizeof table);
    memset(table[1].name, 'x', sizeof table[1].name);
    put_forged(bytes, size, numbers, table);
    assert_unusable("its table is damaged");
    memcpy(table, entries, sizeof table);
    memset(table[1].format, 'x', sizeof table[1].format);
    put_forged(bytes, size, numbers, table);
    assert_unusable("its table is damaged");
    const struct { uint64_t offset, bytes; } places[] = {{size + PAGE, 0}, {size, 1}, {PAGE, UINT64_MAX - PAGE + 1}, {8, 0}};
    for (size_t i = 0; i < TFR_COUNT_OF(places); i++) {
        memcpy(table, entries, sizeof table);
        table[N - 1].offset = places[i].offset, table[N - 1].bytes = places[i].bytes;
        put_forged(bytes, size, numbers, table);
        assert_unusable("its table is damaged");
    }
    tfr_free(bytes);
}

TFR_TEST(a_head_that_counts_too_much_is_told) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    size_t size;
    write_file(entries);
    uint8_t *bytes = read_file(&size);
    uint64_t numbers[N_NUMBERS];
    memcpy(numbers, bytes, sizeof numbers);
    static const uint64_t many[] = {1000000, UINT64_MAX / sizeof *entries + 2, UINT64_MAX};
    for (size_t i = 0; i < TFR_COUNT_OF(many); i++) {
        numbers[N_ENTRIES] = many[i];
        put_forged(bytes, size, numbers, entries);
        assert_unusable("it is cut short");
    }
    numbers[N_ENTRIES] = N;
    numbers[KEY_BYTES] = UINT64_MAX - 8;
    put_forged(bytes, size, numbers, entries);
    assert_unusable("it is cut short");
    tfr_free(bytes);
}

TFR_TEST(a_file_that_others_can_write_is_not_used) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    write_file(entries);
    const mode_t bad[] = {0664, 0646, 0666};
    for (size_t i = 0; i < TFR_COUNT_OF(bad); i++) {
        assert_int_equal(chmod(path, bad[i]), 0);
        assert_unusable("others may write it");
    }
    assert_int_equal(chmod(path, 0755), 0);
    tfr_pack_file_close(open_file());
    if (geteuid() == 0 && chown(path, 12345, (gid_t)-1) == 0) {
        assert_unusable("it belongs to another user");
    }
}

/* Root may read everything, so it becomes somebody else for a while. */
TFR_TEST(a_file_that_may_not_be_read_is_not_used) {
    TFR_UNUSED_STATE;
    struct tfr_pack_entry entries[N];
    const uid_t own = geteuid();
    unlink(path);
    write_file(entries);
    assert_int_equal(chmod(path, 0), 0);
    assert_int_equal(chmod(folder, 0711), 0);
    if (own != 0 || seteuid(12345) == 0) {
        struct stat facts;
        if (stat(path, &facts) == 0) { /* else a folder above is closed */
            assert_unusable("this user may not read it");
        }
        assert_int_equal(seteuid(own), 0);
    }
    unlink(path);
}

TFR_TEST(the_mode_is_that_of_the_weights_within_the_umask) {
    TFR_UNUSED_STATE;
    static const struct {
        mode_t umask, weights, file;
    } cases[] = {{022, 0644, 0644}, {022, 0640, 0640}, {022, 0604, 0604}, {022, 0600, 0600},
                 {022, 0777, 0644}, {077, 0644, 0600}, {0, 0666, 0644},   {027, 0444, 0640}};
    for (size_t i = 0; i < TFR_COUNT_OF(cases); i++) {
        struct tfr_pack_entry entries[N];
        const void *data[N];
        struct stat facts;
        fill(entries, data);
        umask(cases[i].umask);
        unlink(path);
        assert_ok(tfr_pack_file_write(path, key, cases[i].weights, entries, data, 2, team));
        umask(022);
        assert_int_equal(stat(path, &facts), 0);
        assert_int_equal(facts.st_mode & 0777, cases[i].file);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest cases[] = {TFR_CASE(what_was_written_is_found_again),
                                       TFR_CASE(any_threads_write_the_same_bytes),
                                       TFR_CASE(the_first_weight_begins_the_page_behind_the_table),
                                       TFR_CASE(a_file_without_entries_is_a_file),
                                       TFR_CASE(an_absent_file_is_none_and_no_fault),
                                       TFR_CASE(entries_are_the_same_where_all_they_say_is),
                                       TFR_CASE(a_short_file_is_told),
                                       TFR_CASE(each_changed_byte_is_seen),
                                       TFR_CASE(pieces_that_changed_places_are_seen),
                                       TFR_CASE(a_table_that_points_outside_is_damaged),
                                       TFR_CASE(a_head_that_counts_too_much_is_told),
                                       TFR_CASE(a_file_that_others_can_write_is_not_used),
                                       TFR_CASE(a_file_that_may_not_be_read_is_not_used),
                                       TFR_CASE(the_mode_is_that_of_the_weights_within_the_umask)};
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(cases, open_all, close_all);
}
