/* tensor_input.h - tensors that callers give: shapes checked, values converted to one type. Data may be unaligned.
 *
 * A wrong type, shape or value raises TFR_USAGE with the tensor's name and, where it applies, row and column. Values are given away
 * (tfr_free). Thread rule: any thread.
 */
#ifndef TFR_BASE_TENSOR_INPUT_H
#define TFR_BASE_TENSOR_INPUT_H

#include <tfrun/types.h>

enum tfr_status tfr_input_floats(const char *name, const struct tfr_tensor *tensor, float **values);
enum tfr_status tfr_input_integers(const char *name, const struct tfr_tensor *tensor, int64_t **values);
/* Integers in [0, limit), else an error that names row, column and limit. `width` is the length of a row. */
enum tfr_status tfr_input_indices(const char *name, const struct tfr_tensor *tensor, int64_t width, int64_t limit,
                                  const char *limit_name, int32_t **values);
/* 0 or 1 each, of any type. */
enum tfr_status tfr_input_mask(const char *name, const struct tfr_tensor *tensor, uint8_t **values);
/* Shape must be these dims; a dim of -1 is any. */
enum tfr_status tfr_input_shape(const char *name, const struct tfr_tensor *tensor, int rank, const int64_t *dim);
bool tfr_input_is_integer(enum tfr_dtype dtype);
/* Dims of 1 left out of both, the shape is this one: the same elements in the same order. */
bool tfr_input_fits(const struct tfr_tensor *tensor, int rank, const int64_t *dim);
enum tfr_status tfr_input_shape_but_ones(const char *name, const struct tfr_tensor *tensor, int rank, const int64_t *dim);
/* torch's rule: each dim is this one or 1, and dims missing in front are 1. The tensor's dims [rank] into
 * `from`. */
enum tfr_status tfr_input_broadcast(const char *name, const struct tfr_tensor *tensor, int rank, const int64_t *dim, int64_t *from);
/* An array [from] of elements of `size` bytes with its dims of 1 repeated to those of `to`. Takes `values`;
 * NULL after raising. */
void *tfr_input_repeat(void *values, size_t size, int rank, const int64_t *from, const int64_t *to);

#endif
