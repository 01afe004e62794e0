/* coarse_plugin.c - linear on weights of whole numbers, for any number of rows, on weights packed as panel64 of coarse types.
 *
 * int8: TFR_ORDER_INT. int4: TFR_ORDER_INT_GROUP. int8w, whose x is as it is: TFR_ORDER_FMA or TFR_ORDER_DP_BF16, with any block
 * of K that is whole quads. All variants give the same bits: sums of whole numbers are exact, and what
 * follows is the same operations.
 */
#include "coarse/coarse.h"

#include <stdio.h>

#include "common/coarse_panel.h"
#include "common/simd.h"

/* A build without fused multiply-add rounds activations otherwise: with one it keeps an order of its own, named by a number. */
#define OWN_MARK 6408

/* More elements of K could be more than 32 bits hold: 127 * 127 * K. */
#define MOST_K 131072

/* What a kernel is: its user pointer. Shares of the peaks are set by hand after measurements with two threads. */
struct kind {
    int order; /* enum tfr_order_kind */
    bool is_plain;
    int rows;                /* of a tile: fewer leave multipliers idle */
    double int_flops, bytes; /* of the peak of whole numbers, of the bandwidth */
};

static int64_t k_of(const struct tfr_problem *problem) {
    return problem->arg[0].dim[1];
}

static bool takes_x_as_it_is(const struct kind *kind) {
    return kind->order == TFR_ORDER_FMA || kind->order == TFR_ORDER_DP_BF16;
}

static struct tfr_order order_of(const struct kind *kind, const struct tfr_problem *problem) {
    const bool rounds_apart = takes_x_as_it_is(kind) || problem->attrs.activation != TFR_ACT_NONE;
    if (kind->is_plain && !V_HAS_FMA && rounds_apart) {
        return (struct tfr_order){.kind = TFR_ORDER_OWN, .k_block = OWN_MARK};
    }
    if (!takes_x_as_it_is(kind)) {
        return (struct tfr_order){.kind = kind->order, .k_block = kind->order == TFR_ORDER_INT_GROUP ? TFR_QUANT_SPAN : 0};
    }
    const bool may_choose = problem->order.kind == TFR_ORDER_ANY;
    return (struct tfr_order){.kind = kind->order,
                              .k_block = may_choose ? panel_default_k_block(k_of(problem)) : problem->order.k_block};
}

static bool refuse(char *reason, size_t size, const char *text) {
    snprintf(reason, size, "%s", text);
    return false;
}

static bool keeps_order(const struct kind *kind, const struct tfr_problem *problem, char *reason, size_t size) {
    const struct tfr_order keeps = order_of(kind, problem), *asked = &problem->order;
    if (asked->kind == TFR_ORDER_ANY) {
        return true;
    }
    if (asked->kind != keeps.kind || asked->k_block != keeps.k_block) {
        return refuse(reason, size,
                      keeps.kind == TFR_ORDER_OWN       ? "has no fused multiply-add, rounds in a way of its own"
                      : keeps.kind == TFR_ORDER_DP_BF16 ? "adds in order dp_bf16 only"
                      : keeps.kind == TFR_ORDER_FMA     ? "adds in order fma only"
                      : keeps.kind == asked->kind       ? "rounds rows in spans of 128 of K only"
                                                        : "adds whole numbers only");
    }
    if (keeps.kind != TFR_ORDER_OWN && takes_x_as_it_is(kind) &&
        (asked->k_block < 1 || (asked->k_block % 4 != 0 && asked->k_block < k_of(problem)))) {
        return refuse(reason, size, "needs a k_block that is a multiple of 4: four of K lie beside each other");
    }
    return true;
}

static bool supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    const struct kind *kind = self->user;
    const bool rounds_x = TFR_HAS(tfr_attrs, &problem->attrs, x_dtype) && problem->attrs.x_dtype == TFR_DTYPE_I8;
    if (rounds_x == takes_x_as_it_is(kind)) {
        return refuse(reason, size, rounds_x ? "does not round x to int8" : "rounds x to int8, which is not asked for");
    }
    if (k_of(problem) > MOST_K) {
        snprintf(reason, size, "needs K <= %d, has %lld", MOST_K, (long long)k_of(problem));
        return false;
    }
    return keeps_order(kind, problem, reason, size);
}

