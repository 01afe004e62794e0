/* tensor.h - facts about dtypes and tensor views, and conversion of arrays. No allocation.
 * Thread rule: any thread, no state. */
#ifndef TFR_BASE_TENSOR_H
#define TFR_BASE_TENSOR_H

#include <tfrun/types.h>

size_t tfr_dtype_size(enum tfr_dtype dtype); /* bytes of an element; 0 where it has less than one, or is unknown */
/* Bytes that an element costs to read, with its share of a scale that k elements (or a group) have in common. */
double tfr_dtype_cost(enum tfr_dtype dtype, int64_t k);
/* The same, exactly: so many bytes for so many elements. */
void tfr_dtype_fraction(enum tfr_dtype dtype, int64_t k, int64_t *bytes, int64_t *elements);
const char *tfr_dtype_name(enum tfr_dtype dtype);      /* "f32" */
const char *tfr_kv_dtype_name(enum tfr_dtype dtype);   /* of a kv cache, as runtime.kv_dtype has it: "int8" */
const char *tfr_dtype_file_name(enum tfr_dtype dtype); /* "F32", as in a safetensors header; "" if no file has it */
/* Both names are understood; false if unknown. */
bool tfr_dtype_parse(const char *name, enum tfr_dtype *out);

/* Dense row-major view. */
struct tfr_tensor tfr_tensor_make(void *data, enum tfr_dtype dtype, int rank, const int64_t *dim);
int64_t tfr_tensor_count(const struct tfr_tensor *tensor);
size_t tfr_tensor_bytes(const struct tfr_tensor *tensor);
bool tfr_tensor_is_dense(const struct tfr_tensor *tensor);
/* "[768, 2304]" into `text`. */
const char *tfr_shape_text(int rank, const int64_t *dim, char *text, size_t size);

/* n elements of `from` (F32, BF16, F16, F64, possibly unaligned) to floats. */
void tfr_to_f32(float *to, const void *from, enum tfr_dtype dtype, int64_t n);
/* n floats to F32, BF16 or F16. */
void tfr_from_f32(void *to, const float *from, enum tfr_dtype dtype, int64_t n);

#endif
