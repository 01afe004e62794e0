/* ref_coarse.c - linear on int8 weights by the words of plugin.h: the definition of TFR_ORDER_INT, and int8w, with x as it is, in
 * double.
 *
 * Without an activation the bits are those of every kernel that keeps that order; an activation is computed in double here, so the
 * order is then one of its own. Packed: [K][N] whole numbers, then [N] scales.
 */
#include "ref/ref.h"

#include <stdio.h>
#include <string.h>

#include "common/dtype.h"

#include <tfrun/quant.h>

/* OWN orders name themselves by a number. */
enum { REF_COARSE_MARK = 531 };

struct tfr_order tfr_ref_coarse_order(int kind, const struct tfr_problem *problem) {
    const struct tfr_order keeps = {.kind = kind, .k_block = kind == TFR_ORDER_INT_GROUP ? TFR_QUANT_SPAN : 0};
    return problem->attrs.activation == TFR_ACT_NONE ? keeps
                                                     : (struct tfr_order){.kind = TFR_ORDER_OWN, .k_block = REF_COARSE_MARK};
}

bool tfr_ref_coarse_supports(int kind, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const struct tfr_order keeps = tfr_ref_coarse_order(kind, problem), *asked = &problem->order;
    if (!TFR_HAS(tfr_attrs, &problem->attrs, x_dtype) || problem->attrs.x_dtype != TFR_DTYPE_I8) {
        snprintf(reason, reason_size, "rounds x to int8, which is not asked for");
        return false;
    }
    if (asked->kind != TFR_ORDER_ANY && (asked->kind != keeps.kind || asked->k_block != keeps.k_block)) {
        snprintf(reason, reason_size, "cannot keep the order asked for (kind %d, block %d)", asked->kind, asked->k_block);
        return false;
    }
    return true;
}

bool tfr_ref_int8_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    return tfr_ref_coarse_supports(TFR_ORDER_INT, problem, reason, reason_size);
}

static size_t numbers_bytes(const struct tfr_problem *problem) {
    return ((size_t)(problem->arg[0].dim[1] * problem->arg[4].dim[1]) + 63) / 64 * 64;
}

int32_t tfr_ref_int8_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                             char *reason, size_t reason_size) {
    needs->pack[1].bytes = numbers_bytes(problem) + (size_t)problem->arg[4].dim[1] * sizeof(float);
    needs->pack[1].format = "plain.i8_channel";
    needs->scratch_bytes = (size_t)problem->arg[0].dim[1];
    needs->order = tfr_ref_coarse_order(TFR_ORDER_INT, problem);
    return TFR_OK;
}

/* Element (k, n) of a weight is `k * stride[0] + n * stride[1]` behind its first. */
static void strides_of(const struct tfr_problem *problem, const struct tfr_tensor *weight, int64_t stride[2]) {
    const int k_at = problem->attrs.transposed ? 1 : 0;
    stride[0] = weight->stride[k_at];
    stride[1] = weight->stride[1 - k_at];
}

void tfr_ref_int8_pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                       const struct tfr_tensor *weight, void *packed, int32_t tid, int32_t nth) {
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    float *scale = (float *)(void *)((char *)packed + numbers_bytes(problem));
    int64_t stride[2], begin, end;
    strides_of(problem, weight, stride);
    split_evenly(n_out, tid, nth, &begin, &end);
    for (int64_t n = begin; n < end; n++) {
        uint32_t largest = 0;
        for (int64_t k = 0; k < n_in; k++) {
            const uint32_t size = tfr_quant_magnitude(load_as_f32(weight->data, weight->dtype, k * stride[0] + n * stride[1]));
            largest = size > largest ? size : largest;
        }
        scale[n] = tfr_quant_i8_scale(largest);
        for (int64_t k = 0; k < n_in; k++) {
            const float value = load_as_f32(weight->data, weight->dtype, k * stride[0] + n * stride[1]);
            ((int8_t *)packed)[k * n_out + n] = tfr_quant_i8(value, scale[n]);
        }
    }
}

