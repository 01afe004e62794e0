/* ref_int4.c - linear on weights of 4 bits in groups by the words of plugin.h: the definition of TFR_ORDER_INT_GROUP.
 *
 * As ref_coarse.c. Packed: [K][N] whole numbers, a byte each; then scales [groups][N] as f32; then zero points [groups][N], 8 where
 * the type has none.
 */
#include "ref/ref.h"

#include <math.h>
#include <string.h>

#include "common/dtype.h"

#include <tfrun/quant.h>

struct packed {
    uint8_t *q, *zero;
    float *scale;
    int64_t k, n, group, groups;
    size_t bytes;
};

static size_t whole_lines(int64_t bytes) {
    return ((size_t)bytes + 63) / 64 * 64;
}

static struct packed packed_of(const struct tfr_problem *problem, void *memory) {
    struct packed packed = {
        .k = problem->arg[0].dim[1], .n = problem->arg[4].dim[1], .group = tfr_quant_group((enum tfr_dtype)problem->arg[1].dtype)};
    packed.groups = tfr_quant_groups(packed.k, packed.group);
    const size_t numbers = whole_lines(packed.k * packed.n),
                 scales = whole_lines(packed.groups * packed.n * (int64_t)sizeof(float));
    packed.q = memory;
    packed.scale = (float *)(void *)((char *)memory + numbers);
    packed.zero = (uint8_t *)memory + numbers + scales;
    packed.bytes = numbers + scales + (size_t)(packed.groups * packed.n);
    return packed;
}

bool tfr_ref_int4_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    return tfr_ref_coarse_supports(TFR_ORDER_INT_GROUP, problem, reason, reason_size);
}

int32_t tfr_ref_int4_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                             char *reason, size_t reason_size) {
    char none[1];
    needs->pack[1].bytes = packed_of(problem, none).bytes;
    needs->pack[1].format = "plain.i4";
    needs->scratch_bytes = (size_t)problem->arg[0].dim[1];
    needs->order = tfr_ref_coarse_order(TFR_ORDER_INT_GROUP, problem);
    return TFR_OK;
}

static int64_t at(const struct tfr_problem *problem, const struct tfr_tensor *tensor, int64_t along_k, int64_t n) {
    const int k_at = problem->attrs.transposed ? 1 : 0;
    return along_k * tensor->stride[k_at] + n * tensor->stride[1 - k_at];
}

void tfr_ref_int4_pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                       const struct tfr_tensor *weight, void *memory, int32_t tid, int32_t nth) {
    const struct packed to = packed_of(problem, memory);
    const bool has_zero = tfr_quant_has_zero((enum tfr_dtype)problem->arg[1].dtype);
    int64_t n, end;
    split_evenly(to.n, tid, nth, &n, &end);
    for (; n < end; n++) {
        for (int64_t g = 0; g < to.groups; g++) {
            float w[TFR_QUANT_MOST_GROUP];
            uint8_t q[TFR_QUANT_MOST_GROUP];
            const int64_t first = g * to.group, count = to.k - first < to.group ? to.k - first : to.group;
            for (int64_t i = 0; i < count; i++) {
                w[i] = load_as_f32(weight->data, weight->dtype, at(problem, weight, first + i, n));
            }
            const struct tfr_quant_i4 mean = tfr_quant_i4_group(q, w, count, has_zero);
            to.scale[g * to.n + n] = tfr_quant_from_f16(mean.scale);
            to.zero[g * to.n + n] = mean.zero;
            for (int64_t i = 0; i < count; i++) {
                to.q[(first + i) * to.n + n] = q[i];
            }
        }
    }
}

void tfr_ref_int4_repack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_coarse *weight, void *memory, int32_t tid, int32_t nth) {
    const struct packed to = packed_of(problem, memory);
    const bool has_zero = tfr_quant_has_zero((enum tfr_dtype)problem->arg[1].dtype);
    int64_t n, end;
    split_evenly(to.n, tid, nth, &n, &end);
    for (; n < end; n++) {
        for (int64_t g = 0; g < to.groups; g++) {
            uint16_t half;
            const int64_t scale_at = at(problem, &weight->scale, g, n);
            memcpy(&half, (const char *)weight->scale.data + (size_t)scale_at * sizeof half, sizeof half);
            to.scale[g * to.n + n] = tfr_quant_from_f16(half);
            to.zero[g * to.n + n] =
                has_zero ? ((const uint8_t *)weight->zero.data)[at(problem, &weight->zero, g, n)] : TFR_QUANT_I4_MIDDLE;
        }
        for (int64_t k = 0; k < to.k; k++) {
            to.q[k * to.n + n] = tfr_quant_half(((const uint8_t *)weight->q.data)[at(problem, &weight->q, k / 2, n)], k);
        }
    }
}

/* The chain over the groups of K in [begin, end), whole groups but for the last of K. */
static float span(const struct packed *w, const int8_t *x, int64_t begin, int64_t end, int64_t n) {
    float chain = 0;
    for (int64_t first = begin; first < end; first += w->group) {
        const int64_t g = first / w->group, behind = end - first < w->group ? end : first + w->group;
        int32_t sum = 0;
        for (int64_t k = first; k < behind; k++) {
            sum += x[k] * ((int32_t)w->q[k * w->n + n] - w->zero[g * w->n + n]);
        }
        chain = fmaf((float)sum, w->scale[g * w->n + n], chain);
    }
    return chain;
}

int32_t tfr_ref_int4(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                     const struct tfr_run_ctx *ctx) {
    const struct packed w = packed_of(problem, args->arg[1]);
    const float *bias = args->arg[2], *residual = args->arg[3];
    float *y = args->arg[4];
    int8_t *rounded = ctx->scratch;
    for (int64_t i = 0; i < args->rows * w.n; i++) {
        const int64_t n = i % w.n;
        const float *x = (const float *)args->arg[0] + i / w.n * w.k;
        float total = 0;
        for (int64_t k = 0; k < w.k; k += TFR_QUANT_SPAN) {
            const int64_t end = w.k - k < TFR_QUANT_SPAN ? w.k : k + TFR_QUANT_SPAN;
            const float x_scale = tfr_quant_row_scale(x + k, end - k);
            tfr_quant_row(rounded + k, x + k, end - k, x_scale);
            total = fmaf(x_scale, span(&w, rounded, k, end, n), total);
        }
        y[i] = tfr_ref_coarse_end(problem, total, bias != NULL ? &bias[n] : NULL, residual != NULL ? &residual[i] : NULL);
    }
    return TFR_OK;
}
