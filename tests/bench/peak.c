/* peak.c - loops of multiply-adds over 12 vectors that stay in registers: enough chains to hide the latency of every CPU so far.
 */
#include "peak.h"

#include <omp.h>
#include <stdint.h>

#include <tfrun/types.h>

#include "bandwidth.h"

#define CHAINS 12
#define TURNS  60000

#if defined(__x86_64__)
#include <immintrin.h>

/* The empty asm keeps each vector in a register and the compiler from folding the chain. */
#define PEAK_LOOP(type, zero, step)                                                                                                \
    type sum[CHAINS];                                                                                                              \
    _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {                                                                    \
        sum[i] = zero;                                                                                                             \
    }                                                                                                                              \
    for (int turn = 0; turn < TURNS; turn++) {                                                                                     \
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {                                                                \
            sum[i] = step;                                                                                                         \
            __asm__ volatile("" : "+v"(sum[i]));                                                                                   \
        }                                                                                                                          \
    }

__attribute__((target("avx512f"))) static double turn_avx512(void) {
    const __m512 x = _mm512_setzero_ps();
    PEAK_LOOP(__m512, _mm512_setzero_ps(), _mm512_fmadd_ps(x, x, sum[i]))
    return 2.0 * 16 * CHAINS * TURNS;
}

__attribute__((target("avx512f,avx512bf16"))) static double turn_bf16(void) {
    const __m512bh x = (__m512bh)_mm512_setzero_si512();
    PEAK_LOOP(__m512, _mm512_setzero_ps(), _mm512_dpbf16_ps(sum[i], x, x))
    return 2.0 * 32 * CHAINS * TURNS;
}

__attribute__((target("avx512f,avx512vnni"))) static double turn_i8(void) {
    const __m512i x = _mm512_setzero_si512();
    PEAK_LOOP(__m512i, _mm512_setzero_si512(), _mm512_dpbusd_epi32(sum[i], x, x))
    return 2.0 * 64 * CHAINS * TURNS;
}

__attribute__((target("avx2,fma"))) static double turn_avx2(void) {
    const __m256 x = _mm256_setzero_ps();
    PEAK_LOOP(__m256, _mm256_setzero_ps(), _mm256_fmadd_ps(x, x, sum[i]))
    return 2.0 * 8 * CHAINS * TURNS;
}
#endif

static double turn_plain(void) {
    float sum[CHAINS] = {0};
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = sum[i] * 0.5f + 1.0f;
            __asm__ volatile("" : "+m"(sum[i]));
        }
    }
    return 2.0 * CHAINS * TURNS;
}

typedef double turn_fn(void);

static turn_fn *choose(int unit) {
#if defined(__x86_64__)
    if (unit == TFR_DTYPE_I8 && __builtin_cpu_supports("avx512vnni")) {
        return turn_i8;
    }
    if (unit == TFR_DTYPE_BF16 && __builtin_cpu_supports("avx512bf16")) {
        return turn_bf16;
    }
    if (__builtin_cpu_supports("avx512f")) {
        return turn_avx512;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return turn_avx2;
    }
#endif
    (void)unit;
    return turn_plain;
}

double bench_peak_flops(int unit, int n_threads) {
    turn_fn *const turn = choose(unit);
    const double begin = bench_now();
    double flops = 0;
#pragma omp parallel num_threads(n_threads) reduction(+ : flops)
    flops += turn();
    return flops / (bench_now() - begin);
}
