/* test_select.c - the choice of kernels: time, score, the user's list, refusals, and orders that hold for all
 * row counts. */
#include "plan/select.h"

#include <stdio.h>

#include "tfr_test.h"

#include "base/arena.h"
#include "base/status.h"
#include "common/plugins_static.h"
#include "plan/problem.h"

/* No plugin but the fake ones, however the build links them. */
const tfr_plugin_entry_fn tfr_static_plugins[] = {NULL};
const int tfr_n_static_plugins = 0;
const char *const tfr_bundled_plugins[] = {"slow", "fast", "vendor", "gemv", NULL}; /* words of the lists below */

/* Peaks chosen so that 1 row of [512, 512] f32 is bound by memory (1 MB at 10 GB/s: 105 us) and 512 rows by
 * compute. */
static const struct tfr_machine machine = {
    .n_cores = 2, .flops_f32_per_core = 1e11, .flops_bf16_per_core = 4e11, .bytes_per_core = 1e10, .bytes_total = 2e10};

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    (void)self;
    (void)args, (void)ctx, (void)problem;
    return TFR_OK;
}

static void cost_slow(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *cost) {
    (void)self;
    (void)problem;
    cost->flop_fraction = cost->byte_fraction = 0.1;
}
static void cost_late(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *cost) {
    (void)self; /* good with many rows only */
    (void)problem;
    cost->overhead_ns = 1e5;
    cost->byte_fraction = 1;
}
static void cost_half(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *cost) {
    (void)self;
    (void)problem;
    cost->flop_fraction = 0.5;
    cost->byte_fraction = 0.9;
}
static void cost_half_bytes(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *cost) {
    (void)self;
    (void)problem;
    cost->byte_fraction = 0.6;
}
static void cost_bad_at_one_row(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *cost) {
    (void)self;
    cost->byte_fraction = problem->rows_max < 16 ? 0.2 : 1;
}

static bool supports_few(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    (void)self;
    if (problem->rows_max > 16) {
        snprintf(reason, size, "needs rows <= 16, has %lld", (long long)problem->rows_max);
    }
    return problem->rows_max <= 16;
}
static bool supports_fma(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    (void)self;
    if (problem->order.kind == TFR_ORDER_ANY || problem->order.kind == TFR_ORDER_FMA) {
        return true;
    }
    snprintf(reason, size, "adds in order fma only");
    return false;
}
static bool supports_few_fma(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    (void)self;
    return supports_few(self, problem, reason, size) && supports_fma(self, problem, reason, size);
}
static int32_t prepare_any_fma(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                               char *reason, size_t size) {
    (void)self;
    (void)reason, (void)size;
    needs->order = problem->order;
    if (needs->order.kind == TFR_ORDER_ANY) {
        needs->order = (struct tfr_order){.kind = TFR_ORDER_FMA, .k_block = 64};
    }
    return TFR_OK;
}
static int32_t prepare_fma_256(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                               char *reason, size_t size) {
    (void)self;
    (void)problem, (void)reason, (void)size;
    needs->order = (struct tfr_order){.kind = TFR_ORDER_FMA, .k_block = 256};
    return TFR_OK;
}
static int32_t prepare_own(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                           size_t size) {
    (void)self;
    (void)problem, (void)reason, (void)size;
    needs->order = (struct tfr_order){.kind = TFR_ORDER_OWN, .k_block = 1};
    return TFR_OK;
}
static int32_t prepare_packed(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                              char *reason, size_t size) {
    (void)self;
    (void)problem, (void)reason, (void)size;
    needs->pack[1].bytes = 100;
    return TFR_OK;
}

#define KERNEL(op_id, text, ...)                                                                                                   \
    {                                                                                                                              \
        .struct_size = sizeof(struct tfr_kernel), .name = (text), .op = (op_id), .run = run, .dtypes = 1U << TFR_DTYPE_F32,        \
        .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM, .run_class = TFR_RUN_TEAM, __VA_ARGS__                                             \
    }

/* One test's world: fake kernels in a registry, and a chooser. */
struct world {
    struct tfr_plugin plugin;
    struct tfr_registry *registry;
    struct tfr_order_book orders;
    struct tfr_chooser chooser;
    struct tfr_choice choice;
    const struct tfr_kernel *kernels[8];
    enum tfr_status failure;
};

