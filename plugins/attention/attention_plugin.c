/* attention_plugin.c - the kernel records of attention. */
#include "attention/attention.h"

#include <stdio.h>

#include "common/kv_served.h"
#include "common/share.h"

/* What the fused kernel has no place for, in words; NULL: nothing. */
static const char *missing_feature(const struct tfr_attrs *attrs) {
    return attrs->wants_weights                      ? "never holds the attention weights that are asked for"
           : attrs->has_mask                         ? "takes no additive mask (4-D attention mask, per-query encoder mask)"
           : attrs->has_head_mask                    ? "takes no head mask"
           : attrs->attention == TFR_ATTENTION_EAGER ? "is fused, and eager attention was asked for"
                                                     : NULL;
}

static bool supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const char *missing = missing_feature(&problem->attrs);
    if (missing != NULL) {
        snprintf(reason, reason_size, "%s", missing);
        return false;
    }
    if (problem->attrs.head_dim >= 1 && problem->attrs.n_heads >= 1) {
        return kv_dtype_served(self, problem, reason, reason_size);
    }
    snprintf(reason, reason_size, "needs n_heads and head_dim of at least 1, has %d and %d", problem->attrs.n_heads,
             problem->attrs.head_dim);
    return false;
}

#ifdef TFR_HAVE_AVX512BF16
static bool dp_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    if (kv_in_bf16_products(problem)) {
        return supports(self, problem, reason, reason_size);
    }
    snprintf(reason, reason_size, "multiplies in bf16, and products of f32 are asked for");
    return false;
}
#endif

static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t reason_size) {
    needs->scratch_per_thread_bytes = tfr_attention_scratch(problem->attrs.head_dim);
    return TFR_OK;
}

/* Lanes of the value product that vectors of these kernels have. */
struct fused {
    struct share share; /* first, as cost_by_share wants it */
    int lanes;
};

/* Heads narrower than a vector leave lanes of the value product empty. */
static void cost(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *out) {
    const struct fused *fused = (const struct fused *)self->user;
    const double head_dim = problem->attrs.head_dim;
    cost_by_share(self, problem, out);
    out->flop_fraction *= head_dim >= fused->lanes ? 1 : 0.5 + 0.5 * head_dim / fused->lanes;
}

static bool eager_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    if (problem->attrs.attention != TFR_ATTENTION_FUSED) {
        return kv_dtype_served(self, problem, reason, reason_size);
    }
    snprintf(reason, reason_size, "is not fused, and fused attention was asked for");
    return false;
}

static int32_t eager_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                             char *reason, size_t reason_size) {
    needs->scratch_per_thread_bytes = (size_t)problem->attrs.head_dim * (sizeof(double) + sizeof(float));
    return TFR_OK;
}

static const struct share eager_share = {.flops = 0.03, .bytes = 0.3, .overhead_ns = 200};

#define KERNEL(name_text, variant, isa_bits, rank, ...)                                                                            \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_ATTENTION, .name = "attention." name_text "." #variant,             \
        .dtypes = 1U << TFR_DTYPE_F32, .isa = (isa_bits), .run_class = TFR_RUN_TEAM, .score = (rank), __VA_ARGS__                  \
    }
#define EAGER(variant, isa_bits, rank)                                                                                             \
    KERNEL("f32.eager", variant, isa_bits, rank, .user = &eager_share, .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,                     \
           .supports = eager_supports, .cost = cost_by_share, .prepare = eager_prepare, .run = tfr_attention_eager_##variant)
#define FUSED(type, variant, isa_bits, rank, flop_share, byte_share, n_lanes, supports_function)                                   \
    KERNEL(type ".attention", variant, isa_bits, rank,                                                                             \
           .user =                                                                                                                 \
               (&(const struct fused){.share = {.flops = flop_share, .bytes = byte_share, .overhead_ns = 200}, .lanes = n_lanes}), \
           .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM | TFR_KERNEL_FUSED_ATTENTION, .supports = supports_function, .cost = cost,       \
           .prepare = prepare, .run = tfr_attention_##variant)

static const struct tfr_kernel *const kernels[] = {
#ifdef TFR_HAVE_AVX512BF16
    FUSED("bf16", avx512bf16, TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16, 40, 0.9, 0.85, 16, dp_supports),
#endif
#ifdef TFR_HAVE_AVX512
    FUSED("f32", avx512, TFR_ISA_AVX512, 30, 0.5, 0.85, 16, supports),
#endif
#ifdef TFR_HAVE_AVX2
    FUSED("f32", avx2, TFR_ISA_AVX2, 20, 0.3, 0.8, 8, supports),
#endif
#ifdef TFR_HAVE_NEON
    FUSED("f32", neon, TFR_ISA_NEON, 20, 0.3, 0.8, 4, supports),
#endif
    FUSED("f32", plain, 0, 10, 0.08, 0.5, 1, supports),
#ifdef TFR_HAVE_AVX512
    EAGER(avx512, TFR_ISA_AVX512, 3),
#endif
#ifdef TFR_HAVE_AVX2
    EAGER(avx2, TFR_ISA_AVX2, 2),
#endif
#ifdef TFR_HAVE_NEON
    EAGER(neon, TFR_ISA_NEON, 2),
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
