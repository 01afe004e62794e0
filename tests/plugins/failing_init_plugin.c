/* failing_init_plugin.c - a layer_norm kernel that is chosen (no cost) and whose init fails: for tests of failures at plan time. */
#include <stdio.h>

#include <tfrun/plugin.h>

static int32_t init(const struct tfr_kernel *self, const struct tfr_problem *problem, void *state, char *reason, size_t size) {
    (void)self;
    (void)problem;
    (void)state;
    snprintf(reason, size, "init fails on purpose");
    return TFR_RUNTIME;
}

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    (void)self;
    (void)args;
    (void)ctx;
    (void)problem;
    return TFR_OK;
}

static const struct tfr_kernel kernel = {
    .struct_size = sizeof(struct tfr_kernel),
    .name = "layer_norm.f32.failing.plain",
    .op = TFR_OP_LAYER_NORM,
    .dtypes = 1u << TFR_DTYPE_F32,
    .run_class = TFR_RUN_TEAM,
    .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,
    .score = 10,
    .init = init,
    .run = run,
};
static const struct tfr_kernel *const kernels[] = {&kernel};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof(struct tfr_plugin),
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "failing",
    .version = "0",
    .build = "test",
    .n_kernels = 1,
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(failing) {
    (void)host;
    return &plugin;
}