static void open_world(struct world *world, const struct tfr_kernel *kernels, int n, const char *list, bool deterministic) {
    *world = (struct world){.plugin = {.struct_size = sizeof(struct tfr_plugin),
                                       .abi_major = TFR_PLUGIN_ABI_MAJOR,
                                       .name = "fake",
                                       .n_kernels = n,
                                       .kernels = world->kernels}};
    for (int i = 0; i < n; i++) {
        world->kernels[i] = &kernels[i];
    }
    const struct tfr_registry_request request = {.list = list, .isa = TFR_ISA_AVX2, .n_cores = 2};
    assert_ok(tfr_registry_open(&world->registry, &request));
    assert_ok(tfr_registry_add(world->registry, &world->plugin, ""));
    world->chooser = (struct tfr_chooser){.registry = world->registry,
                                          .outlook = {.machine = &machine, .sequences = 1},
                                          .deterministic = deterministic,
                                          .orders = &world->orders,
                                          .failure = &world->failure};
}

static void close_world(struct world *world) {
    tfr_free(world->choice.candidates);
    tfr_registry_close(world->registry);
}

static struct tfr_problem norm_problem(int64_t rows, int n_threads, bool deterministic) {
    return (struct tfr_problem){.struct_size = sizeof(struct tfr_problem),
                                .op = TFR_OP_LAYER_NORM,
                                .n_args = 4,
                                .n_threads = n_threads,
                                .rows_min = 1,
                                .rows_max = rows,
                                .deterministic = deterministic,
                                .arg = {{.rank = 2, .dim = {rows, 512}, .flags = TFR_ARG_VAR_ROWS},
                                        {.rank = 1, .dim = {512}},
                                        {.rank = 1, .dim = {512}},
                                        {.rank = 2, .dim = {rows, 512}, .flags = TFR_ARG_VAR_ROWS}}};
}

static struct tfr_problem linear_problem(int64_t rows, int n_threads, bool deterministic) {
    return (struct tfr_problem){.struct_size = sizeof(struct tfr_problem),
                                .op = TFR_OP_LINEAR,
                                .n_args = 5,
                                .n_threads = n_threads,
                                .rows_min = 1,
                                .rows_max = rows,
                                .deterministic = deterministic,
                                .arg = {{.rank = 2, .dim = {rows, 512}, .flags = TFR_ARG_VAR_ROWS},
                                        {.rank = 2, .dim = {512, 512}, .flags = TFR_ARG_CONST},
                                        {.flags = TFR_ARG_ABSENT},
                                        {.flags = TFR_ARG_ABSENT},
                                        {.rank = 2, .dim = {rows, 512}, .flags = TFR_ARG_VAR_ROWS}}};
}

/* The choice before is forgotten, which tfr_select itself does not free. */
static enum tfr_status select_anew(struct world *world, const struct tfr_problem *problem) {
    tfr_free(world->choice.candidates);
    world->choice.candidates = NULL;
    return tfr_select(&world->chooser, problem, &world->choice);
}

static const char *choose(struct world *world, struct tfr_problem problem) {
    assert_ok(select_anew(world, &problem));
    assert_ptr_equal(world->choice.candidates[0].kernel, world->choice.kernel);
    return world->choice.kernel->name;
}

static const char *refusal(const struct world *world, const char *kernel) {
    for (int i = 0; i < world->choice.n_candidates; i++) {
        if (strcmp(world->choice.candidates[i].kernel->name, kernel) == 0) {
            return world->choice.candidates[i].refusal;
        }
    }
    return "no such candidate";
}

static const struct tfr_kernel norms[] = {
    KERNEL(TFR_OP_LAYER_NORM, "slow", .score = 30, .cost = cost_slow),
    KERNEL(TFR_OP_LAYER_NORM, "fast_b", .score = 10),
    KERNEL(TFR_OP_LAYER_NORM, "fast_a", .score = 10),
    KERNEL(TFR_OP_LAYER_NORM, "fast_better", .score = 20),
    KERNEL(TFR_OP_ADD, "other_op", .score = 99),
};