void tfr_ref_int8_repack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                         const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth) {
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    char *scale = (char *)packed + numbers_bytes(problem);
    int64_t stride[2], begin, end;
    strides_of(problem, &weight->q, stride);
    split_evenly(n_out, tid, nth, &begin, &end);
    for (int64_t n = begin; n < end; n++) {
        memcpy(scale + (size_t)n * sizeof(float), (const char *)weight->scale.data + (size_t)n * sizeof(float), sizeof(float));
        for (int64_t k = 0; k < n_in; k++) {
            ((int8_t *)packed)[k * n_out + n] = ((const int8_t *)weight->q.data)[k * stride[0] + n * stride[1]];
        }
    }
}

float tfr_ref_coarse_end(const struct tfr_problem *problem, float value, const float *bias, const float *residual) {
    if (problem->attrs.activation != TFR_ACT_NONE) {
        const double biased = bias != NULL ? (double)value + *bias : value;
        const double active = tfr_ref_activate(biased, problem->attrs.activation);
        return (float)(residual != NULL ? active + *residual : active);
    }
    value = bias != NULL ? value + *bias : value;
    return residual != NULL ? value + *residual : value;
}

int32_t tfr_ref_int8(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                     const struct tfr_run_ctx *ctx) {
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    const float *x = args->arg[0], *bias = args->arg[2], *residual = args->arg[3];
    const float *scale = (const float *)(const void *)((const char *)args->arg[1] + numbers_bytes(problem));
    float *y = args->arg[4];
    int8_t *rounded = ctx->scratch;
    for (int64_t m = 0; m < args->rows; m++) {
        const float x_scale = tfr_quant_row_scale(x + m * n_in, n_in);
        tfr_quant_row(rounded, x + m * n_in, n_in, x_scale);
        for (int64_t n = 0; n < n_out; n++) {
            const int8_t *w = (const int8_t *)args->arg[1] + n;
            const int64_t at = m * n_out + n;
            int64_t sum = 0;
            for (int64_t k = 0; k < n_in; k++) {
                sum += (int64_t)rounded[k] * w[k * n_out];
            }
            y[at] = tfr_ref_coarse_end(problem, (float)sum * (x_scale * scale[n]), bias != NULL ? &bias[n] : NULL,
                                       residual != NULL ? &residual[at] : NULL);
        }
    }
    return TFR_OK;
}

bool tfr_ref_int8w_supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const struct tfr_order *asked = &problem->order;
    if (TFR_HAS(tfr_attrs, &problem->attrs, x_dtype) && problem->attrs.x_dtype != TFR_DTYPE_F32) {
        snprintf(reason, reason_size, "does not round x to int8");
        return false;
    }
    if (asked->kind != TFR_ORDER_ANY && (asked->kind != TFR_ORDER_OWN || asked->k_block != REF_COARSE_MARK)) {
        snprintf(reason, reason_size, "adds in double, cannot keep the order asked for (kind %d, block %d)", asked->kind,
                 asked->k_block);
        return false;
    }
    return true;
}

int32_t tfr_ref_int8w_prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs,
                              char *reason, size_t reason_size) {
    const int32_t status = tfr_ref_int8_prepare(self, problem, needs, reason, reason_size);
    needs->scratch_bytes = 0;
    needs->order = (struct tfr_order){.kind = TFR_ORDER_OWN, .k_block = REF_COARSE_MARK};
    return status;
}

int32_t tfr_ref_int8w(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                      const struct tfr_run_ctx *ctx) {
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    const float *bias = args->arg[2], *residual = args->arg[3];
    const float *scale = (const float *)(const void *)((const char *)args->arg[1] + numbers_bytes(problem));
    float *y = args->arg[4];
    for (int64_t i = 0; i < args->rows * n_out; i++) {
        const int64_t n = i % n_out;
        const float *x = (const float *)args->arg[0] + i / n_out * n_in;
        double sum = 0;
        for (int64_t k = 0; k < n_in; k++) {
            sum += (double)x[k] * ((const int8_t *)args->arg[1])[k * n_out + n];
        }
        sum = sum * scale[n] + (bias != NULL ? bias[n] : 0);
        sum = tfr_ref_activate(sum, problem->attrs.activation);
        y[i] = (float)(residual != NULL ? sum + residual[i] : sum);
    }
    return TFR_OK;
}
