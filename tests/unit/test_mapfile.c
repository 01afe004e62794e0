/* test_mapfile.c - mapping, reading whole, atomic writing and paths, in a folder of its own. */
#include "tfr_test.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"

static char folder[256];

static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static int open_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "%s/test_mapfile.XXXXXX", TFR_BINARY_DIR);
    return mkdtemp(folder) == NULL;
}

static int close_folder(void **state) {
    (void)state;
    static const char *const names[] = {"a", "b", "fifo", "link"};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        unlink(in_folder(names[i]));
    }
    return rmdir(folder);
}

static void put(const char *name, const char *text, size_t size) {
    FILE *stream = fopen(in_folder(name), "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(text, 1, size, stream), size);
    fclose(stream);
}

static void assert_content(const char *name, const char *expected) {
    char *text;
    size_t size;
    assert_ok(tfr_file_read(in_folder(name), 1 << 20, &text, &size));
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    tfr_free(text);
}

TFR_TEST(mapping_shows_the_bytes) {
    TFR_UNUSED_STATE;
    put("a", "hello\0world", 11);
    struct tfr_mapfile file;
    assert_ok(tfr_mapfile_open(&file, in_folder("a")));
    assert_int_equal(file.size, 11);
    assert_memory_equal(file.data, "hello\0world", 11);
    assert_string_equal(file.path, in_folder("a"));
    tfr_mapfile_drop(&file, 0, 5);
    tfr_mapfile_drop(&file, 3, SIZE_MAX);
    tfr_mapfile_drop(&file, 100, 1);
    assert_memory_equal(file.data, "hello\0world", 11);
    tfr_mapfile_close(&file);
    assert_null(file.path);
}

TFR_TEST(mapping_an_empty_file_is_legal) {
    TFR_UNUSED_STATE;
    put("a", "", 0);
    struct tfr_mapfile file;
    assert_ok(tfr_mapfile_open(&file, in_folder("a")));
    assert_int_equal(file.size, 0);
    assert_non_null(file.data);
    tfr_mapfile_drop(&file, 0, 1);
    tfr_mapfile_close(&file);
}

TFR_TEST(mapping_refuses_what_is_no_file) {
    TFR_UNUSED_STATE;
    struct tfr_mapfile file;
    assert_refused(tfr_mapfile_open(&file, in_folder("none")), TFR_RESOURCE, "none: cannot open: No such file");
    assert_refused(tfr_mapfile_open(&file, folder), TFR_RESOURCE, "is a directory");
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    assert_refused(tfr_mapfile_open(&file, in_folder("fifo")), TFR_RESOURCE, "fifo: is not a regular file");
    tfr_mapfile_close(&file);
}

TFR_TEST(mapping_out_of_memory_leaks_nothing) {
    TFR_UNUSED_STATE;
    put("a", "x", 1);
    struct tfr_mapfile file;
    tfr_alloc_fail_after(1);
    assert_int_equal(tfr_mapfile_open(&file, in_folder("a")), TFR_RESOURCE);
    assert_null(file.data);
}

TFR_TEST(reading_ends_with_a_nul_that_is_not_counted) {
    TFR_UNUSED_STATE;
    put("a", "{\"a\":1}", 7);
    assert_content("a", "{\"a\":1}");
    put("a", "", 0);
    assert_content("a", "");
}

TFR_TEST(reading_honours_the_limit_exactly) {
    TFR_UNUSED_STATE;
    char bytes[1000];
    memset(bytes, 'x', sizeof(bytes));
    put("a", bytes, sizeof(bytes));
    char *text;
    size_t size;
    assert_ok(tfr_file_read(in_folder("a"), 1000, &text, &size));
    assert_int_equal(size, 1000);
    tfr_free(text);
    assert_refused(tfr_file_read(in_folder("a"), 999, &text, &size), TFR_RESOURCE, "the limit of 999");
    assert_null(text);
    assert_refused(tfr_file_read(folder, 999, &text, &size), TFR_RESOURCE, "is a directory");
}

TFR_TEST(reading_works_where_the_size_is_unknown) {
    TFR_UNUSED_STATE;
    char *text;
    size_t size;
    assert_ok(tfr_file_read("/proc/self/smaps", 1 << 24, &text, &size));
    assert_true(size > 1000);
    assert_int_equal(strlen(text), size);
    tfr_free(text);
    assert_refused(tfr_file_read("/proc/self/smaps", 100, &text, &size), TFR_RESOURCE, "limit of 100");
}

TFR_TEST(outfile_appears_only_at_commit) {
    TFR_UNUSED_STATE;
    put("b", "old", 3);
    struct tfr_outfile out;
    assert_ok(tfr_outfile_open(&out, in_folder("b")));
    assert_ok(tfr_outfile_write(&out, "brand ", 6));
    assert_ok(tfr_outfile_write(&out, "new", 3));
    assert_content("b", "old");
    assert_ok(tfr_outfile_commit(&out));
    assert_content("b", "brand new");
}

static int files_in_folder(void) {
    int n = 0;
    DIR *all = opendir(in_folder("."));
    assert_non_null(all);
    while (readdir(all) != NULL) {
        n++;
    }
    closedir(all);
    return n;
}

TFR_TEST(outfile_abandoned_leaves_no_trace) {
    TFR_UNUSED_STATE;
    struct tfr_outfile out;
    const int before = files_in_folder();
    assert_ok(tfr_outfile_open(&out, in_folder("b")));
    assert_ok(tfr_outfile_write(&out, "x", 1));
    assert_int_equal(files_in_folder() - before, out.is_nameless ? 0 : 1);
    tfr_outfile_abandon(&out);
    assert_int_equal(files_in_folder(), before);
    tfr_outfile_abandon(&out);
    tfr_outfile_abandon(NULL);
}

TFR_TEST(outfile_with_a_temporary_name_does_the_same) {
    TFR_UNUSED_STATE;
    struct tfr_outfile out;
    unlink(in_folder("b"));
    const int before = files_in_folder();
    assert_ok(tfr_outfile_open_named(&out, in_folder("b")));
    assert_ok(tfr_outfile_write(&out, "x", 1));
    assert_true(tfr_path_exists(out.temporary));
    tfr_outfile_abandon(&out);
    assert_int_equal(files_in_folder(), before);
    assert_ok(tfr_outfile_open_named(&out, in_folder("b")));
    assert_ok(tfr_outfile_write(&out, "named", 5));
    tfr_abandon_files(); /* what a handler of signals does */
    assert_int_equal(files_in_folder(), before);
    tfr_outfile_abandon(&out);
    assert_ok(tfr_outfile_open_named(&out, in_folder("b")));
    assert_ok(tfr_outfile_write(&out, "named", 5));
    assert_ok(tfr_outfile_commit(&out));
    assert_int_equal(files_in_folder(), before + 1);
    unlink(in_folder("b"));
}

TFR_TEST(outfile_gets_the_mode_of_the_umask) {
    TFR_UNUSED_STATE;
    unlink(in_folder("b"));
    mode_t before = umask(027);
    struct tfr_outfile out;
    assert_ok(tfr_outfile_open(&out, in_folder("b")));
    assert_ok(tfr_outfile_commit(&out));
    umask(before);
    struct stat facts;
    assert_int_equal(stat(in_folder("b"), &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0640);
}

/* Of a temporary with a name too, which nobody else can open meanwhile. */
TFR_TEST(outfile_keeps_the_mode_of_what_it_replaces) {
    TFR_UNUSED_STATE;
    static const mode_t modes[] = {0600, 0640, 0444};
    mode_t before = umask(022);
    for (size_t i = 0; i < 2 * TFR_COUNT_OF(modes); i++) {
        struct tfr_outfile out;
        struct stat facts;
        put("b", "old", 3);
        assert_int_equal(chmod(in_folder("b"), modes[i / 2]), 0);
        assert_ok(i % 2 == 0 ? tfr_outfile_open(&out, in_folder("b")) : tfr_outfile_open_named(&out, in_folder("b")));
        assert_int_equal(fstat(fileno(out.stream), &facts), 0);
        assert_int_equal(facts.st_mode & 0777, modes[i / 2]);
        assert_ok(tfr_outfile_write(&out, "new", 3));
        assert_ok(tfr_outfile_commit(&out));
        assert_int_equal(stat(in_folder("b"), &facts), 0);
        assert_int_equal(facts.st_mode & 0777, modes[i / 2]);
        assert_content("b", "new");
        unlink(in_folder("b"));
    }
    umask(before);
}

/* What somebody else left there says nothing about who may write the new one; a group that is not the user's own stays. */
TFR_TEST(outfile_takes_no_mode_of_another_user) {
    TFR_UNUSED_STATE;
    static const uid_t owners[] = {65534, 0};
    static const gid_t groups[] = {65534, 65534};
    static const mode_t before[] = {0666, 0640}, after[] = {0644, 0640};
    if (geteuid() != 0) {
        skip();
    }
    const mode_t mask = umask(022);
    for (size_t i = 0; i < TFR_COUNT_OF(owners); i++) {
        struct tfr_outfile out;
        struct stat facts;
        put("b", "old", 3);
        assert_int_equal(chown(in_folder("b"), owners[i], groups[i]), 0);
        assert_int_equal(chmod(in_folder("b"), before[i]), 0);
        assert_ok(tfr_outfile_open_named(&out, in_folder("b")));
        assert_ok(tfr_outfile_write(&out, "new", 3));
        assert_ok(tfr_outfile_commit(&out));
        assert_int_equal(stat(in_folder("b"), &facts), 0);
        assert_int_equal(facts.st_mode & 0777, after[i]);
        assert_int_equal(facts.st_gid, owners[i] == 0 ? groups[i] : getegid());
        unlink(in_folder("b"));
    }
    umask(mask);
}

TFR_TEST(outfile_follows_a_link_and_keeps_it) {
    TFR_UNUSED_STATE;
    put("b", "old", 3);
    assert_int_equal(symlink("b", in_folder("link")), 0);
    struct tfr_outfile out;
    assert_ok(tfr_outfile_open(&out, in_folder("link")));
    assert_ok(tfr_outfile_write(&out, "via", 3));
    assert_ok(tfr_outfile_commit(&out));
    struct stat facts;
    assert_int_equal(lstat(in_folder("link"), &facts), 0);
    assert_true(S_ISLNK(facts.st_mode));
    assert_content("b", "via");
}

TFR_TEST(outfile_in_place_replaces_a_link_and_refuses_what_is_no_file) {
    TFR_UNUSED_STATE;
    struct tfr_outfile out;
    struct stat facts;
    put("b", "old", 3);
    unlink(in_folder("link"));
    assert_int_equal(symlink("b", in_folder("link")), 0);
    assert_ok(tfr_outfile_open_in_place(&out, in_folder("link")));
    assert_ok(tfr_outfile_write(&out, "own", 3));
    assert_ok(tfr_outfile_commit(&out));
    assert_int_equal(lstat(in_folder("link"), &facts), 0);
    assert_true(S_ISREG(facts.st_mode));
    assert_content("link", "own");
    assert_content("b", "old");
    unlink(in_folder("link"));
    assert_int_equal(mkfifo(in_folder("link"), 0600), 0);
    assert_refused(tfr_outfile_open_in_place(&out, in_folder("link")), TFR_RESOURCE, "is not a regular file");
    unlink(in_folder("link"));
    assert_refused(tfr_outfile_open_in_place(&out, folder), TFR_RESOURCE, "is a directory");
}

TFR_TEST(outfile_refuses_bad_places_and_spares_devices) {
    TFR_UNUSED_STATE;
    struct tfr_outfile out;
    assert_refused(tfr_outfile_open(&out, folder), TFR_RESOURCE, "is a directory");
    assert_refused(tfr_outfile_open(&out, in_folder("no/such")), TFR_RESOURCE, "no/such: cannot write: No such file");
    assert_ok(tfr_outfile_open(&out, "/dev/null"));
    assert_null(out.temporary);
    assert_ok(tfr_outfile_write(&out, "x", 1));
    assert_ok(tfr_outfile_commit(&out));
    struct stat facts;
    assert_int_equal(stat("/dev/null", &facts), 0);
    assert_true(S_ISCHR(facts.st_mode));
}

TFR_TEST(outfile_reports_a_full_device) {
    TFR_UNUSED_STATE;
    struct tfr_outfile out;
    assert_ok(tfr_outfile_open(&out, "/dev/full"));
    assert_ok(tfr_outfile_write(&out, "x", 1));
    assert_refused(tfr_outfile_commit(&out), TFR_RESOURCE, "/dev/full: cannot write: No space left");
}

static void assert_path(char *path, const char *expected) {
    assert_non_null(path);
    assert_string_equal(path, expected);
    tfr_free(path);
}

/* The names of the folder are put before each path: inner must be within outer, or not. */
static void assert_within(const char *inner, const char *outer, bool expected) {
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", folder, inner);
    assert_int_equal(tfr_path_is_within(path, in_folder(outer)), expected);
}

TFR_TEST(paths_are_judged_by_where_they_end) {
    TFR_UNUSED_STATE;
    unlink(in_folder("a")); /* other tests' */
    unlink(in_folder("b"));
    unlink(in_folder("link"));
    assert_int_equal(mkdir(in_folder("a"), 0777), 0);
    assert_int_equal(symlink("..", in_folder("link")), 0);
    assert_int_equal(symlink("nowhere", in_folder("b")), 0);
    assert_within("a", "a", true);
    assert_within("a/", "a", true);
    assert_within("a/not/there/yet", "a", true);
    assert_within("a/../a/x", "a", true);
    assert_within("a/../x", "a", false);
    assert_within("ab", "a", false); /* a name that begins alike is another one */
    assert_within("link/x", "", false);
    assert_within("b", "", false); /* a link to nothing leads anywhere */
    assert_within("not/../../there", "", false);
    assert_within("a", "not there", false);
    assert_true(tfr_path_is_within(folder, "/"));
    assert_false(tfr_path_is_plain("/dev/zero"));
    assert_true(tfr_path_is_plain(in_folder("a")));
    rmdir(in_folder("a"));
    unlink(in_folder("b"));
    unlink(in_folder("link"));
}

TFR_TEST(what_can_not_be_looked_at_is_not_taken_for_absent) {
    TFR_UNUSED_STATE;
    char *text;
    size_t size;
    assert_int_equal(symlink("link", in_folder("link")), 0); /* round and round: neither there nor absent */
    assert_true(tfr_path_exists(in_folder("link")));
    assert_refused(TFR_RESOURCE, tfr_file_read(in_folder("link"), 10, &text, &size), "symbolic links");
    assert_false(tfr_path_exists(in_folder("none")));
    int error;
    assert_true(tfr_path_holds(folder, "link") && tfr_path_look(folder, "link", &error));
    assert_int_equal(error, ELOOP);
    put("file", "x", 1);
    assert_true(tfr_path_look(folder, "file", &error));
    assert_int_equal(error, 0);
    assert_false(tfr_path_holds(folder, "none"));
    char longer[8192];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_false(tfr_path_look(folder, longer, &error));
    assert_int_equal(error, ENAMETOOLONG);
    unlink(in_folder("file"));
    unlink(in_folder("link"));
}

TFR_TEST(paths_join_and_split) {
    TFR_UNUSED_STATE;
    assert_path(tfr_path_join("d", "f"), "d/f");
    assert_path(tfr_path_join("d/", "f"), "d/f");
    assert_path(tfr_path_join("/", "f"), "/f");
    assert_path(tfr_path_join(".", "f"), "f");
    assert_path(tfr_path_join("d", "/f"), "/f");
    assert_path(tfr_path_directory("a/b.json"), "a");
    assert_path(tfr_path_directory("/b"), "/");
    assert_path(tfr_path_directory("b"), ".");
    assert_path(tfr_path_directory("a/b/"), "a");
    assert_path(tfr_path_directory("a//b"), "a");
    assert_path(tfr_path_directory("/"), "/");
    assert_path(tfr_path_directory(""), ".");
    assert_true(tfr_path_is_directory(folder));
    assert_false(tfr_path_is_directory(in_folder("none")));
}

int main(int argc, char **argv) {
    const struct CMUnitTest cases[] = {
        TFR_CASE(mapping_shows_the_bytes),
        TFR_CASE(mapping_an_empty_file_is_legal),
        TFR_CASE(mapping_refuses_what_is_no_file),
        TFR_CASE(mapping_out_of_memory_leaks_nothing),
        TFR_CASE(reading_ends_with_a_nul_that_is_not_counted),
        TFR_CASE(reading_honours_the_limit_exactly),
        TFR_CASE(reading_works_where_the_size_is_unknown),
        TFR_CASE(outfile_appears_only_at_commit),
        TFR_CASE(outfile_abandoned_leaves_no_trace),
        TFR_CASE(outfile_with_a_temporary_name_does_the_same),
        TFR_CASE(outfile_gets_the_mode_of_the_umask),
        TFR_CASE(outfile_keeps_the_mode_of_what_it_replaces),
        TFR_CASE(outfile_takes_no_mode_of_another_user),
        TFR_CASE(outfile_in_place_replaces_a_link_and_refuses_what_is_no_file),
        TFR_CASE(outfile_follows_a_link_and_keeps_it),
        TFR_CASE(outfile_refuses_bad_places_and_spares_devices),
        TFR_CASE(outfile_reports_a_full_device),
        TFR_CASE(paths_are_judged_by_where_they_end),
        TFR_CASE(what_can_not_be_looked_at_is_not_taken_for_absent),
        TFR_CASE(paths_join_and_split),
    };
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    return cmocka_run_group_tests(cases, open_folder, close_folder);
}