TFR_TEST(time_beats_score_beats_name) {
    TFR_UNUSED_STATE;
    struct world world;
    open_world(&world, norms, TFR_COUNT_OF(norms), NULL, false);
    assert_string_equal(choose(&world, norm_problem(64, 2, false)), "fast_better");
    assert_int_equal(world.choice.n_candidates, 4);
    assert_string_equal(world.choice.candidates[1].kernel->name, "fast_a");
    assert_string_equal(world.choice.candidates[2].kernel->name, "fast_b");
    assert_string_equal(world.choice.candidates[3].kernel->name, "slow");
    assert_true(world.choice.candidates[3].predicted_ns > 9 * world.choice.candidates[0].predicted_ns);
    close_world(&world);
}

TFR_TEST(preference_beats_time) {
    TFR_UNUSED_STATE;
    struct world world;
    open_world(&world, norms, TFR_COUNT_OF(norms), "slow", false);
    assert_string_equal(choose(&world, norm_problem(64, 2, false)), "slow");
    close_world(&world);
}

TFR_TEST(banned_kernels_are_refused_with_the_rule) {
    TFR_UNUSED_STATE;
    struct world world;
    open_world(&world, norms, TFR_COUNT_OF(norms), "-fast", false);
    assert_string_equal(choose(&world, norm_problem(64, 2, false)), "slow");
    assert_string_equal(refusal(&world, "fast_a"), "banned by the user's list (-fast)");
    close_world(&world);
}

TFR_TEST(static_filter_and_supports_give_reasons) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "plain", .cost = cost_slow),
        KERNEL(TFR_OP_LINEAR, "few", .supports = supports_few),
        KERNEL(TFR_OP_LINEAR, "needs_amx", .isa = TFR_ISA_AMX_BF16),
        {.struct_size = sizeof(struct tfr_kernel), .name = "bf16", .op = TFR_OP_LINEAR, .run = run, .dtypes = 1U << TFR_DTYPE_BF16},
        KERNEL(TFR_OP_LINEAR, "packs_without_pack", .prepare = prepare_packed),
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, false);
    assert_string_equal(choose(&world, linear_problem(512, 2, false)), "plain");
    assert_string_equal(refusal(&world, "few"), "needs rows <= 16, has 512");
    assert_string_equal(refusal(&world, "needs_amx"), "needs amx_bf16");
    assert_string_equal(refusal(&world, "bf16"), "does not serve f32 weights");
    assert_string_equal(refusal(&world, "packs_without_pack"), "asks for a packed weight but has no pack function or format");
    assert_string_equal(choose(&world, linear_problem(16, 2, false)), "few");
    close_world(&world);
}

static struct tfr_problem attention_problem(enum tfr_dtype cache, enum tfr_dtype x_dtype) {
    return (struct tfr_problem){
        .struct_size = sizeof(struct tfr_problem),
        .op = TFR_OP_ATTENTION,
        .n_args = 3,
        .n_threads = 2,
        .rows_min = 1,
        .rows_max = 64,
        .arg = {{.rank = 2, .dim = {64, 192}, .flags = TFR_ARG_VAR_ROWS},
                {.dtype = cache, .rank = 2, .dim = {4, 16}, .flags = TFR_ARG_READ},
                {.rank = 2, .dim = {64, 64}, .flags = TFR_ARG_VAR_ROWS}},
        .attrs = {.struct_size = sizeof(struct tfr_attrs), .n_heads = 4, .head_dim = 16, .causal = 1, .x_dtype = x_dtype}};
}

TFR_TEST(plugins_older_than_caches_of_16_bits_are_not_given_any) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {KERNEL(TFR_OP_ATTENTION, "old")}; /* no `supports`: it could not say no */
    struct tfr_problem bf16 = attention_problem(TFR_DTYPE_BF16, TFR_DTYPE_F32),
                       f16 = attention_problem(TFR_DTYPE_F16, TFR_DTYPE_F32);
    struct tfr_problem products = attention_problem(TFR_DTYPE_F32, TFR_DTYPE_BF16);
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, false);
    world.plugin.abi_minor = 2;
    assert_string_equal(choose(&world, attention_problem(TFR_DTYPE_F32, TFR_DTYPE_F32)), "old");
    assert_string_equal(choose(&world, attention_problem(TFR_DTYPE_I8, TFR_DTYPE_F32)), "old");
    assert_refused(select_anew(&world, &bf16), TFR_UNSUPPORTED,
                   "old: its plugin was built for ABI 2.2: kv caches of bf16 came with 2.3");
    assert_refused(select_anew(&world, &f16), TFR_UNSUPPORTED, "kv caches of f16 came with 2.3");
    assert_refused(select_anew(&world, &products), TFR_UNSUPPORTED, "attention in bf16 came with 2.3");
    bf16.arg[1].flags = TFR_ARG_APPEND;
    assert_refused(select_anew(&world, &bf16), TFR_UNSUPPORTED, "kv caches of bf16 came with 2.3");
    world.plugin.abi_minor = 3;
    assert_string_equal(choose(&world, f16), "old");
    assert_string_equal(choose(&world, products), "old");
    close_world(&world);
}

