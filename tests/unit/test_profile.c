/* test_profile.c - a profile adds up to its steps, observes what it predicts, leaves no time stamps on, says why it can't count. */
#include <tfrun/profile.h>
#include <tfrun/tfrun.h>

#include <errno.h>
#include <math.h>

#include "tfr_test.h"

#include "base/arena.h"
#include "base/status.h"
#include "job/samples.h"
#include "profile/observe_kernels.h"
#include "profile/profile_run.h"
#include "tfr_requests.h"

static struct tfr_profile *profile_of(struct tfr_engine *engine, int64_t prompt_tokens, int64_t context, int64_t batch) {
    struct tfr_profile *profile;
    const struct tfr_profile_question question = {.prompt_tokens = prompt_tokens, .context = context, .batch = batch, .reps = 3};
    setenv("XDG_CACHE_HOME", "/nowhere", 1);
    assert_ok(tfr_profile_run(&profile, engine, &question));
    return profile;
}

static void expect_sums(const struct tfr_profile *profile, enum tfr_phase phase) {
    const struct tfr_profile_rank *sums = &profile->phase[phase].ranks[0];
    double nodes = 0, predicted = 0;
    for (size_t i = 0; i < profile->n_nodes; i++) {
        nodes += profile->nodes[i].phase == (int32_t)phase ? profile->nodes[i].ns : 0;
        predicted += profile->nodes[i].phase == (int32_t)phase ? profile->nodes[i].predicted_ns : 0;
    }
    assert_true(sums->span_ns > 0 && sums->between_ns >= 0 && sums->waited_ns == 0);
    assert_true(fabs(nodes + sums->between_ns - sums->span_ns) <= 1e-9 * sums->span_ns);
    assert_true(fabs(predicted + sums->predicted_between_ns - sums->predicted_ns) <= 1e-9 * sums->predicted_ns);
    for (int grouping = 0; grouping < TFR_GROUPING_COUNT; grouping++) {
        struct tfr_profile_group *groups;
        size_t n;
        double total = 0, gap = INFINITY;
        assert_ok(tfr_profile_groups(profile, phase, (enum tfr_grouping)grouping, &groups, &n));
        for (size_t i = 0; i < n; i++) {
            const double own = fabs(groups[i].ns - groups[i].predicted_ns);
            total += groups[i].ns;
            assert_true(own <= gap); /* the largest first */
            gap = own;
        }
        assert_true(fabs(total - nodes) <= 1e-9 * nodes);
        tfr_free(groups);
    }
}

TFR_TEST(nodes_add_up_to_the_step) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    struct tfr_profile *profile = profile_of(engine, 9, 7, 2);
    assert_false(profile->is_calibrated);
    assert_int_equal(profile->phase[TFR_PHASE_PREFILL].first.rows, 18);
    assert_int_equal(profile->phase[TFR_PHASE_DECODE].first.past, 7);
    expect_sums(profile, TFR_PHASE_PREFILL);
    expect_sums(profile, TFR_PHASE_DECODE);
    tfr_profile_free(profile);
    tfr_engine_close(engine);
}

static bool is_coloured(const struct tfr_step_picture *picture, const struct tfr_profile *profile) {
    char *text;
    assert_ok(tfr_step_picture_draw(picture, profile, TFR_REPORT_DOT, &text));
    const bool is = strstr(text, "of the time") != NULL;
    tfr_string_free(text);
    return is;
}

/* Drawn again and again, with times or without; also of a clock that told no time at all, but not those of another graph. */
TFR_TEST(a_picture_takes_the_times_of_its_own_graph) {
    TFR_UNUSED_STATE;
    const struct tfr_graph_question question = {.seq = 1, .batch = 1, .context = -1, .n_ranks = 1};
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    struct tfr_profile *profile = profile_of(engine, 3, 3, 1), *prompt = profile_of(engine, 3, -1, 1);
    struct tfr_step_picture *picture, *other;
    char *text;
    assert_ok(tfr_step_picture_open(&picture, GOLDEN "base", NULL, 0, &question));
    assert_false(is_coloured(picture, NULL));
    assert_true(is_coloured(picture, profile));
    assert_false(is_coloured(picture, NULL));
    for (size_t i = 0; i < profile->n_nodes; i++) {
        profile->nodes[i].ns = 0;
    }
    assert_true(is_coloured(picture, profile));
    assert_refused(tfr_step_picture_draw(picture, prompt, TFR_REPORT_DOT, &text), TFR_USAGE, "the profile has no decode");
    assert_ok(tfr_step_picture_open(&other, GOLDEN "layers_5", NULL, 0, &question));
    assert_refused(tfr_step_picture_draw(other, profile, TFR_REPORT_DOT, &text), TFR_USAGE, "has no time of");
    tfr_step_picture_close(other);
    tfr_step_picture_close(picture);
    tfr_profile_free(prompt);
    tfr_profile_free(profile);
    tfr_engine_close(engine);
}

