/* pack_i4.c - weights into panel64 of 4 bits: rounded as tfrun/quant.h says, or taken as a checkpoint has them.
 *
 * A thread packs its own panels, group by group along K, so that rows of a source [K,N] are walked as they lie. Compiled once per
 * ISA, for speed alone: the loops are plain C.
 */
#include "coarse/coarse.h"

#include "common/coarse_panel.h"
#include "common/dtype.h"
#include "common/simd.h"

enum { COLS = TFR_PANEL_COLS, MOST = TFR_QUANT_MOST_GROUP };

struct job {
    const struct tfr_tensor *weight; /* floats; NULL: */
    const struct tfr_coarse *coarse;
    bool transposed, has_zero;
    int64_t k, n, group, groups;
    char *packed;
    int64_t begin, end; /* panels */
};

/* A group of a panel, what belongs to one k side by side; padding is zero. */
struct block {
    uint8_t q[MOST][COLS];
    uint16_t scale[COLS];
    int32_t zero[COLS];
};

/* What tfr_quant_i4_choose weighs against each other, for all columns. */
struct candidate {
    float scale[COLS], divisor[COLS]; /* infinite where the scale is 0: everything is 0 of it then */
    double error[COLS];
};

static struct job job_of(const struct tfr_problem *problem, void *packed, int tid, int nth) {
    const enum tfr_dtype dtype = (enum tfr_dtype)problem->arg[1].dtype;
    struct job job = {.transposed = problem->attrs.transposed != 0,
                      .has_zero = tfr_quant_has_zero(dtype),
                      .k = problem->arg[0].dim[1],
                      .n = problem->arg[4].dim[1],
                      .group = tfr_quant_group(dtype),
                      .packed = packed};
    job.groups = tfr_quant_groups(job.k, job.group);
    split_evenly(panel_count(job.n), tid, nth, &job.begin, &job.end);
    return job;
}

static int64_t row_stride(const struct tfr_tensor *tensor) {
    return tensor->stride[0] > 0 ? tensor->stride[0] : tensor->dim[1];
}

static void load_group(const struct job *job, int64_t column0, int64_t columns, int64_t first, int64_t n, float w[MOST][COLS]) {
    const struct tfr_tensor *from = job->weight;
    const int64_t stride = row_stride(from), outer = job->transposed ? columns : n, inner = job->transposed ? n : columns;
    memset(w, 0, MOST * sizeof *w);
    for (int64_t o = 0; o < outer; o++) {
        const int64_t at = job->transposed ? (column0 + o) * stride + first : (first + o) * stride + column0;
        float row[MOST];
        if (from->dtype == TFR_DTYPE_F32) {
            memcpy(row, (const char *)from->data + (size_t)at * sizeof *row, (size_t)inner * sizeof *row);
        } else {
            for (int64_t i = 0; i < inner; i++) {
                row[i] = load_as_f32(from->data, from->dtype, at + i);
            }
        }
        for (int64_t i = 0; job->transposed && i < inner; i++) {
            w[i][o] = row[i];
        }
        if (!job->transposed) {
            memcpy(w[o], row, (size_t)inner * sizeof *row);
        }
    }
}

static int32_t number_of(float w, float divisor) {
    const int32_t q = tfr_quant_round(w / divisor) + TFR_QUANT_I4_MIDDLE;
    return q < 0 ? 0 : q > TFR_QUANT_I4_LARGEST ? TFR_QUANT_I4_LARGEST : q;
}

static void set_scale(struct candidate *to, int c, float wanted, uint16_t *half) {
    *half = tfr_quant_to_f16(wanted);
    to->scale[c] = tfr_quant_from_f16(*half);
    to->divisor[c] = to->scale[c] != 0 ? to->scale[c] : INFINITY;
}

static void rate(const float w[MOST][COLS], int64_t n, struct candidate *of) {
    for (int c = 0; c < COLS; c++) {
        of->error[c] = 0;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < COLS; c++) {
            const float value = (float)(number_of(w[i][c], of->divisor[c]) - TFR_QUANT_I4_MIDDLE) * of->scale[c];
            const float error = w[i][c] - value;
            of->error[c] += (double)error * error;
        }
    }
}

static void find_extremes(const float w[MOST][COLS], int64_t n, float *extreme) {
    memset(extreme, 0, COLS * sizeof *extreme);
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < COLS; c++) {
            extreme[c] = tfr_quant_magnitude(w[i][c]) > tfr_quant_magnitude(extreme[c]) ? w[i][c] : extreme[c];
        }
    }
}

/* tfr_quant_i4_group of a type without zero points, for 64 columns at once, in the same steps. */
static void round_block(const float w[MOST][COLS], int64_t n, struct block *block) {
    float extreme[COLS];
    struct candidate best, other;
    uint16_t half[COLS];
    bool is_none[COLS];
    find_extremes(w, n, extreme);
    for (int c = 0; c < COLS; c++) {
        set_scale(&best, c, extreme[c] / -TFR_QUANT_I4_MIDDLE, &block->scale[c]);
        set_scale(&other, c, tfr_quant_float(tfr_quant_magnitude(extreme[c])) / (TFR_QUANT_I4_MIDDLE - 1), &half[c]);
        is_none[c] = !isfinite(best.scale[c]) || tfr_quant_magnitude(extreme[c]) >= 0x7f800000;
    }
    rate(w, n, &best);
    rate(w, n, &other);
    for (int c = 0; c < COLS; c++) {
        const bool is_better = other.error[c] < best.error[c];
        best.divisor[c] = is_better ? other.divisor[c] : best.divisor[c];
        block->scale[c] = is_better ? half[c] : block->scale[c];
        best.divisor[c] = is_none[c] ? INFINITY : best.divisor[c];
        block->scale[c] = is_none[c] ? 0x7e00 : (block->scale[c] & 0x7fff) == 0 ? 0 : block->scale[c];
        block->zero[c] = TFR_QUANT_I4_MIDDLE;
    }
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < COLS; c++) {
            block->q[i][c] = (uint8_t)(is_none[c] ? TFR_QUANT_I4_MIDDLE : number_of(w[i][c], best.divisor[c]));
        }
    }
}

