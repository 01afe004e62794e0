/* test_steps.c - a step in flight fails, and somebody else meets the failure first: whoever looks at its logits is told all the
 * same, and so is whoever only lets steps go on. */
#include "tfr_test.h"

#include <stdlib.h>

#include "rank/rank.h"
#include "session/feeding.h"

#define REASON "h.0.ln_1: layer_norm.f32.failing_run.plain failed: the vendor says no"

static const int32_t ids[] = {5, 9, 7};

/* A kernel of its plan fails, unless TFRUN_TEST_KERNEL_WORKS is set. */
static struct tfr_engine *open_failing(void) {
    const struct tfr_override overrides[] = {{"plugins", TFR_BINARY_DIR "/tests/plugins/failing_run_plugin.so", "the test"},
                                             {"runtime.kernels", "failing_run", "the test"},
                                             {"runtime.threads", "2", "the test"}};
    struct tfr_engine *engine;
    assert_int_equal(unsetenv("TFRUN_TEST_KERNEL_WORKS"), 0);
    assert_ok(tfr_engine_open(&engine, TFR_SOURCE_DIR "/configs/demo", overrides, sizeof overrides / sizeof overrides[0]));
    return engine;
}

struct fed {
    struct tfr_session *session;
    struct tfr_feeding feeding;
};

static enum tfr_status begin(struct tfr_engine *engine, struct fed *fed) {
    *fed = (struct fed){0};
    assert_ok(tfr_session_open(&fed->session, engine, 8));
    const struct tfr_feed feed = {.session = fed->session, .ids = ids, .n = 3, .keep = 1};
    return tfr_feed_begin(&fed->feeding, engine, &feed, 1, false);
}

static enum tfr_status end(struct fed *fed) {
    const float *logits;
    return tfr_feed_end(&fed->feeding, &logits);
}

static void leave(struct fed *fed) {
    tfr_feeding_close(&fed->feeding);
    tfr_session_close(fed->session);
}

/* It has failed, and nobody has looked. */
static void begin_failed(struct tfr_engine *engine, struct fed *fed) {
    assert_ok(begin(engine, fed));
    assert_int_equal(fed->feeding.n_awaited, 1);
    assert_false(tfr_steps_in_flight(engine));
}

/* The next step is as good as ever. */
static void expect_well(struct tfr_engine *engine) {
    struct fed next;
    assert_int_equal(setenv("TFRUN_TEST_KERNEL_WORKS", "1", 1), 0);
    assert_ok(begin(engine, &next));
    assert_ok(end(&next));
    leave(&next);
    for (int i = 0; i < TFR_STEP_MEMORIES; i++) {
        const struct tfr_step_memory *memory = &engine->steps.memory[i];
        assert_true(memory->run == NULL && memory->failed == NULL && !memory->taken);
    }
    assert_int_equal(engine->steps.n_runs, 0);
}

TFR_TEST(logits_of_a_step_that_failed_while_all_were_waited_for_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_failing();
    struct fed fed;
    begin_failed(engine, &fed);
    assert_refused(tfr_steps_settle(engine, -1), TFR_RUNTIME, REASON);
    assert_ok(tfr_steps_settle(engine, -1)); /* it was told */
    assert_refused(end(&fed), TFR_RUNTIME, REASON);
    leave(&fed);
    expect_well(engine);
    tfr_engine_close(engine);
}

TFR_TEST(logits_of_a_step_that_failed_to_make_room_for_another_are_refused) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_failing();
    struct fed fed, other;
    engine->steps.most = 1;
    begin_failed(engine, &fed);
    assert_refused(begin(engine, &other), TFR_RUNTIME, REASON);
    assert_int_equal(other.feeding.n_awaited, 0);
    assert_refused(end(&fed), TFR_RUNTIME, REASON);
    leave(&fed);
    leave(&other);
    expect_well(engine);
    tfr_engine_close(engine);
}

/* As one that failed while another step was waited for: nothing goes on any more that could tell of it. */
TFR_TEST(a_step_that_failed_is_told_of_where_nothing_goes_on) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_failing();
    struct fed fed;
    bool went_on;
    begin_failed(engine, &fed);
    assert_refused(tfr_steps_progress(engine, &went_on), TFR_RUNTIME, REASON);
    assert_false(went_on);
    assert_ok(tfr_steps_progress(engine, &went_on));
    assert_refused(end(&fed), TFR_RUNTIME, REASON);
    leave(&fed);
    expect_well(engine);
    tfr_engine_close(engine);
}

TFR_TEST(an_engine_closes_with_a_failed_step_that_nobody_looked_at) {
    TFR_UNUSED_STATE;
    struct tfr_engine *engine = open_failing();
    struct fed fed;
    begin_failed(engine, &fed);
    assert_int_equal(tfr_steps_settle(engine, -1), TFR_RUNTIME);
    leave(&fed);
    tfr_engine_close(engine);
}

TFR_TEST_MAIN(TFR_CASE(logits_of_a_step_that_failed_while_all_were_waited_for_are_refused),
              TFR_CASE(logits_of_a_step_that_failed_to_make_room_for_another_are_refused),
              TFR_CASE(a_step_that_failed_is_told_of_where_nothing_goes_on),
              TFR_CASE(an_engine_closes_with_a_failed_step_that_nobody_looked_at))
