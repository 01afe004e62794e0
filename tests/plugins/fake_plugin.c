/* fake_plugin.c - a plugin of a stranger: built against the public headers alone, one kernel of every run
 * class.
 *
 * Variants for the refusals are built from the same source: FAKE_DECLINES, FAKE_NO_RUN, FAKE_NO_ENTRY, FAKE_TWINS (two kernels
 * of one name), FAKE_NAME (a name that belongs to another plugin), FAKE_STEALS (a kernel name that does).
 */
#include <tfrun/plugin.h>

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    (void)self, (void)problem, (void)args, (void)ctx;
    return TFR_OK;
}

static int32_t poll_done(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                         const struct tfr_run_ctx *ctx) {
    (void)self, (void)problem, (void)args, (void)ctx;
    return 1;
}

#ifdef FAKE_NO_RUN
#define RUN_OF_LAST NULL
#else
#define RUN_OF_LAST run
#endif
#ifdef FAKE_TWINS
#define SECOND "add.f32.fake.plain"
#elif defined(FAKE_STEALS)
#define SECOND "layer_norm.f32.layernorm.plain"
#else
#define SECOND "layer_norm.f32.fake.plain"
#endif
#ifndef FAKE_NAME
#define FAKE_NAME "fake"
#endif

#define KERNEL(OP, text, CLASS, run_function)                                                                                      \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_##OP, .name = text, .dtypes = 1U << TFR_DTYPE_F32,                  \
        .run_class = TFR_RUN_##CLASS, .run = run_function, .poll = poll_done                                                       \
    }
static const struct tfr_kernel *const kernels[] = {
    KERNEL(ADD, "add.f32.fake.plain", SEQ, run),
    KERNEL(LAYER_NORM, SECOND, TEAM, run),
    KERNEL(LINEAR, "linear.f32.fake.plain", SELF, run),
    KERNEL(SEND_HIDDEN, "send_hidden.f32.fake.plain", ASYNC, RUN_OF_LAST),
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof(struct tfr_plugin),
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = FAKE_NAME,
    .version = "0.0.1",
    .build = "test",
    .n_kernels = sizeof(kernels) / sizeof(kernels[0]),
    .kernels = kernels,
};

#ifdef FAKE_NO_ENTRY
TFR_API const struct tfr_plugin *other_entry(void);
const struct tfr_plugin *other_entry(void) {
    return &plugin;
}
#else
TFR_PLUGIN_ENTRY(fake) {
#ifdef FAKE_DECLINES
    host->log("fake", "needs a machine of another kind");
    return host->n_cores < 0 ? &plugin : NULL;
#else
    (void)host;
    return &plugin;
#endif
}
#endif
