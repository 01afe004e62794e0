/* test_claims.c - kernels that claim patterns of ops: who gets them, who does not, and what is told of it. */
#include "tfr_plans.h"

#include "base/arena.h"
#include "base/json.h"

/* Costs nothing beyond the least, so it is worth taking wherever it serves. */
static bool supports_no_activation(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    (void)self;
    if (tfr_part_at(problem, 1)->attrs.activation != TFR_ACT_NONE) {
        snprintf(reason, size, "takes no activation");
        return false;
    }
    return true;
}

static const int32_t norm_linear[] = {TFR_OP_LAYER_NORM, TFR_OP_LINEAR};
static const struct tfr_kernel claiming_kernel = {.struct_size = sizeof(struct tfr_kernel),
                                                  .op = TFR_OP_FUSED,
                                                  .pattern = norm_linear,
                                                  .n_pattern = 2,
                                                  .name = "layer_norm+linear.f32.claiming.plain",
                                                  .dtypes = F32,
                                                  .run_class = TFR_RUN_TEAM,
                                                  .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,
                                                  .supports = supports_no_activation,
                                                  .run = run_nothing};
static const struct tfr_kernel *const claiming_pointers[] = {&claiming_kernel};
static const struct tfr_plugin claiming = {.struct_size = sizeof(claiming),
                                           .abi_major = TFR_PLUGIN_ABI_MAJOR,
                                           .name = "claiming",
                                           .n_kernels = 1,
                                           .kernels = claiming_pointers};

static const struct tfr_task *find_task(const struct tfr_plan *plan, const char *name) {
    for (int i = 0; i < plan->n_tasks; i++) {
        if (strcmp(plan->tasks[i].name, name) == 0) {
            return &plan->tasks[i];
        }
    }
    return NULL;
}

static const char *declined(const struct tfr_plan *plan, const char *name) {
    const struct tfr_task *task = find_task(plan, name);
    assert_non_null(task);
    const struct tfr_candidate *last = &task->candidates[task->n_candidates - 1];
    assert_ptr_equal(last->kernel, &claiming_kernel);
    assert_string_equal(last->plugin, "claiming");
    return last->refusal;
}

TFR_TEST(a_kernel_gets_the_pattern_that_it_claims_where_it_serves) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_order_book orders = {0};
    const struct tfr_hparams hparams = gpt2_tiny(2);
    assert_ok(tfr_registry_add(registry, &claiming, ""));
    for (int64_t rows = 1; rows <= 32; rows *= 32) { /* the same nodes for one row and for many */
        struct tfr_plan *plan = dry_plan(registry, &hparams, rows, 1, TFR_DTYPE_F32, true, &orders);
        const struct tfr_task *fused = find_task(plan, "h.1.ln_1+attn.c_attn");
        assert_non_null(fused);
        assert_ptr_equal(fused->kernel, &claiming_kernel);
        assert_int_equal(fused->problem.n_parts, 2);
        assert_true(fused->cost.flops == 7.0 * rows * 24 + 5 * rows + 2.0 * rows * 24 * 72 + rows * 72);
        assert_true(fused->cost.bytes_written == 4.0 * rows * 72); /* what is handed on is not written */
        assert_string_equal(declined(plan, "h.0.ln_2"), "takes no activation");
        assert_non_null(strstr(declined(plan, "ln_f"), "is not inside one block"));
        tfr_plan_free(plan);
    }
    struct tfr_plan *plan = dry_plan(registry, &hparams, 4, 1, TFR_DTYPE_F32, true, NULL); /* not deterministic */
    assert_non_null(find_task(plan, "ln_f+lm_head"));
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

static const int32_t linear_gather[] = {TFR_OP_LINEAR, TFR_OP_GATHER_ROWS};

