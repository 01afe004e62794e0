/* fake_plugin.c - a plugin of a stranger: built against the public headers alone, one kernel of every run
 * class.
 *
 * Variants for the refusals are built from the same source: FAKE_DECLINES, FAKE_NO_RUN, FAKE_NO_ENTRY.
 */
#include <tfrun/plugin.h>

static void run(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                const struct tfr_problem *problem) {
    (void)args, (void)ctx, (void)problem;
}

static int poll_done(const struct tfr_run_args *args, const struct tfr_problem *problem) {
    (void)args, (void)problem;
    return 1;
}

#ifdef FAKE_NO_RUN
#define RUN_OF_LAST NULL
#else
#define RUN_OF_LAST run
#endif

#define F32 (1U << TFR_DTYPE_F32)
static const struct tfr_kernel kernels[] = {
    {.struct_size = sizeof(struct tfr_kernel),
     .name = "add.f32.fake.plain",
     .op = TFR_OP_ADD,
     .dtypes = F32,
     .run_class = TFR_RUN_SEQ,
     .run = run},
    {.struct_size = sizeof(struct tfr_kernel),
     .name = "layer_norm.f32.fake.plain",
     .op = TFR_OP_LAYER_NORM,
     .dtypes = F32,
     .run_class = TFR_RUN_TEAM,
     .run = run},
    {.struct_size = sizeof(struct tfr_kernel),
     .name = "linear.f32.fake.plain",
     .op = TFR_OP_LINEAR,
     .dtypes = F32,
     .run_class = TFR_RUN_SELF,
     .run = run},
    {.struct_size = sizeof(struct tfr_kernel),
     .name = "send_hidden.f32.fake.plain",
     .op = TFR_OP_SEND_HIDDEN,
     .dtypes = F32,
     .run_class = TFR_RUN_ASYNC,
     .run = RUN_OF_LAST,
     .poll = poll_done},
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof(struct tfr_plugin),
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "fake",
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
