/* test_predict.c - laws of predictions: exact where it was calibrated, between two points monotone and within them, roofs. */
#include "predict/predict.h"

#include <math.h>
#include <stdio.h>

#include "base/status.h"
#include "tfr_test.h"

static const struct tfr_roofs roofs = {
    .n_threads = 4,
    .flops = {{.dtype = TFR_DTYPE_F32, .isa = 1, .one_core = 5e10, .all_cores = 2e11},
              {.dtype = TFR_DTYPE_F32, .isa = 2, .one_core = 1e11, .all_cores = 4e11},
              {.dtype = TFR_DTYPE_BF16, .isa = 4, .one_core = 2e11, .all_cores = 8e11}},
    .n_flops = 3,
    .bandwidth = {{.bytes = 1 << 14, .one_core = 2e11, .all_cores = 8e11},
                  {.bytes = 1 << 20, .one_core = 1e11, .all_cores = 3e11},
                  {.bytes = 1 << 28, .one_core = 2e10, .all_cores = 5e10}},
    .n_bandwidths = 3,
    .barrier_ns = 150,
};

static void assert_near(double have, double want) {
    if (!(fabs(have - want) <= 1e-12 * fabs(want))) {
        fail_msg("%.17g is not %.17g", have, want);
    }
}

/* Two classes; in the second two numbers of rows, each at three contexts. Efficiencies 0.1, 0.2, ... in order. */
static struct tfr_calibration_point points[] = {
    {.class_rows = 16, .rows = 9},
    {.class_rows = 16, .rows = 16},
    {.class_rows = 64, .rows = 17, .context = 0},
    {.class_rows = 64, .rows = 17, .context = 100},
    {.class_rows = 64, .rows = 17, .context = 900},
    {.class_rows = 64, .rows = 64, .context = 0},
    {.class_rows = 64, .rows = 64, .context = 100},
    {.class_rows = 64, .rows = 64, .context = 900},
};

static struct tfr_calibration_kernel make_kernel(void) {
    struct tfr_calibration_kernel kernel = {.kernel = "k", .shape = "8x8", .threads = 4, .points = points};
    kernel.n_points = TFR_COUNT_OF(points);
    for (size_t i = 0; i < kernel.n_points; i++) {
        points[i].roof_ns = 1000;
        points[i].ns = 1000 / (0.1 * (double)(i + 1));
    }
    return kernel;
}

TFR_TEST(efficiency_is_exact_where_it_was_calibrated) {
    TFR_UNUSED_STATE;
    const struct tfr_calibration_kernel kernel = make_kernel();
    for (size_t i = 0; i < kernel.n_points; i++) {
        assert_near(tfr_efficiency_at(&kernel, points[i].class_rows, points[i].rows, points[i].context), 0.1 * (double)(i + 1));
    }
}

static void expect_between(double value, double a, double b) {
    assert_true(value >= fmin(a, b) - 1e-12 && value <= fmax(a, b) + 1e-12);
}

TFR_TEST(efficiency_is_monotone_between_two_points) {
    TFR_UNUSED_STATE;
    const struct tfr_calibration_kernel kernel = make_kernel();
    double before = 0;
    for (int64_t rows = 17; rows <= 64; rows++) {
        const double at = tfr_efficiency_at(&kernel, 64, rows, 100);
        expect_between(at, 0.4, 0.7);
        assert_true(at > before);
        before = at;
    }
    before = 0;
    for (int64_t context = 0; context <= 900; context++) {
        const double at = tfr_efficiency_at(&kernel, 64, 40, context);
        assert_true(at > before);
        before = at;
    }
}

TFR_TEST(beyond_the_outermost_points_efficiency_stays) {
    TFR_UNUSED_STATE;
    const struct tfr_calibration_kernel kernel = make_kernel();
    assert_near(tfr_efficiency_at(&kernel, 16, 1, 0), 0.1);
    assert_near(tfr_efficiency_at(&kernel, 64, 100, 0), 0.6);
    assert_near(tfr_efficiency_at(&kernel, 64, 64, 5000), 0.8);
    assert_near(tfr_efficiency_at(&kernel, 32, 17, 0), 0.3);  /* no such class: the next one above */
    assert_near(tfr_efficiency_at(&kernel, 128, 64, 0), 0.6); /* nor any above: the largest */
    const struct tfr_calibration_kernel none = {.kernel = "none"};
    assert_near(tfr_efficiency_at(&none, 1, 1, 0), 1);
}

