/* kernel_case.h - a file of cases for kernels: each line is one problem that a kernel is asked, without a model.
 *
 *     NAME OP key=value ...       '#' begins a comment; docs/bench.md has the keys
 *
 * Names are letters, digits and _ . -, and stand once in a file. Thread rule: no state; read-only once it is read.
 */
#ifndef TFR_STUDY_KERNEL_CASE_H
#define TFR_STUDY_KERNEL_CASE_H

#include <tfrun/plugin.h>

#include "graph/op.h"

enum { TFR_CASE_SEQS = 16, TFR_CASE_NAME = 64, TFR_CASE_LINE = 512, TFR_CASES_MOST = 4096 };
/* Heads, and columns of a head; positions that a cache has behind its last key, rounded down to whole panels. */
enum { TFR_CASE_HEADS = 1 << 12, TFR_CASE_SPARE_KEYS = 40 };

struct tfr_kernel_case {
    char name[TFR_CASE_NAME];
    char text[TFR_CASE_LINE]; /* what stands behind the name, one blank between words */
    int line;                 /* of the file, from 1 */
    int32_t op, act;
    int32_t dtype, x_dtype; /* of a linear's packed weight and its inputs (attention: of its products) */
    int32_t stored, kv;     /* of weights and tables as a file has them; of the cache */
    int64_t rows, max, k, n, heads, dim, from;
    bool has_max; /* else max is rows and some more */
    int32_t bias, residual, transposed, causal, n_seqs;
    int32_t query_only, mask, head_mask, weights, start;
    int64_t cross, blocks;
    int64_t past[TFR_CASE_SEQS], n_rows[TFR_CASE_SEQS];
    double spread, offset, scale; /* inputs lie in offset +- spread; scale: of scores */
};

struct tfr_kernel_cases {
    struct tfr_kernel_case *items; /* in the order of the file */
    size_t n;
};

/* TFR_CONFIG with file, line and key for a line that is none, a name that is there twice, and a file without cases. */
enum tfr_status tfr_kernel_cases_read(struct tfr_kernel_cases *cases, const char *path);
/* The same of a text; `path` is for messages. */
enum tfr_status tfr_kernel_cases_parse(struct tfr_kernel_cases *cases, const char *path, const char *text, size_t size);
void tfr_kernel_cases_free(struct tfr_kernel_cases *cases);

/* kernel_case_keys.c: sets one key; bits of `given` are the keys that were set. TFR_CONFIG without a place. */
enum tfr_status tfr_kernel_case_set(struct tfr_kernel_case *to, const char *name, const char *value, uint64_t *given);
/* Whether the key was set. */
bool tfr_kernel_case_has(uint64_t given, const char *name);

/* Bytes of inputs, weight as stored, caches and output together; at least what tfr_kernel_data_open takes. */
double tfr_kernel_case_bytes(const struct tfr_kernel_case *of);
/* Columns of the first input. */
int64_t tfr_kernel_case_width(const struct tfr_kernel_case *of);
/* Keys that the rows of sequence b are held against. */
int64_t tfr_kernel_case_keys(const struct tfr_kernel_case *of, int b);
/* Of what the case multiplies: F32, BF16 or I8, whatever a kernel makes of it. */
enum tfr_dtype tfr_kernel_case_factors(const struct tfr_kernel_case *of);
/* What the least cost of the problem depends on besides it (tfr_op_cost). */
struct tfr_op_facts tfr_kernel_case_facts(const struct tfr_kernel_case *of);

#endif
