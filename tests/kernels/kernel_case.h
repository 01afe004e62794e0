/* kernel_case.h - one line of a case file, and the problem with its input data that it stands for.
 *
 * Line: NAME OP key=value ...  ('#' starts a comment). Keys, all optional:
 *   rows=N   max=N (rows_max, default rows + 3)   k=N n=N (linear: inputs, outputs; else n is the width)
 *   heads=N dim=N seqs=PAST+N,PAST+N,... causal=0|1   act=NAME   dtype=f32|bf16|int8|int4|int4_64|int4_zero|int4_zero64|int8w
 *   (packed)
 *   kv=f32|i8|bf16|f16 (cache)   products=f32|bf16 (of attention)   cross=N (keys of the encoder)   query_only=0|1   mask=HEADS
 * head_mask=0|1 weights=0|1 stored=f32|bf16|f16|f64 bias=0|1 residual=0|1 transposed=0|1   spread=X (inputs lie in [-X, X]) scale=X
 * offset=X (is added)   from=N (rows of a table)   blocks=N start=0|1 (sum_blocks)
 *
 * TFRUN_CASE_ROWS=N in the environment is for emulators: a case has N rows at most, each of its sequences too (its last ones).
 */
#ifndef TFR_TEST_KERNEL_CASE_H
#define TFR_TEST_KERNEL_CASE_H

#include <stdio.h>

#include <tfrun/plugin.h>

enum { CASE_MAX_SEQS = 16 };

struct kernel_case {
    char name[64];
    int32_t op, act, dtype, x_dtype, stored;
    int64_t rows, max, k, n, heads, dim, from;
    int32_t bias, residual, transposed, causal, n_seqs;
    int32_t kv, query_only, mask, head_mask, weights;
    int32_t start;
    int64_t cross, blocks;
    int64_t past[CASE_MAX_SEQS], n_rows[CASE_MAX_SEQS];
    double spread, offset, scale; /* scale: of scores; 0 is 1 / sqrt(dim) */
};

/* A problem with its arguments. Outputs and the packed weight belong to a run, not to this. */
struct kernel_data {
    struct tfr_problem problem;
    int n_in;               /* arguments that are inputs */
    void *in[TFR_MAX_ARGS]; /* the raw weight of linear stands in `weight` instead */
    struct tfr_tensor weight;
    int64_t rows;
    int64_t out_bytes_max; /* of the output at rows_max; kv_append: the caches, one after the other */
    int64_t out_bytes;     /* at `rows` */
    struct tfr_batch batch;
    struct tfr_batch_seq seq[CASE_MAX_SEQS];
    struct tfr_kv kv[CASE_MAX_SEQS];
    void *kv_memory[CASE_MAX_SEQS]; /* one block holds all of a cache */
    size_t kv_bytes[CASE_MAX_SEQS];
    float *mask[CASE_MAX_SEQS], *head_mask;
    int64_t weights_floats; /* stand before the rows in an output */
};

/* Exits with a message on a line that is not a case. False: no case on this line. */
bool case_parse(const char *line, struct kernel_case *out);
void data_build(const struct kernel_case *kase, struct kernel_data *data);
void data_free(struct kernel_data *data);
/* Largest |kernel - ref| allowed for a result `want`. */
double case_tolerance(const struct kernel_case *kase, double want);
/* n values of a dtype in [offset - spread, offset + spread]; free them. */
void *random_floats(uint64_t *state, int dtype, int64_t n, double spread, double offset);
/* Zeroed, 64-byte aligned; exits without memory. */
void *must_alloc(size_t bytes);
const char *op_name(int op);

#endif
