/* lora_merge.c - the arithmetic of a merge: weight + scaling * (B A), row by row. Sums of products are taken
 * in float64 and rounded to the type that PEFT multiplies in; scaling and addition are in that type. Compiled
 * without contraction: the same bits everywhere. */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "model/lora_parts.h"

/* The two factors as float64, by rank: row k of `left` has a factor for every row of the weight, of `right`
 * for every column. */
struct factors {
    double *left, *right, *sums;
    int64_t rank, rows, columns;
};

bool tfr_lora_is_transposed(enum tfr_param param) {
    return param < TFR_PARAM_LM_HEAD;
}

static double element(const struct tfr_tensor *tensor, int64_t i) {
    const uint8_t *at = (const uint8_t *)tensor->data + (size_t)i * tfr_dtype_size(tensor->dtype);
    double wide;
    float narrow;
    if (tensor->dtype == TFR_DTYPE_F64) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    tfr_to_f32(&narrow, at, tensor->dtype, 1);
    return narrow;
}

/* A [rank, inputs] and B [outputs, rank], each as [rank][...]. */
static void read_factors(struct factors *factors, const struct tfr_lora_slot *slot, bool is_transposed) {
    double *of_a = is_transposed ? factors->left : factors->right, *of_b = is_transposed ? factors->right : factors->left;
    const int64_t n_a = slot->a->tensor.dim[1], n_b = slot->b->tensor.dim[0];
    for (int64_t k = 0; k < factors->rank; k++) {
        for (int64_t i = 0; i < n_a; i++) {
            of_a[k * n_a + i] = element(&slot->a->tensor, k * n_a + i);
        }
        for (int64_t o = 0; o < n_b; o++) {
            of_b[k * n_b + o] = element(&slot->b->tensor, o * factors->rank + k);
        }
    }
}

static enum tfr_status open_factors(struct factors *factors, const struct tfr_lora_slot *slot, enum tfr_param param,
                                    const struct tfr_tensor *base) {
    factors->rank = slot->a->tensor.dim[0];
    factors->rows = base->dim[0];
    factors->columns = base->dim[1];
    factors->left = tfr_alloc((size_t)(factors->rank * factors->rows), sizeof(double));
    factors->right = tfr_alloc((size_t)(factors->rank * factors->columns), sizeof(double));
    factors->sums = tfr_alloc((size_t)factors->columns, sizeof(double));
    if (factors->left == NULL || factors->right == NULL || factors->sums == NULL) {
        return TFR_RESOURCE;
    }
    read_factors(factors, slot, tfr_lora_is_transposed(param));
    return TFR_OK;
}

static void close_factors(struct factors *factors) {
    tfr_free(factors->left);
    tfr_free(factors->right);
    tfr_free(factors->sums);
}

/* One row of the product. */
static void sum_row(const struct factors *factors, int64_t row) {
    memset(factors->sums, 0, (size_t)factors->columns * sizeof(double));
    for (int64_t k = 0; k < factors->rank; k++) {
        const double factor = factors->left[k * factors->rows + row];
        const double *right = factors->right + k * factors->columns;
        for (int64_t i = 0; i < factors->columns; i++) {
            factors->sums[i] += factor * right[i];
        }
    }
}

/* values[i] += scaling * sums[i], in the type of `values`. */
static void add_scaled(float *values, const double *sums, double scaling, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        values[i] += (float)sums[i] * (float)scaling;
    }
}

static void add_scaled_wide(double *values, const double *sums, double scaling, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        values[i] += sums[i] * scaling;
    }
}

/* n elements of `from` in the type `dtype`; F64 stays so, or is rounded to float first. */
static void convert(uint8_t *to, enum tfr_dtype dtype, const uint8_t *from, enum tfr_dtype from_dtype, float *buffer, int64_t n) {
    if (dtype == from_dtype) {
        memcpy(to, from, (size_t)n * tfr_dtype_size(dtype));
        return;
    }
    tfr_to_f32(buffer, from, from_dtype, n);
    if (dtype != TFR_DTYPE_F64) {
        tfr_from_f32(to, buffer, dtype, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const double wide = buffer[i];
        memcpy(to + (size_t)i * sizeof wide, &wide, sizeof wide);
    }
}

/* PEFT rounds the product for an embedding to the type of the table before it adds it; for other modules it
 * does not. */
static void round_sums(double *sums, enum tfr_dtype dtype, double scaling, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float value = (float)sums[i] * (float)scaling;
        uint8_t bits[sizeof(double)];
        tfr_from_f32(bits, &value, dtype, 1);
        tfr_to_f32(&value, bits, dtype, 1);
        sums[i] = value;
    }
}

