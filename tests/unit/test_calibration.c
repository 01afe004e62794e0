/* test_calibration.c - the file of a calibration: its way out and back, what is refused, for whom it holds, its age. */
#include "predict/calibration.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "tfr_files.h"
#include "tfr_test.h"

/* Of static storage, whose bytes between members are zero: they are compared too. */
static const struct tfr_calibration original = {
    .conditions = {.host = "here",
                   .cpu = "a CPU",
                   .version = "0.1.0",
                   .abi = "2.0",
                   .bind = "compact",
                   .governor = "performance",
                   .hugepages = "try, madvise",
                   .plugins = "ref 0.1.0 (plain C); gemv 0.1.0 (compiler 12.2.0)",
                   .model = "2 blocks",
                   .measured_at = "2026-11-28T18:00:00Z",
                   .measured_unix = 1795888800,
                   .threads = 2,
                   .isa = 7,
                   .quota_cores = 1.5},
    .roofs = {.n_threads = 2,
              .flops = {{.dtype = TFR_DTYPE_F32, .isa = 2, .one_core = 1e11, .all_cores = 1.9e11 / 3}},
              .n_flops = 1,
              .bandwidth = {{.bytes = 16384, .one_core = 1e11 / 7, .all_cores = 2e11},
                            {.bytes = 32768, .one_core = 9e10, .all_cores = 1e11}},
              .n_bandwidths = 2,
              .l1d_bytes = 32768,
              .l2_bytes = 1 << 20,
              .l3_bytes = 1 << 25,
              .memory_rate = 3e10,
              .fork_ns = 701.5,
              .barrier_ns = 155},
    .links = {.shm = {.alpha_ns = 1500,
                      .byte_ns = 1.0 / 7,
                      .large = {.above_bytes = 4096, .alpha_ns = 9e3, .byte_ns = 0.1, .ways = 3},
                      .late_ns = 1e4 / 3,
                      .later_ns = 2},
              .shm_pairs = 3,
              .transport = "messages",
              .measured_at = "2026-11-28T18:00:00Z"}};

static void make(struct tfr_calibration *made) {
    memcpy(made, &original, sizeof *made);
    const struct tfr_calibration_point points[] = {{.class_rows = 1, .rows = 1, .ns = 1234.5, .roof_ns = 1e3 / 3},
                                                   {.class_rows = 32, .rows = 17, .context = 128, .ns = 9e6, .roof_ns = 5e6}};
    for (size_t i = 0; i < TFR_COUNT_OF(points); i++) {
        assert_ok(tfr_calibration_add(made, "linear.f32.gemv.avx512", "768x2304 bias", 2, &points[i]));
        assert_ok(tfr_calibration_add(made, TFR_BETWEEN_TASKS, "", 2, &points[i]));
    }
}

TFR_TEST(a_file_comes_back_as_it_went_out) {
    TFR_UNUSED_STATE;
    struct tfr_calibration out, in;
    char *path = tfr_format("%s/deep/folder/calibration.json", tfr_test_folder("calibration"));
    make(&out);
    assert_ok(tfr_calibration_write(&out, path));
    assert_ok(tfr_calibration_read(&in, path));
    assert_memory_equal(&in.conditions, &out.conditions, sizeof in.conditions);
    assert_memory_equal(&in.roofs, &out.roofs, sizeof in.roofs);
    assert_memory_equal(&in.links, &out.links, sizeof in.links);
    assert_int_equal(in.n_kernels, 2);
    const struct tfr_calibration_kernel *linear = tfr_calibration_find(&in, "linear.f32.gemv.avx512", "768x2304 bias", 2);
    assert_non_null(linear);
    assert_int_equal(linear->n_points, 2);
    assert_memory_equal(linear->points, out.kernels[0].points, 2 * sizeof *linear->points);
    assert_null(tfr_calibration_find(&in, "linear.f32.gemv.avx512", "768x2304 bias", 1));
    char *first = tfr_calibration_text(&out), *second = tfr_calibration_text(&in);
    assert_string_equal(first, second);
    tfr_free(first);
    tfr_free(second);
    tfr_free(path);
    tfr_calibration_free(&out);
    tfr_calibration_free(&in);
}