TFR_TEST(no_kernel_at_all_lists_the_reasons) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {KERNEL(TFR_OP_LINEAR, "few", .supports = supports_few)};
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, false);
    struct tfr_problem linear = linear_problem(512, 2, false), norm = norm_problem(1, 1, false);
    assert_refused(tfr_select(&world.chooser, &linear, &world.choice), TFR_UNSUPPORTED,
                   "no kernel serves linear with up to 512 rows; few: needs rows <= 16, has 512");
    assert_refused(tfr_select(&world.chooser, &norm, &world.choice), TFR_UNSUPPORTED, "no plugin offers this op");
    close_world(&world);
}

static const struct tfr_kernel crossing[] = {
    KERNEL(TFR_OP_LAYER_NORM, "late", .cost = cost_late),
    KERNEL(TFR_OP_LAYER_NORM, "early", .cost = cost_slow),
};

TFR_TEST(fast_mode_follows_the_rows) {
    TFR_UNUSED_STATE;
    struct world world;
    open_world(&world, crossing, TFR_COUNT_OF(crossing), NULL, false);
    assert_string_equal(choose(&world, norm_problem(1, 2, false)), "early");
    assert_string_equal(choose(&world, norm_problem(4096, 2, false)), "late");
    close_world(&world);
}

TFR_TEST(deterministic_mode_depends_on_neither_rows_nor_threads_nor_context) {
    TFR_UNUSED_STATE;
    struct world world;
    open_world(&world, crossing, TFR_COUNT_OF(crossing), NULL, true);
    char first[32] = "";
    strcpy(first, choose(&world, norm_problem(512, 2, true)));
    for (int64_t rows = 1; rows <= 4096; rows *= 8) {
        for (int threads = 1; threads <= 4; threads++) {
            world.chooser.outlook.context = (double)(rows * threads);
            assert_string_equal(choose(&world, norm_problem(rows, threads, true)), first);
        }
    }
    close_world(&world);
}

TFR_TEST(deterministic_mode_wants_the_same_bits_for_any_team) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LAYER_NORM, "safe", .cost = cost_slow),
        {.struct_size = sizeof(struct tfr_kernel),
         .name = "loose",
         .op = TFR_OP_LAYER_NORM,
         .run = run,
         .dtypes = 1U << TFR_DTYPE_F32,
         .run_class = TFR_RUN_TEAM},
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, true);
    assert_string_equal(choose(&world, norm_problem(64, 2, true)), "safe");
    assert_string_equal(refusal(&world, "loose"), "its bits may depend on the number of threads");
    world.chooser.deterministic = false;
    assert_string_equal(choose(&world, norm_problem(64, 2, false)), "loose");
    close_world(&world);
}

TFR_TEST(few_row_kernel_keeps_the_order_of_many_rows) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "gemm", .supports = supports_fma, .prepare = prepare_fma_256, .cost = cost_half_bytes),
        KERNEL(TFR_OP_LINEAR, "gemv", .supports = supports_few_fma, .prepare = prepare_any_fma),
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, true);
    assert_string_equal(choose(&world, linear_problem(1, 2, true)), "gemv"); /* asked first, and still the same order */
    assert_int_equal(world.choice.needs.order.k_block, 256);
    assert_int_equal(world.choice.problem.order.k_block, 256);
    assert_string_equal(choose(&world, linear_problem(512, 2, true)), "gemm");
    assert_int_equal(world.choice.needs.order.k_block, 256);
    assert_int_equal(world.orders.n, 1);
    close_world(&world);
}

