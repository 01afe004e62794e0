/* tensor.c - the dtype table, dense views, and arrays from one float type to another, by tfrun/half.h.
 *
 * Elements are read and written through memcpy: a mapped file may hold them unaligned.
 */
#include "base/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tfrun/half.h>

struct dtype_info {
    int bits, group;
    enum tfr_dtype scale, zero;
    const char *file_name, *name;
};

static const struct dtype_info dtypes[] = {
#define DTYPE_INFO(name, bits, group, scale, zero, file_name, config_name)                                                         \
    {bits, group, TFR_DTYPE_##scale, TFR_DTYPE_##zero, file_name, config_name},
    TFR_DTYPE_LIST(DTYPE_INFO)
#undef DTYPE_INFO
};

size_t tfr_dtype_size(enum tfr_dtype dtype) {
    return (unsigned)dtype < TFR_DTYPE_COUNT ? (size_t)dtypes[dtype].bits / 8 : 0;
}

/* Of k elements that share their scales: the last group, and the last byte, may have fewer than fit. */
static int64_t channel_bytes(const struct dtype_info *info, int64_t k) {
    const int64_t groups = info->group > 0 ? (k + info->group - 1) / info->group : info->group < 0;
    return (info->bits * k + 7) / 8 + groups * (int64_t)(tfr_dtype_size(info->scale) + tfr_dtype_size(info->zero));
}

double tfr_dtype_cost(enum tfr_dtype dtype, int64_t k) {
    if ((unsigned)dtype >= TFR_DTYPE_COUNT) {
        return 0;
    }
    const struct dtype_info *info = &dtypes[dtype];
    return info->group == 0 || k < 1 ? info->bits / 8.0 : (double)channel_bytes(info, k) / (double)k;
}

void tfr_dtype_fraction(enum tfr_dtype dtype, int64_t k, int64_t *bytes, int64_t *elements) {
    const struct dtype_info *info = &dtypes[dtype];
    *bytes = info->group == 0 ? info->bits : channel_bytes(info, k);
    *elements = info->group == 0 ? 8 : k;
    while (*bytes % 2 == 0 && *elements % 2 == 0) {
        *bytes /= 2;
        *elements /= 2;
    }
}

const char *tfr_dtype_name(enum tfr_dtype dtype) {
    return (unsigned)dtype < TFR_DTYPE_COUNT ? dtypes[dtype].name : "unknown";
}

const char *tfr_kv_dtype_name(enum tfr_dtype dtype) {
    return dtype == TFR_DTYPE_I8 ? "int8" : tfr_dtype_name(dtype);
}

const char *tfr_dtype_file_name(enum tfr_dtype dtype) {
    return (unsigned)dtype < TFR_DTYPE_COUNT ? dtypes[dtype].file_name : "unknown";
}

bool tfr_dtype_parse(const char *name, enum tfr_dtype *out) {
    for (int i = 0; i < TFR_DTYPE_COUNT && name[0] != '\0'; i++) {
        if (strcmp(name, dtypes[i].name) == 0 || strcmp(name, dtypes[i].file_name) == 0) {
            *out = (enum tfr_dtype)i;
            return true;
        }
    }
    return false;
}

struct tfr_tensor tfr_tensor_make(void *data, enum tfr_dtype dtype, int rank, const int64_t *dim) {
    struct tfr_tensor tensor = {.data = data, .dtype = dtype, .rank = rank};
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        tensor.dim[i] = dim[i];
        tensor.stride[i] = stride;
        if (__builtin_mul_overflow(stride, dim[i], &stride)) {
            stride = INT64_MAX; /* no such memory exists; tfr_tensor_count says so */
        }
    }
    return tensor;
}

/* INT64_MAX when the product does not fit: larger than any limit it is compared with. */
int64_t tfr_tensor_count(const struct tfr_tensor *tensor) {
    int64_t count = 1;
    bool overflow = false;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->dim[i] == 0) {
            return 0;
        }
        overflow |= __builtin_mul_overflow(count, tensor->dim[i], &count);
    }
    return overflow ? INT64_MAX : count;
}

size_t tfr_tensor_bytes(const struct tfr_tensor *tensor) {
    size_t bytes;
    if (__builtin_mul_overflow(tfr_tensor_count(tensor), tfr_dtype_size(tensor->dtype), &bytes)) {
        return SIZE_MAX;
    }
    return bytes;
}

bool tfr_tensor_is_dense(const struct tfr_tensor *tensor) {
    if (tfr_tensor_count(tensor) == 0) {
        return true;
    }
    int64_t stride = 1;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->dim[i] != 1 && tensor->stride[i] != stride) {
            return false;
        }
        stride *= tensor->dim[i];
    }
    return true;
}

const char *tfr_shape_text(int rank, const int64_t *dim, char *text, size_t size) {
    size_t used = 0;
    for (int i = 0; i < rank && used < size; i++) {
        const char *head = i == 0 ? "[" : ", ";
        used += (size_t)snprintf(text + used, size - used, "%s%lld", head, (long long)dim[i]);
    }
    if (used < size) {
        snprintf(text + used, size - used, rank == 0 ? "[]" : "]");
    }
    return text;
}

static void bf16_to_f32_many(float *to, const uint8_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, from + 2 * i, sizeof(bits));
        to[i] = tfr_half_from_bf16(bits);
    }
}

static void f16_to_f32_many(float *to, const uint8_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, from + 2 * i, sizeof(bits));
        to[i] = tfr_half_from_f16(bits);
    }
}

static void f64_to_f32_many(float *to, const uint8_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, from + 8 * i, sizeof(value));
        to[i] = (float)value;
    }
}

void tfr_to_f32(float *to, const void *from, enum tfr_dtype dtype, int64_t n) {
    if (n <= 0) {
        return;
    }
    switch (dtype) {
    case TFR_DTYPE_F32:
        memcpy(to, from, (size_t)n * sizeof(float));
        return;
    case TFR_DTYPE_BF16:
        bf16_to_f32_many(to, from, n);
        return;
    case TFR_DTYPE_F16:
        f16_to_f32_many(to, from, n);
        return;
    case TFR_DTYPE_F64:
        f64_to_f32_many(to, from, n);
        return;
    default:
        /* A caller's mistake: NaN makes it visible at once, stale memory would not. */
        for (int64_t i = 0; i < n; i++) {
            to[i] = NAN;
        }
    }
}

void tfr_from_f32(void *to, const float *from, enum tfr_dtype dtype, int64_t n) {
    if (n <= 0) {
        return;
    }
    if (dtype == TFR_DTYPE_F32) {
        memcpy(to, from, (size_t)n * sizeof(float));
        return;
    }
    uint8_t *bytes = to;
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits = dtype == TFR_DTYPE_F16 ? tfr_half_to_f16(from[i]) : tfr_half_to_bf16(from[i]);
        memcpy(bytes + 2 * i, &bits, sizeof(bits));
    }
}
