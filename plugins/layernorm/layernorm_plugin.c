/* layernorm_plugin.c - the kernel records of layernorm. */
#include "layernorm/layernorm.h"

static void cost_plain(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.1;
    cost->byte_fraction = 0.5;
    cost->overhead_ns = 50;
}

static void cost_avx2(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.3;
    cost->byte_fraction = 0.8;
    cost->overhead_ns = 50;
}

static void cost_avx512(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.35;
    cost->byte_fraction = 0.85;
    cost->overhead_ns = 50;
}

#define RECORD(variant, isa_bits, rank)                                                                      \
    {                                                                                                        \
        .struct_size = sizeof(struct tfr_kernel), .name = "layer_norm.f32.layernorm." #variant,              \
        .op = TFR_OP_LAYER_NORM, .dtypes = 1U << TFR_DTYPE_F32, .isa = isa_bits, .run_class = TFR_RUN_TEAM,  \
        .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = rank, .cost = cost_##variant, \
        .run = tfr_layernorm_##variant                                                                       \
    }

static const struct tfr_kernel kernels[] = {
#ifdef TFR_HAVE_AVX512
    RECORD(avx512, TFR_ISA_AVX512, 30),
#endif
#ifdef TFR_HAVE_AVX2
    RECORD(avx2, TFR_ISA_AVX2, 20),
#endif
    RECORD(plain, 0, 10),
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