TFR_TEST(a_long_prompt_goes_in_steps) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_model(GOLDEN "base", "runtime.max_rows", "4");
    struct tfr_profile *profile = profile_of(engine, 10, -1, 1);
    assert_int_equal(profile->phase[TFR_PHASE_PREFILL].n_steps, 3);
    assert_false(profile->phase[TFR_PHASE_DECODE].is_there);
    expect_sums(profile, TFR_PHASE_PREFILL);
    tfr_profile_free(profile);
    tfr_engine_close(engine);
}

TFR_TEST(questions_beyond_the_model_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    const int64_t n = tfr_engine_n_positions(engine);
    struct tfr_profile *profile;
    struct tfr_profile_question question = {.prompt_tokens = n + 1, .context = 0, .batch = 1, .reps = 1};
    assert_refused(tfr_profile_run(&profile, engine, &question), TFR_USAGE, "n_positions");
    question = (struct tfr_profile_question){.prompt_tokens = 1, .context = n, .batch = 1, .reps = 1};
    assert_refused(tfr_profile_run(&profile, engine, &question), TFR_USAGE, "n_positions");
    question = (struct tfr_profile_question){.prompt_tokens = 1, .context = 1, .batch = 1000, .reps = 1};
    assert_refused(tfr_profile_run(&profile, engine, &question), TFR_USAGE, "runtime.max_batch");
    question = (struct tfr_profile_question){.prompt_tokens = 0, .context = -1, .batch = 1, .reps = 1};
    assert_refused(tfr_profile_run(&profile, engine, &question), TFR_USAGE, "nothing to run");
    tfr_engine_close(engine);
    engine = open_model(GOLDEN "base", "runtime.max_rows", "3"); /* of which each sequence takes one */
    question = (struct tfr_profile_question){.prompt_tokens = 1, .context = 1, .batch = 4, .reps = 1};
    assert_refused(tfr_profile_run(&profile, engine, &question), TFR_USAGE, "1..3 are possible (tfrun.runtime.max_rows)");
    tfr_engine_close(engine);
}

/* Stamps are taken while a profile runs, and by nobody afterwards. */
TFR_TEST(afterwards_no_stamps_are_taken) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_model(GOLDEN "base", NULL, NULL);
    tfr_profile_free(profile_of(engine, 3, 3, 1));
    const size_t n = tfr_trace_count(engine->watch);
    assert_true(n > 0);
    struct tfr_session *session;
    const int32_t id = 1;
    const float *logits;
    assert_ok(tfr_session_open(&session, engine, 4));
    const struct tfr_feed feed = {.session = session, .ids = &id, .n = 1, .keep = 1};
    assert_ok(tfr_engine_feed(engine, &feed, 1, &logits));
    assert_int_equal(tfr_trace_count(engine->watch), n);
    const struct tfr_profile_question question = {.prompt_tokens = 3, .context = -1, .batch = 1, .reps = 1};
    struct tfr_profile *profile;
    tfr_engine_cancel();
    assert_refused(tfr_profile_run(&profile, engine, &question), TFR_CANCELLED, "stopped");
    assert_int_equal(tfr_trace_count(engine->watch), 0); /* a watch that was stopped before its first step */
    assert_ok(tfr_engine_feed(engine, &feed, 1, &logits));
    assert_int_equal(tfr_trace_count(engine->watch), 0);
    int n_failed = 0;
    for (enum tfr_status status = TFR_RESOURCE; status != TFR_OK; n_failed += status != TFR_OK) {
        tfr_alloc_fail_after(n_failed + 1);
        status = tfr_engine_watch(engine, 2);
        tfr_alloc_fail_after(0);
        assert_true(engine->is_watched == (status == TFR_OK)); /* a watch that can't be opened is none */
    }
    assert_true(n_failed > 1);
    assert_ok(tfr_engine_watch(engine, 0));
    assert_false(engine->is_watched);
    tfr_session_close(session);
    tfr_engine_close(engine);
}

/* Every task of a step is there, and what was observed predicts itself. */
TFR_TEST(observations_become_points_that_predict_them) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_model(GOLDEN "base", "runtime.max_rows", "8");
    struct tfr_observations seen = {0};
    struct tfr_calibration calibration = {.roofs = {.n_threads = engine->threads.n_threads,
                                                    .flops = {{.dtype = TFR_DTYPE_F32, .one_core = 1e9, .all_cores = 1e9}},
                                                    .n_flops = 1,
                                                    .bandwidth = {{.bytes = 1, .one_core = 1e9, .all_cores = 1e9}},
                                                    .n_bandwidths = 1}};
    calibration.conditions.threads = engine->threads.n_threads;
    assert_ok(tfr_observe_kernels(&seen, engine, true, NULL, NULL));
    assert_true(seen.n > 0);
    const struct tfr_task_facts facts = seen.items[0].facts;
    assert_ok(tfr_observations_settle(&seen, &calibration));
    assert_int_equal(seen.n, 0);
    const struct tfr_calibration_kernel *known = tfr_calibration_find(&calibration, facts.kernel, facts.shape, facts.threads);
    assert_non_null(known);
    for (size_t i = 0; i < known->n_points; i++) {
        const struct tfr_calibration_point *point = &known->points[i];
        const double at = tfr_efficiency_at(known, point->class_rows, point->rows, point->context);
        assert_true(fabs(point->roof_ns / at - point->ns) <= 1e-9 * point->ns);
    }
    assert_non_null(tfr_calibration_find(&calibration, TFR_BETWEEN_TASKS, "", engine->threads.n_threads));
    tfr_calibration_free(&calibration);
    tfr_engine_close(engine);
}

