/* kernel_data.h - the problem that a case stands for, with inputs, weight and caches. Data are pseudo-random from the case's name:
 * the same on every machine. Thread rule: opened on one thread; kernels then only read it, but for caches that are appended to.
 */
#ifndef TFR_STUDY_KERNEL_DATA_H
#define TFR_STUDY_KERNEL_DATA_H

#include "study/kernel_case.h"

enum { TFR_DATA_OWNED = TFR_MAX_ARGS + 3 * TFR_CASE_SEQS };

/* Output and packed weight belong to a run, not to this. Everything here is aligned to 64 bytes. */
struct tfr_kernel_data {
    struct tfr_problem problem;
    int n_in;               /* arguments that are inputs */
    void *in[TFR_MAX_ARGS]; /* the raw weight of linear stands in `weight` instead */
    struct tfr_tensor weight;
    int64_t rows;
    int64_t out_bytes_max; /* of the output at rows_max; kv_append: the caches, one after the other */
    int64_t out_bytes;     /* at `rows` */
    struct tfr_batch batch;
    struct tfr_batch_seq seq[TFR_CASE_SEQS];
    struct tfr_kv kv[TFR_CASE_SEQS];
    void *kv_memory[TFR_CASE_SEQS]; /* one block holds all of a cache */
    size_t kv_bytes[TFR_CASE_SEQS];
    float *mask[TFR_CASE_SEQS], *head_mask;
    int64_t weights_floats; /* stand before the rows in an output */
    void *owned[TFR_DATA_OWNED];
    int n_owned;
};

/* TFR_RESOURCE without memory; nothing is left then. */
enum tfr_status tfr_kernel_data_open(struct tfr_kernel_data *data, const struct tfr_kernel_case *of);
void tfr_kernel_data_close(struct tfr_kernel_data *data);

/* n values of F32, BF16, F16 or F64 in [offset - spread, offset + spread]. */
void tfr_kernel_fill(uint64_t *state, enum tfr_dtype dtype, void *to, int64_t n, double spread, double offset);
/* Zeroed, and freed with the data; NULL after raising. */
void *tfr_kernel_data_take(struct tfr_kernel_data *data, size_t bytes);
/* The same with n values in it. */
void *tfr_kernel_data_random(struct tfr_kernel_data *data, uint64_t *state, enum tfr_dtype dtype, int64_t n, double spread,
                             double offset);

/* kernel_cache.c: caches, sequences and extras of `data`, and the attributes that go with them. */
enum tfr_status tfr_kernel_caches_open(struct tfr_kernel_data *data, const struct tfr_kernel_case *of, uint64_t *state);
/* n sequences as a batch. */
struct tfr_batch tfr_kernel_batch(const struct tfr_batch_seq *seq, int64_t n);
/* The cache of sequence b as it lies in `memory` of data->kv_bytes[b]; a cache of that capacity in f32, of two halves. */
struct tfr_kv tfr_kernel_cache_at(const struct tfr_kernel_data *data, int b, void *memory);
struct tfr_kv tfr_kernel_cache_f32(const struct tfr_kernel_data *data, int b, void *memory);
/* Elements of the keys, and of the values, of sequence b. */
int64_t tfr_kernel_cache_elements(const struct tfr_kernel_data *data, int b);
/* All keys from n_keys on become NaN: a kernel that reads one is found out. */
void tfr_kernel_cache_hide(const struct tfr_kernel_data *data, const struct tfr_kv *kv, int64_t n_keys);

#endif
