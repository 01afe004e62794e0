/* tensor_input.c - tensors that callers give: see tensor_input.h. */
#include "base/tensor_input.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"

bool tfr_input_is_integer(enum tfr_dtype dtype) {
    return dtype == TFR_DTYPE_I64 || dtype == TFR_DTYPE_I32;
}

static bool is_float(enum tfr_dtype dtype) {
    return dtype == TFR_DTYPE_F32 || dtype == TFR_DTYPE_F16 || dtype == TFR_DTYPE_BF16 || dtype == TFR_DTYPE_F64;
}

static enum tfr_status wrong_type(const char *name, const struct tfr_tensor *tensor, const char *allowed) {
    return tfr_raise(TFR_USAGE, "%s is %s; it must be %s", name, tfr_dtype_file_name(tensor->dtype), allowed);
}

/* Element i of any integer or float type. */
static double element(const struct tfr_tensor *tensor, int64_t i) {
    const uint8_t *at = (const uint8_t *)tensor->data + (size_t)i * tfr_dtype_size(tensor->dtype);
    int64_t wide;
    int32_t narrow;
    float single;
    switch (tensor->dtype) {
    case TFR_DTYPE_I64:
        memcpy(&wide, at, sizeof wide);
        return (double)wide;
    case TFR_DTYPE_I32:
        memcpy(&narrow, at, sizeof narrow);
        return narrow;
    case TFR_DTYPE_U8:
    case TFR_DTYPE_BOOL:
        return *at;
    default:
        tfr_to_f32(&single, at, tensor->dtype, 1);
        return single;
    }
}

enum tfr_status tfr_input_floats(const char *name, const struct tfr_tensor *tensor, float **values) {
    if (!is_float(tensor->dtype)) {
        return wrong_type(name, tensor, "F32, F16, BF16 or F64");
    }
    const int64_t n = tfr_tensor_count(tensor);
    *values = tfr_alloc((size_t)(n > 0 ? n : 1), sizeof **values);
    if (*values == NULL) {
        return TFR_RESOURCE;
    }
    tfr_to_f32(*values, tensor->data, tensor->dtype, n);
    return TFR_OK;
}

enum tfr_status tfr_input_integers(const char *name, const struct tfr_tensor *tensor, int64_t **values) {
    if (!tfr_input_is_integer(tensor->dtype)) {
        return wrong_type(name, tensor, "I64 or I32");
    }
    const int64_t n = tfr_tensor_count(tensor);
    *values = tfr_alloc((size_t)(n > 0 ? n : 1), sizeof **values);
    if (*values == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < n; i++) {
        int32_t narrow;
        if (tensor->dtype == TFR_DTYPE_I64) {
            memcpy(&(*values)[i], (const uint8_t *)tensor->data + 8 * i, sizeof **values);
        } else {
            memcpy(&narrow, (const uint8_t *)tensor->data + 4 * i, sizeof narrow);
            (*values)[i] = narrow;
        }
    }
    return TFR_OK;
}

enum tfr_status tfr_input_indices(const char *name, const struct tfr_tensor *tensor, int64_t width, int64_t limit,
                                  const char *limit_name, int32_t **values) {
    int64_t *wide = NULL;
    TFR_TRY(tfr_input_integers(name, tensor, &wide));
    const int64_t n = tfr_tensor_count(tensor);
    enum tfr_status status = TFR_OK;
    *values = tfr_alloc((size_t)(n > 0 ? n : 1), sizeof **values);
    if (*values == NULL) {
        status = TFR_RESOURCE;
    }
    for (int64_t i = 0; i < n && status == TFR_OK; i++) {
        (*values)[i] = (int32_t)wide[i];
        if (wide[i] < 0 || wide[i] >= limit) {
            status = tfr_raise(TFR_USAGE, "%s: %lld at row %lld, column %lld is outside 0..%lld (%s - 1)", name, (long long)wide[i],
                               (long long)(i / width), (long long)(i % width), (long long)(limit - 1), limit_name);
        }
    }
    tfr_free(wide);
    if (status != TFR_OK) {
        tfr_free(*values);
        *values = NULL;
    }
    return status;
}

/* What to give in the place of numbers that are no flags: an attention mask of less dims is never added. */
static const char *other_than_flags(const char *name, const struct tfr_tensor *tensor) {
    return tensor->rank < 4 && strstr(name, "attention_mask") != NULL ? "additive masks have rank 4"
                                                                      : "give other numbers as a float type";
}

