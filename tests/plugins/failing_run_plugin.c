/* failing_run_plugin.c - kernels that are chosen by name and fail: a layer_norm of which one thread gives up while it runs, but not
 * where the environment has TFRUN_TEST_KERNEL_WORKS (so that one rank of several fails); with FAILING_PREPARE an embed whose
 * preparation fails for want of memory. */
#include <stdio.h>
#include <stdlib.h>

#include <tfrun/plugin.h>

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    (void)self, (void)problem, (void)args;
    ctx->barrier(ctx);
    if (ctx->tid == ctx->nth - 1 && getenv("TFRUN_TEST_KERNEL_WORKS") == NULL) {
        snprintf(ctx->reason, ctx->reason_size, "the vendor says no");
        return TFR_RUNTIME;
    }
    return TFR_OK;
}

#ifdef FAILING_PREPARE
static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t reason_size) {
    (void)self, (void)problem, (void)needs;
    snprintf(reason, reason_size, "no memory for its table");
    return TFR_RESOURCE;
}
#endif

static const struct tfr_kernel norm = {
    .struct_size = sizeof(struct tfr_kernel),
    .op = TFR_OP_LAYER_NORM,
    .name = "layer_norm.f32.failing_run.plain",
    .dtypes = 1U << TFR_DTYPE_F32,
    .run_class = TFR_RUN_TEAM,
    .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,
    .run = run,
};
#ifdef FAILING_PREPARE
static const struct tfr_kernel embed = {
    .struct_size = sizeof(struct tfr_kernel),
    .op = TFR_OP_EMBED,
    .name = "embed.f32.failing_run.plain",
    .dtypes = 1U << TFR_DTYPE_F32 | 1U << TFR_DTYPE_BF16,
    .prepare = prepare,
    .run = run,
};
#endif
static const struct tfr_kernel *const kernels[] = {
    &norm,
#ifdef FAILING_PREPARE
    &embed,
#endif
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "failing_run",
    .version = "0",
    .build = "test",
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(failing_run) {
    (void)host;
    return &plugin;
}
