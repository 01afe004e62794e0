/* ref_plugin.c - the kernel records of ref: every op but send_hidden and recv_hidden, which belong to the
 * transport. */
#include "common/kv_served.h"
#include "ref/ref.h"

static void cost_slow(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.005; /* one thread, double, no blocking */
    cost->byte_fraction = 0.05;
}

#define F32_ONLY (1U << TFR_DTYPE_F32)
#define TABLES                                                                                               \
    (1U << TFR_DTYPE_F32 | 1U << TFR_DTYPE_BF16 | 1U << TFR_DTYPE_F16 |                                      \
     1U << TFR_DTYPE_F64) /* read where it lies */

#define RECORD(OP, name_text, dtype_bits, flag_bits, run_function, ...)                                      \
    {                                                                                                        \
        .struct_size = sizeof(struct tfr_kernel), .name = name_text, .op = TFR_OP_##OP,                      \
        .dtypes = dtype_bits, .run_class = TFR_RUN_SEQ,                                                      \
        .flags = (flag_bits) | TFR_KERNEL_SAME_BITS_ANY_TEAM, .cost = cost_slow, .run = run_function,        \
        __VA_ARGS__                                                                                          \
    }
#define LINEAR .supports = tfr_ref_linear_supports, .query = tfr_ref_linear_query, .pack = tfr_ref_linear_pack

static const struct tfr_kernel kernels[] = {
    RECORD(EMBED, "embed.any.ref.plain", TABLES, 0, tfr_ref_embed, .score = 0),
    RECORD(LAYER_NORM, "layer_norm.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_layer_norm,
           .score = 0),
    RECORD(LINEAR, "linear.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_linear, LINEAR),
    RECORD(LINEAR, "linear.bf16.ref.plain", 1U << TFR_DTYPE_BF16, TFR_KERNEL_IN_PLACE, tfr_ref_linear,
           LINEAR),
    RECORD(KV_APPEND, "kv_append.f32.ref.plain", F32_ONLY, 0, tfr_ref_kv_append,
           .supports = kv_dtype_served),
    RECORD(ATTENTION, "attention.f32.ref.plain", F32_ONLY, 0, tfr_ref_attention,
           .supports = tfr_ref_attention_supports, .query = tfr_ref_attention_query),
    RECORD(ACTIVATION, "activation.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_activation,
           .score = 0),
    RECORD(ADD, "add.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_add, .score = 0),
    RECORD(GATHER_ROWS, "gather_rows.f32.ref.plain", F32_ONLY, 0, tfr_ref_gather_rows, .score = 0),
    RECORD(LOOKUP_ADD, "lookup_add.any.ref.plain", TABLES, TFR_KERNEL_IN_PLACE, tfr_ref_lookup_add, .score = 0),
    RECORD(COPY, "copy.f32.ref.plain", F32_ONLY, 0, tfr_ref_copy, .score = 0),
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "ref",
    .version = TFR_VERSION_TEXT,
    .build = "compiler " __VERSION__ ", plain C",
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(ref) {
    (void)host;
    return &plugin;
}
