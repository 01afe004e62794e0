/* kernel_coarse.c - laws of linears on whole numbers: orders against their definitions, and both ways of packing. */
#include "kernel_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/dtype.h"

#include <tfrun/quant.h>

static float weight_at(const struct tfr_kernel_data *data, int64_t k, int64_t n) {
    const struct tfr_tensor *w = &data->weight;
    const int64_t at = data->problem.attrs.transposed ? n * w->stride[0] + k : k * w->stride[0] + n;
    return load_as_f32(w->data, w->dtype, at);
}

static float channel_scale(const struct tfr_kernel_data *data, int64_t n) {
    uint32_t largest = 0;
    for (int64_t k = 0; k < data->problem.arg[0].dim[1]; k++) {
        const uint32_t magnitude = tfr_quant_magnitude(weight_at(data, k, n));
        largest = magnitude > largest ? magnitude : largest;
    }
    return tfr_quant_i8_scale(largest);
}

/* What TFR_ORDER_INT means for one element, by the words of plugin.h (no activation). */
static float int_element(const struct tfr_kernel_data *data, int64_t m, int64_t n) {
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

float int8w_element(const struct tfr_kernel_data *data, int64_t k_block, int64_t m, int64_t n) {
    const int64_t n_in = data->problem.arg[0].dim[1], n_out = data->problem.arg[4].dim[1];
    const float *x = (const float *)data->in[0] + m * n_in, scale = channel_scale(data, n);
    float sum = 0;
    for (int64_t k0 = 0; k0 < n_in; k0 += k_block) {
        float chain = 0;
        for (int64_t k = k0; k < n_in && k < k0 + k_block; k++) {
            chain = fmaf(x[k], tfr_quant_i8(weight_at(data, k, n), scale), chain);
        }
        sum = k0 == 0 ? chain : sum + chain;
    }
    float y = sum * scale;
    y = data->in[2] != NULL ? y + ((const float *)data->in[2])[n] : y;
    return data->in[3] != NULL ? y + ((const float *)data->in[3])[m * n_out + n] : y;
}

/* The group of column n that begins at k. */
static struct tfr_quant_i4 group_at(const struct tfr_kernel_data *data, int64_t k, int64_t n, int64_t *count, uint8_t *q) {
    const enum tfr_dtype dtype = (enum tfr_dtype)data->problem.arg[1].dtype;
    const int64_t left = data->problem.arg[0].dim[1] - k, group = tfr_quant_group(dtype);
    float w[TFR_QUANT_MOST_GROUP];
    *count = left < group ? left : group;
    for (int64_t i = 0; i < *count; i++) {
        w[i] = weight_at(data, k + i, n);
    }
    return tfr_quant_i4_group(q, w, *count, tfr_quant_has_zero(dtype));
}

/* TFR_ORDER_INT_GROUP likewise. */
static float group_element(const struct tfr_kernel_data *data, int64_t m, int64_t n) {
    const int64_t n_in = data->problem.arg[0].dim[1], n_out = data->problem.arg[4].dim[1];
    const float *x = (const float *)data->in[0] + m * n_in;
    float y = 0;
    for (int64_t first = 0; first < n_in; first += TFR_QUANT_SPAN) {
        const int64_t end = n_in - first < TFR_QUANT_SPAN ? n_in : first + TFR_QUANT_SPAN;
        const float x_scale = tfr_quant_row_scale(x + first, end - first);
        float chain = 0;
        for (int64_t k = first, count; k < end; k += count) {
            uint8_t q[TFR_QUANT_MOST_GROUP];
            int8_t rounded[TFR_QUANT_MOST_GROUP];
            const struct tfr_quant_i4 mean = group_at(data, k, n, &count, q);
            int64_t sum = 0;
            tfr_quant_row(rounded, x + k, count, x_scale);
            for (int64_t i = 0; i < count; i++) {
                sum += rounded[i] * ((int64_t)q[i] - mean.zero);
            }
            chain = fmaf((float)sum, tfr_quant_from_f16(mean.scale), chain);
        }
        y = fmaf(x_scale, chain, y);
    }
    y = data->in[2] != NULL ? y + ((const float *)data->in[2])[n] : y;
    return data->in[3] != NULL ? y + ((const float *)data->in[3])[m * n_out + n] : y;
}

void check_int_definition(struct context *context, const struct kernel_setup *setup, const float *out) {
    const int64_t n_out = context->kase->n, total = context->kase->rows * n_out, step = total / 97 + 1;
    for (int64_t i = 0; context->kase->act == TFR_ACT_NONE && i < total; i += step) {
        const bool has_groups = context->kase->dtype != TFR_DTYPE_I8_CHANNEL;
        const float want =
            has_groups ? group_element(context->data, i / n_out, i % n_out) : int_element(context->data, i / n_out, i % n_out);
        if (memcmp(&out[i], &want, sizeof want) != 0 && !(out[i] != out[i] && want != want)) {
            char text[128];
            snprintf(text, sizeof text, "order of whole numbers: element %lld is %.9g, by definition %.9g", (long long)i, out[i],
                     want);
            report(context, setup, text);
            return;
        }
    }
}

/* Where element (along_k, n) lies in a tensor that has `steps` of K: [steps,N], or [N,steps] where the weight is transposed. */
static int64_t place(const struct tfr_kernel_data *data, int64_t steps, int64_t along_k, int64_t n) {
    return data->problem.attrs.transposed ? n * steps + along_k : along_k * data->problem.arg[4].dim[1] + n;
}

static struct tfr_tensor tensor_of(const struct tfr_kernel_data *data, enum tfr_dtype dtype, int64_t steps, size_t element) {
    const int64_t n_out = data->problem.arg[4].dim[1];
    const bool is_transposed = data->problem.attrs.transposed != 0;
    return (struct tfr_tensor){.data = must_alloc((size_t)(steps * n_out) * element),
                               .dtype = dtype,
                               .rank = 2,
                               .dim = {is_transposed ? n_out : steps, is_transposed ? steps : n_out},
                               .stride = {is_transposed ? steps : n_out, 1}};
}

/* The weight as a checkpoint would have it. */
static struct tfr_coarse channels_of(const struct tfr_kernel_data *data) {
    const int64_t n_in = data->problem.arg[0].dim[1], n_out = data->problem.arg[4].dim[1];
    struct tfr_coarse coarse = {.struct_size = sizeof coarse, .dtype = TFR_DTYPE_I8_CHANNEL};
    coarse.q = tensor_of(data, TFR_DTYPE_I8, n_in, 1);
    coarse.scale = (struct tfr_tensor){
        .data = must_alloc((size_t)n_out * sizeof(float)), .dtype = TFR_DTYPE_F32, .rank = 1, .dim = {n_out}, .stride = {1}};
    for (int64_t n = 0; n < n_out; n++) {
        const float scale = ((float *)coarse.scale.data)[n] = channel_scale(data, n);
        for (int64_t k = 0; k < n_in; k++) {
            ((int8_t *)coarse.q.data)[place(data, n_in, k, n)] = tfr_quant_i8(weight_at(data, k, n), scale);
        }
    }
    return coarse;
}

static struct tfr_coarse groups_of(const struct tfr_kernel_data *data) {
    const enum tfr_dtype dtype = (enum tfr_dtype)data->problem.arg[1].dtype;
    const int64_t n_in = data->problem.arg[0].dim[1], n_out = data->problem.arg[4].dim[1], group = tfr_quant_group(dtype);
    const int64_t halves = tfr_quant_halves(n_in), groups = tfr_quant_groups(n_in, group);
    struct tfr_coarse coarse = {.struct_size = sizeof coarse, .dtype = (int32_t)dtype};
    coarse.q = tensor_of(data, TFR_DTYPE_U8, halves, 1);
    coarse.scale = tensor_of(data, TFR_DTYPE_F16, groups, sizeof(uint16_t));
    coarse.zero = tensor_of(data, TFR_DTYPE_U8, groups, 1);
    for (int64_t n = 0; n < n_out; n++) {
        for (int64_t k = 0, count; k < n_in; k += count) {
            uint8_t q[TFR_QUANT_MOST_GROUP], *bytes = coarse.q.data;
            const struct tfr_quant_i4 mean = group_at(data, k, n, &count, q);
            ((uint16_t *)coarse.scale.data)[place(data, groups, k / group, n)] = mean.scale;
            ((uint8_t *)coarse.zero.data)[place(data, groups, k / group, n)] = mean.zero;
            for (int64_t i = 0; i < count; i++) {
                uint8_t *byte = &bytes[place(data, halves, (k + i) / 2, n)];
                *byte = (uint8_t)(*byte | q[i] << ((k + i) % 2 * 4));
            }
        }
    }
    return coarse;
}

static void compare_packs(struct context *context, const struct kernel_setup *setup, const struct tfr_kernel_data *data) {
    const struct tfr_kernel *kernel = setup->kernel;
    const bool has_groups = data->problem.arg[1].dtype != TFR_DTYPE_I8_CHANNEL;
    struct tfr_coarse coarse = has_groups ? groups_of(data) : channels_of(data);
    const size_t bytes = setup->needs.pack[1].bytes;
    void *packed = guarded_alloc(bytes), *floats = guarded_alloc(bytes);
    memset(packed, 0, bytes); /* what lies between its parts is nobody's */
    memset(floats, 0, bytes);
    for (int t = 0; t < setup->problem.n_threads; t++) {
        kernel->pack_coarse(kernel, &setup->problem, 1, &coarse, packed, t, setup->problem.n_threads);
        kernel->pack(kernel, &setup->problem, 1, &data->weight, floats, t, setup->problem.n_threads);
    }
    if (memcmp(packed, floats, bytes) != 0 || !guard_holds(packed, bytes)) {
        report(context, setup, "pack_coarse writes other bytes than pack");
    }
    free(packed);
    free(floats);
    free(coarse.q.data);
    free(coarse.scale.data);
    free(coarse.zero.data);
}

/* Zeros, subnormals, ties, what f16 cannot hold, infinities and NaN among the weights: one of them in every `step`. */
static void plant(struct tfr_tensor *weight, int64_t n, int64_t step) {
    static const float rare[] = {0, -0.0f, 1e-41f, -1e-33f, 0.5f, -1, 7, 600000, -5e5f, 1e-6f, 3e38f, -INFINITY, NAN};
    for (int64_t i = 0; i < n; i += step) {
        ((float *)weight->data)[i] = rare[i / step % (int64_t)(sizeof rare / sizeof *rare)];
    }
}

void check_pack_coarse(struct context *context, const struct kernel_setup *setup) {
    const struct tfr_kernel_data *data = context->data;
    if (setup->problem.op != TFR_OP_LINEAR || context->kase->dtype < TFR_DTYPE_I8_CHANNEL || setup->kernel->pack_coarse == NULL) {
        return;
    }
    compare_packs(context, setup, data);
    if (data->weight.dtype != TFR_DTYPE_F32) {
        return;
    }
    const int64_t n = data->weight.dim[0] * data->weight.dim[1];
    struct tfr_kernel_data changed = *data;
    changed.weight.data = must_alloc((size_t)n * sizeof(float));
    const int64_t steps[] = {1, 11, 401};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        memcpy(changed.weight.data, data->weight.data, (size_t)n * sizeof(float));
        plant(&changed.weight, n, steps[i]);
        compare_packs(context, setup, &changed);
    }
    free(changed.weight.data);
}
