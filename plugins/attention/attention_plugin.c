/* attention_plugin.c - the kernel records of attention. */
#include "attention/attention.h"

#include <stdio.h>

#include "common/kv_served.h"

/* What the fused kernel has no place for, in words; NULL: nothing. */
static const char *missing_feature(const struct tfr_attrs *attrs) {
    return attrs->wants_weights                        ? "never holds the attention weights that are asked for"
           : attrs->has_mask                           ? "takes no additive mask (4-D attention mask, per-query encoder mask)"
           : attrs->has_head_mask                      ? "takes no head mask"
           : attrs->attention == TFR_ATTENTION_EAGER   ? "is fused, and eager attention was asked for"
                                                       : NULL;
}

static bool supports(const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const char *missing = missing_feature(&problem->attrs);
    if (missing != NULL) {
        snprintf(reason, reason_size, "%s", missing);
        return false;
    }
    if (problem->attrs.head_dim >= 1 && problem->attrs.n_heads >= 1) {
        return kv_dtype_served(problem, reason, reason_size);
    }
    snprintf(reason, reason_size, "needs n_heads and head_dim of at least 1, has %d and %d",
             problem->attrs.n_heads, problem->attrs.head_dim);
    return false;
}

static bool query(const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                  size_t reason_size) {
    needs->scratch_per_thread_bytes = tfr_attention_scratch(problem->attrs.head_dim);
    return true;
}

/* Heads narrower than a vector leave lanes of the value product empty. */
static double lane_share(const struct tfr_problem *problem, int lanes) {
    const double head_dim = problem->attrs.head_dim;
    return head_dim >= lanes ? 1 : 0.5 + 0.5 * head_dim / lanes;
}

static void cost_plain(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.08;
    cost->byte_fraction = 0.5;
    cost->overhead_ns = 200;
}

static void cost_avx2(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.3 * lane_share(problem, 8);
    cost->byte_fraction = 0.8;
    cost->overhead_ns = 200;
}

static void cost_avx512(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.5 * lane_share(problem, 16);
    cost->byte_fraction = 0.85;
    cost->overhead_ns = 200;
}

static bool eager_supports(const struct tfr_problem *problem, char *reason, size_t reason_size) {
    if (problem->attrs.attention != TFR_ATTENTION_FUSED) {
        return kv_dtype_served(problem, reason, reason_size);
    }
    snprintf(reason, reason_size, "is not fused, and fused attention was asked for");
    return false;
}

static bool eager_query(const struct tfr_problem *problem, struct tfr_needs *needs, char *reason, size_t reason_size) {
    needs->scratch_per_thread_bytes = (size_t)problem->attrs.head_dim * sizeof(double);
    return true;
}

static void cost_eager(const struct tfr_problem *problem, struct tfr_cost *cost) {
    cost->flop_fraction = 0.03;
    cost->byte_fraction = 0.3;
    cost->overhead_ns = 200;
}

#define EAGER(variant, isa_bits, rank)                                                                       \
    {                                                                                                        \
        .struct_size = sizeof(struct tfr_kernel), .name = "attention.f32.eager." #variant,                   \
        .op = TFR_OP_ATTENTION, .dtypes = 1U << TFR_DTYPE_F32, .isa = isa_bits, .run_class = TFR_RUN_TEAM,   \
        .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = rank, .supports = eager_supports,                   \
        .cost = cost_eager, .query = eager_query, .run = tfr_attention_eager_##variant                       \
    }
#define RECORD(variant, isa_bits, rank)                                                                      \
    {                                                                                                        \
        .struct_size = sizeof(struct tfr_kernel), .name = "attention.f32.attention." #variant,               \
        .op = TFR_OP_ATTENTION, .dtypes = 1U << TFR_DTYPE_F32, .isa = isa_bits, .run_class = TFR_RUN_TEAM,   \
        .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = rank, .supports = supports, .cost = cost_##variant, \
        .query = query, .run = tfr_attention_##variant                                                       \
    }

static const struct tfr_kernel kernels[] = {
#ifdef TFR_HAVE_AVX512
    RECORD(avx512, TFR_ISA_AVX512, 30),
#endif
#ifdef TFR_HAVE_AVX2
    RECORD(avx2, TFR_ISA_AVX2, 20),
#endif
    RECORD(plain, 0, 10),
#ifdef TFR_HAVE_AVX512
    EAGER(avx512, TFR_ISA_AVX512, 3),
#endif
#ifdef TFR_HAVE_AVX2
    EAGER(avx2, TFR_ISA_AVX2, 2),
#endif
    EAGER(plain, 0, 1),
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "attention",
    .version = TFR_VERSION_TEXT,
    .build = "compiler " __VERSION__,
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(attention) {
    (void)host;
    return &plugin;
}
