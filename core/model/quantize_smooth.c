/* quantize_smooth.c - `tfrun quantize --smooth A`: inputs of a linear that are much larger than the others, made alike before
 * anything is rounded. ln_1 and c_attn, ln_2 and c_fc: channel j of the norm (weight and bias) is multiplied by a power of two, row
 * j of the linear divided by it. Such products are exact, so the model in f32 has the same bits.
 *
 * The power is 2^-round(l_j - mean of l), l_j = A log2 x_j - (1 - A) log2 w_j, with x_j = |weight| + |bias| of the norm, which is
 * how large the input gets (a normed element has variance 1), and w_j the largest weight of the row. No text is needed.
 */
#include "model/quantize_parts.h"

#include <math.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"

/* Neither a channel nor a row leaves the range of floats by this much: those below 2^-100 read as 0 (tfrun/quant.h). */
enum { MOST_POWER = 24 };
static const double least_size = 1e-6; /* a channel that is not used has some size all the same */

struct pair {
    enum tfr_param weight, bias, linear;
};
static const struct pair pairs[] = {{TFR_PARAM_LN_1_WEIGHT, TFR_PARAM_LN_1_BIAS, TFR_PARAM_C_ATTN_WEIGHT},
                                    {TFR_PARAM_LN_2_WEIGHT, TFR_PARAM_LN_2_BIAS, TFR_PARAM_C_FC_WEIGHT}};

static const struct pair *pair_of(enum tfr_param param) {
    for (size_t i = 0; i < TFR_COUNT_OF(pairs); i++) {
        if (param == pairs[i].weight || param == pairs[i].bias || param == pairs[i].linear) {
            return &pairs[i];
        }
    }
    return NULL;
}

bool tfr_smooth_changes(enum tfr_param param) {
    return pair_of(param) != NULL;
}

static void read_row(const struct tfr_tensor *from, int64_t row, int64_t n, float *to) {
    tfr_to_f32(to, (const uint8_t *)from->data + (size_t)(row * n) * tfr_dtype_size(from->dtype), from->dtype, n);
}

static double largest_of(const float *x, int64_t n) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double size = fabs((double)x[i]);
        largest = size > largest ? size : largest;
    }
    return largest;
}

/* Powers of the channels; 0 where something is no number: rounding will refuse it, or it stays as it is. */
static enum tfr_status find_powers(const struct tfr_model *model, const struct pair *pair, int64_t layer, double strength,
                                   double *powers) {
    const struct tfr_tensor *linear = &tfr_model_param(model, pair->linear, layer)->tensor;
    const int64_t K = linear->dim[0], N = linear->dim[1];
    float *row = tfr_alloc((size_t)N, sizeof *row), *norm = tfr_alloc((size_t)(2 * K), sizeof *norm);
    double mean = 0;
    if (row == NULL || norm == NULL) {
        tfr_free(row);
        tfr_free(norm);
        return TFR_RESOURCE;
    }
    read_row(&tfr_model_param(model, pair->weight, layer)->tensor, 0, K, norm);
    read_row(&tfr_model_param(model, pair->bias, layer)->tensor, 0, K, norm + K);
    for (int64_t k = 0; k < K; k++) {
        read_row(linear, k, N, row);
        const double x = fmax(fabs((double)norm[k]) + fabs((double)norm[K + k]), least_size),
                     w = fmax(largest_of(row, N), least_size);
        powers[k] = strength * log2(x) - (1 - strength) * log2(w);
        mean += powers[k] / (double)K;
    }
    for (int64_t k = 0; k < K; k++) {
        const double power = -nearbyint(powers[k] - mean);
        powers[k] = isfinite(power) ? fmax(fmin(power, MOST_POWER), -MOST_POWER) : 0;
    }
    tfr_free(row);
    tfr_free(norm);
    return TFR_OK;
}

enum tfr_status tfr_smooth_param(const struct tfr_model *model, enum tfr_param param, int64_t layer, double strength, float *to) {
    const struct pair *pair = pair_of(param);
    const struct tfr_tensor *from = &tfr_model_param(model, param, layer)->tensor;
    const int64_t K = from->dim[0], N = param == pair->linear ? from->dim[1] : 1;
    double *powers = tfr_alloc((size_t)K, sizeof *powers);
    const enum tfr_status status = powers != NULL ? find_powers(model, pair, layer, strength, powers) : TFR_RESOURCE;
    for (int64_t k = 0; k < K && status == TFR_OK; k++) {
        const float factor = (float)exp2(param == pair->linear ? -powers[k] : powers[k]);
        read_row(from, k, N, to + k * N);
        for (int64_t n = 0; n < N; n++) {
            to[k * N + n] *= factor;
        }
    }
    tfr_free(powers);
    return status;
}
