/* panel.c - packing into panel64.
 *
 * Written with vectors of 16 lanes in GNU C; each public function exists for plain, AVX2 and AVX-512 code and
 * is chosen by the CPU at the call. The bits do not depend on that choice: packing only moves, widens and
 * rounds to nearest even. Sources are walked along their rows: a panel at a time would read 256 bytes from
 * each of K pages.
 */
#include "common/panel.h"

#include <string.h>

#include "common/dtype.h"

typedef float f32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));
typedef double f64x16 __attribute__((vector_size(128)));

#define INLINE static inline __attribute__((always_inline))
#define LANES  16
#define AHEAD  512 /* bytes: sixteen or more rows are read side by side, more streams than CPUs foresee */

/* What one thread packs. */
struct job {
    const char *from;
    int from_dtype;
    int64_t from_stride; /* elements between rows of the source */
    int64_t k, n;        /* of the linear */
    char *to;
    int dtype;
    int64_t panel_begin, panel_end;
};

INLINE u32x16 f32_bits(f32x16 value) {
    return (u32x16)value;
}

/* Upper half of each lane: the value rounded to bf16. The lower half is garbage. */
INLINE u32x16 round_upper(f32x16 value) {
    const u32x16 bits = f32_bits(value);
    const u32x16 is_nan = (u32x16)((bits & 0x7fffffffU) > 0x7f800000U);
    const u32x16 rounded = bits + 0x7fffU + (bits >> 16 & 1U);
    return (is_nan & (bits | 0x400000U)) | (~is_nan & rounded);
}

/* Exact: multiplying by 2^112 moves the exponent's bias and makes subnormals normal. */
INLINE f32x16 widen_f16(u16x16 half) {
    const u32x16 bits = __builtin_convertvector(half, u32x16);
    const f32x16 scaled = (f32x16)((bits & 0x7fffU) << 13) * 0x1p112f;
    const u32x16 is_special = (u32x16)((bits & 0x7c00U) == 0x7c00U);
    return (f32x16)(f32_bits(scaled) | (is_special & 0x7f800000U) | (bits & 0x8000U) << 16);
}

/* Exact for what f16 holds, subnormals too: widen_f16 backwards. */
INLINE u16x16 narrow_f16(f32x16 value) {
    const u32x16 bits = f32_bits(value);
    const u32x16 is_special = (u32x16)((bits & 0x7f800000U) == 0x7f800000U);
    const u32x16 scaled = f32_bits((f32x16)(bits & 0x7fffffffU) * 0x1p-112f) >> 13;
    const u32x16 special = 0x7c00U | (bits >> 13 & 0x3ffU);
    return __builtin_convertvector((is_special & special) | (~is_special & scaled) | (bits >> 16 & 0x8000U), u16x16);
}

INLINE f32x16 load(const char *at, int dtype) {
    f32x16 value;
    u16x16 half;
    f64x16 wide;
    switch (dtype) {
    case TFR_DTYPE_F32:
        memcpy(&value, at, sizeof value);
        return value;
    case TFR_DTYPE_BF16:
        memcpy(&half, at, sizeof half);
        return (f32x16)(__builtin_convertvector(half, u32x16) << 16);
    case TFR_DTYPE_F16:
        memcpy(&half, at, sizeof half);
        return widen_f16(half);
    default:
        memcpy(&wide, at, sizeof wide);
        return __builtin_convertvector(wide, f32x16);
    }
}

/* Lanes at and above `count` are zero; nothing behind them is read. */
INLINE f32x16 load_some(const struct job *job, int64_t row, int64_t column, int64_t count) {
    const size_t bytes = float_bytes(job->from_dtype);
    const char *at = job->from + (size_t)(row * job->from_stride + column) * bytes;
    char part[LANES * 8] = {0};
    __builtin_prefetch(at + AHEAD);
    if (count >= LANES) {
        return load(at, job->from_dtype);
    }
    if (count > 0) {
        memcpy(part, at, (size_t)count * bytes);
    }
    return load(part, job->from_dtype);
}

