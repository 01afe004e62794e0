/* kernel_coarse.c - laws of linears on whole numbers: orders against their definitions, and both ways of packing. */
#include "kernel_check.h"

#include <stdlib.h>
#include <string.h>

#include "common/dtype.h"

#include <tfrun/quant.h>

static float weight_at(const struct kernel_data *data, int64_t k, int64_t n) {
    const struct tfr_tensor *w = &data->weight;
    const int64_t at = data->problem.attrs.transposed ? n * w->stride[0] + k : k * w->stride[0] + n;
    return load_as_f32(w->data, w->dtype, at);
}

static float channel_scale(const struct kernel_data *data, int64_t n) {
    uint32_t largest = 0;
    for (int64_t k = 0; k < data->problem.arg[0].dim[1]; k++) {
        const uint32_t magnitude = tfr_quant_magnitude(weight_at(data, k, n));
        largest = magnitude > largest ? magnitude : largest;
    }
    return tfr_quant_i8_scale(largest);
}

/* What TFR_ORDER_INT means for one element, by the words of plugin.h (no activation). */
static float int_element(const struct kernel_data *data, int64_t m, int64_t n) {
    const int64_t n_in = data->problem.arg[0].dim[1], n_out = data->problem.arg[4].dim[1];
    const float *x = (const float *)data->in[0] + m * n_in;
    const float x_scale = tfr_quant_row_scale(x, n_in), w_scale = channel_scale(data, n);
    int64_t sum = 0;
    for (int64_t k = 0; k < n_in; k++) {
        int8_t q;
        tfr_quant_row(&q, &x[k], 1, x_scale);
        sum += q * tfr_quant_i8(weight_at(data, k, n), w_scale);
    }
    const float scale = x_scale * w_scale;
    float y = (float)sum * scale;
    y = data->in[2] != NULL ? y + ((const float *)data->in[2])[n] : y;
    return data->in[3] != NULL ? y + ((const float *)data->in[3])[m * n_out + n] : y;
}

void check_int_definition(struct context *context, const struct kernel_setup *setup, const float *out) {
    const int64_t n_out = context->kase->n, total = context->kase->rows * n_out, step = total / 97 + 1;
    for (int64_t i = 0; context->kase->act == TFR_ACT_NONE && i < total; i += step) {
        const float want = int_element(context->data, i / n_out, i % n_out);
        if (memcmp(&out[i], &want, sizeof want) != 0 && !(out[i] != out[i] && want != want)) {
            char text[128];
            snprintf(text, sizeof text, "order INT: element %lld is %.9g, by definition %.9g", (long long)i, out[i], want);
            report(context, setup, text);
            return;
        }
    }
}

/* The weight as a checkpoint would have it: whole numbers in the layout of the floats. */
static struct tfr_coarse coarse_of(const struct kernel_data *data) {
    const int64_t n_in = data->problem.arg[0].dim[1], n_out = data->problem.arg[4].dim[1];
    const struct tfr_tensor *w = &data->weight;
    struct tfr_coarse coarse = {.struct_size = sizeof coarse, .dtype = TFR_DTYPE_I8_CHANNEL, .q = *w};
    int8_t *q = must_alloc((size_t)(n_in * n_out));
    float *scale = must_alloc((size_t)n_out * sizeof *scale);
    for (int64_t n = 0; n < n_out; n++) {
        scale[n] = channel_scale(data, n);
        for (int64_t k = 0; k < n_in; k++) {
            q[data->problem.attrs.transposed ? n * w->stride[0] + k : k * w->stride[0] + n] =
                tfr_quant_i8(weight_at(data, k, n), scale[n]);
        }
    }
    coarse.q.data = q;
    coarse.q.dtype = TFR_DTYPE_I8;
    coarse.scale = (struct tfr_tensor){.data = scale, .dtype = TFR_DTYPE_F32, .rank = 1, .dim = {n_out}, .stride = {1}};
    return coarse;
}

void check_pack_coarse(struct context *context, const struct kernel_setup *setup) {
    const struct tfr_kernel *kernel = setup->kernel;
    if (setup->problem.op != TFR_OP_LINEAR || setup->problem.arg[1].dtype != TFR_DTYPE_I8_CHANNEL || kernel->pack_coarse == NULL) {
        return;
    }
    struct tfr_coarse coarse = coarse_of(context->data);
    const size_t bytes = setup->needs.pack[1].bytes;
    void *packed = guarded_alloc(bytes);
    for (int t = 0; t < setup->problem.n_threads; t++) {
        kernel->pack_coarse(kernel, &setup->problem, 1, &coarse, packed, t, setup->problem.n_threads);
    }
    if (memcmp(packed, setup->packed, bytes) != 0 || !guard_holds(packed, bytes)) {
        report(context, setup, "pack_coarse writes other bytes than pack");
    }
    free(packed);
    free(coarse.q.data);
    free(coarse.scale.data);
}
