/* test_step_cost.c - the cost of a step as a sum, the budget as its inverse, and what is learned from real steps. */
#include "tfr_test.h"

#include <math.h>

#include "serve/step_cost.h"

/* As measured once: GPT-2's shape, bf16, two cores. */
static struct tfr_step_cost measured(void) {
    static const double decode[][2] = {{1, 5e-3}, {2, 5.5e-3}, {4, 6.2e-3}, {8, 10e-3}, {16, 17e-3}, {32, 32e-3}};
    static const double prefill[][2] = {{16, 9e-3}, {32, 15.5e-3}, {64, 28.6e-3}, {128, 55e-3}, {256, 112e-3}, {512, 236e-3}};
    struct tfr_step_cost cost = {.decode_keys = 128, .decode_key_s = 2e-6, .prefill_key_s = 0.2e-6, .scored_row_s = 0.3e-3};
    for (size_t i = 0; i < 6; i++) {
        tfr_curve_add(&cost.decode, decode[i][0], decode[i][1]);
        tfr_curve_add(&cost.prefill, prefill[i][0], prefill[i][1]);
    }
    return cost;
}

static void expect_near(double have, double want, double share) {
    if (!(fabs(have - want) <= share * fabs(want))) {
        fail_msg("%g is not %g", have, want);
    }
}

TFR_TEST(a_curve_is_straight_between_its_points) {
    TFR_UNUSED_STATE;
    const struct tfr_step_cost cost = measured();
    struct tfr_cost_curve one = {0};
    expect_near(tfr_curve_s(&cost.decode, 8), 10e-3, 1e-12);
    expect_near(tfr_curve_s(&cost.decode, 12), 13.5e-3, 1e-12);
    expect_near(tfr_curve_s(&cost.prefill, 1), 9e-3, 1e-12); /* a step reads all weights for one row too */
    expect_near(tfr_curve_s(&cost.decode, 48), 47e-3, 1e-12);
    assert_true(tfr_curve_s(&cost.decode, 0) == 0 && tfr_curve_s(&one, 5) == 0);
    tfr_curve_add(&one, 4, 8e-3);
    expect_near(tfr_curve_s(&one, 2), 8e-3, 1e-12);
    expect_near(tfr_curve_s(&one, 8), 16e-3, 1e-12);
    for (int i = 0; i < 40; i++) { /* one point too many is left out */
        tfr_curve_add(&one, 5 + i, 9e-3);
    }
    assert_int_equal(one.n, TFR_CURVE_POINTS);
}

TFR_TEST(a_step_is_the_sum_of_its_parts) {
    TFR_UNUSED_STATE;
    const struct tfr_step_cost cost = measured();
    const struct tfr_step_shape decode = {.sequences = 8, .decode_keys = 8 * 128}, late = {.sequences = 8, .decode_keys = 8 * 628},
                                mixed = {.sequences = 8, .decode_keys = 8 * 128, .prompt_rows = 64},
                                scored = {.prompt_rows = 64, .prompt_past = 500, .scored_share = 1};
    expect_near(tfr_step_cost_s(&cost, &decode), 10e-3, 1e-12);
    expect_near(tfr_step_cost_s(&cost, &late), 18e-3, 1e-12);
    expect_near(tfr_step_cost_s(&cost, &mixed), 38.6e-3, 1e-12);
    expect_near(tfr_step_cost_s(&cost, &scored), 28.6e-3 + 64 * (500 * 0.2e-6 + 0.3e-3), 1e-12);
}

TFR_TEST(a_budget_is_what_fits_and_no_row_more) {
    TFR_UNUSED_STATE;
    const struct tfr_step_cost cost = measured();
    for (int64_t n = 1; n <= 32; n++) {
        for (double target_s = 20e-3; target_s < 0.4; target_s *= 1.3) {
            struct tfr_step_shape shape = {.sequences = n, .decode_keys = (double)n * 200, .prompt_past = 300};
            const int64_t rows = tfr_step_budget(&cost, &shape, target_s, 16, 480);
            assert_in_range(rows, 16, 480);
            shape.prompt_rows = rows;
            assert_true(rows == 16 || tfr_step_cost_s(&cost, &shape) <= target_s);
            shape.prompt_rows = rows + 1;
            assert_true(rows == 480 || tfr_step_cost_s(&cost, &shape) > target_s);
        }
    }
}

TFR_TEST(costs_follow_a_machine_that_changes) {
    TFR_UNUSED_STATE;
    struct tfr_step_cost cost = measured();
    const struct tfr_step_cost before = cost;
    const struct tfr_step_shape decode = {.sequences = 12, .decode_keys = 12 * 128},
                                mixed = {.sequences = 8, .decode_keys = 8 * 128, .prompt_rows = 100};
    for (int i = 0; i < 200; i++) { /* half as fast as it was */
        tfr_step_cost_learn(&cost, &decode, 2 * tfr_step_cost_s(&before, &decode));
        tfr_step_cost_learn(&cost, &mixed, 2 * tfr_step_cost_s(&before, &mixed));
    }
    expect_near(tfr_step_cost_s(&cost, &decode), 2 * tfr_step_cost_s(&before, &decode), 0.02);
    expect_near(tfr_step_cost_s(&cost, &mixed), 2 * tfr_step_cost_s(&before, &mixed), 0.02);
    expect_near(tfr_step_prefill_rate(&cost), tfr_step_prefill_rate(&before) / 2, 0.15);
    assert_true(tfr_curve_s(&cost.decode, 1) > 1.3 * tfr_curve_s(&before.decode, 1)); /* those that nobody visits come along */
}

TFR_TEST(one_odd_step_moves_little) {
    TFR_UNUSED_STATE;
    struct tfr_step_cost cost = measured();
    const struct tfr_step_shape decode = {.sequences = 8, .decode_keys = 8 * 128}, mixed = {.sequences = 8, .prompt_rows = 64},
                                nothing = {0};
    const double decode_s = tfr_step_cost_s(&cost, &decode);
    tfr_step_cost_learn(&cost, &decode, 5);
    expect_near(tfr_step_cost_s(&cost, &decode), decode_s, 0.13);
    tfr_step_cost_learn(&cost, &mixed, 1e-9); /* faster than decoding alone */
    tfr_step_cost_learn(&cost, &nothing, 1);
    tfr_step_cost_learn(&cost, &decode, 0);
    assert_true(tfr_step_cost_s(&cost, &mixed) > 0);
    struct tfr_step_cost unknown = {0};
    tfr_step_cost_learn(&unknown, &decode, 1);
    assert_false(tfr_step_cost_known(&unknown));
    assert_true(tfr_step_prefill_rate(&unknown) == 0 && tfr_step_token_weight(&unknown, 8) == 4);
    assert_int_equal(tfr_step_budget(&unknown, &decode, 0.06, 16, 512), 512);
}

TFR_TEST(a_token_costs_some_rows_of_a_prompt) {
    TFR_UNUSED_STATE;
    const struct tfr_step_cost cost = measured();
    expect_near(tfr_step_prefill_rate(&cost), 128 / 55e-3, 1e-12);
    expect_near(tfr_step_token_weight(&cost, 16), 17e-3 / 16 * 128 / 55e-3, 1e-12);
}

TFR_TEST_MAIN(TFR_CASE(a_curve_is_straight_between_its_points), TFR_CASE(a_step_is_the_sum_of_its_parts),
              TFR_CASE(a_budget_is_what_fits_and_no_row_more), TFR_CASE(costs_follow_a_machine_that_changes),
              TFR_CASE(one_odd_step_moves_little), TFR_CASE(a_token_costs_some_rows_of_a_prompt))