/* The definition, column by column. */
static void round_columns(const struct job *job, const float w[MOST][COLS], int64_t n, struct block *block) {
    float column[MOST];
    uint8_t q[MOST];
    for (int c = 0; c < COLS; c++) {
        for (int64_t i = 0; i < n; i++) {
            column[i] = w[i][c];
        }
        const struct tfr_quant_i4 mean = tfr_quant_i4_group(q, column, n, job->has_zero);
        block->scale[c] = mean.scale;
        block->zero[c] = mean.zero;
        for (int64_t i = 0; i < n; i++) {
            block->q[i][c] = q[i];
        }
    }
}

/* Element (g, column) of what lies [groups,N], or [N,groups]. */
static int64_t beside_at(const struct job *job, const struct tfr_tensor *tensor, int64_t g, int64_t column) {
    return job->transposed ? column * row_stride(tensor) + g : g * row_stride(tensor) + column;
}

static void take_block(const struct job *job, int64_t column0, int64_t columns, int64_t first, int64_t n, struct block *block) {
    const struct tfr_tensor *q = &job->coarse->q, *scale = &job->coarse->scale, *zero = &job->coarse->zero;
    const uint8_t *bytes = q->data;
    for (int64_t c = 0; c < columns; c++) {
        const int64_t column = column0 + c, g = first / job->group;
        const char *from = (const char *)scale->data + (size_t)beside_at(job, scale, g, column) * sizeof(uint16_t);
        memcpy(&block->scale[c], from, sizeof(uint16_t));
        block->zero[c] = job->has_zero ? ((const uint8_t *)zero->data)[beside_at(job, zero, g, column)] : TFR_QUANT_I4_MIDDLE;
        for (int64_t i = 0; i < n; i++) {
            const int64_t half = (first + i) / 2;
            const uint8_t byte = bytes[job->transposed ? column * row_stride(q) + half : half * row_stride(q) + column];
            block->q[i][c] = tfr_quant_half(byte, first + i);
        }
    }
}

/* Quads 0..3 of each 32 of K in low halves, 4..7 in high ones; columns that are not there are zero. */
static void put_block(const struct job *job, const struct block *block, int64_t columns, char *to) {
    uint16_t *scale = (uint16_t *)(void *)(to + coarse_i4_numbers_bytes(job->group));
    uint8_t *zero = (uint8_t *)(scale + COLS);
    memset(scale, 0, coarse_i4_group_bytes(job->group, job->has_zero) - coarse_i4_numbers_bytes(job->group));
    for (int64_t row = 0; row < job->group / 8; row++) {
        const uint8_t(*low)[COLS] = &block->q[row / 4 * 32 + row % 4 * 4], (*high)[COLS] = low + 16;
        uint32_t four[COLS] = {0};
        for (int i = 0; i < 4; i++) {
            for (int c = 0; c < columns; c++) {
                four[c] |= (uint32_t)(low[i][c] | high[i][c] << 4) << (8 * i);
            }
        }
        memcpy(to + row * COARSE_QUAD_BYTES, four, sizeof four);
    }
    for (int64_t c = 0; c < columns; c++) {
        scale[c] = block->scale[c];
        if (job->has_zero) {
            zero[c] = (uint8_t)block->zero[c];
        }
    }
}

static void pack(const struct job *job) {
    const size_t stride = coarse_i4_stride(job->k, job->group, job->has_zero);
    for (int64_t g = 0; g < job->groups; g++) {
        const int64_t first = g * job->group, n = job->k - first < job->group ? job->k - first : job->group;
        for (int64_t p = job->begin; p < job->end; p++) {
            const int64_t column0 = p * COLS, columns = job->n - column0 < COLS ? job->n - column0 : COLS;
            struct block block = {0};
            if (job->weight != NULL) {
                float w[MOST][COLS];
                load_group(job, column0, columns, first, n, w);
                if (job->has_zero) {
                    round_columns(job, w, n, &block);
                } else {
                    round_block(w, n, &block);
                }
            } else {
                take_block(job, column0, columns, first, n, &block);
            }
            put_block(job, &block, columns,
                      job->packed + (size_t)p * stride + (size_t)g * coarse_i4_group_bytes(job->group, job->has_zero));
        }
    }
}

void V_NAME(tfr_pack_i4)(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth) {
    struct job job = job_of(problem, packed, tid, nth);
    job.weight = weight;
    pack(&job);
}

void V_NAME(tfr_repack_i4)(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                           const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth) {
    struct job job = job_of(problem, packed, tid, nth);
    job.coarse = weight;
    pack(&job);
}
