/* pointwise_plugin.c - the kernel records of pointwise. */
#include "pointwise/pointwise.h"

#include "common/kv_served.h"

static void cost_plain(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.05;
    cost->byte_fraction = 0.5;
    cost->overhead_ns = 50;
}

static void cost_avx2(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.15;
    cost->byte_fraction = 0.7;
    cost->overhead_ns = 50;
}

static void cost_avx512(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.2;
    cost->byte_fraction = 0.75;
    cost->overhead_ns = 50;
}

#define F32_ONLY (1U << TFR_DTYPE_F32)
#define TABLES                                                                                               \
    (1U << TFR_DTYPE_F32 | 1U << TFR_DTYPE_BF16 | 1U << TFR_DTYPE_F16 |                                      \
     1U << TFR_DTYPE_F64) /* read where it lies */

#define RECORD(OP, op_text, function, dtype_bits, flag_bits, variant, isa_bits, rank, ...)                   \
    {                                                                                                        \
        .struct_size = sizeof(struct tfr_kernel), .name = op_text ".pointwise." #variant, .op = TFR_OP_##OP, \
        .dtypes = dtype_bits, .isa = isa_bits, .run_class = TFR_RUN_TEAM,                                    \
        .flags = (flag_bits) | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = rank, .cost = cost_##variant,         \
        .run = tfr_pointwise_##function##_##variant, __VA_ARGS__                                             \
    }
#define SERVES_ALL .supports = NULL
#define RECORDS(variant, isa_bits, rank)                                                                     \
    RECORD(EMBED, "embed.any", embed, TABLES, 0, variant, isa_bits, rank, SERVES_ALL),                       \
        RECORD(ACTIVATION, "activation.f32", activation, F32_ONLY, TFR_KERNEL_IN_PLACE, variant, isa_bits,   \
               rank, SERVES_ALL),                                                                            \
        RECORD(ADD, "add.f32", add, F32_ONLY, TFR_KERNEL_IN_PLACE, variant, isa_bits, rank, SERVES_ALL),     \
        RECORD(GATHER_ROWS, "gather_rows.f32", gather_rows, F32_ONLY, 0, variant, isa_bits, rank,            \
               SERVES_ALL),                                                                                  \
        RECORD(LOOKUP_ADD, "lookup_add.any", lookup_add, TABLES, TFR_KERNEL_IN_PLACE, variant, isa_bits,     \
               rank, SERVES_ALL),                                                                            \
        RECORD(COPY, "copy.f32", copy, F32_ONLY, 0, variant, isa_bits, rank, SERVES_ALL),                    \
        RECORD(KV_APPEND, "kv_append.f32", kv_append, F32_ONLY, 0, variant, isa_bits, rank,                  \
               .supports = kv_dtype_served)

static const struct tfr_kernel kernels[] = {
#ifdef TFR_HAVE_AVX512
    RECORDS(avx512, TFR_ISA_AVX512, 30),
#endif
#ifdef TFR_HAVE_AVX2
    RECORDS(avx2, TFR_ISA_AVX2, 20),
#endif
    RECORDS(plain, 0, 10),
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
