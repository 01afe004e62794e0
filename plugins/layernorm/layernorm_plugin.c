/* layernorm_plugin.c - the kernel records of layernorm. */
#include "layernorm/layernorm.h"

#include "common/share.h"

#define KERNEL(variant, isa_bits, rank, ...)                                                                                       \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_LAYER_NORM, .name = "layer_norm.f32.layernorm." #variant,           \
        .user = &(const struct share){__VA_ARGS__}, .dtypes = 1U << TFR_DTYPE_F32, .isa = (isa_bits), .run_class = TFR_RUN_TEAM,   \
        .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = (rank), .cost = cost_by_share,                      \
        .run = tfr_layernorm_##variant                                                                                             \
    }

static const struct tfr_kernel *const kernels[] = {
#ifdef TFR_HAVE_AVX512
    KERNEL(avx512, TFR_ISA_AVX512, 30, .flops = 0.35, .bytes = 0.85, .overhead_ns = 50),
#endif
#ifdef TFR_HAVE_AVX2
    KERNEL(avx2, TFR_ISA_AVX2, 20, .flops = 0.3, .bytes = 0.8, .overhead_ns = 50),
#endif
#ifdef TFR_HAVE_NEON
    KERNEL(neon, TFR_ISA_NEON, 20, .flops = 0.3, .bytes = 0.8, .overhead_ns = 50),
#endif
    KERNEL(plain, 0, 10, .flops = 0.1, .bytes = 0.5, .overhead_ns = 50),
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "layernorm",
    .version = TFR_VERSION_TEXT,
    .build = "compiler " __VERSION__,
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(layernorm) {
    (void)host;
    return &plugin;
}
