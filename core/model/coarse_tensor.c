/* coarse_tensor.c - whole tensors in coarse types. Channels are taken one after the other, each as a dense row of its inputs, so
 * that the memory needed is that of some channels whatever the tensor's size. */
#include "model/coarse_tensor.h"

#include <string.h>

#include <tfrun/quant.h>

#include "base/arena.h"
#include "base/status.h"

enum { CHANNELS = 64 }; /* read side by side from a tensor [K,N], whose channels are columns */

void tfr_coarse_shape(struct tfr_coarse_weight *weight, enum tfr_dtype dtype, const int64_t *dim, int k_axis) {
    const int64_t group = tfr_quant_group(dtype), K = dim[k_axis];
    *weight = (struct tfr_coarse_weight){
        .parts = {.struct_size = sizeof weight->parts, .dtype = dtype}, .dim = {dim[0], dim[1]}, .k_axis = k_axis};
    struct tfr_coarse *parts = &weight->parts;
    if (group < 0) {
        parts->q = tfr_tensor_make(NULL, TFR_DTYPE_I8, 2, dim);
        parts->scale = tfr_tensor_make(NULL, TFR_DTYPE_F32, 1, &dim[1 - k_axis]);
        return;
    }
    int64_t halves[2] = {dim[0], dim[1]}, groups[2] = {dim[0], dim[1]};
    halves[k_axis] = tfr_quant_halves(K);
    groups[k_axis] = tfr_quant_groups(K, group);
    parts->q = tfr_tensor_make(NULL, TFR_DTYPE_U8, 2, halves);
    parts->scale = tfr_tensor_make(NULL, TFR_DTYPE_F16, 2, groups);
    if (tfr_quant_has_zero(dtype)) {
        parts->zero = tfr_tensor_make(NULL, TFR_DTYPE_U8, 2, groups);
    }
}

size_t tfr_coarse_bytes(const struct tfr_coarse_weight *weight) {
    const size_t zero = weight->parts.zero.rank > 0 ? tfr_tensor_bytes(&weight->parts.zero) : 0;
    return tfr_tensor_bytes(&weight->parts.q) + tfr_tensor_bytes(&weight->parts.scale) + zero;
}

/* Element k of channel n in a matrix with `rows` rows along K. */
static size_t place(const struct tfr_coarse_weight *weight, int64_t k, int64_t n, int64_t rows) {
    return (size_t)(weight->k_axis == 0 ? k * weight->dim[1] + n : n * rows + k);
}

static int64_t channel_length(const struct tfr_coarse_weight *weight) {
    return weight->dim[weight->k_axis];
}

static void store_half(struct tfr_coarse_weight *to, int64_t k, int64_t n, uint8_t q) {
    uint8_t *byte = (uint8_t *)to->parts.q.data + place(to, k / 2, n, tfr_quant_halves(channel_length(to)));
    *byte = (uint8_t)(k % 2 == 0 ? q | TFR_QUANT_I4_MIDDLE << 4 : (*byte & 15) | q << 4);
}

static struct tfr_quant_i4 read_group(const struct tfr_coarse_weight *from, int64_t g, int64_t n) {
    const int64_t n_groups = tfr_quant_groups(channel_length(from), tfr_quant_group((enum tfr_dtype)from->parts.dtype));
    const size_t at = place(from, g, n, n_groups);
    struct tfr_quant_i4 group = {.zero = TFR_QUANT_I4_MIDDLE};
    memcpy(&group.scale, (const uint8_t *)from->parts.scale.data + at * sizeof group.scale, sizeof group.scale);
    if (from->parts.zero.data != NULL) {
        group.zero = ((const uint8_t *)from->parts.zero.data)[at];
    }
    return group;
}

static void store_group(struct tfr_coarse_weight *to, int64_t g, int64_t n, const float *w, int64_t length) {
    const int64_t group_size = tfr_quant_group((enum tfr_dtype)to->parts.dtype);
    const size_t at = place(to, g, n, tfr_quant_groups(channel_length(to), group_size));
    uint8_t q[TFR_QUANT_MOST_GROUP];
    const struct tfr_quant_i4 group = tfr_quant_i4_group(q, w, length, to->parts.zero.data != NULL);
    memcpy((uint8_t *)to->parts.scale.data + at * sizeof group.scale, &group.scale, sizeof group.scale);
    if (to->parts.zero.data != NULL) {
        ((uint8_t *)to->parts.zero.data)[at] = group.zero;
    }
    for (int64_t i = 0; i < length; i++) {
        store_half(to, g * group_size + i, n, q[i]);
    }
}