static const char *format_of(int dtype) {
    switch (dtype) {
    case TFR_DTYPE_I8_CHANNEL:
        return "panel64.i8";
    case TFR_DTYPE_I4_GROUP:
        return "panel64.i4.32";
    case TFR_DTYPE_I4_GROUP64:
        return "panel64.i4.64";
    case TFR_DTYPE_I4_ZERO:
        return "panel64.i4.32z";
    default:
        return "panel64.i4.64z";
    }
}

static size_t rows_bytes(const struct kind *kind, const struct tfr_problem *problem, int64_t rows) {
    if (takes_x_as_it_is(kind)) {
        return kind->order == TFR_ORDER_FMA ? 0 : (size_t)(rows * coarse_half_row_stride(k_of(problem))) * sizeof(uint16_t);
    }
    const int64_t group = tfr_quant_group((enum tfr_dtype)problem->arg[1].dtype), k = k_of(problem);
    return group > 0 ? (size_t)(rows * coarse_span_row_stride(k, group)) : coarse_rows_bytes(rows, k);
}

static size_t panel_bytes_of(const struct tfr_problem *problem) {
    const enum tfr_dtype dtype = (enum tfr_dtype)problem->arg[1].dtype;
    const int64_t group = tfr_quant_group(dtype), k = k_of(problem);
    return group > 0 ? coarse_i4_stride(k, group, tfr_quant_has_zero(dtype)) : coarse_i8_stride(k);
}

static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t size) {
    const struct kind *kind = self->user;
    const int64_t rows = problem->rows_max;
    (void)reason, (void)size;
    needs->pack[1].bytes = (size_t)panel_count(problem->arg[4].dim[1]) * panel_bytes_of(problem);
    needs->pack[1].format = format_of(problem->arg[1].dtype);
    needs->order = order_of(kind, problem);
    needs->scratch_per_thread_bytes = rows_bytes(kind, problem, rows < COARSE_ROWS_EACH ? rows : COARSE_ROWS_EACH);
    if (kind->order == TFR_ORDER_DP_BF16) {
        needs->scratch_per_thread_bytes += coarse_wide_bytes(rows);
    }
    needs->scratch_bytes = rows > COARSE_ROWS_EACH ? rows_bytes(kind, problem, rows) : 0;
    return TFR_OK;
}

static void cost(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *out) {
    const struct kind *kind = self->user;
    const double rows = problem->rows_max < kind->rows ? (double)problem->rows_max : kind->rows;
    out->flop_fraction = kind->int_flops * (0.4 + 0.6 * rows / kind->rows);
    out->byte_fraction = kind->bytes;
    out->overhead_ns = problem->rows_max <= COARSE_ROWS_EACH ? 700.0 : 1500.0;
}

#define KERNEL(dtype_bits, name_text, prefix, pack_as, variant, isa_bits, rank, ...)                                               \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_LINEAR, .name = "linear." name_text ".coarse." #variant,            \
        .user = &(const struct kind){__VA_ARGS__}, .dtypes = (dtype_bits), .isa = (isa_bits), .run_class = TFR_RUN_TEAM,           \
        .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = (rank), .supports = supports, .cost = cost,         \
        .prepare = prepare, .pack = tfr_pack_##pack_as, .pack_coarse = tfr_repack_##pack_as,                                       \
        .run = tfr_coarse_##prefix##_##variant                                                                                     \
    }
#define EIGHT_BITS (1U << TFR_DTYPE_I8_CHANNEL)
#define FOUR_BITS  (1U << TFR_DTYPE_I4_GROUP | 1U << TFR_DTYPE_I4_GROUP64 | 1U << TFR_DTYPE_I4_ZERO | 1U << TFR_DTYPE_I4_ZERO64)

#define INT8(variant, ...)           KERNEL(EIGHT_BITS, "int8", i8, i8_##variant, variant, __VA_ARGS__)
#define INT4(variant, ...)           KERNEL(FOUR_BITS, "int4", i4, i4_##variant, variant, __VA_ARGS__)
#define INT8W(variant, pack_as, ...) KERNEL(EIGHT_BITS, "int8w", i8w, i8_##pack_as, variant, __VA_ARGS__)