static void expect_no_file_of(const struct tfr_calibration *useless, const char *words) {
    char *path = tfr_format("%s/calibration.json", tfr_test_folder("useless"));
    assert_refused(tfr_calibration_write(useless, path), TFR_RUNTIME, words);
    assert_false(tfr_path_exists(path));
    tfr_free(path);
}

TFR_TEST(what_no_reader_would_take_is_not_written) {
    TFR_UNUSED_STATE;
    struct tfr_calibration made = original;
    made.roofs.bandwidth[1].all_cores = 0;
    expect_no_file_of(&made,
                      "/calibration.json is not written: this calibration would be of no use: all threads read 0 GB/s from 32 KiB "
                      "(roofs.bandwidth[1].all_cores); the threads got no time");
    made = original;
    made.roofs.flops[0].one_core = 0;
    expect_no_file_of(&made, "one core reaches 0 GFLOP/s of f32 avx512 (roofs.flops[0].one_core)");
    made.roofs.flops[0].one_core = 1.0 / 0.0;
    expect_no_file_of(&made, "one core reaches inf GFLOP/s of f32");
    made.roofs.n_flops = 0;
    expect_no_file_of(&made, "no FLOP/s were measured");
    made.roofs = (struct tfr_roofs){.n_flops = 1};
    expect_no_file_of(&made, "no GB/s were measured");
}

static void expect_no_calibration(const char *text, const char *words) {
    struct tfr_calibration in;
    const char *path = tfr_test_write_text("broken.json", text);
    assert_refused(tfr_calibration_read(&in, path), TFR_MODEL, words);
    assert_null(in.kernels); /* nothing is left to free */
}

