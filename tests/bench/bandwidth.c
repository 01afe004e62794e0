/* bandwidth.c - read bandwidth by plain loads: what a kernel that only streams weights can reach at best. */
#include "bandwidth.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define HUGE_BYTES  ((size_t)2 << 20)
#define AHEAD_BYTES 4096

typedef uint64_t line __attribute__((vector_size(64)));

void *bench_huge_alloc(size_t bytes) {
    const size_t whole = (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
    char *base = mmap(NULL, whole + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        fprintf(stderr, "no memory: %zu bytes\n", whole);
        abort();
    }
    char *aligned = base + (HUGE_BYTES - (uintptr_t)base % HUGE_BYTES) % HUGE_BYTES;
    madvise(aligned, whole, MADV_HUGEPAGE);
    return aligned;
}

size_t bench_huge_bytes(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char text[256];
    size_t kib = 0;
    while (file != NULL && fgets(text, sizeof text, file) != NULL) {
        if (sscanf(text, "AnonHugePages: %zu", &kib) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return kib * 1024;
}

#if defined(__x86_64__)
#define WIDEST __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WIDEST
#endif

/* Four accumulators, so that the loads never wait for the xor. */
WIDEST static uint64_t read_all(const char *from, size_t bytes) {
    line sum[4] = {{0}};
    for (size_t at = 0; at + 256 <= bytes; at += 256) {
        for (size_t i = 0; i < 4; i++) {
            __builtin_prefetch(from + at + i * 64 + AHEAD_BYTES);
            sum[i] ^= *(const line *)(const void *)(from + at + i * 64);
        }
    }
    const line all = sum[0] ^ sum[1] ^ sum[2] ^ sum[3];
    return all[0] ^ all[1] ^ all[2] ^ all[3] ^ all[4] ^ all[5] ^ all[6] ^ all[7];
}

double bench_read_seconds(const struct bench_buffer *buffer, int n_buffers, int n_threads) {
    static uint64_t sink; /* keeps the loads alive */
    const double begin = bench_now();
#pragma omp parallel num_threads(n_threads)
    {
        const size_t tid = (size_t)omp_get_thread_num(), nth = (size_t)omp_get_num_threads();
        uint64_t sum = 0;
        for (int i = 0; i < n_buffers; i++) {
            const size_t lines = buffer[i].bytes / 256, first = lines * tid / nth, end = lines * (tid + 1) / nth;
            sum ^= read_all((const char *)buffer[i].data + first * 256, (end - first) * 256);
        }
        __atomic_fetch_xor(&sink, sum, __ATOMIC_RELAXED);
    }
    return bench_now() - begin;
}

static clockid_t clock_used = CLOCK_MONOTONIC;

void bench_use_cpu_clock(void) {
    clock_used = CLOCK_THREAD_CPUTIME_ID;
}

double bench_now(void) {
    struct timespec now;
    clock_gettime(clock_used, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_summary bench_summarise(double *value, int n) {
    qsort(value, (size_t)n, sizeof *value, compare);
    const double median = value[n / 2];
    return (struct bench_summary){.best = value[0], .median = median, .spread = (value[3 * n / 4] - value[n / 4]) / median};
}