TFR_TEST(blocks_that_the_graph_wants_are_kept_for_all_rows_or_the_kernel_is_passed_by) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "vendor", .supports = supports_fma, .prepare = prepare_fma_256),
        KERNEL(TFR_OP_LINEAR, "own", .prepare = prepare_own, .cost = cost_half),
        KERNEL(TFR_OP_LINEAR, "gemm", .supports = supports_fma, .prepare = prepare_any_fma, .cost = cost_half),
        KERNEL(TFR_OP_LINEAR, "gemv", .supports = supports_few_fma, .prepare = prepare_any_fma),
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, true);
    struct tfr_problem many = linear_problem(512, 2, true), one = linear_problem(1, 2, true);
    many.attrs.k_block = one.attrs.k_block = 32;
    assert_string_equal(choose(&world, many), "gemm");
    assert_int_equal(world.choice.problem.order.k_block, 32);
    assert_string_equal(refusal(&world, "vendor"), "adds in another order (fma 256) than chosen for 512 rows (fma 32)");
    assert_string_equal(choose(&world, one), "gemv");
    assert_int_equal(world.choice.problem.order.k_block, 32);
    assert_string_equal(choose(&world, linear_problem(512, 2, true)), "vendor"); /* the same shape without the wish */
    assert_int_equal(world.orders.n, 2);
    close_world(&world);
}

TFR_TEST(own_order_within_twice_the_time_serves_all_rows) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "vendor", .cost = cost_half_bytes),
        KERNEL(TFR_OP_LINEAR, "gemm", .supports = supports_fma, .prepare = prepare_any_fma, .cost = cost_half),
        KERNEL(TFR_OP_LINEAR, "gemv", .supports = supports_few_fma, .prepare = prepare_any_fma),
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, true);
    assert_string_equal(choose(&world, linear_problem(512, 2, true)), "vendor");
    assert_string_equal(choose(&world, linear_problem(1, 2, true)), "vendor");
    assert_string_equal(refusal(&world, "gemv"), "adds in another order (fma 64) than chosen for 512 rows (own)");
    close_world(&world);
}

TFR_TEST(own_order_that_slows_one_row_is_passed_over) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "vendor", .cost = cost_bad_at_one_row),
        KERNEL(TFR_OP_LINEAR, "gemm", .supports = supports_fma, .prepare = prepare_any_fma, .cost = cost_half),
        KERNEL(TFR_OP_LINEAR, "gemv", .supports = supports_few_fma, .prepare = prepare_any_fma),
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, true);
    assert_string_equal(choose(&world, linear_problem(512, 2, true)), "gemm");
    assert_string_equal(refusal(&world, "vendor"), "its order (own) would make one row 5.0 x slower");
    assert_string_equal(choose(&world, linear_problem(1, 2, true)), "gemv");
    close_world(&world);
}

TFR_TEST(preferred_kernel_decides_the_order_at_any_price) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "vendor", .cost = cost_bad_at_one_row),
        KERNEL(TFR_OP_LINEAR, "gemm", .supports = supports_fma, .prepare = prepare_any_fma, .cost = cost_half),
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), "vendor", true);
    assert_string_equal(choose(&world, linear_problem(1, 2, true)), "vendor");
    assert_string_equal(choose(&world, linear_problem(512, 2, true)), "vendor");
    close_world(&world);
}

TFR_TEST(preferred_few_row_kernel_rules_out_orders_it_cannot_keep) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "vendor"),
        KERNEL(TFR_OP_LINEAR, "gemm", .supports = supports_fma, .prepare = prepare_any_fma, .cost = cost_half),
        KERNEL(TFR_OP_LINEAR, "gemv", .supports = supports_few_fma, .prepare = prepare_any_fma),
    };
    struct world world;
    open_world(&world, kernels, TFR_COUNT_OF(kernels), "gemv", true);
    assert_string_equal(choose(&world, linear_problem(512, 2, true)), "gemm");
    assert_string_equal(refusal(&world, "vendor"), "no kernel for one row adds in its order (own)");
    assert_string_equal(choose(&world, linear_problem(1, 2, true)), "gemv");
    close_world(&world);
}

TFR_TEST(order_is_the_same_for_every_thread_count) {
    TFR_UNUSED_STATE;
    static const struct tfr_kernel kernels[] = {
        KERNEL(TFR_OP_LINEAR, "gemm", .supports = supports_fma, .prepare = prepare_fma_256, .cost = cost_late),
        KERNEL(TFR_OP_LINEAR, "other", .supports = supports_fma, .cost = cost_half),
    };
    struct tfr_order first = {0};
    for (int threads = 1; threads <= 8; threads++) {
        struct world world;
        open_world(&world, kernels, TFR_COUNT_OF(kernels), NULL, true);
        choose(&world, linear_problem(threads * 37, threads, true));
        if (threads == 1) {
            first = world.choice.needs.order;
        }
        assert_int_equal(world.choice.needs.order.kind, first.kind);
        assert_int_equal(world.choice.needs.order.k_block, first.k_block);
        close_world(&world);
    }
}