static void merge_row(uint8_t *row, enum tfr_dtype dtype, const double *sums, double scaling, float *buffer, int64_t n) {
    if (dtype == TFR_DTYPE_F64) {
        add_scaled_wide((double *)(void *)row, sums, scaling, n); /* aligned: our own memory */
        return;
    }
    tfr_to_f32(buffer, row, dtype, n);
    add_scaled(buffer, sums, scaling, n);
    tfr_from_f32(row, buffer, dtype, n);
}

static enum tfr_status add_product(struct tfr_lora_slot *slot, enum tfr_param param, float *buffer) {
    const struct tfr_tensor *merged = &slot->merged.tensor;
    const bool rounds = (param == TFR_PARAM_WTE || param == TFR_PARAM_WPE) && merged->dtype != TFR_DTYPE_F64;
    const double scaling = rounds ? 1 : slot->scaling;
    struct factors factors = {0};
    const enum tfr_status status = open_factors(&factors, slot, param, merged);
    const size_t row_bytes = (size_t)factors.columns * tfr_dtype_size(merged->dtype);
    for (int64_t row = 0; status == TFR_OK && row < factors.rows; row++) {
        sum_row(&factors, row);
        if (rounds) {
            round_sums(factors.sums, merged->dtype, slot->scaling, factors.columns);
        }
        merge_row((uint8_t *)merged->data + (size_t)row * row_bytes, merged->dtype, factors.sums, scaling, buffer, factors.columns);
    }
    close_factors(&factors);
    return status;
}

static enum tfr_status add_bias(struct tfr_lora_slot *slot, float *buffer) {
    const struct tfr_tensor *merged = &slot->merged.tensor;
    double *sums = tfr_alloc((size_t)merged->dim[0], sizeof *sums);
    if (sums == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < merged->dim[0]; i++) {
        sums[i] = element(&slot->bias->tensor, i);
    }
    merge_row(merged->data, merged->dtype, sums, slot->scaling, buffer, merged->dim[0]);
    tfr_free(sums);
    return TFR_OK;
}

static enum tfr_status merge_into(struct tfr_lora_slot *slot, enum tfr_param param, const struct tfr_weight *base) {
    struct tfr_tensor *merged = &slot->merged.tensor;
    const int64_t n = tfr_tensor_count(merged), columns = merged->rank == 2 ? merged->dim[1] : merged->dim[0];
    const size_t from_width = tfr_dtype_size(base->tensor.dtype), to_width = tfr_dtype_size(merged->dtype);
    float *buffer = tfr_alloc((size_t)columns, sizeof *buffer);
    if (buffer == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t at = 0; at < n; at += columns) {
        convert((uint8_t *)merged->data + (size_t)at * to_width, merged->dtype,
                (const uint8_t *)base->tensor.data + (size_t)at * from_width, base->tensor.dtype, buffer, columns);
    }
    enum tfr_status status = TFR_OK;
    if (slot->a != NULL) {
        status = add_product(slot, param, buffer);
    } else if (slot->bias != NULL) {
        status = add_bias(slot, buffer);
    }
    tfr_free(buffer);
    return status;
}

enum tfr_status tfr_lora_merge_slot(struct tfr_lora_slot *slot, enum tfr_param param, const struct tfr_weight *base,
                                    enum tfr_dtype dtype) {
    slot->merged = *base;
    slot->merged.name = slot->name;
    if (slot->a == NULL && slot->bias == NULL && dtype == base->tensor.dtype) {
        return TFR_OK; /* as it lies in the file */
    }
    slot->memory = tfr_alloc((size_t)tfr_tensor_count(&base->tensor), tfr_dtype_size(dtype));
    if (slot->memory == NULL) {
        return TFR_RESOURCE;
    }
    slot->merged.tensor = tfr_tensor_make(slot->memory, dtype, base->tensor.rank, base->tensor.dim);
    return merge_into(slot, param, base);
}