/* Where plain C stands in for the tiles, processors without them do. */
#if defined(TFR_TILES_EMULATED)
#define TILES_ISA (TFR_ISA_AVX512 | TFR_ISA_AVX512_VNNI)
#else
#define TILES_ISA (TFR_ISA_AVX512 | TFR_ISA_AVX512_VNNI | TFR_ISA_AMX_INT8)
#endif

static const struct tfr_kernel *const kernels[] = {
    /* variant, ISA bits, score, order, plain, rows of a tile, share of flops, of bytes */
    INT8(plain, 0, 10, TFR_ORDER_INT, true, 2, 0.25, 0.30),
    INT8W(plain, plain, 0, 10, TFR_ORDER_FMA, true, 4, 0.25, 0.30),
    INT4(plain, 0, 10, TFR_ORDER_INT_GROUP, true, 1, 0.20, 0.15),
#ifdef TFR_HAVE_AVX2
    INT8(avx2, TFR_ISA_AVX2, 20, TFR_ORDER_INT, false, 4, 0.80, 0.80),
    INT8W(avx2, avx2, TFR_ISA_AVX2, 20, TFR_ORDER_FMA, false, 4, 0.40, 0.70),
    INT4(avx2, TFR_ISA_AVX2, 20, TFR_ORDER_INT_GROUP, false, 2, 0.60, 0.60),
#endif
#ifdef TFR_HAVE_NEON
    INT8(neon, TFR_ISA_NEON, 20, TFR_ORDER_INT, false, 4, 0.40, 0.80),
    INT8W(neon, neon, TFR_ISA_NEON, 20, TFR_ORDER_FMA, false, 6, 0.40, 0.70),
    INT4(neon, TFR_ISA_NEON, 20, TFR_ORDER_INT_GROUP, false, 6, 0.30, 0.60),
#endif
#ifdef TFR_HAVE_DOTPROD
    INT8(dotprod, TFR_ISA_NEON | TFR_ISA_DOTPROD, 30, TFR_ORDER_INT, false, 6, 0.80, 0.85),
    INT4(dotprod, TFR_ISA_NEON | TFR_ISA_DOTPROD, 30, TFR_ORDER_INT_GROUP, false, 6, 0.60, 0.70),
#endif
#ifdef TFR_HAVE_AVX512
    INT8(avx512, TFR_ISA_AVX512, 30, TFR_ORDER_INT, false, 4, 0.80, 0.85),
    INT8W(avx512, avx512, TFR_ISA_AVX512, 30, TFR_ORDER_FMA, false, 6, 0.70, 0.85),
    INT4(avx512, TFR_ISA_AVX512, 30, TFR_ORDER_INT_GROUP, false, 6, 0.60, 0.70),
#endif
#ifdef TFR_HAVE_AVX512VNNI
    INT8(avx512vnni, TFR_ISA_AVX512 | TFR_ISA_AVX512_VNNI, 40, TFR_ORDER_INT, false, 6, 0.80, 0.90),
    INT4(avx512vnni, TFR_ISA_AVX512 | TFR_ISA_AVX512_VNNI, 40, TFR_ORDER_INT_GROUP, false, 6, 0.60, 0.75),
#endif
#ifdef TFR_HAVE_AMXINT8
    KERNEL(EIGHT_BITS, "int8", i8, i8_avx512vnni, amxint8, TILES_ISA, 50, TFR_ORDER_INT, false, 16, 0.40, 0.85), /* not measured */
#endif
#ifdef TFR_HAVE_AVX512BF16
    INT8W(avx512bf16, avx512, TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16, 40, TFR_ORDER_DP_BF16, false, 8, 0.55, 0.85),
#endif
#ifdef TFR_HAVE_AVX512VBMI
    INT8W(avx512vbmi, avx512, TFR_ISA_AVX512 | TFR_ISA_AVX512_BF16 | TFR_ISA_AVX512_VBMI, 50, TFR_ORDER_DP_BF16, false, 8, 0.75,
          0.85),
#endif
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof(struct tfr_plugin),
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "coarse",
    .version = TFR_VERSION_TEXT,
    .build = "compiler " __VERSION__,
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(coarse) {
    (void)host;
    return &plugin;
}
