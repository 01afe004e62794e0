/* probe_direct.h - oneDNN's matmul called without the plugin, weights in the layout it likes best: the
 * yardstick of prefill. */
#ifndef TFR_BENCH_PROBE_DIRECT_H
#define TFR_BENCH_PROBE_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

struct probe_direct;

/* False in a build without oneDNN; then open gives NULL and seconds 0. */
bool probe_direct_is_built(void);
/* y[rows,n] = x[rows,k] w[k,n]; f32 in and out, or bf16 factors. NULL on failure. */
struct probe_direct *probe_direct_open(int dtype, int64_t rows, int64_t k, int64_t n, int n_threads, const float *x, const float *w,
                                       float *y);
double probe_direct_seconds(const struct probe_direct *direct);
void probe_direct_close(struct probe_direct *direct);

#endif