TFR_TEST(bandwidth_is_exact_at_its_points_and_falls_between_them) {
    TFR_UNUSED_STATE;
    double before = INFINITY;
    for (int i = 0; i < roofs.n_bandwidths; i++) {
        assert_near(tfr_roof_bandwidth(&roofs, 4, (double)roofs.bandwidth[i].bytes), roofs.bandwidth[i].all_cores);
        assert_near(tfr_roof_bandwidth(&roofs, 1, (double)roofs.bandwidth[i].bytes), roofs.bandwidth[i].one_core);
    }
    for (double set = 1 << 14; set <= 1 << 28; set *= 1.1) {
        const double at = tfr_roof_bandwidth(&roofs, 4, set);
        assert_true(at < before);
        before = at;
    }
    assert_near(tfr_roof_bandwidth(&roofs, 4, 0), 8e11);
    assert_near(tfr_roof_bandwidth(&roofs, 4, 1e18), 5e10);
    expect_between(tfr_roof_bandwidth(&roofs, 2, 1 << 20), 1e11, 3e11);
}

TFR_TEST(peaks_are_those_of_the_units_that_a_kernel_names) {
    TFR_UNUSED_STATE;
    assert_near(tfr_roof_flops(&roofs, 4, TFR_DTYPE_F32, 2), 4e11);
    assert_near(tfr_roof_flops(&roofs, 4, TFR_DTYPE_F32, 1), 2e11);
    assert_near(tfr_roof_flops(&roofs, 1, TFR_DTYPE_F32, 0), 1e11); /* what there is */
    assert_near(tfr_roof_flops(&roofs, 4, TFR_DTYPE_BF16, 0), 8e11);
    assert_near(tfr_roof_flops(&roofs, 4, TFR_DTYPE_I8, 0), 4e11); /* as f32, where whole numbers have no units */
    assert_near(tfr_roof_flops(&roofs, 4, TFR_DTYPE_I8, 1), 2e11);
}

TFR_TEST(memory_of_another_speed_scales_what_lies_beyond_the_caches) {
    TFR_UNUSED_STATE;
    struct tfr_roofs then = roofs;
    /* The last point has twice that, of which nothing stays. */
    then.l3_bytes = 1 << 27;
    /* What memory gave then is not known. */
    struct tfr_roofs now = tfr_roofs_with_memory(&then, 1e10);
    assert_memory_equal(&now, &then, sizeof now);
    then.memory_rate = 2e10;
    now = tfr_roofs_with_memory(&then, 1e10);
    assert_near(tfr_roof_bandwidth(&now, 4, 1 << 20), 3e11);
    assert_near(tfr_roof_bandwidth(&now, 4, 1e18), 2.5e10);
    now = tfr_roofs_with_memory(&then, 0);
    assert_near(tfr_roof_bandwidth(&now, 4, 1e18), 5e10);
}

/* What caches hold has nothing to do with what memory gives, also where nobody knows of a third level, or of none. */
TFR_TEST(memory_of_machines_without_a_third_cache_is_what_lies_beyond_the_second) {
    TFR_UNUSED_STATE;
    struct tfr_roofs then = roofs;
    then.memory_rate = 2e10;
    then.bandwidth[1].bytes = 1 << 24;
    for (int64_t l2_bytes = 0; l2_bytes <= 1 << 22; l2_bytes += 1 << 22) { /* of four threads */
        then.l2_bytes = l2_bytes;
        const struct tfr_roofs now = tfr_roofs_with_memory(&then, 1e10);
        assert_near(tfr_roof_bandwidth(&now, 4, 1 << 14), 8e11);
        assert_near(tfr_roof_bandwidth(&now, 4, 1 << 24), 3e11);
        assert_near(tfr_roof_bandwidth(&now, 4, 1e18), 2.5e10);
    }
    then.l2_bytes = 1 << 20;
    const struct tfr_roofs now = tfr_roofs_with_memory(&then, 1e10);
    assert_near(tfr_roof_bandwidth(&now, 4, 1 << 14), 8e11);
    assert_near(tfr_roof_bandwidth(&now, 4, 1 << 24), 1.5e11);
}

