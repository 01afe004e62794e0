/* test_act.c - the vector activations of plugins/common/act.h against libm in double, on every ISA this CPU
 * has. */
#include "tfr_test.h"

#include <math.h>

#include "act_array.h"
#include "common/dtype.h"
#include "common/isa.h"

enum { GRID = 200003, ODD = 200003 - 5 };

struct variant {
    const char *name;
    uint32_t isa;
    void (*act)(const float *x, float *y, int n, int activation);
    void (*exp)(const float *x, float *y, int n);
    float (*sum16)(const float *x);
};
static const struct variant variants[] = {
    {"plain", 0, tfr_act_array_plain, tfr_exp_array_plain, tfr_sum16_plain},
#ifdef TFR_HAVE_AVX2
    {"avx2", TFR_ISA_AVX2, tfr_act_array_avx2, tfr_exp_array_avx2, tfr_sum16_avx2},
#endif
#ifdef TFR_HAVE_AVX512
    {"avx512", TFR_ISA_AVX512, tfr_act_array_avx512, tfr_exp_array_avx512, tfr_sum16_avx512},
#endif
#ifdef TFR_HAVE_NEON
    {"neon", TFR_ISA_NEON, tfr_act_array_neon, tfr_exp_array_neon, tfr_sum16_neon},
#endif
};
enum { N_VARIANTS = sizeof variants / sizeof variants[0] };

/* Probes once: CPUID is slow in a virtual machine. */
static bool is_usable(const struct variant *variant) {
    static uint32_t isa;
    static bool is_known;
    if (!is_known) {
        isa = tfr_isa_probe();
        is_known = true;
    }
    return (variant->isa & isa) == variant->isa;
}

