/* test_op.c - the op table: every row parses, arguments and costs are what the text says. */
#include "graph/op.h"

#include <math.h>

#include "tfr_test.h"

#include "base/status.h"

static struct tfr_problem linear_problem(int64_t rows, int64_t k, int64_t n, bool residual, int32_t activation) {
    return (struct tfr_problem){
        .op = TFR_OP_LINEAR,
        .n_args = 5,
        .rows_max = rows,
        .attrs.activation = activation,
        .arg = {{.dim = {rows, k}, .rank = 2},
                {.dtype = TFR_DTYPE_BF16, .dim = {k, n}, .rank = 2},
                {.dim = {n}, .rank = 1},
                {.dim = {rows, n}, .rank = 2, .flags = residual ? 0 : TFR_ARG_ABSENT},
                {.dim = {rows, n}, .rank = 2}},
    };
}

TFR_TEST(every_formula_parses) {
    TFR_UNUSED_STATE;
    struct tfr_poly poly;
#define TFR_OP(NAME, name, n_in, n_out, args, flops, read, written, text)                                                          \
    assert_ok(tfr_poly_parse(&poly, flops));                                                                                       \
    assert_ok(tfr_poly_parse(&poly, read));                                                                                        \
    assert_ok(tfr_poly_parse(&poly, written));
#define TFR_REFERENCE_OP(NAME, name, parts_of, flops, read, written, text) TFR_OP(NAME, name, 0, 0, "", flops, read, written, text)
#include <tfrun/ops.def>
}

TFR_TEST(every_argument_is_named) {
    TFR_UNUSED_STATE;
    for (int op = 0; op < TFR_OP_COUNT; op++) {
        const struct tfr_op_info *info = tfr_op_info(op);
        for (int a = 0; a < info->n_in + info->n_out; a++) {
            assert_true(info->argument[a].name[0] != '\0');
        }
        assert_int_equal(tfr_op_find(info->name), op);
    }
    assert_int_equal(tfr_op_find("matmul"), TFR_OP_COUNT);
}

TFR_TEST(optional_arguments_are_marked) {
    TFR_UNUSED_STATE;
    const struct tfr_op_info *linear = tfr_op_info(TFR_OP_LINEAR);
    assert_false(linear->argument[1].optional);
    assert_true(linear->argument[2].optional);
    assert_string_equal(linear->argument[3].name, "residual");
    assert_string_equal(linear->argument[4].name, "y");
}

TFR_TEST(linear_cost_counts_bias_residual_and_activation) {
    TFR_UNUSED_STATE;
    struct tfr_cost cost = {0};
    struct tfr_op_facts facts = {.rows = 4};
    struct tfr_problem problem = linear_problem(4, 8, 16, true, TFR_ACT_RELU2);
    tfr_op_cost(&problem, &facts, &cost);
    assert_true(cost.flops == 2 * 4 * 8 * 16 + (1 + 1 + 2) * 4 * 16);
    assert_true(cost.bytes_read == 4 * 4 * 8 + 2 * 8 * 16 + 4 * 16 + 4 * 4 * 16);
    assert_true(cost.bytes_written == 4 * 4 * 16);
}

TFR_TEST(transposed_weight_swaps_inputs_and_outputs) {
    TFR_UNUSED_STATE;
    struct tfr_problem problem = linear_problem(1, 8, 16, false, TFR_ACT_NONE);
    problem.attrs.transposed = 1;
    double value[TFR_DIM_COUNT];
    struct tfr_op_facts facts = {.rows = 1};
    tfr_op_bind(&problem, &facts, value);
    assert_true(value[TFR_DIM_K] == 16 && value[TFR_DIM_N] == 8);
}

TFR_TEST(block_sums_that_stay_apart_are_all_written) {
    TFR_UNUSED_STATE;
    struct tfr_problem problem = linear_problem(3, 8, 16, false, TFR_ACT_NONE);
    struct tfr_op_facts facts = {.rows = 3};
    struct tfr_cost added = {0}, apart = {0};
    tfr_op_cost(&problem, &facts, &added);
    problem.attrs.n_blocks = 4;
    tfr_op_cost(&problem, &facts, &apart);
    assert_true(added.bytes_written == 4 * 3 * 16 && apart.bytes_written == 4 * added.bytes_written);
    assert_true(apart.flops == added.flops && apart.bytes_read == added.bytes_read);
}

TFR_TEST(embed_reads_a_row_of_each_table_in_its_type) {
    TFR_UNUSED_STATE;
    struct tfr_problem problem = {.op = TFR_OP_EMBED, .n_args = 5};
    struct tfr_op_facts facts = {.rows = 3};
    struct tfr_cost cost = {0};
    problem.arg[2] = (struct tfr_arg_desc){.dtype = TFR_DTYPE_BF16, .rank = 2, .dim = {9, 16}};
    problem.arg[3] = (struct tfr_arg_desc){.dtype = TFR_DTYPE_F32, .rank = 2, .dim = {9, 16}};
    tfr_op_cost(&problem, &facts, &cost);
    assert_true(cost.bytes_read == 3 * 8 + 3 * (2 + 4) * 16);
}