TFR_TEST(roofs_are_those_of_the_minutes_in_which_kernels_were_measured) {
    TFR_UNUSED_STATE;
    struct tfr_roofs then = roofs;
    then.l3_bytes = 1 << 22;
    tfr_roofs_set_memory(&then, 2e10); /* the table was measured while memory gave 5e10 */
    assert_near(then.memory_rate, 2e10);
    assert_near(tfr_roof_bandwidth(&then, 4, 1 << 20), 3e11);
    assert_near(tfr_roof_bandwidth(&then, 4, 1e18), 2e10);
    const struct tfr_roofs now = tfr_roofs_with_memory(&then, 5e10);
    assert_near(tfr_roof_bandwidth(&now, 4, 1e18), 5e10);
}

TFR_TEST(a_set_that_was_measured_has_a_point_of_its_own) {
    TFR_UNUSED_STATE;
    struct tfr_roofs now = roofs;
    const struct tfr_bandwidth *largest = &now.bandwidth[now.n_bandwidths - 1];
    const int64_t bytes = largest->bytes - 4096, n = now.n_bandwidths;
    tfr_roofs_put_set(&now, bytes, 6e10);
    assert_int_equal(now.n_bandwidths, n + 1);
    assert_near(tfr_roof_bandwidth(&now, 4, (double)bytes), 6e10);
    assert_near(tfr_roof_bandwidth(&now, 4, 1e18), 5e10);
    assert_near(tfr_roof_bandwidth(&now, 4, 1 << 20), 3e11);
    tfr_roofs_put_set(&now, bytes, 7e10); /* again: no second one */
    assert_int_equal(now.n_bandwidths, n + 1);
    assert_near(tfr_roof_bandwidth(&now, 4, (double)bytes), 7e10);
    const struct tfr_roofs before = now;
    tfr_roofs_put_set(&now, INT64_MAX, 9e10); /* beyond the largest */
    tfr_roofs_put_set(&now, bytes, 0);        /* not measured */
    now.n_bandwidths = TFR_MAX_BANDWIDTHS;
    tfr_roofs_put_set(&now, 5000, 9e10); /* no room */
    now.n_bandwidths = before.n_bandwidths;
    assert_memory_equal(&now, &before, sizeof now);
}

TFR_TEST(the_roof_is_the_slower_of_both_ways) {
    TFR_UNUSED_STATE;
    struct tfr_task_facts facts = {.dtype = TFR_DTYPE_F32,
                                   .threads = 4,
                                   .flops = 4e8,
                                   .near_bytes = 3e5,
                                   .near_set = 1 << 20,
                                   .far_bytes = 5e5,
                                   .far_set = 1e12};
    enum tfr_bound bound;
    assert_near(tfr_roof_ns(&roofs, &facts, &bound), 1e6);
    assert_int_equal(bound, TFR_BOUND_COMPUTE);
    facts.flops = 4e5;
    assert_near(tfr_roof_ns(&roofs, &facts, &bound), 1e3 + 1e4);
    assert_int_equal(bound, TFR_BOUND_MEMORY);
}

static int32_t units_of(enum tfr_op op, int32_t x_dtype) {
    const struct tfr_kernel kernel = {.name = "any", .op = op};
    struct tfr_task task = {.name = "h.0.attn", .kernel = &kernel, .rows = TFR_ROWS_TOKENS};
    task.problem = (struct tfr_problem){
        .struct_size = sizeof task.problem,
        .op = op,
        .n_args = 3,
        .n_threads = 1,
        .rows_max = 64,
        .arg = {{.rank = 2, .dim = {64, 192}, .flags = TFR_ARG_VAR_ROWS},
                {.dtype = TFR_DTYPE_BF16, .rank = 2, .dim = {4, 16}, .flags = TFR_ARG_READ},
                {.rank = 2, .dim = {64, 64}, .flags = TFR_ARG_VAR_ROWS}},
        .attrs = {.struct_size = sizeof(struct tfr_attrs), .n_heads = 4, .head_dim = 16, .causal = 1, .x_dtype = x_dtype}};
    const struct tfr_plan plan = {.tasks = &task, .n_tasks = 1, .n_threads = 1};
    struct tfr_task_facts facts;
    tfr_task_facts_make(&facts, &plan, 0, &(struct tfr_step_facts){.rows = 64, .sequences = 1, .logits = 1});
    return facts.dtype;
}

