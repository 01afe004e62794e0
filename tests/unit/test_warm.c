/* test_warm.c - what a server does before its first request: plans, costs, and the file that keeps them. */
#include "tfr_test.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/status.h"
#include "serve/batcher.h"
#include "serve/step_cost_file.h"
#include "tfr_files.h"

#include <tfrun/tfrun.h>

static struct tfr_engine *open_demo(void) {
    const struct tfr_override overrides[] = {{"runtime.max_batch", "6", "the test"}, {"runtime.threads", "2", "the test"}};
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, TFR_SOURCE_DIR "/configs/demo", overrides, 2));
    return engine;
}

/* A cache folder of this test alone, empty. */
static void use_folder(const char *name) {
    static char folder[1024];
    snprintf(folder, sizeof folder, "%s", tfr_test_folder(name));
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
}

static size_t n_files(void) {
    char pattern[1200];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s/tfrun/steps-*.json", getenv("XDG_CACHE_HOME"));
    const size_t n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return n;
}

static void count(void *user, const char *what) {
    assert_true(strlen(what) > 5);
    ++*(int *)user;
}

TFR_TEST(costs_are_known_and_a_first_request_builds_nothing) {
    TFR_UNUSED_STATE;
    int said = 0;
    use_folder("warm");
    struct tfr_engine *engine = open_demo();
    assert_ok(tfr_engine_warm(engine, count, &said));
    assert_true(said >= 2);
    const struct tfr_step_cost *cost = &engine->batcher->cost;
    assert_int_equal(cost->decode.n, 4); /* 1, 2, 4 and 6 sequences */
    assert_true(cost->decode.at[3] == 6);
    assert_int_equal(cost->prefill.n, 6);
    assert_int_equal(tfr_engine_memory(engine).kv_bytes, 0); /* nothing is left open, */
    assert_true(engine->slots[5].has_memory);                /* but memory is there for all */

    const int n_plans = engine->n_plans;
    int32_t ids[300] = {0};
    const struct tfr_prompt prompts[] = {{.ids = ids, .n_ids = 300}, {.ids = ids + 1, .n_ids = 70}, {.ids = ids, .n_ids = 3}};
    struct tfr_request *requests[3];
    struct tfr_step_info info = {.running = 1};
    struct tfr_serving serving;
    assert_ok(tfr_request_submit_all(engine, prompts, 3, NULL, NULL, requests));
    while (info.running + info.waiting > 0) {
        assert_ok(tfr_engine_step(engine, &info));
    }
    assert_int_equal(engine->n_plans, n_plans);
    tfr_engine_serving(engine, &serving);
    assert_true(serving.itl_target_s == 0.06 && serving.prefill_rate > 0);
    assert_true(serving.decode_cost_s[0] > 0 && serving.decode_cost_s[2] > 0 && serving.decode_cost_s[3] == 0);
    for (int i = 0; i < 3; i++) {
        tfr_request_close(requests[i]);
    }
    tfr_engine_close(engine);
}

TFR_TEST(costs_are_read_back_as_they_were) {
    TFR_UNUSED_STATE;
    struct tfr_step_cost cost = {.decode_keys = 129, .decode_key_s = 1.5e-6, .prefill_key_s = 1e-7, .scored_row_s = 3e-4}, read;
    tfr_curve_add(&cost.decode, 1, 4.75e-3);
    tfr_curve_add(&cost.decode, 6, 9.125e-3);
    tfr_curve_add(&cost.prefill, 16, 7e-3);
    use_folder("warm_file");
    struct tfr_engine *engine = open_demo();
    char *path = tfr_step_cost_path(engine);
    assert_non_null(path);
    assert_false(tfr_step_cost_read(&read, path));
    assert_ok(tfr_step_cost_write(&cost, path));
    assert_true(tfr_step_cost_read(&read, path));
    assert_memory_equal(&read, &cost, sizeof cost);
    assert_int_equal(n_files(), 1);

    static const char *const damaged[] = {"",
                                          "{}",
                                          "[]",
                                          "{\"schema\": \"tfrun-steps-0\"}",
                                          "{\"schema\":\"tfrun-steps-1\",\"decode\":[[1,0.1],[1,0.2]],\"prefill\":[[1,1]],"
                                          "\"decode_keys\":1,\"decode_key_s\":0,\"prefill_key_s\":0,\"scored_row_s\":0}",
                                          "{\"schema\":\"tfrun-steps-1\",\"decode\":[[1,-0.1]],\"prefill\":[[1,1]],"
                                          "\"decode_keys\":1,\"decode_key_s\":0,\"prefill_key_s\":0,\"scored_row_s\":0}",
                                          "{\"schema\":\"tfrun-steps-1\",\"decode\":[[1,0.1]],\"prefill\":[],"
                                          "\"decode_keys\":1,\"decode_key_s\":0,\"prefill_key_s\":0,\"scored_row_s\":0}"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(damaged[i], file);
        fclose(file);
        assert_false(tfr_step_cost_read(&read, path)); /* measured anew, never trusted */
        assert_int_equal(read.decode.n, 0);
    }
    tfr_free(path);
    tfr_engine_close(engine);
}

