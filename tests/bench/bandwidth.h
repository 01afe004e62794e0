/* bandwidth.h - memory for measuring, and the read bandwidth of given buffers. For programs under tests/bench
 * only. */
#ifndef TFR_BENCH_BANDWIDTH_H
#define TFR_BENCH_BANDWIDTH_H

#include <stddef.h>
#include <stdint.h>

struct bench_buffer {
    const void *data;
    size_t bytes;
};

/* Zeroed memory in huge pages where the system gives them; aborts when there is none. Never freed: the
 * process is short. */
void *bench_huge_alloc(size_t bytes);

/* Bytes of the process's anonymous memory that lie in huge pages, from /proc/self/smaps_rollup; 0 if unknown.
 */
size_t bench_huge_bytes(void);

/* Reads every byte of the buffers once with n_threads OpenMP threads (64-byte loads, prefetch 4 KiB ahead);
 * each buffer is split in one contiguous part per thread, as gemv does. Returns seconds. */
double bench_read_seconds(const struct bench_buffer *buffer, int n_buffers, int n_threads);

double bench_now(void); /* seconds, monotonic */

/* From now on bench_now counts the CPU time of the calling thread: for programs of one thread on a machine that others use too. */
void bench_use_cpu_clock(void);

/* Sorts `value` and gives median and the quartiles' distance as a share of the median. */
struct bench_summary {
    double best, median, spread;
};
struct bench_summary bench_summarise(double *value, int n);

#endif