enum tfr_status tfr_input_mask(const char *name, const struct tfr_tensor *tensor, uint8_t **values) {
    const bool is_known = tfr_input_is_integer(tensor->dtype) || is_float(tensor->dtype) || tensor->dtype == TFR_DTYPE_U8 ||
                          tensor->dtype == TFR_DTYPE_BOOL;
    if (!is_known) {
        return wrong_type(name, tensor, "BOOL, U8, I32, I64 or a float type");
    }
    const int64_t n = tfr_tensor_count(tensor), width = tensor->rank > 0 ? tensor->dim[tensor->rank - 1] : 1;
    *values = tfr_alloc((size_t)(n > 0 ? n : 1), 1);
    if (*values == NULL) {
        return TFR_RESOURCE;
    }
    for (int64_t i = 0; i < n; i++) {
        const double value = element(tensor, i);
        if (value != 0 && value != 1) {
            tfr_free(*values);
            *values = NULL;
            return tfr_raise(TFR_USAGE, "%s: %g at row %lld, column %lld is neither 0 nor 1; %s", name, value,
                             (long long)(i / width), (long long)(i % width), other_than_flags(name, tensor));
        }
        (*values)[i] = value != 0;
    }
    return TFR_OK;
}

enum tfr_status tfr_input_shape(const char *name, const struct tfr_tensor *tensor, int rank, const int64_t *dim) {
    bool fits = tensor->rank == rank;
    for (int i = 0; i < rank && fits; i++) {
        fits = dim[i] < 0 || tensor->dim[i] == dim[i];
    }
    if (fits) {
        return TFR_OK;
    }
    char has[96], wants[96] = "[";
    for (int i = 0; i < rank; i++) {
        char text[24] = "any";
        if (dim[i] >= 0) {
            snprintf(text, sizeof text, "%lld", (long long)dim[i]);
        }
        const size_t used = strlen(wants);
        snprintf(wants + used, sizeof wants - used, "%s%s", i > 0 ? ", " : "", text);
    }
    return tfr_raise(TFR_USAGE, "%s has shape %s, needs %s]", name, tfr_shape_text(tensor->rank, tensor->dim, has, sizeof has),
                     wants);
}

bool tfr_input_fits(const struct tfr_tensor *tensor, int rank, const int64_t *dim) {
    int at = 0;
    for (int i = 0; i < tensor->rank; i++) {
        while (at < rank && dim[at] == 1) {
            at++;
        }
        if (tensor->dim[i] != 1 && (at == rank || tensor->dim[i] != dim[at++])) {
            return false;
        }
    }
    while (at < rank && dim[at] == 1) {
        at++;
    }
    return at == rank;
}

enum tfr_status tfr_input_shape_but_ones(const char *name, const struct tfr_tensor *tensor, int rank, const int64_t *dim) {
    return tfr_input_fits(tensor, rank, dim) ? TFR_OK : tfr_input_shape(name, tensor, rank, dim);
}

enum tfr_status tfr_input_broadcast(const char *name, const struct tfr_tensor *tensor, int rank, const int64_t *dim,
                                    int64_t *from) {
    const int missing = rank - tensor->rank;
    bool fits = missing >= 0;
    for (int i = 0; i < rank && fits; i++) {
        from[i] = i < missing ? 1 : tensor->dim[i - missing];
        fits = from[i] == 1 || from[i] == dim[i];
    }
    return fits ? TFR_OK : tfr_input_shape(name, tensor, rank, dim);
}

void *tfr_input_repeat(void *values, size_t size, int rank, const int64_t *from, const int64_t *to) {
    const bool is_one = from[rank - 1] == 1;
    size_t rows = 1, width = 0, bytes = 0;
    bool is_possible = tfr_size_mul(size, (size_t)to[rank - 1], &width);
    if (memcmp(from, to, (size_t)rank * sizeof *to) == 0) {
        return values;
    }
    for (int i = 0; i < rank - 1; i++) {
        is_possible = is_possible && tfr_size_mul(rows, (size_t)to[i], &rows);
    }
    is_possible = is_possible && tfr_size_mul(rows, width, &bytes);
    uint8_t *all = is_possible ? tfr_alloc(bytes > 0 ? bytes : 1, 1) : tfr_alloc(SIZE_MAX, 2); /* which says why not */
    for (size_t row = 0; all != NULL && bytes > 0 && row < rows; row++) {
        size_t at = row, source = 0, step = 1;
        for (int i = rank - 2; i >= 0; i--) {
            source += from[i] > 1 ? at % (size_t)to[i] * step : 0;
            step *= (size_t)from[i];
            at /= (size_t)to[i];
        }
        const uint8_t *one = (const uint8_t *)values + source * (is_one ? size : width);
        for (size_t done = 0; done < width; done += is_one ? size : width) {
            memcpy(all + row * width + done, one, is_one ? size : width);
        }
    }
    tfr_free(values);
    return all;
}