/* log(1 + e^x) as PyTorch defines it, without overflow. */
static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double clip(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

static double exact(double x, int activation) {
    switch (activation) {
    case TFR_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case TFR_ACT_GELU_ERF:
        return 0.5 * x * erfc(-x / sqrt(2));
    case TFR_ACT_GELU_CLIP10:
        return clip(0.5 * x * erfc(-x / sqrt(2)), -10, 10);
    case TFR_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case TFR_ACT_RELU:
        return fmax(x, 0);
    case TFR_ACT_RELU2:
        return fmax(x, 0) * fmax(x, 0);
    case TFR_ACT_RELU6:
        return clip(x, 0, 6);
    case TFR_ACT_LEAKY_RELU:
        return x < 0 ? 0.01 * x : x;
    case TFR_ACT_SILU:
        return x / (1 + exp(-x));
    case TFR_ACT_TANH:
        return tanh(x);
    case TFR_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case TFR_ACT_MISH:
        return x * tanh(softplus(x));
    case TFR_ACT_LAPLACE:
        return 0.5 * erfc(-(x - 0.707107) / (0.282095 * sqrt(2)));
    case TFR_ACT_HARDSWISH:
        return x * clip(x + 3, 0, 6) / 6;
    case TFR_ACT_SQRTSOFTPLUS:
        return sqrt(softplus(x));
    default:
        return x;
    }
}

/* Dense in [-20, 20], then growing by a constant factor up to 1e18 on both sides, and down to 1e-30 around
 * zero. */
static void fill_grid(float *x) {
    for (int i = 0; i < GRID; i++) {
        const double unit = (double)i / (GRID - 1);
        switch (i % 4) {
        case 0:
        case 1:
            x[i] = (float)(40 * unit - 20);
            break;
        case 2:
            x[i] = (float)((i & 4 ? -1 : 1) * pow(10, 1 + 17 * unit));
            break;
        default:
            x[i] = (float)((i & 4 ? -1 : 1) * pow(10, -30 * unit));
        }
    }
}

/* Largest |got - want| / max(|want|, 1) of one activation on the grid. */
static double worst_error(const struct variant *variant, int activation, const float *x, float *y, float *at) {
    variant->act(x, y, ODD, activation);
    double worst = 0;
    for (int i = 0; i < ODD; i++) {
        const double want = exact(x[i], activation);
        if (fabs(want) > 3e38) {
            continue;
        }
        const double error = fabs(y[i] - want) / fmax(fabs(want), 1);
        if (!(error <= worst)) {
            worst = error;
            *at = x[i];
        }
    }
    return worst;
}

TFR_TEST(activations_match_double_within_1e_6_on_every_isa) {
    TFR_UNUSED_STATE;
    float *x = malloc(GRID * sizeof *x), *y = malloc(GRID * sizeof *y);
    fill_grid(x);
    for (int v = 0; v < N_VARIANTS; v++) {
        for (int activation = 0; is_usable(&variants[v]) && activation < TFR_ACT_COUNT; activation++) {
            float at = 0;
            const double error = worst_error(&variants[v], activation, x, y, &at);
            if (!(error <= 1e-6)) {
                fail_msg("%s: activation %d is off by %g at x = %g", variants[v].name, activation, error, at);
            }
        }
    }
    free(x);
    free(y);
}

TFR_TEST(activations_have_the_same_bits_on_all_isas_with_fma) {
    TFR_UNUSED_STATE;
    float *x = malloc(GRID * sizeof *x), *y = malloc(GRID * sizeof *y), *z = malloc(GRID * sizeof *z);
    fill_grid(x);
    for (int v = 2; v < N_VARIANTS; v++) {
        for (int activation = 0; is_usable(&variants[v]) && activation < TFR_ACT_COUNT; activation++) {
            variants[v].act(x, y, ODD, activation);
            variants[1].act(x, z, ODD, activation);
            assert_memory_equal(y, z, ODD * sizeof *y);
        }
    }
    free(x);
    free(y);
    free(z);
}

TFR_TEST(exp_is_within_3_ulp_and_keeps_subnormals_zero_and_inf) {
    TFR_UNUSED_STATE;
    for (int v = 0; v < N_VARIANTS; v++) {
        for (double x = -103.9; is_usable(&variants[v]) && x < 88.7; x += 0.00317) {
            const float in = (float)x;
            float out = 0;
            variants[v].exp(&in, &out, 1);
            const double want = exp((double)in), ulp = fmax(want * 1.2e-7, 1.5e-45);
            if (!(fabs(out - want) <= 3 * ulp)) {
                fail_msg("%s: exp(%g) is %g, wanted %g", variants[v].name, in, out, want);
            }
        }
        if (is_usable(&variants[v])) {
            const float in[6] = {-INFINITY, -200, 0, 89, INFINITY, NAN};
            float out[6];
            variants[v].exp(in, out, 6);
            assert_true(out[0] == 0 && out[1] == 0 && out[2] == 1);
            assert_true(isinf(out[3]) && isinf(out[4]) && isnan(out[5]));
        }
    }
}

TFR_TEST(huge_arguments_stay_finite_and_nan_stays_nan) {
    TFR_UNUSED_STATE;
    const float in[4] = {-3e38f, 3e38f, NAN, INFINITY};
    for (int v = 0; v < N_VARIANTS; v++) {
        for (int activation = 0; is_usable(&variants[v]) && activation < TFR_ACT_COUNT; activation++) {
            float out[4];
            variants[v].act(in, out, 4, activation);
            const double low = exact(in[0], activation);
            assert_true(fabs(out[0] - low) <= 1e-6 * fmax(fabs(low), 1));
            assert_true(activation == TFR_ACT_RELU2 ? isinf(out[1]) : out[1] >= 0 && isfinite(out[1]));
            assert_true(isnan(out[2]));
            assert_false(isnan(out[3]));
        }
    }
}

TFR_TEST(sum_of_16_has_the_same_bits_on_every_isa) {
    TFR_UNUSED_STATE;
    float x[16];
    for (int i = 0; i < 16; i++) {
        x[i] = sinf((float)(i * i + 1)) * powf(10, (float)(i % 7) - 3);
    }
    const float h0 = ((x[0] + x[8]) + (x[4] + x[12])) + ((x[2] + x[10]) + (x[6] + x[14]));
    const float h1 = ((x[1] + x[9]) + (x[5] + x[13])) + ((x[3] + x[11]) + (x[7] + x[15]));
    for (int v = 0; v < N_VARIANTS; v++) {
        if (is_usable(&variants[v])) {
            assert_true(variants[v].sum16(x) == h0 + h1);
        }
    }
}

TFR_TEST(bf16_rounds_to_nearest_even_and_keeps_nan) {
    TFR_UNUSED_STATE;
    assert_int_equal(bf16_from_f32(1.0f), 0x3f80);
    assert_int_equal(bf16_from_f32(1.00390625f), 0x3f80); /* half way, even below */
    assert_int_equal(bf16_from_f32(1.01171875f), 0x3f82); /* half way, even above */
    assert_int_equal(bf16_from_f32(3.4e38f), 0x7f80);     /* overflows to inf */
    assert_true(isnan(bf16_to_f32(bf16_from_f32(NAN))));
}

TFR_TEST(f16_converts_exactly) {
    TFR_UNUSED_STATE;
    assert_true(f16_to_f32(0x3c00) == 1.0f && f16_to_f32(0xc000) == -2.0f && f16_to_f32(0x7bff) == 65504.0f);
    assert_true(f16_to_f32(0x0001) == 0x1p-24f && f16_to_f32(0x83ff) == -0x3ffp-24f && isinf(f16_to_f32(0xfc00)));
    assert_true(isnan(f16_to_f32(0x7e00)) && signbit(f16_to_f32(0x8000)));
}

TFR_TEST_MAIN(TFR_CASE(activations_match_double_within_1e_6_on_every_isa),
              TFR_CASE(activations_have_the_same_bits_on_all_isas_with_fma),
              TFR_CASE(exp_is_within_3_ulp_and_keeps_subnormals_zero_and_inf),
              TFR_CASE(huge_arguments_stay_finite_and_nan_stays_nan), TFR_CASE(sum_of_16_has_the_same_bits_on_every_isa),
              TFR_CASE(bf16_rounds_to_nearest_even_and_keeps_nan), TFR_CASE(f16_converts_exactly))
