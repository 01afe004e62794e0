/* pack_i8.c - weights into panel64.i8: rounded as tfrun/quant.h says, or taken as a checkpoint has them.
 *
 * A thread packs its own panels. Sources [K,N] are walked along their rows: a panel at a time would read 256 bytes from each of K
 * pages. Compiled once per ISA, for speed alone: the loops are plain C.
 */
#include "coarse/coarse.h"

#include "common/coarse_panel.h"
#include "common/dtype.h"
#include "common/simd.h"

#include <tfrun/quant.h>

enum { COLS = TFR_PANEL_COLS };

struct job {
    const struct tfr_tensor *weight; /* floats, or the whole numbers of a coarse one */
    const char *scale;               /* f32 of each column where those are given, maybe unaligned */
    bool transposed;
    int64_t k, n, stride; /* stride: elements between rows of the source */
    char *packed;
    int64_t begin, end; /* panels */
};

static struct job job_of(const struct tfr_tensor *weight, const struct tfr_problem *problem, void *packed, int tid, int nth) {
    struct job job = {.weight = weight,
                      .transposed = problem->attrs.transposed != 0,
                      .k = problem->arg[0].dim[1],
                      .n = problem->arg[4].dim[1],
                      .stride = weight->stride[0] > 0 ? weight->stride[0] : weight->dim[1],
                      .packed = packed};
    split_evenly(panel_count(job.n), tid, nth, &job.begin, &job.end);
    return job;
}

static char *panel_at(const struct job *job, int64_t panel) {
    return job->packed + (size_t)panel * coarse_i8_stride(job->k);
}

/* n <= 64 neighbours of a row of the source, as f32. */
static void load_some(const struct job *job, int64_t row, int64_t at, int64_t n, float *to) {
    const int64_t first = row * job->stride + at;
    const char *from = (const char *)job->weight->data + (size_t)first * float_bytes(job->weight->dtype);
    if (job->weight->dtype == TFR_DTYPE_F32) {
        memcpy(to, from, (size_t)n * sizeof *to);
        return;
    }
    if (job->weight->dtype == TFR_DTYPE_BF16) {
        uint16_t half[COLS];
        memcpy(half, from, (size_t)n * sizeof *half);
        for (int64_t i = 0; i < n; i++) {
            to[i] = bf16_to_f32(half[i]);
        }
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        to[i] = load_as_f32(job->weight->data, job->weight->dtype, first + i);
    }
}

static int64_t columns_of(const struct job *job, int64_t panel) {
    const int64_t left = job->n - panel * COLS;
    return left < COLS ? left : COLS;
}

/* Source [K,N]. The largest magnitudes stand where the scales will. */
static void find_scales(const struct job *job) {
    float row[COLS];
    for (int64_t p = job->begin; p < job->end; p++) {
        memset(coarse_i8_scales(panel_at(job, p), job->k), 0, COLS * sizeof(float));
    }
    for (int64_t k = 0; k < job->k; k++) {
        for (int64_t p = job->begin; p < job->end; p++) {
            const int64_t n = columns_of(job, p);
            float *largest = coarse_i8_scales(panel_at(job, p), job->k);
            load_some(job, k, p * COLS, n, row);
            for (int64_t c = 0; c < n; c++) {
                const uint32_t magnitude = tfr_quant_magnitude(row[c]), before = tfr_quant_bits(largest[c]);
                largest[c] = tfr_quant_float(magnitude > before ? magnitude : before);
            }
        }
    }
    for (int64_t p = job->begin; p < job->end; p++) {
        float *scale = coarse_i8_scales(panel_at(job, p), job->k);
        for (int c = 0; c < COLS; c++) {
            scale[c] = tfr_quant_i8_scale(tfr_quant_bits(scale[c]));
        }
    }
}

/* Row k of a panel's columns as whole numbers; those that are not there are 0. */
static void load_numbers(const struct job *job, int64_t k, int64_t panel, const float *scale, int32_t *q) {
    float row[COLS];
    const int64_t n = k < job->k ? columns_of(job, panel) : 0;
    memset(q, 0, COLS * sizeof *q);
    if (job->scale != NULL) {
        for (int64_t c = 0; c < n; c++) {
            q[c] = ((const int8_t *)job->weight->data)[k * job->stride + panel * COLS + c];
        }
    } else if (n > 0) {
        load_some(job, k, panel * COLS, n, row);
        for (int64_t c = 0; c < n; c++) {
            q[c] = tfr_quant_i8(row[c], scale[c]);
        }
    }
}

