/* layernorm_kernel.c - LayerNorm, compiled once per ISA; must equal tfr_ref_layer_norm within rounding.
 *
 * Two passes over a row that stays in L1 (mean, then variance of the differences: no cancellation). One
 * reduction tree for every row, thread count and vector width: element c goes to partial sum c % 64, tails
 * included; the 64 fold by halves. So builds with FMA agree to the last bit. Rows are split over the team; a
 * row is never shared.
 */
#include "layernorm/layernorm.h"

#include "common/dtype.h"
#include "common/simd.h"

enum { GROUPS = 4, SPAN = GROUPS * 16 }; /* 4 independent chains hide the latency of the adds */

/* Lanes of vector v (of a group of 16 that starts at c) that lie inside the row. */
V_INLINE int lanes_left(int64_t width, int64_t c) {
    const int64_t left = width - c;
    return left <= 0 ? 0 : left < VW ? (int)left : VW;
}

V_INLINE float fold(vf part[GROUPS][V16]) {
    vf sum[V16];
    for (int i = 0; i < V16; i++) {
        sum[i] = v_add(v_add(part[0][i], part[2][i]), v_add(part[1][i], part[3][i]));
    }
    return v_sum16(sum);
}

static float row_mean(const float *x, int64_t width) {
    vf part[GROUPS][V16] = {{v_zero()}};
    int64_t c = 0;
    for (; c + SPAN <= width; c += SPAN) {
        for (int i = 0; i < GROUPS * V16; i++) {
            part[i / V16][i % V16] = v_add(part[i / V16][i % V16], v_load(x + c + i * VW));
        }
    }
    for (int i = 0; i < GROUPS * V16; i++) {
        const int64_t at = c + i * VW;
        const int lanes = lanes_left(width, at);
        if (lanes > 0) {
            part[i / V16][i % V16] = v_add(part[i / V16][i % V16], v_load_n(x + at, lanes));
        }
    }
    return fold(part) / (float)width;
}

static float row_variance(const float *x, int64_t width, float mean_value) {
    const vf mean = v_set1(mean_value);
    vf part[GROUPS][V16] = {{v_zero()}};
    int64_t c = 0;
    for (; c + SPAN <= width; c += SPAN) {
        for (int i = 0; i < GROUPS * V16; i++) {
            const vf difference = v_sub(v_load(x + c + i * VW), mean);
            part[i / V16][i % V16] = v_fma(difference, difference, part[i / V16][i % V16]);
        }
    }
    for (int i = 0; i < GROUPS * V16; i++) {
        const int64_t at = c + i * VW;
        const int lanes = lanes_left(width, at);
        if (lanes > 0) {
            const vf apart = v_sub(v_load_n(x + at, lanes), mean);
            const vf difference = v_blend(v_first(lanes), apart, v_zero());
            part[i / V16][i % V16] = v_fma(difference, difference, part[i / V16][i % V16]);
        }
    }
    return fold(part) / (float)width;
}

static void scale_row(const float *x, const float *weight, const float *bias, float *y, int64_t width, float mean_value,
                      float factor_value) {
    const vf mean = v_set1(mean_value), factor = v_set1(factor_value);
    int64_t c = 0;
    for (; c + VW <= width; c += VW) {
        const vf normal = v_mul(v_sub(v_load(x + c), mean), factor);
        v_store(y + c, v_fma(normal, v_load(weight + c), v_load(bias + c)));
    }
    if (c < width) {
        const int lanes = (int)(width - c);
        const vf normal = v_mul(v_sub(v_load_n(x + c, lanes), mean), factor);
        v_store_n(y + c, v_fma(normal, v_load_n(weight + c, lanes), v_load_n(bias + c, lanes)), lanes);
    }
}

int32_t V_NAME(tfr_layernorm)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                              const struct tfr_run_ctx *ctx) {
    const int64_t width = problem->arg[3].dim[1];
    int64_t begin, end;
    split_evenly(args->rows, ctx->tid, ctx->nth, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        const float *x = (const float *)args->arg[0] + r * width;
        const float mean = row_mean(x, width);
        const float variance = row_variance(x, width, mean);
        scale_row(x, args->arg[1], args->arg[2], (float *)args->arg[3] + r * width, width, mean,
                  1.0f / sqrtf(variance + problem->attrs.epsilon));
    }
    return TFR_OK;
}
