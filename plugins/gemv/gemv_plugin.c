/* gemv_plugin.c - linear by own code: "gemv" for few rows, "gemm" for any, on weights packed as panel64.
 *
 * Both follow TFR_ORDER_FMA (or TFR_ORDER_DP_BF16) with any block length along K, so a row gives the same
 * bits in either of them, for any number of threads, and in every other kernel that states the same order.
 */
#include "gemv/gemv.h"

#include <stdio.h>

#include "common/panel.h"
#include "common/simd.h"

/* A build without fused multiply-add rounds twice, so its plain kernels keep an order of their own, named by
 * a number. */
#define PLAIN_ORDER (V_HAS_FMA ? TFR_ORDER_FMA : TFR_ORDER_OWN)
#define OWN_MARK    6464

static int64_t k_of(const struct tfr_problem *problem) {
    return problem->arg[0].dim[1];
}

static int64_t n_of(const struct tfr_problem *problem) {
    return problem->arg[4].dim[1];
}

static bool refuse(char *reason, size_t size, const char *text) {
    snprintf(reason, size, "%s", text);
    return false;
}

static bool keeps_order(const struct tfr_problem *problem, int kind, char *reason, size_t size) {
    const struct tfr_order *asked = &problem->order;
    if (asked->kind == TFR_ORDER_ANY) {
        return true;
    }
    if (asked->kind != kind) {
        return refuse(reason, size,
                      kind == TFR_ORDER_DP_BF16 ? "adds in order dp_bf16 only"
                      : kind == TFR_ORDER_FMA   ? "adds in order fma only"
                                                : "has no fused multiply-add, adds in an order of its own");
    }
    if (kind == TFR_ORDER_OWN) {
        return asked->k_block == OWN_MARK || refuse(reason, size, "cannot keep the order of another kernel");
    }
    if (asked->k_block < 1) {
        return refuse(reason, size, "needs an order with k_block >= 1");
    }
    if (kind == TFR_ORDER_DP_BF16 && asked->k_block % 2 != 0 && asked->k_block < k_of(problem)) {
        return refuse(reason, size, "needs an even k_block: bf16 products are added in pairs");
    }
    return true;
}

static bool has_few_rows(const struct tfr_problem *problem, char *reason, size_t size) {
    if (problem->rows_max > TFR_GEMV_MAX_ROWS) {
        snprintf(reason, size, "needs rows <= %d, has %lld", TFR_GEMV_MAX_ROWS, (long long)problem->rows_max);
        return false;
    }
    return true;
}

static struct tfr_order order_of(const struct tfr_problem *problem, int kind) {
    if (problem->order.kind != TFR_ORDER_ANY) {
        return problem->order;
    }
    if (kind == TFR_ORDER_OWN) {
        return (struct tfr_order){.kind = kind, .k_block = OWN_MARK};
    }
    return (struct tfr_order){.kind = kind, .k_block = panel_default_k_block(k_of(problem))};
}

static void need_weight(const struct tfr_problem *problem, int kind, struct tfr_needs *needs) {
    const int dtype = problem->arg[1].dtype;
    needs->packed_bytes = panel_bytes(dtype, k_of(problem), n_of(problem));
    needs->pack_format = panel_format(dtype);
    needs->order = order_of(problem, kind);
}

/* x rounded to bf16. */
static size_t rounded_bytes(const struct tfr_problem *problem) {
    return (size_t)problem->rows_max * (size_t)panel_padded_k(TFR_DTYPE_BF16, k_of(problem)) *
           sizeof(uint16_t);
}

static bool query_gemv(const struct tfr_problem *problem, int kind, struct tfr_needs *needs) {
    need_weight(problem, kind, needs);
    needs->scratch_per_thread_bytes = kind == TFR_ORDER_DP_BF16 ? rounded_bytes(problem) : 0;
    return true;
}

static bool query_gemm(const struct tfr_problem *problem, int kind, struct tfr_needs *needs) {
    const int64_t rows = problem->rows_max < TFR_GEMM_CHUNK_ROWS ? problem->rows_max : TFR_GEMM_CHUNK_ROWS;
    need_weight(problem, kind, needs);
    needs->scratch_per_thread_bytes = (size_t)rows * TFR_PANEL_COLS * sizeof(float);
    needs->scratch_bytes = kind == TFR_ORDER_DP_BF16 ? rounded_bytes(problem) : 0;
    return true;
}

static void pack(const struct tfr_problem *problem, const struct tfr_tensor *weight, void *packed, int tid,
                 int nth) {
    tfr_panel_pack(problem->arg[1].dtype, weight, problem->attrs.transposed != 0, packed, tid, nth);
}

/* Vector width as a share of the machine's widest: the peaks that costs are compared with are those of the
 * machine. Set once at load. */
static double avx2_width = 1.0, plain_width = 1.0;
static const double avx512_width = 1.0, avx512bf16_width = 1.0;

/* Shares of the peaks, set by hand after measurements on AVX-512 with two threads. One row leaves the multipliers half idle,
 * since the panel's accumulators are too few to hide their latency; from four rows on the share stays where
 * it is. */
static void cost_of(const struct tfr_problem *problem, double flop_fraction, double byte_fraction,
                    bool few_rows, struct tfr_cost *cost) {
    const double rows = (double)(problem->rows_max < 4 ? problem->rows_max : 4);
    cost->flop_fraction = few_rows ? flop_fraction * (0.25 + 0.1875 * rows) : flop_fraction;
    cost->byte_fraction = byte_fraction;
    cost->overhead_ns = few_rows ? 500.0 : 1500.0;
}

