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
    return problem->arg[1].dim[problem->attrs.transposed ? 0 : 1];
}

static bool refuse(char *reason, size_t size, const char *text) {
    snprintf(reason, size, "%s", text);
    return false;
}

/* What a kernel is: its user pointer. Shares of the peaks are set by hand after measurements on AVX-512 with two threads. */
struct kind {
    int order;     /* enum tfr_order_kind */
    bool few_rows; /* gemv: at most TFR_GEMV_MAX_ROWS */
    double flops, bytes;
    enum width { WIDTH_PLAIN, WIDTH_AVX2, WIDTH_AVX512, WIDTH_NEON } width;
};

/* Vector width as a share of the machine's widest: the peaks that costs are compared with are those of the machine. Set once
 * at load, from the host's facts. */
static double width_share[] = {[WIDTH_PLAIN] = 1.0, [WIDTH_AVX2] = 1.0, [WIDTH_AVX512] = 1.0, [WIDTH_NEON] = 1.0};

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

static bool supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    const struct kind *kind = self->user;
    if (kind->few_rows && problem->rows_max > TFR_GEMV_MAX_ROWS) {
        snprintf(reason, size, "needs rows <= %d, has %lld", TFR_GEMV_MAX_ROWS, (long long)problem->rows_max);
        return false;
    }
    return keeps_order(problem, kind->order, reason, size);
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

/* x rounded to bf16. */
static size_t rounded_bytes(const struct tfr_problem *problem) {
    return (size_t)problem->rows_max * (size_t)panel_padded_k(TFR_DTYPE_BF16, k_of(problem)) * sizeof(uint16_t);
}

/* One block of a panel widened to f32. */
static size_t widened_bytes(const struct tfr_problem *problem, const struct tfr_order *order) {
    const int64_t k = k_of(problem), block = order->kind == TFR_ORDER_OWN ? panel_default_k_block(k) : order->k_block;
    return (size_t)(block < k ? block : k) * TFR_PANEL_COLS * sizeof(float);
}

/* gemv rounds x in every thread, gemm once for all; gemm keeps the sums of a chunk of rows and a block of widened weights. */
static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t size) {
    const struct kind *kind = self->user;
    const int dtype = problem->arg[1].dtype;
    const int64_t rows = problem->rows_max < TFR_GEMM_CHUNK_ROWS ? problem->rows_max : TFR_GEMM_CHUNK_ROWS;
    const size_t rounded = kind->order == TFR_ORDER_DP_BF16 ? rounded_bytes(problem) : 0;
    (void)reason, (void)size;
    needs->pack[1].bytes = panel_bytes(dtype, k_of(problem), n_of(problem));
    needs->pack[1].format = panel_format(dtype);
    needs->order = order_of(problem, kind->order);
    needs->scratch_per_thread_bytes = kind->few_rows ? rounded : 2 * (size_t)rows * TFR_PANEL_COLS * sizeof(float);
    if (!kind->few_rows && dtype != TFR_DTYPE_F32 && kind->order != TFR_ORDER_DP_BF16) {
        needs->scratch_per_thread_bytes =
            2 * TFR_GEMM_CHUNK_ROWS * TFR_PANEL_COLS * sizeof(float) + widened_bytes(problem, &needs->order);
    }
    needs->scratch_bytes = kind->few_rows ? 0 : rounded;
    return TFR_OK;
}

static void pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg, const struct tfr_tensor *weight,
                 void *packed, int32_t tid, int32_t nth) {
    (void)self;
    tfr_panel_pack(problem->arg[arg].dtype, weight, problem->attrs.transposed != 0, packed, tid, nth);
}

/* One row leaves the multipliers half idle, since the panel's accumulators are too few to hide their latency; from four rows
 * on the share stays where it is. */
static void cost(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *out) {
    const struct kind *kind = self->user;
    const double rows = (double)(problem->rows_max < 4 ? problem->rows_max : 4), share = kind->flops * width_share[kind->width];
    out->flop_fraction = kind->few_rows ? share * (0.25 + 0.1875 * rows) : share;
    out->byte_fraction = kind->bytes;
    out->overhead_ns = kind->few_rows ? 500.0 : 1500.0;
}

#define KERNEL(DTYPE, dtype, family, variant, isa_bits, rank, ...)                                                                 \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_LINEAR, .name = "linear." #dtype "." #family "." #variant,          \
        .user = &(const struct kind){__VA_ARGS__}, .dtypes = 1U << TFR_DTYPE_##DTYPE, .isa = (isa_bits),                           \
        .run_class = TFR_RUN_TEAM, .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM | TFR_KERNEL_APART,                \
        .score = (rank), .supports = supports, .cost = cost, .prepare = prepare, .pack = pack, .run = tfr_##family##_##variant     \
    }
