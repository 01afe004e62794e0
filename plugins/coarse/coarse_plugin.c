/* coarse_plugin.c - linear on weights of whole numbers, for any number of rows, on weights packed as panel64 of coarse types.
 *
 * int8: TFR_ORDER_INT. All variants give the same bits: sums of whole numbers are exact, and what follows is the same operations.
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

static struct tfr_order order_of(const struct kind *kind, const struct tfr_problem *problem) {
    if (kind->is_plain && !V_HAS_FMA && problem->attrs.activation != TFR_ACT_NONE) {
        return (struct tfr_order){.kind = TFR_ORDER_OWN, .k_block = OWN_MARK};
    }
    return (struct tfr_order){.kind = kind->order};
}

static bool rounds_x(const struct tfr_problem *problem) {
    return TFR_HAS(tfr_attrs, &problem->attrs, x_dtype) && problem->attrs.x_dtype == TFR_DTYPE_I8;
}

static bool supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    const struct kind *kind = self->user;
    const struct tfr_order keeps = order_of(kind, problem), *asked = &problem->order;
    if (!rounds_x(problem)) {
        snprintf(reason, size, "rounds x to int8, which is not asked for");
        return false;
    }
    if (k_of(problem) > MOST_K) {
        snprintf(reason, size, "needs K <= %d, has %lld", MOST_K, (long long)k_of(problem));
        return false;
    }
    if (asked->kind != TFR_ORDER_ANY && (asked->kind != keeps.kind || asked->k_block != keeps.k_block)) {
        snprintf(reason, size,
                 keeps.kind == TFR_ORDER_OWN ? "has no fused multiply-add, activates in a way of its own"
                                             : "adds whole numbers only");
        return false;
    }
    return true;
}

static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t size) {
    const struct kind *kind = self->user;
    const int64_t k = k_of(problem), n = problem->arg[4].dim[1], rows = problem->rows_max;
    (void)reason, (void)size;
    needs->pack[1].bytes = (size_t)panel_count(n) * coarse_i8_stride(k);
    needs->pack[1].format = "panel64.i8";
    needs->order = order_of(kind, problem);
    needs->scratch_per_thread_bytes = coarse_rows_bytes(rows < COARSE_ROWS_EACH ? rows : COARSE_ROWS_EACH, k);
    needs->scratch_bytes = rows > COARSE_ROWS_EACH ? coarse_rows_bytes(rows, k) : 0;
    return TFR_OK;
}

static void cost(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *out) {
    const struct kind *kind = self->user;
    const double rows = problem->rows_max < kind->rows ? (double)problem->rows_max : kind->rows;
    out->flop_fraction = kind->int_flops * (0.4 + 0.6 * rows / kind->rows);
    out->byte_fraction = kind->bytes;
    out->overhead_ns = problem->rows_max <= COARSE_ROWS_EACH ? 700.0 : 1500.0;
}

#define KERNEL(DTYPE, name_text, prefix, variant, isa_bits, rank, ...)                                                             \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_LINEAR, .name = "linear." name_text ".coarse." #variant,            \
        .user = &(const struct kind){__VA_ARGS__}, .dtypes = 1U << TFR_DTYPE_##DTYPE, .isa = (isa_bits),                           \
        .run_class = TFR_RUN_TEAM, .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = (rank),                  \
        .supports = supports, .cost = cost, .prepare = prepare, .pack = tfr_pack_##prefix##_##variant,                             \
        .pack_coarse = tfr_repack_##prefix##_##variant, .run = tfr_coarse_##prefix##_##variant                                     \
    }
#define INT8(...) KERNEL(I8_CHANNEL, "int8", i8, __VA_ARGS__)

static const struct tfr_kernel *const kernels[] = {
    /* variant, ISA bits, score, order, plain, rows of a tile, share of flops, of bytes */
    INT8(plain, 0, 10, TFR_ORDER_INT, true, 2, 0.25, 0.30),
#ifdef TFR_HAVE_AVX2
    INT8(avx2, TFR_ISA_AVX2, 20, TFR_ORDER_INT, false, 4, 0.80, 0.80),
#endif
#ifdef TFR_HAVE_AVX512
    INT8(avx512, TFR_ISA_AVX512, 30, TFR_ORDER_INT, false, 4, 0.80, 0.85),
#endif
#ifdef TFR_HAVE_AVX512VNNI
    INT8(avx512vnni, TFR_ISA_AVX512 | TFR_ISA_AVX512_VNNI, 40, TFR_ORDER_INT, false, 6, 0.80, 0.90),
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
