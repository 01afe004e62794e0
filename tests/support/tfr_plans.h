/* tfr_plans.h - plans of GPT-2 shapes with the kernels of the tree, for tests of the plan stage: a registry with a transport
 * that does nothing, a machine that is the same everywhere, dry plans. */
#ifndef TFR_TEST_PLANS_H
#define TFR_TEST_PLANS_H

#include <stdio.h>

#include "base/status.h"
#include "plan/plan.h"
#include "tfr_gpt2.h"
#include "tfr_test.h"

#define PLUGINS TFR_BINARY_DIR "/lib/tfrun/plugins"

/* send and recv belong to the transport; here they do nothing. */
static int32_t run_nothing(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                           const struct tfr_run_ctx *ctx) {
    (void)self;
    (void)args, (void)ctx, (void)problem;
    return TFR_OK;
}
static int32_t poll_done(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
    (void)self, (void)problem, (void)args, (void)ctx;
    return 1;
}
static int n_inits, n_releases;
static int32_t init_state(const struct tfr_kernel *self, const struct tfr_problem *problem, void *state, char *reason,
                          size_t size) {
    (void)self;
    (void)problem, (void)reason, (void)size;
    assert_int_equal((uintptr_t)state % 64, 0);
    n_inits++;
    return TFR_OK;
}
static void release_state(const struct tfr_kernel *self, void *state) {
    (void)self;
    assert_non_null(state);
    n_releases++;
}
static int32_t prepare_state(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                             char *reason, size_t size) {
    (void)self;
    (void)problem, (void)reason, (void)size;
    needs->state_bytes = 24;
    return TFR_OK;
}
#define F32 (1U << TFR_DTYPE_F32)
static const struct tfr_kernel hop_kernels[] = {
    {.struct_size = sizeof(struct tfr_kernel),
     .name = "send_hidden.f32.test.plain",
     .op = TFR_OP_SEND_HIDDEN,
     .dtypes = F32,
     .run_class = TFR_RUN_ASYNC,
     .run = run_nothing,
     .poll = poll_done,
     .prepare = prepare_state,
     .init = init_state,
     .release = release_state},
    {.struct_size = sizeof(struct tfr_kernel),
     .name = "recv_hidden.f32.test.plain",
     .op = TFR_OP_RECV_HIDDEN,
     .dtypes = F32,
     .run_class = TFR_RUN_ASYNC,
     .run = run_nothing,
     .poll = poll_done,
     .prepare = prepare_state,
     .init = init_state,
     .release = release_state},
};
static const struct tfr_kernel *const hop_pointers[] = {&hop_kernels[0], &hop_kernels[1]};
static const struct tfr_plugin hops = {
    .struct_size = sizeof(hops), .abi_major = TFR_PLUGIN_ABI_MAJOR, .name = "test", .n_kernels = 2, .kernels = hop_pointers};

/* The machine is fixed, so that a plan here does not depend on where the test runs; kernels are planned, not
 * run. */
static const struct tfr_machine machine = {.n_cores = 2,
                                           .isa = TFR_ISA_AVX2,
                                           .flops_f32_per_core = 1e11,
                                           .flops_bf16_per_core = 1e11,
                                           .bytes_per_core = 1e10,
                                           .bytes_total = 2e10};

static inline struct tfr_registry *open_registry(const char *list) {
    const char *const folders[] = {PLUGINS, NULL};
    const struct tfr_registry_request request = {
        .folders = folders, .n_bundled = 1, .list = list, .isa = TFR_ISA_AVX2, .n_cores = 2};
    struct tfr_registry *registry;
    assert_ok(tfr_registry_open(&registry, &request));
    assert_ok(tfr_registry_add(registry, &hops, ""));
    return registry;
}

static inline struct tfr_plan *dry_plan(const struct tfr_registry *registry, const struct tfr_hparams *hparams, int64_t rows,
                                        int64_t logits, enum tfr_dtype dtype, bool fused, struct tfr_order_book *orders) {
    struct tfr_graph *graph;
    struct tfr_plan *plan;
    assert_ok(gpt2_graph(&graph, hparams, rows, logits, dtype));
    if (fused) {
        assert_ok(tfr_fuse(graph));
    }
    const struct tfr_plan_request request = {.graph = graph,
                                             .registry = registry,
                                             .machine = &machine,
                                             .n_threads = 2,
                                             .deterministic = orders != NULL,
                                             .orders = orders,
                                             .sequences = 1};
    assert_ok(tfr_plan_build(&plan, &request));
    return plan;
}

#endif
