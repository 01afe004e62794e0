/* peak.h - what the multipliers of this machine reach with nothing but registers: the FLOP roof of programs under tests/bench. */
#ifndef TFR_BENCH_PEAK_H
#define TFR_BENCH_PEAK_H

#include <stdbool.h>

/* Multiply-adds a second (two FLOPs each) of n_threads OpenMP threads together: of f32 vectors as wide as the CPU has them, or
 * of pairs of bf16 or fours of int8 where it has an instruction for them (else f32 again, which is what kernels take then).
 * unit: enum tfr_dtype, F32, BF16 or I8. */
double bench_peak_flops(int unit, int n_threads);

#endif
