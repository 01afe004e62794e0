/* plugin_run.h - one linear, run through the plugin ABI by an OpenMP team, without the rest of the runtime.
 * For programs under tests/bench and for trying a kernel by hand. */
#ifndef TFR_BENCH_PLUGIN_RUN_H
#define TFR_BENCH_PLUGIN_RUN_H

#include <tfrun/plugin.h>

struct bench_linear {
    const struct tfr_kernel *kernel;
    struct tfr_problem problem;
    struct tfr_needs needs;
    void *packed, *state, *scratch, *thread_scratch;
};

/* As many numbers in -1/32 .. 1/32, always the same, in huge pages. */
float *bench_random_floats(int64_t count);

/* Loads a plugin; aborts with a text when it cannot. */
const struct tfr_plugin *bench_plugin_load(const char *path);
/* NULL if the plugin has no kernel of that name, or the CPU lacks what it needs. */
const struct tfr_kernel *bench_kernel_find(const struct tfr_plugin *plugin, const char *name);

/* y[rows,n] = x[rows,k] w[k,n] + bias; no activation. */
struct tfr_problem bench_linear_problem(int dtype, int64_t rows, int64_t k, int64_t n, int n_threads);

/* Asks the kernel and packs `weight` (f32 [k,n]) with the team; with `packed` given, takes that instead.
 * False with a text on stderr when the kernel refuses. */
bool bench_linear_open(struct bench_linear *linear, const struct tfr_kernel *kernel, const struct tfr_problem *problem,
                       const float *weight, void *packed);

/* One call by the calling thread of a team (TEAM kernels), inside a parallel region. */
void bench_linear_run_part(const struct bench_linear *linear, int64_t rows, const float *x, const float *bias,
                           const float *residual, float *y, int tid, int nth);

/* The whole team, with a region of its own (TEAM) or the kernel's (SELF). */
void bench_linear_run(const struct bench_linear *linear, int64_t rows, const float *x, const float *bias, const float *residual,
                      float *y);

void bench_linear_close(struct bench_linear *linear);

#endif