/* The text of a good file with one thing replaced. */
static void expect_refused_with(const char *old, const char *new, const char *words) {
    struct tfr_calibration made;
    make(&made);
    char *text = tfr_calibration_text(&made), *at = strstr(text, old);
    assert_non_null(at);
    char *changed = tfr_format("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    expect_no_calibration(changed, words);
    tfr_free(changed);
    tfr_free(text);
    tfr_calibration_free(&made);
}

TFR_TEST(what_is_no_calibration_is_refused) {
    TFR_UNUSED_STATE;
    tfr_test_folder("no_calibration");
    expect_no_calibration("", "broken.json");
    expect_no_calibration("{\"schema\": \"tfrun-calibration-2\"", "broken.json:1:");
    expect_no_calibration("[]", "schema must be");
    expect_no_calibration("{\"schema\":\"tfrun-plan-1\"}", "schema must be tfrun-calibration-2");
    expect_refused_with("tfrun-calibration-2", "tfrun-calibrations", "run `tfrun calibrate`");
    expect_refused_with("\"host\":\"here\",", "", "host must be a short string without control characters");
    expect_refused_with("\"plugins\":", "\"plugin\":", "plugins must be a short string without control characters");
    expect_refused_with("\"threads\":2", "\"threads\":-2", "threads must be a whole number");
    expect_refused_with("\"threads\":2", "\"threads\":2.5", "threads must be a whole number");
    expect_refused_with("\"barrier_ns\":155", "\"barrier_ns\":\"155\"", "barrier_ns must be a number");
    expect_refused_with("\"all_cores\":200000000000", "\"all_cores\":0", "all_cores must be a rate above 0, and is 0");
    expect_refused_with("\"dtype\":\"f32\"", "\"dtype\":\"f33\"", "dtype must be a type");
    expect_refused_with("[1,1,0", "[0,1,0", "must be");
    expect_refused_with("[32,17,128,9000000,", "[32,17,128,", "a point must be");
    expect_refused_with("[32,17,128,9000000,", "[32,0,128,9000000,", "a point must be");
    expect_refused_with("[32,17,128,9000000,", "[32,17,128,0,", "a point must be of a time above 0");
    expect_refused_with("[32,17,128,9000000,", "[1,1,0,9000000,", "points must be by rising class, rows and context");
    expect_refused_with("\"threads\":2", "\"threads\":0", "threads must be a whole number from 1 to 4096");
    expect_refused_with("\"threads\":2", "\"threads\":4294967298", "threads must be a whole number from 1 to 4096");
    expect_refused_with("\"host\":\"here\"", "\"host\":\"here\\ntfrun: ok\"",
                        "host must be a short string without control characters");
    expect_refused_with("\"host\":\"here\"", "\"host\":\"here\\u009b2J\"",
                        "host must be a short string without control characters");
    expect_refused_with("\"waited_percent\":0", "\"waited\":0", "waited_percent must be a number");
    expect_refused_with("\"flops\":[", "\"flops\":[],\"was\":[", "flops must be a list as long");
    expect_refused_with("\"bandwidth\":[", "\"bandwidth\":[],\"was\":[", "bandwidth must be a list as long");
    expect_refused_with("\"points\":[", "\"points\":[],\"was\":[", "points must be at least one");
    expect_refused_with("\"kernels\":[", "\"kernel\":[", "kernels must be");
}

TFR_TEST(a_calibration_of_another_schema_is_told_from_what_is_none) {
    TFR_UNUSED_STATE;
    struct tfr_calibration in;
    tfr_test_folder("old_calibration");
    const char *path = tfr_test_write_text("old.json", "{\"schema\": \"tfrun-calibration-1\"}");
    assert_refused(tfr_calibration_read(&in, path), TFR_UNSUPPORTED,
                   "old.json: schema is tfrun-calibration-1, written by another tfrun, and this one reads tfrun-calibration-2");
}

TFR_TEST(a_file_that_is_not_there_is_a_missing_resource) {
    TFR_UNUSED_STATE;
    struct tfr_calibration in;
    assert_refused(tfr_calibration_read(&in, "/nowhere/calibration.json"), TFR_RESOURCE, "/nowhere/calibration.json");
}

TFR_TEST(other_conditions_are_refused_by_name) {
    TFR_UNUSED_STATE;
    struct tfr_calibration made;
    char doubts[256];
    make(&made);
    made.roofs.n_flops = made.roofs.n_bandwidths = 0; /* which would be doubts of their own */
    struct tfr_conditions now = made.conditions;
    assert_ok(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts));
    assert_string_equal(doubts, "");
    snprintf(now.host, sizeof now.host, "there");
    assert_refused(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts), TFR_MODEL,
                   "c.json: host of the calibration is here, here it is there; run `tfrun calibrate`");
    now = made.conditions;
    snprintf(now.version, sizeof now.version, "0.2.0");
    assert_refused(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts), TFR_MODEL,
                   "tfrun of the calibration is 0.1.0, here it is 0.2.0");
    now = made.conditions;
    snprintf(now.abi, sizeof now.abi, "3.0");
    assert_refused(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts), TFR_MODEL, "abi of the calibration is 2.0");
    now = made.conditions;
    now.isa = 3;
    assert_refused(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts), TFR_MODEL, "isa of the calibration is 0x7");
    now = made.conditions;
    now.threads = 4;
    assert_refused(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts), TFR_MODEL,
                   "calibrated with 2 threads, this run has 4; run `tfrun calibrate --threads 4`");
    tfr_calibration_free(&made);
}

TFR_TEST(what_may_matter_is_a_doubt_by_name) {
    TFR_UNUSED_STATE;
    struct tfr_calibration made;
    char doubts[256];
    make(&made);
    made.roofs.n_flops = made.roofs.n_bandwidths = 0; /* which would be doubts of their own */
    struct tfr_conditions now = made.conditions;
    snprintf(now.governor, sizeof now.governor, "powersave");
    now.quota_cores = 0;
    assert_ok(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts));
    assert_string_equal(doubts, "governor was performance, is powersave; the CPU quota was 1.50 cores, is 0.00 cores");
    now = made.conditions;
    snprintf(now.hugepages, sizeof now.hugepages, "off, madvise");
    snprintf(now.plugins, sizeof now.plugins, "gemv 0.1.0 (compiler 12.2.1); ref 0.1.0 (plain C)");
    assert_ok(tfr_calibration_check(&made, &now, "c.json", doubts, sizeof doubts));
    assert_string_equal(doubts, "hugepages was try, madvise, is off, madvise; made with gemv 0.1.0 (compiler 12.2.0); made without "
                                "gemv 0.1.0 (compiler 12.2.1)");
    tfr_calibration_free(&made);
}

