/* kernel_check.h - what the parts of kernel_check share. */
#ifndef TFR_TEST_KERNEL_CHECK_H
#define TFR_TEST_KERNEL_CHECK_H

#include "kernel_run.h"

struct context {
    struct kernel_list list;
    const struct tfr_kernel_case *kase;
    const struct tfr_kernel_data *data;
    int n_failures;
};

/* Prints a failure and counts it. */
void report(struct context *context, const struct kernel_setup *setup, const char *what);
/* Static filter of the host: op and dtype (of the weight where there is one, else of the activation), and
 * KERNEL if given. */
bool is_candidate(const struct tfr_kernel *kernel, const struct tfr_kernel_data *data, const char *filter);
bool is_ref(const struct tfr_kernel *kernel);
/* Output of one run in a fresh guarded buffer. kv_append writes into copies of the caches that lie in that
 * buffer. */
float *run_fresh(struct kernel_setup *setup, void *const *in, int64_t rows, const struct tfr_batch *batch);

/* kernel_laws.c: rows in a run of their own have the bits they have among many (`whole`); equal orders give
 * equal bits. */
void check_same_rows(struct context *context, struct kernel_setup *setup, const float *whole);
/* A kernel that reads or writes caches refuses types that it does not know, with a reason. */
void check_refuses_other_caches(struct context *context, const struct kernel_setup *setup);
/* A cache of 16 or 8 bits gives the bits that an f32 cache of the same keys and values gives. */
void check_dequantised(struct context *context, struct kernel_setup *setup, const float *want);
void check_orders(struct context *context, const char *filter);

/* kernel_coarse.c: TFR_ORDER_INT is what its definition says; whole numbers that a checkpoint has are packed to the bytes that
 * floats are packed to. */
void check_int_definition(struct context *context, const struct kernel_setup *setup, const float *out);
/* TFR_ORDER_FMA over the whole numbers, the scale at the end, for one element. */
float int8w_element(const struct tfr_kernel_data *data, int64_t k_block, int64_t m, int64_t n);
void check_pack_coarse(struct context *context, const struct kernel_setup *setup);

/* kernel_support.c */
void mode_support(struct context *context, const char *filter);

/* kernel_tolerance.c: the largest |kernel - ref| allowed for a result `want`. */
double case_tolerance(const struct tfr_kernel_case *kase, double want);

/* kernel_room.c: runs in buffers that end at a page nobody may touch, and compares with the bits of `want`. */
void check_room(struct context *context, struct kernel_setup *setup, const float *want);

#endif