/* clang-format off */
/* X(family, dtype, ISA variant, dtype bit, ISA bits, order kind, score, flop fraction, byte fraction) */
#define PLAIN_KERNELS(X) \
    X(gemv, f32, plain, F32, 0, PLAIN_ORDER, 10, 0.60, 0.50) \
    X(gemm, f32, plain, F32, 0, PLAIN_ORDER, 10, 0.60, 0.50) \
    X(gemv, bf16, plain, BF16, 0, PLAIN_ORDER, 10, 0.30, 0.40) \
    X(gemm, bf16, plain, BF16, 0, PLAIN_ORDER, 10, 0.30, 0.40)
#define AVX2_KERNELS(X) \
    X(gemv, f32, avx2, F32, TFR_ISA_AVX2, TFR_ORDER_FMA, 20, 0.88, 0.90) \
    X(gemm, f32, avx2, F32, TFR_ISA_AVX2, TFR_ORDER_FMA, 20, 0.85, 0.85) \
    X(gemv, bf16, avx2, BF16, TFR_ISA_AVX2, TFR_ORDER_FMA, 20, 0.42, 0.85) \
    X(gemm, bf16, avx2, BF16, TFR_ISA_AVX2, TFR_ORDER_FMA, 20, 0.40, 0.80)
#define AVX512_KERNELS(X) \
    X(gemv, f32, avx512, F32, TFR_ISA_AVX512, TFR_ORDER_FMA, 30, 0.90, 0.95) \
    X(gemm, f32, avx512, F32, TFR_ISA_AVX512, TFR_ORDER_FMA, 30, 0.85, 0.85) \
    X(gemv, bf16, avx512, BF16, TFR_ISA_AVX512, TFR_ORDER_FMA, 30, 0.43, 0.90) \
    X(gemm, bf16, avx512, BF16, TFR_ISA_AVX512, TFR_ORDER_FMA, 30, 0.40, 0.85)
#define AVX512BF16_KERNELS(X) \
    X(gemv, bf16, avx512bf16, BF16, TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16, TFR_ORDER_DP_BF16, 40, 0.88, 0.95) \
    X(gemm, bf16, avx512bf16, BF16, TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16, TFR_ORDER_DP_BF16, 40, 0.78, 0.85)

#define SUPPORTS_gemv(problem, reason, size) has_few_rows(problem, reason, size)
#define SUPPORTS_gemm(problem, reason, size) true
#define IS_FEW_gemv                          true
#define IS_FEW_gemm                          false

#define FUNCTIONS(family, dtype, variant, DTYPE, isa_bits, order_kind, kernel_score, flop, byte)   \
    static bool supports_##family##_##dtype##_##variant(const struct tfr_problem *problem, char *reason, size_t size) { \
        return SUPPORTS_##family(problem, reason, size) && keeps_order(problem, order_kind, reason, size); \
    }                                                                                              \
    static bool query_##family##_##dtype##_##variant(const struct tfr_problem *problem, struct tfr_needs *needs, \
                                                     char *reason, size_t size) {                  \
        (void)reason, (void)size;                                                                  \
        return query_##family(problem, order_kind, needs);                                         \
    }                                                                                              \
    static void cost_##family##_##dtype##_##variant(const struct tfr_problem *problem, struct tfr_cost *cost) { \
        cost_of(problem, (flop)*variant##_width, byte, IS_FEW_##family, cost);                                       \
    }

#define RECORD(family, dtype, variant, DTYPE, isa_bits, order_kind, kernel_score, flop, byte)      \
    {.struct_size = sizeof(struct tfr_kernel),                                                     \
     .name = "linear." #dtype "." #family "." #variant,                                            \
     .op = TFR_OP_LINEAR,                                                                          \
     .dtypes = 1U << TFR_DTYPE_##DTYPE,                                                            \
     .isa = (isa_bits),                                                                            \
     .run_class = TFR_RUN_TEAM,                                                                    \
     .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM,                                 \
     .score = (kernel_score),                                                                      \
     .supports = supports_##family##_##dtype##_##variant,                                          \
     .cost = cost_##family##_##dtype##_##variant,                                                  \
     .query = query_##family##_##dtype##_##variant,                                                \
     .pack = pack,                                                                                 \
     .run = tfr_##family##_##dtype##_##variant},

PLAIN_KERNELS(FUNCTIONS)
#ifdef TFR_HAVE_AVX2
AVX2_KERNELS(FUNCTIONS)
#endif
#ifdef TFR_HAVE_AVX512
AVX512_KERNELS(FUNCTIONS)
#endif
#ifdef TFR_HAVE_AVX512BF16
AVX512BF16_KERNELS(FUNCTIONS)
#endif

static const struct tfr_kernel kernels[] = {
    PLAIN_KERNELS(RECORD)
#ifdef TFR_HAVE_AVX2
    AVX2_KERNELS(RECORD)
#endif
#ifdef TFR_HAVE_AVX512
    AVX512_KERNELS(RECORD)
#endif
#ifdef TFR_HAVE_AVX512BF16
    AVX512BF16_KERNELS(RECORD)
#endif
};
/* clang-format on */

static const struct tfr_plugin plugin = {
    .struct_size = sizeof(struct tfr_plugin),
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "gemv",
    .version = TFR_VERSION_TEXT,
    .build = "compiler " __VERSION__,
    .n_kernels = (int32_t)(sizeof kernels / sizeof kernels[0]),
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(gemv) {
    const bool has_avx512 = (host->isa & TFR_ISA_AVX512) != 0, has_avx2 = (host->isa & TFR_ISA_AVX2) != 0;
    avx2_width = has_avx512 ? 0.5 : 1.0;
    plain_width = has_avx512 ? 0.125 : has_avx2 ? 0.25 : 1.0;
    return &plugin;
}