/* One that other programs disturbed: all threads can't be slower than one. */
TFR_TEST(a_busy_machine_is_a_doubt) {
    TFR_UNUSED_STATE;
    struct tfr_calibration made = {.conditions = {.waited_percent = 4.9},
                                   .roofs = {.flops = {{.dtype = TFR_DTYPE_F32, .one_core = 1e11, .all_cores = 0.95e11},
                                                       {.dtype = TFR_DTYPE_BF16, .one_core = 2e11, .all_cores = 3e11}},
                                             .n_flops = 2,
                                             .bandwidth = {{.bytes = 16384, .one_core = 2e11, .all_cores = 1.9e11}},
                                             .n_bandwidths = 1}};
    char doubts[TFR_DOUBTS_SIZE] = "";
    tfr_calibration_doubts(&made, doubts, sizeof doubts);
    assert_string_equal(doubts, "");
    made.conditions.waited_percent = 75;
    made.roofs.flops[0].all_cores = 0.438e11;
    tfr_calibration_doubts(&made, doubts, sizeof doubts);
    assert_string_equal(doubts, "its threads waited for a core for 75 % of the time; all threads reach 43.8 GFLOP/s of f32 plain, "
                                "one core 100.0");
    made.roofs.bandwidth[0].all_cores = 1e9; /* worse still: it is named instead */
    doubts[0] = '\0';
    tfr_calibration_doubts(&made, doubts, sizeof doubts);
    assert_non_null(strstr(doubts, "all threads read 1.0 GB/s from 16 KiB, one core 200.0"));
    assert_null(strstr(doubts, "43.8"));
}

TFR_TEST(each_host_and_number_of_threads_has_a_file) {
    TFR_UNUSED_STATE;
    setenv("XDG_CACHE_HOME", "/cache", 1);
    char *path = tfr_calibration_path("node/7 a", 16);
    assert_string_equal(path, "/cache/tfrun/calibration-node_7_a-16t.json");
    tfr_free(path);
    setenv("XDG_CACHE_HOME", "relative", 1); /* the standard says: such a value is no value */
    setenv("HOME", "/home/me", 1);
    path = tfr_calibration_path("node", 1);
    assert_string_equal(path, "/home/me/.cache/tfrun/calibration-node-1t.json");
    tfr_free(path);
    unsetenv("HOME");
    assert_null(tfr_calibration_path("node", 1));
    assert_non_null(strstr(tfr_failure_text(), "neither XDG_CACHE_HOME nor HOME"));
}

TFR_TEST(age_is_told_in_the_largest_unit) {
    TFR_UNUSED_STATE;
    const struct tfr_conditions then = {.measured_unix = 1000000};
    const struct {
        int64_t seconds;
        const char *text;
    } ages[] = {{-5, "of the future"}, {0, "just now"},       {1, "1 second old"},  {59, "59 seconds old"}, {60, "1 minute old"},
                {7199, "1 hour old"},  {7200, "2 hours old"}, {86400, "1 day old"}, {864000, "10 days old"}};
    for (size_t i = 0; i < TFR_COUNT_OF(ages); i++) {
        char text[48];
        tfr_calibration_age(&then, then.measured_unix + ages[i].seconds, text, sizeof text);
        assert_string_equal(text, ages[i].text);
    }
}

TFR_TEST_MAIN(TFR_CASE(a_file_comes_back_as_it_went_out), TFR_CASE(what_is_no_calibration_is_refused),
              TFR_CASE(what_no_reader_would_take_is_not_written),
              TFR_CASE(a_calibration_of_another_schema_is_told_from_what_is_none),
              TFR_CASE(a_file_that_is_not_there_is_a_missing_resource), TFR_CASE(other_conditions_are_refused_by_name),
              TFR_CASE(what_may_matter_is_a_doubt_by_name), TFR_CASE(a_busy_machine_is_a_doubt),
              TFR_CASE(each_host_and_number_of_threads_has_a_file), TFR_CASE(age_is_told_in_the_largest_unit))