TFR_TEST(attention_cost_follows_visible_pairs) {
    TFR_UNUSED_STATE;
    struct tfr_problem problem = {.op = TFR_OP_ATTENTION, .n_args = 3, .attrs = {.n_heads = 12, .head_dim = 64}};
    struct tfr_cost cost = {0};
    struct tfr_op_facts facts = tfr_op_facts_make(1024, 1, 0);
    tfr_op_cost(&problem, &facts, &cost);
    double pairs = 1024.0 * 1025 / 2;
    assert_true(cost.flops == 4 * pairs * 768 + 6 * pairs * 12);
    assert_true(cost.bytes_read == 4.0 * 1024 * 768 + 2 * 4.0 * 1024 * 768);
    problem.arg[1].dtype = TFR_DTYPE_I8; /* one byte, and a scale for each vector of 64 */
    tfr_op_cost(&problem, &facts, &cost);
    assert_true(cost.bytes_read == 4.0 * 1024 * 768 + 2 * 1024 * 12 * (64 + 4.0));
    problem.arg[1].dtype = TFR_DTYPE_BF16;
    tfr_op_cost(&problem, &facts, &cost);
    assert_true(cost.bytes_read == 4.0 * 1024 * 768 + 2 * 2.0 * 1024 * 768);
}

TFR_TEST(facts_of_a_ragged_step) {
    TFR_UNUSED_STATE;
    struct tfr_op_facts facts = tfr_op_facts_make(8, 4, 100);
    assert_true(facts.keys == 4 * 102);
    assert_true(facts.pairs == 4 * (2 * 100 + 3));
    facts = tfr_op_facts_make(2, 100, 10); /* never more sequences than rows */
    assert_true(facts.keys == 2 * 11);
}

TFR_TEST(every_activation_has_a_name_and_a_cost) {
    TFR_UNUSED_STATE;
    for (int act = 1; act < TFR_ACT_COUNT; act++) {
        assert_non_null(tfr_activation_name(act));
        assert_true(tfr_activation_flops(act) > 0 || act == TFR_ACT_LINEAR);
    }
    assert_true(tfr_activation_flops(TFR_ACT_NONE) == 0);
}

static struct tfr_poly parsed(const char *text) {
    struct tfr_poly poly;
    assert_ok(tfr_poly_parse(&poly, text));
    return poly;
}

/* sum of factor * FLOPs of part */
static void assert_parts(enum tfr_op op, size_t n, const enum tfr_reference_op *parts, const char *const *factors) {
    struct tfr_poly sum = {0};
    for (size_t i = 0; i < n; i++) {
        struct tfr_poly factor = parsed(factors[i]);
        assert_true(tfr_reference_is_part(parts[i], op));
        assert_ok(tfr_poly_mul(&factor, &factor, &tfr_reference_info(parts[i])->flops));
        assert_ok(tfr_poly_add(&sum, &sum, &factor));
    }
    assert_true(tfr_poly_equal(&sum, &tfr_op_info(op)->flops));
}

TFR_TEST(parts_of_an_op_add_up_to_its_flops) {
    TFR_UNUSED_STATE;
#define PARTS(op, factors, ...)                                                                                                    \
    assert_parts(TFR_OP_##op, sizeof((enum tfr_reference_op[]){__VA_ARGS__}) / sizeof(enum tfr_reference_op),                      \
                 (enum tfr_reference_op[]){__VA_ARGS__}, (const char *const[])factors)
#define ONES {"1", "1", "1", "1", "1", "1", "1"}
    PARTS(EMBED, ONES, TFR_REFERENCE_EMBEDDING, TFR_REFERENCE_EMBEDDING, TFR_REFERENCE_ADD_POSITIONS);
    PARTS(LAYER_NORM, ONES, TFR_REFERENCE_LAYER_NORM);
    const char *const fused[] = {"1", "1", "r"}; /* the addition is there where a residual is */
    assert_parts(TFR_OP_LINEAR, 3, (enum tfr_reference_op[]){TFR_REFERENCE_LINEAR, TFR_REFERENCE_ACTIVATION, TFR_REFERENCE_ADD},
                 fused);
    PARTS(ACTIVATION, ONES, TFR_REFERENCE_ACTIVATION);
    PARTS(ADD, ONES, TFR_REFERENCE_ADD);
    PARTS(KV_APPEND, ONES, TFR_REFERENCE_CAT_CACHE);
    PARTS(ATTENTION, ONES, TFR_REFERENCE_MATMUL_QK, TFR_REFERENCE_SCALE, TFR_REFERENCE_CAUSAL_MASK, TFR_REFERENCE_SOFTMAX,
          TFR_REFERENCE_MATMUL_PV, TFR_REFERENCE_SPLIT_HEADS, TFR_REFERENCE_MERGE_HEADS);
    PARTS(ATTENTION, ONES, TFR_REFERENCE_SDPA);
    PARTS(GATHER_ROWS, ONES, TFR_REFERENCE_SLICE);
}

TFR_TEST(every_activation_of_the_registry_has_a_class) {
    TFR_UNUSED_STATE;
#define KNOWN(enum_name, name, ...)                                                                                                \
    assert_non_null(tfr_activation_class(name));                                                                                   \
    assert_int_equal(tfr_activation_class(name)->activation, TFR_ACT_##enum_name);
    TFR_ACTIVATION_LIST(KNOWN)
    assert_null(tfr_activation_class("gelu_nwe"));
}

TFR_TEST_MAIN(TFR_CASE(every_formula_parses), TFR_CASE(every_argument_is_named), TFR_CASE(optional_arguments_are_marked),
              TFR_CASE(linear_cost_counts_bias_residual_and_activation), TFR_CASE(transposed_weight_swaps_inputs_and_outputs),
              TFR_CASE(block_sums_that_stay_apart_are_all_written), TFR_CASE(embed_reads_a_row_of_each_table_in_its_type),
              TFR_CASE(attention_cost_follows_visible_pairs), TFR_CASE(facts_of_a_ragged_step),
              TFR_CASE(every_activation_has_a_name_and_a_cost), TFR_CASE(parts_of_an_op_add_up_to_its_flops),
              TFR_CASE(every_activation_of_the_registry_has_a_class))
