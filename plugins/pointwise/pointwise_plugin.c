/* pointwise_plugin.c - the kernel records of pointwise. */
#include "pointwise/pointwise.h"

#include "common/kv_served.h"
#include "common/share.h"

#define F32_ONLY (1U << TFR_DTYPE_F32)
#define TABLES   (1U << TFR_DTYPE_F32 | 1U << TFR_DTYPE_BF16 | 1U << TFR_DTYPE_F16 | 1U << TFR_DTYPE_F64) /* read where it lies */

#define KERNEL(OP, op_text, function, dtype_bits, flag_bits, variant, isa_bits, rank, supports_function)                           \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_##OP, .name = op_text ".pointwise." #variant,                       \
        .user = &variant##_share, .dtypes = (dtype_bits), .isa = (isa_bits), .run_class = TFR_RUN_TEAM,                            \
        .flags = (flag_bits) | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = (rank), .supports = supports_function,                      \
        .cost = cost_by_share, .run = tfr_pointwise_##function##_##variant                                                         \
    }
#define KERNELS(variant, isa_bits, rank)                                                                                           \
    KERNEL(EMBED, "embed.any", embed, TABLES, 0, variant, isa_bits, rank, NULL),                                                   \
        KERNEL(ACTIVATION, "activation.f32", activation, F32_ONLY, TFR_KERNEL_IN_PLACE, variant, isa_bits, rank, NULL),            \
        KERNEL(ADD, "add.f32", add, F32_ONLY, TFR_KERNEL_IN_PLACE, variant, isa_bits, rank, NULL),                                 \
        KERNEL(GATHER_ROWS, "gather_rows.f32", gather_rows, F32_ONLY, 0, variant, isa_bits, rank, NULL),                           \
        KERNEL(LOOKUP_ADD, "lookup_add.any", lookup_add, TABLES, TFR_KERNEL_IN_PLACE, variant, isa_bits, rank, NULL),              \
        KERNEL(SUM_BLOCKS, "sum_blocks.f32", sum_blocks, F32_ONLY, 0, variant, isa_bits, rank, NULL),                              \
        KERNEL(BEST_ROWS, "best_rows.f32", best_rows, F32_ONLY, 0, variant, isa_bits, rank, NULL),                                 \
        KERNEL(COPY, "copy.f32", copy, F32_ONLY, 0, variant, isa_bits, rank, NULL),                                                \
        KERNEL(KV_APPEND, "kv_append.f32", kv_append, F32_ONLY, 0, variant, isa_bits, rank, kv_dtype_served)

static const struct share plain_share = {.flops = 0.05, .bytes = 0.5, .overhead_ns = 50};
#ifdef TFR_HAVE_AVX2
static const struct share avx2_share = {.flops = 0.15, .bytes = 0.7, .overhead_ns = 50};
#endif
#ifdef TFR_HAVE_NEON
static const struct share neon_share = {.flops = 0.15, .bytes = 0.7, .overhead_ns = 50};
#endif
#ifdef TFR_HAVE_AVX512
static const struct share avx512_share = {.flops = 0.2, .bytes = 0.75, .overhead_ns = 50};
#endif

static const struct tfr_kernel *const kernels[] = {
#ifdef TFR_HAVE_AVX512
    KERNELS(avx512, TFR_ISA_AVX512, 30),
#endif
#ifdef TFR_HAVE_AVX2
    KERNELS(avx2, TFR_ISA_AVX2, 20),
#endif
#ifdef TFR_HAVE_NEON
    KERNELS(neon, TFR_ISA_NEON, 20),
#endif
    KERNELS(plain, 0, 10),
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "pointwise",
    .version = TFR_VERSION_TEXT,
    .build = "compiler " __VERSION__,
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(pointwise) {
    (void)host;
    return &plugin;
}