static char *cost_path_of(const char *dtype, const char *kv_dtype) {
    const struct tfr_override overrides[] = {
        {"runtime.threads", "2", "the test"}, {"runtime.dtype", dtype, "the test"}, {"runtime.kv_dtype", kv_dtype, "the test"}};
    struct tfr_engine *engine;
    assert_ok(tfr_engine_open(&engine, TFR_SOURCE_DIR "/configs/demo", overrides, 3));
    char *path = tfr_step_cost_path(engine);
    assert_non_null(path);
    tfr_engine_close(engine);
    return path;
}

/* Costs are of the type that caches have, however that was asked for. */
TFR_TEST(costs_are_of_the_type_of_caches) {
    TFR_UNUSED_STATE;
    static const struct {
        const char *dtype, *one, *other;
        bool is_same;
    } cases[] = {{"f32", "auto", "f32", true},
                 {"f32", "auto", "bf16", false},
                 {"bf16", "auto", "bf16", true},
                 {"bf16", "auto", "f32", false}};
    use_folder("warm_types");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *one = cost_path_of(cases[i].dtype, cases[i].one), *other = cost_path_of(cases[i].dtype, cases[i].other);
        assert_int_equal(strcmp(one, other) == 0, cases[i].is_same);
        tfr_free(one);
        tfr_free(other);
    }
}

/* Costs that were kept count while they are about right; those of another machine are measured again. */
TFR_TEST(kept_costs_are_held_against_the_machine) {
    TFR_UNUSED_STATE;
    use_folder("warm_kept");
    struct tfr_engine *engine = open_demo();
    struct tfr_step_cost wrong = {0};
    static const double at[] = {1, 2, 4, 6}, rows[] = {16, 32, 64, 128, 256, 512};
    for (size_t i = 0; i < 6; i++) {
        tfr_curve_add(&wrong.prefill, rows[i], 1e3 + (double)i);
        if (i < 4) {
            tfr_curve_add(&wrong.decode, at[i], 1e3);
        }
    }
    char *path = tfr_step_cost_path(engine);
    assert_ok(tfr_step_cost_write(&wrong, path));
    assert_ok(tfr_engine_warm(engine, NULL, NULL));
    assert_true(tfr_curve_s(&engine->batcher->cost.decode, 1) < 100);
    tfr_free(path);
    tfr_engine_close(engine);
}

TFR_TEST(without_a_cache_folder_it_serves_all_the_same) {
    TFR_UNUSED_STATE;
    assert_int_equal(setenv("XDG_CACHE_HOME", "/proc/nowhere", 1), 0);
    struct tfr_engine *engine = open_demo();
    assert_ok(tfr_engine_warm(engine, NULL, NULL));
    assert_true(tfr_step_cost_known(&engine->batcher->cost));
    tfr_engine_close(engine);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    engine = open_demo();
    assert_ok(tfr_engine_warm(engine, NULL, NULL));
    struct tfr_session *session;
    assert_ok(tfr_session_open(&session, engine, 8));
    tfr_session_close(session);
    tfr_engine_close(engine);
}

TFR_TEST_MAIN(TFR_CASE(costs_are_known_and_a_first_request_builds_nothing), TFR_CASE(costs_are_read_back_as_they_were),
              TFR_CASE(costs_are_of_the_type_of_caches), TFR_CASE(kept_costs_are_held_against_the_machine),
              TFR_CASE(without_a_cache_folder_it_serves_all_the_same))
