/* slice.c - rows of a matrix where they lie; columns, and pieces of a vector, side by side in new memory. */
#include "plan/slice.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"

static int64_t row_stride(const struct tfr_tensor *whole) {
    return whole->rank == 2 && whole->stride[0] > 0 ? whole->stride[0] : whole->dim[whole->rank - 1];
}

static void take_rows(struct tfr_tensor *part, const struct tfr_tensor *whole, const struct tfr_slice *slice) {
    part->dim[0] /= slice->n_shards;
    part->data = (uint8_t *)whole->data + (size_t)(slice->shard * part->dim[0] * row_stride(whole)) * tfr_dtype_size(whole->dtype);
}

/* Of each of the `parts` pieces of a row the share of this rank. */
static void copy_columns(uint8_t *to, const struct tfr_tensor *whole, const struct tfr_slice *slice, int64_t n_rows) {
    const size_t size = tfr_dtype_size(whole->dtype);
    const int64_t piece = whole->dim[whole->rank - 1] / slice->parts, share = piece / slice->n_shards;
    for (int64_t row = 0; row < n_rows; row++) {
        for (int p = 0; p < slice->parts; p++, to += (size_t)share * size) {
            const int64_t at = row * row_stride(whole) + p * piece + slice->shard * share;
            memcpy(to, (const uint8_t *)whole->data + (size_t)at * size, (size_t)share * size);
        }
    }
}

enum tfr_status tfr_slice_open(struct tfr_tensor *part, void **memory, const struct tfr_tensor *whole,
                               const struct tfr_slice *slice) {
    *part = *whole;
    *memory = NULL;
    if (slice == NULL || slice->n_shards <= 1) {
        return TFR_OK;
    }
    if (whole->rank == 2 && slice->axis == 0) {
        take_rows(part, whole, slice);
        return TFR_OK;
    }
    const int last = whole->rank - 1;
    const int64_t n_rows = whole->rank == 2 ? whole->dim[0] : 1;
    part->dim[last] /= slice->n_shards;
    part->stride[0] = whole->rank == 2 ? part->dim[last] : 1;
    *memory = part->data = tfr_alloc((size_t)(n_rows * part->dim[last]), tfr_dtype_size(whole->dtype));
    if (*memory == NULL) {
        return TFR_RESOURCE;
    }
    copy_columns(*memory, whole, slice, n_rows);
    return TFR_OK;
}