TFR_TEST(orders_longer_than_k_are_equal) {
    TFR_UNUSED_STATE;
    const struct tfr_order a = {TFR_ORDER_FMA, 512}, b = {TFR_ORDER_FMA, 1024}, own = {TFR_ORDER_OWN, 1};
    assert_true(tfr_order_same(&a, &b, 512));
    assert_false(tfr_order_same(&a, &b, 768));
    assert_false(tfr_order_same(&own, &own, 512));
    const struct tfr_order whole = {.kind = TFR_ORDER_INT}, groups = {TFR_ORDER_INT_GROUP, 128}, others = {TFR_ORDER_INT_GROUP, 32};
    assert_true(tfr_order_same(&whole, &whole, 512) && tfr_order_same(&groups, &groups, 512));
    assert_false(tfr_order_same(&groups, &others, 512));
    const struct tfr_order newer = {.kind = 99};
    assert_false(tfr_order_same(&newer, &newer, 512));
    assert_false(tfr_order_same(&whole, &groups, 512) || tfr_order_same(&whole, &a, 512));
}

TFR_TEST(prediction_is_a_roofline) {
    TFR_UNUSED_STATE;
    const struct tfr_kernel kernel = KERNEL(TFR_OP_LINEAR, "k");
    const struct tfr_outlook outlook = {.machine = &machine, .sequences = 1};
    struct tfr_order fma = {.kind = TFR_ORDER_FMA}, own = {.kind = TFR_ORDER_OWN};
    struct tfr_problem problem = linear_problem(512, 2, false);
    struct tfr_prediction p = tfr_cost_predict(&outlook, &kernel, &problem, &fma);
    assert_true(p.compute_bound && p.time_ns == 2.0 * 512 * 512 * 512 / 2e11 * 1e9);
    problem.n_threads = 16; /* no more than there are cores */
    assert_true(tfr_cost_predict(&outlook, &kernel, &problem, &fma).time_ns == p.time_ns);
    problem.arg[1].dtype = TFR_DTYPE_BF16;
    assert_true(tfr_cost_predict(&outlook, &kernel, &problem, &fma).time_ns == p.time_ns);
    assert_true(tfr_cost_predict(&outlook, &kernel, &problem, &own).time_ns < 0.3 * p.time_ns);
    problem = linear_problem(1, 1, false);
    p = tfr_cost_predict(&outlook, &kernel, &problem, &fma);
    assert_false(p.compute_bound);
    assert_true(p.time_ns == (512 * 4 + 512 * 512 * 4 + 512 * 4) / 1e10 * 1e9);
}

TFR_TEST_MAIN(TFR_CASE(time_beats_score_beats_name), TFR_CASE(preference_beats_time),
              TFR_CASE(banned_kernels_are_refused_with_the_rule), TFR_CASE(static_filter_and_supports_give_reasons),
              TFR_CASE(plugins_older_than_caches_of_16_bits_are_not_given_any), TFR_CASE(no_kernel_at_all_lists_the_reasons),
              TFR_CASE(fast_mode_follows_the_rows), TFR_CASE(deterministic_mode_depends_on_neither_rows_nor_threads_nor_context),
              TFR_CASE(deterministic_mode_wants_the_same_bits_for_any_team), TFR_CASE(few_row_kernel_keeps_the_order_of_many_rows),
              TFR_CASE(blocks_that_the_graph_wants_are_kept_for_all_rows_or_the_kernel_is_passed_by),
              TFR_CASE(own_order_within_twice_the_time_serves_all_rows), TFR_CASE(own_order_that_slows_one_row_is_passed_over),
              TFR_CASE(preferred_kernel_decides_the_order_at_any_price),
              TFR_CASE(preferred_few_row_kernel_rules_out_orders_it_cannot_keep),
              TFR_CASE(order_is_the_same_for_every_thread_count), TFR_CASE(orders_longer_than_k_are_equal),
              TFR_CASE(prediction_is_a_roofline))