TFR_TEST(attention_keeps_the_units_of_its_products_busy) {
    TFR_UNUSED_STATE;
    assert_int_equal(units_of(TFR_OP_ATTENTION, TFR_DTYPE_F32), TFR_DTYPE_F32); /* whatever its cache holds */
    assert_int_equal(units_of(TFR_OP_ATTENTION, TFR_DTYPE_BF16), TFR_DTYPE_BF16);
    assert_int_equal(units_of(TFR_OP_KV_APPEND, TFR_DTYPE_BF16), TFR_DTYPE_F32);
}

TFR_TEST(a_shape_that_was_not_calibrated_takes_the_nearest_of_its_kernel) {
    TFR_UNUSED_STATE;
    struct tfr_calibration calibration = {.roofs = roofs, .conditions = {.threads = 4}};
    const struct tfr_calibration_point half = {.class_rows = 1, .rows = 1, .ns = 200, .roof_ns = 100},
                                       tenth = {.class_rows = 1, .rows = 1, .ns = 1000, .roof_ns = 100};
    assert_ok(tfr_calibration_add(&calibration, "linear", "768x768 bias", 4, &half));
    assert_ok(tfr_calibration_add(&calibration, "linear", "768x3072 bias", 4, &tenth));
    struct tfr_task_facts facts = {
        .kernel = "linear", .shape = "768x768 bias", .threads = 4, .class_rows = 1, .rows = 1, .rows_each = 1, .flops = 4e8};
    struct tfr_task_prediction prediction;
    tfr_predict_task(&calibration, &facts, &prediction);
    assert_int_equal(prediction.base, TFR_BASED_ON_SHAPE);
    assert_near(prediction.ns, 2e6);
    snprintf(facts.shape, sizeof facts.shape, "1024x3072 bias");
    tfr_predict_task(&calibration, &facts, &prediction);
    assert_int_equal(prediction.base, TFR_BASED_ON_KERNEL);
    assert_near(prediction.ns, 1e7);
    snprintf(facts.kernel, sizeof facts.kernel, "another");
    tfr_predict_task(&calibration, &facts, &prediction);
    assert_int_equal(prediction.base, TFR_BASED_ON_ROOF);
    assert_near(prediction.ns, prediction.roof_ns);
    tfr_calibration_free(&calibration);
}

TFR_TEST(passages_between_tasks_add_up) {
    TFR_UNUSED_STATE;
    struct tfr_calibration calibration = {.roofs = roofs, .conditions = {.threads = 4}};
    assert_near(tfr_predict_between(&calibration, 1, 1, 10), 1500);
    const struct tfr_calibration_point third = {.class_rows = 1, .rows = 1, .ns = 450, .roof_ns = 150};
    assert_ok(tfr_calibration_add(&calibration, TFR_BETWEEN_TASKS, "", 4, &third));
    assert_near(tfr_predict_between(&calibration, 1, 1, 10), 4500);
    tfr_calibration_free(&calibration);
}

TFR_TEST_MAIN(TFR_CASE(efficiency_is_exact_where_it_was_calibrated), TFR_CASE(efficiency_is_monotone_between_two_points),
              TFR_CASE(beyond_the_outermost_points_efficiency_stays),
              TFR_CASE(bandwidth_is_exact_at_its_points_and_falls_between_them),
              TFR_CASE(peaks_are_those_of_the_units_that_a_kernel_names), TFR_CASE(the_roof_is_the_slower_of_both_ways),
              TFR_CASE(memory_of_another_speed_scales_what_lies_beyond_the_caches),
              TFR_CASE(memory_of_machines_without_a_third_cache_is_what_lies_beyond_the_second),
              TFR_CASE(roofs_are_those_of_the_minutes_in_which_kernels_were_measured),
              TFR_CASE(a_set_that_was_measured_has_a_point_of_its_own), TFR_CASE(attention_keeps_the_units_of_its_products_busy),
              TFR_CASE(a_shape_that_was_not_calibrated_takes_the_nearest_of_its_kernel), TFR_CASE(passages_between_tasks_add_up))