/* row[i] lane j <-> row[j] lane i, by halves of 8, 4, 2, 1. */
INLINE void transpose(u32x16 row[LANES]) {
#define EXCHANGE(step, low, high)                                                                                                  \
    for (int i = 0; i < LANES; i++) {                                                                                              \
        if ((i & (step)) == 0) {                                                                                                   \
            const u32x16 a = row[i], b = row[i + (step)];                                                                          \
            row[i] = __builtin_shufflevector(a, b, low);                                                                           \
            row[i + (step)] = __builtin_shufflevector(a, b, high);                                                                 \
        }                                                                                                                          \
    }
#define LIST(...)                       __VA_ARGS__
#define EXCHANGE_LISTS(step, low, high) EXCHANGE(step, LIST low, LIST high)
    EXCHANGE_LISTS(8, (0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
                   (8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    EXCHANGE_LISTS(4, (0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
                   (4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
    EXCHANGE_LISTS(2, (0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
                   (2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
    EXCHANGE_LISTS(1, (0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
                   (1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#undef EXCHANGE_LISTS
#undef LIST
#undef EXCHANGE
}

/* One vector of the packed panel: 16 columns of row k (f32), or of rows k and k + 1 (bf16), source [K,N]. */
INLINE u32x16 gather_columns(const struct job *job, int64_t k, int64_t column) {
    const int64_t count = job->n - column;
    const f32x16 zero = {0};
    const f32x16 first = k < job->k ? load_some(job, k, column, count) : zero;
    if (job->dtype == TFR_DTYPE_F32) {
        return f32_bits(first);
    }
    const f32x16 second = k + 1 < job->k ? load_some(job, k + 1, column, count) : zero;
    return (round_upper(second) & 0xffff0000U) | round_upper(first) >> 16;
}

INLINE void pack_straight(const struct job *job) {
    const int64_t padded_k = panel_padded_k(job->dtype, job->k);
    const int64_t per_row = job->dtype == TFR_DTYPE_BF16 ? 2 : 1; /* elements of K in one packed row */
    const size_t panel_stride = panel_stride_bytes(job->dtype, job->k);
    const int64_t slab = 16 * per_row;
    for (int64_t k0 = 0; k0 < padded_k; k0 += slab) {
        for (int64_t p = job->panel_begin; p < job->panel_end; p++) {
            char *to = job->to + (size_t)p * panel_stride + (size_t)(k0 / per_row) * TFR_PANEL_COLS * 4;
            for (int64_t k = k0; k < k0 + slab; k += per_row) {
                for (int64_t c = 0; c < TFR_PANEL_COLS; c += LANES, to += sizeof(u32x16)) {
                    const u32x16 packed = gather_columns(job, k, p * TFR_PANEL_COLS + c);
                    memcpy(to, &packed, sizeof packed);
                }
            }
        }
    }
}

/* 16 (f32) or 32 (bf16) elements along K of one column, source [N,K]. */
INLINE u32x16 gather_along_k(const struct job *job, int64_t column, int64_t k) {
    const f32x16 zero = {0};
    if (job->dtype == TFR_DTYPE_F32) {
        return f32_bits(column < job->n ? load_some(job, column, k, job->k - k) : zero);
    }
    const f32x16 first = column < job->n ? load_some(job, column, k, job->k - k) : zero;
    const f32x16 second = column < job->n ? load_some(job, column, k + LANES, job->k - k - LANES) : zero;
    const u16x16 low = __builtin_convertvector(round_upper(first) >> 16, u16x16);
    const u16x16 high = __builtin_convertvector(round_upper(second) >> 16, u16x16);
    u32x16 pairs;
    memcpy(&pairs, &low, sizeof low);
    memcpy((char *)&pairs + sizeof low, &high, sizeof high);
    return pairs;
}

INLINE void pack_transposed(const struct job *job) {
    const int64_t padded_k = panel_padded_k(job->dtype, job->k);
    const int64_t per_row = job->dtype == TFR_DTYPE_BF16 ? 2 : 1;
    const size_t panel_stride = panel_stride_bytes(job->dtype, job->k);
    for (int64_t p = job->panel_begin; p < job->panel_end; p++) {
        for (int64_t c = 0; c < TFR_PANEL_COLS; c += LANES) {
            char *to = job->to + (size_t)p * panel_stride + (size_t)c * 4;
            for (int64_t k = 0; k < padded_k; k += LANES * per_row) {
                u32x16 tile[LANES];
                for (int i = 0; i < LANES; i++) {
                    tile[i] = gather_along_k(job, p * TFR_PANEL_COLS + c + i, k);
                }
                transpose(tile);
                for (int i = 0; i < LANES; i++, to += TFR_PANEL_COLS * 4) {
                    memcpy(to, &tile[i], sizeof tile[i]);
                }
            }
        }
    }
}

/* 16 columns of row k, source [K,N]. */
INLINE u16x16 gather_f16(const struct job *job, int64_t k, int64_t column) {
    const f32x16 zero = {0};
    return narrow_f16(k < job->k ? load_some(job, k, column, job->n - column) : zero);
}

INLINE void pack_straight_f16(const struct job *job) {
    const int64_t padded_k = panel_padded_k(TFR_DTYPE_F16, job->k);
    const size_t panel_stride = panel_stride_bytes(TFR_DTYPE_F16, job->k);
    for (int64_t k0 = 0; k0 < padded_k; k0 += LANES) {
        for (int64_t p = job->panel_begin; p < job->panel_end; p++) {
            char *to = job->to + (size_t)p * panel_stride + (size_t)k0 * TFR_PANEL_COLS * sizeof(uint16_t);
            for (int64_t k = k0; k < k0 + LANES; k++) {
                for (int64_t c = 0; c < TFR_PANEL_COLS; c += LANES, to += sizeof(u16x16)) {
                    const u16x16 packed = gather_f16(job, k, p * TFR_PANEL_COLS + c);
                    memcpy(to, &packed, sizeof packed);
                }
            }
        }
    }
}

INLINE void pack_transposed_f16(const struct job *job) {
    const int64_t padded_k = panel_padded_k(TFR_DTYPE_F16, job->k);
    const size_t panel_stride = panel_stride_bytes(TFR_DTYPE_F16, job->k);
    const f32x16 zero = {0};
    for (int64_t p = job->panel_begin; p < job->panel_end; p++) {
        for (int64_t c = 0; c < TFR_PANEL_COLS; c += LANES) {
            char *to = job->to + (size_t)p * panel_stride + (size_t)c * sizeof(uint16_t);
            for (int64_t k = 0; k < padded_k; k += LANES) {
                u32x16 tile[LANES];
                for (int i = 0; i < LANES; i++) {
                    const int64_t column = p * TFR_PANEL_COLS + c + i;
                    tile[i] = f32_bits(column < job->n ? load_some(job, column, k, job->k - k) : zero);
                }
                transpose(tile);
                for (int i = 0; i < LANES; i++, to += TFR_PANEL_COLS * sizeof(uint16_t)) {
                    const u16x16 packed = narrow_f16((f32x16)tile[i]);
                    memcpy(to, &packed, sizeof packed);
                }
            }
        }
    }
}

INLINE void pack_any(const struct job *job, bool transposed) {
    if (job->dtype == TFR_DTYPE_F16 && transposed) {
        pack_transposed_f16(job);
    } else if (job->dtype == TFR_DTYPE_F16) {
        pack_straight_f16(job);
    } else if (transposed) {
        pack_transposed(job);
    } else {
        pack_straight(job);
    }
}

INLINE void round_any(uint16_t *to, const float *from, int64_t n) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        f32x16 value;
        memcpy(&value, from + i, sizeof value);
        const u16x16 rounded = __builtin_convertvector(round_upper(value) >> 16, u16x16);
        memcpy(to + i, &rounded, sizeof rounded);
    }
    for (; i < n; i++) {
        to[i] = bf16_from_f32(from[i]);
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#define TFR_PANEL_VARIANT(name, isa)                                                                                               \
    __attribute__((target(isa))) static void pack_##name(const struct job *job, bool transposed) {                                 \
        pack_any(job, transposed);                                                                                                 \
    }                                                                                                                              \
    __attribute__((target(isa))) static void round_##name(uint16_t *to, const float *from, int64_t n) {                            \
        round_any(to, from, n);                                                                                                    \
    }
TFR_PANEL_VARIANT(avx2, "avx2")
TFR_PANEL_VARIANT(avx512, "avx512f,avx512bw,avx512vl,avx512dq")
#undef TFR_PANEL_VARIANT
#endif

void tfr_panel_pack(int dtype, const struct tfr_tensor *weight, bool transposed, void *packed, int tid, int nth) {
    struct job job = {
        .from = weight->data,
        .from_dtype = weight->dtype,
        .from_stride = weight->stride[0] > 0 ? weight->stride[0] : weight->dim[1],
        .k = weight->dim[transposed ? 1 : 0],
        .n = weight->dim[transposed ? 0 : 1],
        .to = packed,
        .dtype = dtype,
    };
    split_evenly(panel_count(job.n), tid, nth, &job.panel_begin, &job.panel_end);
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        pack_avx512(&job, transposed);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        pack_avx2(&job, transposed);
        return;
    }
#endif
    pack_any(&job, transposed);
}

void tfr_panel_round(uint16_t *to, const float *from, int64_t n) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        round_avx512(to, from, n);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        round_avx2(to, from, n);
        return;
    }
#endif
    round_any(to, from, n);
}