/* Where the clock goes in large steps a task takes no time, and what passes between tasks less than none: no file takes that. */
TFR_TEST(what_took_no_time_becomes_no_point) {
    TFR_UNUSED_STATE;
    static const char *const names[] = {"never seen", "mostly seen", TFR_BETWEEN_TASKS};
    static const double took[][3] = {{0, 0, 5}, {0, 5, 5}, {-1, -1, -1}};
    struct tfr_observations seen = {.items = tfr_alloc(9, sizeof *seen.items), .capacity = 9};
    struct tfr_calibration calibration = {.roofs = {.n_threads = 1}};
    assert_non_null(seen.items);
    for (int kernel = 0; kernel < 3; kernel++) {
        for (int i = 0; i < 3; i++) {
            struct tfr_observation *item = &seen.items[seen.n++];
            *item = (struct tfr_observation){.facts = {.threads = 1, .class_rows = 1, .rows = 1, .rows_each = 1},
                                             .ns = took[kernel][i]};
            snprintf(item->facts.kernel, sizeof item->facts.kernel, "%s", names[kernel]);
        }
    }
    assert_ok(tfr_observations_settle(&seen, &calibration));
    assert_null(tfr_calibration_find(&calibration, names[0], "", 1));
    assert_null(tfr_calibration_find(&calibration, names[2], "", 1));
    const struct tfr_calibration_kernel *known = tfr_calibration_find(&calibration, names[1], "", 1);
    assert_non_null(known);
    assert_true(known->n_points == 1 && known->points[0].ns == 5);
    tfr_calibration_free(&calibration);
}

TFR_TEST(names_become_groups_and_modules) {
    TFR_UNUSED_STATE;
    static const char *const names[][3] = {{"h.11.attn.c_attn", "h.*.attn.c_attn", "h.*.attn"},
                                           {"h.0.attn", "h.*.attn", "h.*.attn"},
                                           {"h.3.mlp.c_fc+gelu_tanh", "h.*.mlp.c_fc+gelu_tanh", "h.*.mlp"},
                                           {"h.3.ln_1", "h.*.ln_1", "h.*.ln_1"},
                                           {"lm_head", "lm_head", "lm_head"},
                                           {"h.x", "h.x", "h.x"}};
    for (size_t i = 0; i < TFR_COUNT_OF(names); i++) {
        char text[64];
        tfr_node_group(names[i][0], text, sizeof text);
        assert_string_equal(text, names[i][1]);
        tfr_node_module(names[i][0], text, sizeof text);
        assert_string_equal(text, names[i][2]);
    }
}

TFR_TEST(why_nothing_is_counted_is_said_with_the_fix) {
    TFR_UNUSED_STATE;
    char reason[256];
    tfr_counters_explain(EACCES, 3, reason, sizeof reason);
    assert_non_null(strstr(reason, "kernel.perf_event_paranoid is 3"));
    tfr_counters_explain(ENOENT, 2, reason, sizeof reason);
    assert_non_null(strstr(reason, "virtual machine"));
    tfr_counters_explain(ENOSYS, 2, reason, sizeof reason);
    assert_non_null(strstr(reason, "CONFIG_PERF_EVENTS"));
    tfr_counters_explain(EMFILE, 2, reason, sizeof reason);
    assert_non_null(strstr(reason, "perf_event_open fails"));
    struct tfr_counters *counters = tfr_counters_open(reason, sizeof reason);
    if (counters != NULL) { /* where it is allowed, something is counted */
        struct tfr_counts counts;
        tfr_counters_read(counters, &counts);
        assert_true(counts.has[TFR_COUNT_CYCLES] || counts.has[TFR_COUNT_INSTRUCTIONS] || counts.has[TFR_COUNT_MISSES]);
    } else {
        assert_true(reason[0] != '\0');
    }
    tfr_counters_close(counters);
}

TFR_TEST_MAIN(TFR_CASE(nodes_add_up_to_the_step), TFR_CASE(a_picture_takes_the_times_of_its_own_graph),
              TFR_CASE(a_long_prompt_goes_in_steps), TFR_CASE(questions_beyond_the_model_are_refused),
              TFR_CASE(afterwards_no_stamps_are_taken), TFR_CASE(observations_become_points_that_predict_them),
              TFR_CASE(what_took_no_time_becomes_no_point), TFR_CASE(names_become_groups_and_modules),
              TFR_CASE(why_nothing_is_counted_is_said_with_the_fix))