static void store_channel(struct tfr_coarse_weight *to, int64_t n, const float *w) {
    const int64_t K = channel_length(to), group = tfr_quant_group((enum tfr_dtype)to->parts.dtype);
    if (group > 0) {
        for (int64_t k = 0; k < K; k += group) {
            store_group(to, k / group, n, w + k, K - k < group ? K - k : group);
        }
        return;
    }
    uint32_t largest = 0;
    for (int64_t k = 0; k < K; k++) {
        const uint32_t magnitude = tfr_quant_magnitude(w[k]);
        largest = magnitude > largest ? magnitude : largest;
    }
    const float scale = tfr_quant_i8_scale(largest);
    memcpy((uint8_t *)to->parts.scale.data + (size_t)n * sizeof scale, &scale, sizeof scale);
    for (int64_t k = 0; k < K; k++) {
        ((int8_t *)to->parts.q.data)[place(to, k, n, K)] = tfr_quant_i8(w[k], scale);
    }
}

static void read_channel(float *w, const struct tfr_coarse_weight *from, int64_t n) {
    const int64_t K = channel_length(from), size = tfr_quant_group((enum tfr_dtype)from->parts.dtype);
    if (size < 0) {
        float scale;
        memcpy(&scale, (const uint8_t *)from->parts.scale.data + (size_t)n * sizeof scale, sizeof scale);
        for (int64_t k = 0; k < K; k++) {
            w[k] = tfr_quant_i8_value(((const int8_t *)from->parts.q.data)[place(from, k, n, K)], scale);
        }
        return;
    }
    struct tfr_quant_i4 group = {0};
    for (int64_t k = 0; k < K; k++) {
        if (k % size == 0) {
            group = read_group(from, k / size, n);
        }
        const uint8_t byte = ((const uint8_t *)from->parts.q.data)[place(from, k / 2, n, tfr_quant_halves(K))];
        w[k] = tfr_quant_i4_value(tfr_quant_half(byte, k), group);
    }
}

static void add_error(struct tfr_coarse_error *error, const float *w, const float *rounded, int64_t K, int64_t n) {
    for (int64_t k = 0; k < K; k++) {
        const double off = (double)w[k] - rounded[k], size = off < 0 ? -off : off;
        error->squared += off * off;
        error->norm += (double)w[k] * w[k];
        error->largest = size > error->largest ? size : error->largest;
        error->not_held = size == size || error->not_held >= 0 ? error->not_held : n;
    }
}

/* Channels [first, first + count), each a row of `rows`. */
static void gather(float *rows, const struct tfr_coarse_weight *to, const struct tfr_tensor *from, int64_t first, int64_t count) {
    const int64_t K = channel_length(to);
    const size_t width = tfr_dtype_size(from->dtype);
    const uint8_t *data = from->data;
    if (to->k_axis == 1) {
        tfr_to_f32(rows, data + (size_t)(first * K) * width, from->dtype, count * K);
        return;
    }
    float piece[CHANNELS];
    for (int64_t k = 0; k < K; k++) {
        tfr_to_f32(piece, data + (size_t)(k * to->dim[1] + first) * width, from->dtype, count);
        for (int64_t i = 0; i < count; i++) {
            rows[i * K + k] = piece[i];
        }
    }
}

static void scatter(float *to, const float *rows, const struct tfr_coarse_weight *from, int64_t first, int64_t count) {
    const int64_t K = channel_length(from);
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < K; k++) {
            to[k * from->dim[1] + first + i] = rows[i * K + k];
        }
    }
}

enum tfr_status tfr_coarse_round(struct tfr_coarse_weight *to, const struct tfr_tensor *from, struct tfr_coarse_error *error) {
    const int64_t K = channel_length(to), N = to->dim[1 - to->k_axis];
    float *rows = tfr_alloc((size_t)(K * CHANNELS), sizeof *rows), *rounded = tfr_alloc((size_t)K, sizeof *rounded);
    const enum tfr_status status = rows != NULL && rounded != NULL ? TFR_OK : TFR_RESOURCE;
    *error = (struct tfr_coarse_error){.not_held = -1};
    for (int64_t first = 0; first < N && status == TFR_OK; first += CHANNELS) {
        const int64_t count = N - first < CHANNELS ? N - first : CHANNELS;
        gather(rows, to, from, first, count);
        for (int64_t i = 0; i < count; i++) {
            store_channel(to, first + i, rows + i * K);
            read_channel(rounded, to, first + i);
            add_error(error, rows + i * K, rounded, K, first + i);
        }
    }
    tfr_free(rows);
    tfr_free(rounded);
    return status;
}

enum tfr_status tfr_coarse_read(float *to, const struct tfr_coarse_weight *from) {
    const int64_t K = channel_length(from), N = from->dim[1 - from->k_axis];
    if (from->k_axis == 1) {
        for (int64_t n = 0; n < N; n++) {
            read_channel(to + n * K, from, n);
        }
        return TFR_OK;
    }
    float *rows = tfr_alloc((size_t)(K * CHANNELS), sizeof *rows);
    if (rows == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t first = 0; first < N; first += CHANNELS) {
        const int64_t count = N - first < CHANNELS ? N - first : CHANNELS;
        for (int64_t i = 0; i < count; i++) {
            read_channel(rows + i * K, from, first + i);
        }
        scatter(to, rows, from, first, count);
    }
    tfr_free(rows);
    return TFR_OK;
}