static void put_quad(char *panel, int64_t quad, int32_t q[4][COLS], int32_t *sums) {
    uint32_t four[COLS];
    for (int c = 0; c < COLS; c++) {
        four[c] =
            ((uint32_t)q[0][c] & 255) | ((uint32_t)q[1][c] & 255) << 8 | ((uint32_t)q[2][c] & 255) << 16 | (uint32_t)q[3][c] << 24;
        sums[c] += q[0][c] + q[1][c] + q[2][c] + q[3][c];
    }
    memcpy(panel + quad * COARSE_QUAD_BYTES, four, sizeof four);
}

static void pack_straight(const struct job *job) {
    int32_t q[4][COLS];
    for (int64_t p = job->begin; p < job->end; p++) {
        memset(coarse_i8_sums(panel_at(job, p), job->k), 0, COLS * sizeof(int32_t));
    }
    for (int64_t quad = 0; quad < coarse_quads(job->k); quad++) {
        for (int64_t p = job->begin; p < job->end; p++) {
            char *panel = panel_at(job, p);
            for (int i = 0; i < 4; i++) {
                load_numbers(job, quad * 4 + i, p, coarse_i8_scales(panel, job->k), q[i]);
            }
            put_quad(panel, quad, q, coarse_i8_sums(panel, job->k));
        }
    }
}

/* Source [N,K]: the scale of a column, whose weights lie beside each other. */
static float scale_of(const struct job *job, int64_t n) {
    float piece[COLS];
    uint32_t largest = 0;
    for (int64_t k = 0; k < job->k; k += COLS) {
        const int64_t count = job->k - k < COLS ? job->k - k : COLS;
        load_some(job, n, k, count, piece);
        for (int64_t i = 0; i < count; i++) {
            const uint32_t magnitude = tfr_quant_magnitude(piece[i]);
            largest = magnitude > largest ? magnitude : largest;
        }
    }
    return tfr_quant_i8_scale(largest);
}

static int32_t put_column(const struct job *job, int64_t n, float scale, char *to) {
    float piece[COLS];
    int8_t q[COLS];
    int32_t sum = 0;
    for (int64_t k = 0; k < job->k; k += COLS) {
        const int64_t count = job->k - k < COLS ? job->k - k : COLS;
        memset(q, 0, sizeof q);
        if (job->scale != NULL) {
            memcpy(q, (const int8_t *)job->weight->data + n * job->stride + k, (size_t)count);
        } else {
            load_some(job, n, k, count, piece);
            for (int64_t i = 0; i < count; i++) {
                q[i] = tfr_quant_i8(piece[i], scale);
            }
        }
        for (int64_t i = 0; i < count; i++) {
            sum += q[i];
        }
        for (int64_t i = 0; i < count; i += 4, to += COARSE_QUAD_BYTES) {
            memcpy(to, q + i, 4);
        }
    }
    return sum;
}

static void pack_transposed(const struct job *job) {
    for (int64_t p = job->begin; p < job->end; p++) {
        char *panel = panel_at(job, p);
        float *scale = coarse_i8_scales(panel, job->k);
        int32_t *sums = coarse_i8_sums(panel, job->k);
        memset(panel, 0, columns_of(job, p) < COLS ? coarse_i8_stride(job->k) : 0);
        for (int64_t c = 0; c < columns_of(job, p); c++) {
            const int64_t n = p * COLS + c;
            if (job->scale != NULL) {
                memcpy(&scale[c], job->scale + (size_t)n * sizeof(float), sizeof(float));
            } else {
                scale[c] = scale_of(job, n);
            }
            sums[c] = put_column(job, n, scale[c], panel + c * 4);
        }
    }
}

void V_NAME(tfr_pack_i8)(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth) {
    const struct job job = job_of(weight, problem, packed, tid, nth);
    if (job.transposed) {
        pack_transposed(&job);
    } else {
        find_scales(&job);
        pack_straight(&job);
    }
}

void V_NAME(tfr_repack_i8)(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                           const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth) {
    struct job job = job_of(&weight->q, problem, packed, tid, nth);
    job.scale = weight->scale.data;
    if (job.transposed) {
        pack_transposed(&job);
        return;
    }
    for (int64_t p = job.begin; p < job.end; p++) {
        float *scale = coarse_i8_scales(panel_at(&job, p), job.k);
        memset(scale, 0, COLS * sizeof *scale);
        memcpy(scale, job.scale + (size_t)(p * COLS) * sizeof *scale, (size_t)columns_of(&job, p) * sizeof *scale);
    }
    pack_straight(&job);
}
