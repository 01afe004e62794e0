/* kernel_run.h - finding kernels in plugins, and running one on a kernel_data as the host would. */
#ifndef TFR_TEST_KERNEL_RUN_H
#define TFR_TEST_KERNEL_RUN_H

#include <stdio.h>

#include "study/kernel_data.h"

enum { MAX_KERNELS = 256 };

struct kernel_list {
    int n;
    const struct tfr_kernel *kernel[MAX_KERNELS];
};

/* All plugins of a folder (NULL: none) and the linked ones, into `list`. Exits on a plugin that does not
 * load. */
void kernels_load(const char *folder, struct kernel_list *list);

/* One kernel made ready for a problem: packed weight, state, scratch, each followed by a sentinel. */
struct kernel_setup {
    const struct tfr_kernel *kernel;
    const struct tfr_kernel_data *data;
    struct tfr_problem problem;
    struct tfr_needs needs;
    void *packed, *state, *scratch, *thread_scratch[8];
};

/* False with the reason in `reason` when the kernel does not serve the problem. */
bool setup_open(const struct tfr_kernel *kernel, const struct tfr_kernel_data *data, int n_threads, struct tfr_order order,
                struct kernel_setup *setup, char *reason, size_t reason_size);
/* Runs on `in` (inputs of the data, or others of the same shape) and writes `out`. */
void setup_run(struct kernel_setup *setup, void *const *in, int64_t rows, const struct tfr_batch *batch, void *out);
/* Name of a buffer whose sentinel was overwritten; NULL if none. */
const char *setup_overrun(const struct kernel_setup *setup);
void setup_close(struct kernel_setup *setup);

/* Zeroed, 64-byte aligned; exits without memory. */
void *must_alloc(size_t bytes);
/* n values as tfr_kernel_fill gives them; free them. */
void *random_floats(uint64_t *state, enum tfr_dtype dtype, int64_t n, double spread, double offset);
/* Buffer of `bytes` filled with 0xff (NaN) and followed by a sentinel; check with guard_holds. */
void *guarded_alloc(size_t bytes);
bool guard_holds(const void *buffer, size_t bytes);

#endif