/* The last block hands its rows to what depends on the command: all of them, or those whose logits are wanted. */
TFR_TEST(a_pattern_that_reaches_out_of_a_block_is_left_apart) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_order_book orders = {0};
    struct tfr_kernel reaching = claiming_kernel;
    const struct tfr_kernel *const pointers[] = {&reaching};
    struct tfr_plugin plugin = claiming;
    const struct tfr_hparams hparams = gpt2_tiny(2);
    reaching.name = "linear+gather_rows.f32.reaching.plain";
    reaching.pattern = linear_gather;
    reaching.supports = NULL;
    plugin.name = "reaching";
    plugin.kernels = pointers;
    assert_ok(tfr_registry_add(registry, &plugin, ""));
    struct tfr_plan *plan = dry_plan(registry, &hparams, 4, 1, TFR_DTYPE_F32, true, &orders);
    const struct tfr_task *task = find_task(plan, "h.1.mlp.c_proj");
    assert_non_null(task);
    assert_ptr_equal(task->candidates[task->n_candidates - 1].kernel, &reaching);
    assert_non_null(strstr(task->candidates[task->n_candidates - 1].refusal, "is not inside one block"));
    tfr_plan_free(plan);
    plan = dry_plan(registry, &hparams, 4, 1, TFR_DTYPE_F32, true, NULL); /* not deterministic */
    assert_non_null(find_task(plan, "h.1.mlp.c_proj+gather_rows"));
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

/* Where in the text `part` stands behind `from`; fails if it does not. */
static const char *behind(const char *from, const char *part) {
    const char *found = strstr(from, part);
    assert_non_null(found);
    return found;
}

TFR_TEST(claims_are_explained_node_by_node) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_order_book orders = {0};
    const struct tfr_hparams hparams = gpt2_tiny(2);
    assert_ok(tfr_registry_add(registry, &claiming, ""));
    struct tfr_plan *plan = dry_plan(registry, &hparams, 1, 1, TFR_DTYPE_F32, true, &orders);
    assert_int_equal(plan->n_absent, 0);
    char *text = tfr_plan_explain(plan, true);
    const char *reasons = behind(text, "kernels not taken"); /* ln_f asks the same as h.0.ln_2, and is answered otherwise */
    behind(behind(reasons, "  h.0.ln_2 and 1 more: "), "takes no activation");
    behind(behind(reasons, "  ln_f: "), "is not inside one block");
    tfr_free(text);
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

static const int32_t add_add[] = {TFR_OP_ADD, TFR_OP_ADD};

TFR_TEST(a_pattern_that_stands_nowhere_is_told) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry(NULL);
    struct tfr_order_book orders = {0};
    struct tfr_kernel idle = claiming_kernel;
    const struct tfr_kernel *const pointers[] = {&idle};
    struct tfr_plugin plugin = claiming;
    const struct tfr_hparams hparams = gpt2_tiny(1);
    idle.name = "add+add.f32.idle.plain";
    idle.pattern = add_add;
    plugin.name = "idle";
    plugin.kernels = pointers;
    assert_ok(tfr_registry_add(registry, &plugin, ""));
    struct tfr_plan *plan = dry_plan(registry, &hparams, 4, 1, TFR_DTYPE_F32, true, &orders);
    assert_int_equal(plan->n_absent, 1);
    char *text = tfr_plan_explain(plan, true);
    behind(behind(behind(text, "kernels not taken"), "add+add.f32.idle.plain"), "stands nowhere in this graph");
    tfr_free(text);
    struct tfr_json_out out = {0};
    tfr_plan_explain_json(plan, &out);
    behind(behind(behind(out.text, "\"absent_patterns\":[{"), "add+add.f32.idle.plain"), "\"plugin\":\"idle\"");
    tfr_free(out.text);
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

TFR_TEST(a_banned_kernel_gets_no_pattern) {
    TFR_UNUSED_STATE;
    struct tfr_registry *registry = open_registry("-layer_norm");
    struct tfr_order_book orders = {0};
    const struct tfr_hparams hparams = gpt2_tiny(1);
    assert_ok(tfr_registry_add(registry, &claiming, ""));
    struct tfr_plan *plan = dry_plan(registry, &hparams, 4, 1, TFR_DTYPE_F32, true, &orders);
    assert_non_null(strstr(declined(plan, "h.0.ln_1"), "banned by the user's list"));
    tfr_plan_free(plan);
    tfr_registry_close(registry);
}

TFR_TEST_MAIN(TFR_CASE(a_kernel_gets_the_pattern_that_it_claims_where_it_serves),
              TFR_CASE(a_pattern_that_reaches_out_of_a_block_is_left_apart), TFR_CASE(claims_are_explained_node_by_node),
              TFR_CASE(a_pattern_that_stands_nowhere_is_told), TFR_CASE(a_banned_kernel_gets_no_pattern))
