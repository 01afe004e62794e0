/* act_array.h - the functions of act_array.c, one set per ISA. */
#ifndef TFR_TEST_ACT_ARRAY_H
#define TFR_TEST_ACT_ARRAY_H

#include "common/act.h"

#define ACT_ARRAY_DECLARE(isa)                                                                                                     \
    void tfr_act_array_##isa(const float *x, float *y, int n, int activation);                                                     \
    void tfr_exp_array_##isa(const float *x, float *y, int n);                                                                     \
    float tfr_sum16_##isa(const float *x);
ACT_ARRAY_DECLARE(plain)
ACT_ARRAY_DECLARE(avx2)
ACT_ARRAY_DECLARE(avx512)
ACT_ARRAY_DECLARE(neon)

#endif
