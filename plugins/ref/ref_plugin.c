/* ref_plugin.c - the kernel records of ref: every op but send_hidden and recv_hidden, which belong to the
 * transport. */
#include "common/kv_served.h"
#include "common/share.h"
#include "ref/ref.h"

#define F32_ONLY (1U << TFR_DTYPE_F32)
#define TABLES   (1U << TFR_DTYPE_F32 | 1U << TFR_DTYPE_BF16 | 1U << TFR_DTYPE_F16 | 1U << TFR_DTYPE_F64) /* read where it lies */

static const struct share slow = {.flops = 0.005, .bytes = 0.05}; /* one thread, double, no blocking */

#define KERNEL(OP, name_text, dtype_bits, flag_bits, run_function, ...)                                                            \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_##OP, .name = name_text, .user = &slow, .dtypes = (dtype_bits),     \
        .run_class = TFR_RUN_SEQ, .flags = (flag_bits) | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = 0, .cost = cost_by_share,         \
        .run = run_function, __VA_ARGS__                                                                                           \
    }
#define LINEAR .supports = tfr_ref_linear_supports, .prepare = tfr_ref_linear_prepare, .pack = tfr_ref_linear_pack
#define COARSE(name, packs)                                                                                                        \
    .supports = tfr_ref_##name##_supports, .prepare = tfr_ref_##name##_prepare, .pack = tfr_ref_##packs##_pack,                    \
    .pack_coarse = tfr_ref_##packs##_repack
#define FOUR_BITS (1U << TFR_DTYPE_I4_GROUP | 1U << TFR_DTYPE_I4_GROUP64 | 1U << TFR_DTYPE_I4_ZERO | 1U << TFR_DTYPE_I4_ZERO64)
#define ALL       .supports = NULL

static const struct tfr_kernel *const kernels[] = {
    KERNEL(EMBED, "embed.any.ref.plain", TABLES, 0, tfr_ref_embed, ALL),
    KERNEL(LAYER_NORM, "layer_norm.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_layer_norm, ALL),
    KERNEL(LINEAR, "linear.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_linear, LINEAR),
    KERNEL(LINEAR, "linear.bf16.ref.plain", 1U << TFR_DTYPE_BF16, TFR_KERNEL_IN_PLACE, tfr_ref_linear, LINEAR),
    KERNEL(LINEAR, "linear.int8.ref.plain", 1U << TFR_DTYPE_I8_CHANNEL, TFR_KERNEL_IN_PLACE, tfr_ref_int8, COARSE(int8, int8)),
    KERNEL(LINEAR, "linear.int8w.ref.plain", 1U << TFR_DTYPE_I8_CHANNEL, TFR_KERNEL_IN_PLACE, tfr_ref_int8w, COARSE(int8w, int8)),
    KERNEL(LINEAR, "linear.int4.ref.plain", FOUR_BITS, TFR_KERNEL_IN_PLACE, tfr_ref_int4, COARSE(int4, int4)),
    KERNEL(LINEAR, "linear.f16.ref.plain", 1U << TFR_DTYPE_F16, TFR_KERNEL_IN_PLACE, tfr_ref_linear, LINEAR),
    KERNEL(KV_APPEND, "kv_append.f32.ref.plain", F32_ONLY, 0, tfr_ref_kv_append, .supports = kv_dtype_served),
    KERNEL(ATTENTION, "attention.f32.ref.plain", F32_ONLY, 0, tfr_ref_attention, .supports = tfr_ref_attention_supports,
           .prepare = tfr_ref_attention_prepare),
    KERNEL(ACTIVATION, "activation.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_activation, ALL),
    KERNEL(ADD, "add.f32.ref.plain", F32_ONLY, TFR_KERNEL_IN_PLACE, tfr_ref_add, ALL),
    KERNEL(GATHER_ROWS, "gather_rows.f32.ref.plain", F32_ONLY, 0, tfr_ref_gather_rows, ALL),
    KERNEL(LOOKUP_ADD, "lookup_add.any.ref.plain", TABLES, TFR_KERNEL_IN_PLACE, tfr_ref_lookup_add, ALL),
    KERNEL(COPY, "copy.f32.ref.plain", F32_ONLY, 0, tfr_ref_copy, ALL),
    KERNEL(SUM_BLOCKS, "sum_blocks.f32.ref.plain", F32_ONLY, 0, tfr_ref_sum_blocks, ALL),
    KERNEL(BEST_ROWS, "best_rows.f32.ref.plain", F32_ONLY, 0, tfr_ref_best_rows, ALL),
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