#define F32(...)  KERNEL(F32, f32, __VA_ARGS__)
#define BF16(...) KERNEL(BF16, bf16, __VA_ARGS__)
#define F16(...)  KERNEL(F16, f16, __VA_ARGS__)

static const struct tfr_kernel *const kernels[] = {
    /* family, variant, ISA bits, score, order, gemv, share of flops, of bytes, width */
    F32(gemv, plain, 0, 10, PLAIN_ORDER, true, 0.60, 0.50, WIDTH_PLAIN),
    F32(gemm, plain, 0, 10, PLAIN_ORDER, false, 0.60, 0.50, WIDTH_PLAIN),
    BF16(gemv, plain, 0, 10, PLAIN_ORDER, true, 0.30, 0.40, WIDTH_PLAIN),
    BF16(gemm, plain, 0, 10, PLAIN_ORDER, false, 0.58, 0.40, WIDTH_PLAIN),
    F16(gemv, plain, 0, 10, PLAIN_ORDER, true, 0.20, 0.30, WIDTH_PLAIN),
    F16(gemm, plain, 0, 10, PLAIN_ORDER, false, 0.58, 0.30, WIDTH_PLAIN),
#ifdef TFR_HAVE_AVX2
    F32(gemv, avx2, TFR_ISA_AVX2, 20, TFR_ORDER_FMA, true, 0.88, 0.90, WIDTH_AVX2),
    F32(gemm, avx2, TFR_ISA_AVX2, 20, TFR_ORDER_FMA, false, 0.85, 0.85, WIDTH_AVX2),
    BF16(gemv, avx2, TFR_ISA_AVX2, 20, TFR_ORDER_FMA, true, 0.42, 0.85, WIDTH_AVX2),
    BF16(gemm, avx2, TFR_ISA_AVX2, 20, TFR_ORDER_FMA, false, 0.83, 0.80, WIDTH_AVX2),
    F16(gemv, avx2, TFR_ISA_AVX2, 20, TFR_ORDER_FMA, true, 0.42, 0.85, WIDTH_AVX2),
    F16(gemm, avx2, TFR_ISA_AVX2, 20, TFR_ORDER_FMA, false, 0.83, 0.80, WIDTH_AVX2),
#endif
#ifdef TFR_HAVE_AVX512
    F32(gemv, avx512, TFR_ISA_AVX512, 30, TFR_ORDER_FMA, true, 0.90, 0.95, WIDTH_AVX512),
    F32(gemm, avx512, TFR_ISA_AVX512, 30, TFR_ORDER_FMA, false, 0.85, 0.85, WIDTH_AVX512),
    BF16(gemv, avx512, TFR_ISA_AVX512, 30, TFR_ORDER_FMA, true, 0.43, 0.90, WIDTH_AVX512),
    BF16(gemm, avx512, TFR_ISA_AVX512, 30, TFR_ORDER_FMA, false, 0.83, 0.85, WIDTH_AVX512),
    F16(gemv, avx512, TFR_ISA_AVX512, 30, TFR_ORDER_FMA, true, 0.43, 0.90, WIDTH_AVX512),
    F16(gemm, avx512, TFR_ISA_AVX512, 30, TFR_ORDER_FMA, false, 0.83, 0.85, WIDTH_AVX512),
#endif
#ifdef TFR_HAVE_AVX512BF16
    BF16(gemv, avx512bf16, TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16, 40, TFR_ORDER_DP_BF16, true, 0.88, 0.95, WIDTH_AVX512),
    BF16(gemm, avx512bf16, TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16, 40, TFR_ORDER_DP_BF16, false, 0.78, 0.85, WIDTH_AVX512),
#endif
#ifdef TFR_HAVE_NEON
    F32(gemv, neon, TFR_ISA_NEON, 20, TFR_ORDER_FMA, true, 0.88, 0.90, WIDTH_NEON),
    F32(gemm, neon, TFR_ISA_NEON, 20, TFR_ORDER_FMA, false, 0.85, 0.85, WIDTH_NEON),
    BF16(gemv, neon, TFR_ISA_NEON, 20, TFR_ORDER_FMA, true, 0.42, 0.85, WIDTH_NEON),
    BF16(gemm, neon, TFR_ISA_NEON, 20, TFR_ORDER_FMA, false, 0.83, 0.80, WIDTH_NEON),
    F16(gemv, neon, TFR_ISA_NEON, 20, TFR_ORDER_FMA, true, 0.42, 0.85, WIDTH_NEON),
    F16(gemm, neon, TFR_ISA_NEON, 20, TFR_ORDER_FMA, false, 0.83, 0.80, WIDTH_NEON),
#endif
};

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
    width_share[WIDTH_AVX2] = has_avx512 ? 0.5 : 1.0;
    width_share[WIDTH_PLAIN] = has_avx512 ? 0.125 : has_avx2 || (host->isa & TFR_ISA_NEON) != 0 ? 0.25 : 1.0;
    return &plugin;
}
