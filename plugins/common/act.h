/* act.h - the activations of enum tfr_activation on vectors.
 *
 * Same bits on every build with V_HAS_FMA, one vector or many: every kernel that fuses an activation uses
 * these. Errors against float64 stay below 1e-6 of max(|y|, 1) (measured by tests/unit/test_act.c). NaN in
 * gives NaN out; at -inf the functions x * sigmoid(..) give NaN, as their formulas do. Coefficients: minimax
 * fits of our own, range in the comment.
 */
#ifndef TFR_PLUGINS_ACT_H
#define TFR_PLUGINS_ACT_H

#include <tfrun/plugin.h>

#include "common/simd.h"

/* e^x, within 2 ulp; 0 below -104, inf above 88.73, subnormals kept. */
V_INLINE vf v_exp(vf x) {
    const vf magic = v_set1(V_ROUND);
    const vf in = v_min(v_set1(89.0f), v_max(v_set1(-104.0f), x)); /* argument order lets NaN through */
    const vf shifted = v_fma(in, v_set1(1.44269504f), magic);
    const vf n = v_sub(shifted, magic);
    /* ln 2 in two parts; the first has 9 bits, so n * part is exact also without FMA. */
    vf r = v_nfma(n, v_set1(0.693359375f), in);
    r = v_nfma(n, v_set1(-2.12194440e-4f), r);
    /* (e^r - 1 - r) / r^2 on |r| <= 0.35 */
    vf p = v_fma(v_set1(1.381314476e-3f), r, v_set1(8.369418792e-3f));
    p = v_fma(p, r, v_set1(4.166845605e-2f));
    p = v_fma(p, r, v_set1(1.666651517e-1f));
    p = v_fma(p, r, v_set1(4.999999404e-1f));
    p = v_add(v_fma(p, v_mul(r, r), r), v_set1(1.0f));
    return v_scale2(p, n, shifted);
}

/* log(1 + e) for 0 <= e <= 1, as 2 atanh(e / (2 + e)). */
V_INLINE vf v_log1p_unit(vf e) {
    const vf s = v_div(e, v_add(v_set1(2.0f), e)), u = v_mul(s, s);
    vf p = v_fma(v_set1(2.803127468e-1f), u, v_set1(2.799786329e-1f)); /* u <= 1/9 */
    p = v_fma(p, u, v_set1(4.002177119e-1f));
    p = v_fma(p, u, v_set1(6.666641235e-1f));
    return v_fma(v_mul(p, u), s, v_add(s, s));
}

V_INLINE vf v_tanh(vf x) {
    const vf a = v_abs(x), one = v_set1(1.0f), two = v_set1(2.0f), u = v_mul(x, x);
    const vf far = v_copysign(v_sub(one, v_div(two, v_add(one, v_exp(v_add(a, a))))), x);
    vf p = v_fma(v_set1(-5.717044696e-3f), u, v_set1(2.065058611e-2f)); /* (tanh x - x) / x^3, |x| <= 0.625 */
    p = v_fma(p, u, v_set1(-5.374349654e-2f));
    p = v_fma(p, u, v_set1(1.333149076e-1f));
    p = v_fma(p, u, v_set1(-3.333328366e-1f));
    const vf near = v_fma(v_mul(p, u), x, x);
    return v_blend(v_lt(a, v_set1(0.625f)), near, far);
}

/* 1 + erf(z), without cancellation for negative z: erfc(a) = e^(-a a) t P(t), t = 1 / (1 + 0.4 a), 0 <= a
 * <= 11. */
V_INLINE vf v_one_plus_erf(vf z) {
    const vf a = v_abs(z), one = v_set1(1.0f);
    const vf t = v_div(one, v_fma(v_set1(0.4f), a, one));
    vf p = v_fma(v_set1(-2.772375755e-2f), t, v_set1(1.879010946e-1f));
    p = v_fma(p, t, v_set1(-4.751588404e-1f));
    p = v_fma(p, t, v_set1(5.160848498e-1f));
    p = v_fma(p, t, v_set1(-2.584754229e-1f));
    p = v_fma(p, t, v_set1(2.582814693e-1f));
    p = v_fma(p, t, v_set1(1.344003677e-1f));
    p = v_fma(p, t, v_set1(2.139183879e-1f));
    p = v_fma(p, t, v_set1(2.250709683e-1f));
    p = v_fma(p, t, v_set1(2.257008702e-1f));
    const vf erfc = v_mul(v_mul(p, t), v_exp(v_sub(v_zero(), v_mul(a, a))));
    return v_blend(v_lt(z, v_zero()), erfc, v_sub(v_set1(2.0f), erfc));
}

V_INLINE vf v_sigmoid(vf x) {
    const vf one = v_set1(1.0f);
    return v_div(one, v_add(one, v_exp(v_sub(v_zero(), x))));
}

/* x sigmoid(v) in one division; x / inf is the right limit for large negative v. */
V_INLINE vf v_times_sigmoid(vf x, vf v) {
    return v_div(x, v_add(v_set1(1.0f), v_exp(v_sub(v_zero(), v))));
}

/* 0.5 x (1 + tanh(u)) is x sigmoid(2 u): u = sqrt(2/pi) (x + 0.044715 x^3). */
V_INLINE vf v_gelu_tanh(vf x) {
    const vf cube = v_mul(v_mul(x, x), x);
    const vf u2 = v_mul(v_fma(v_set1(0.044715f), cube, x), v_set1(1.595769122f)); /* 2 sqrt(2/pi) */
    return v_times_sigmoid(x, u2);
}

V_INLINE vf v_gelu_erf(vf x) {
    return v_mul(v_mul(x, v_set1(0.5f)), v_one_plus_erf(v_mul(x, v_set1(0.7071067812f))));
}

/* tanh(log(1 + e^x)) = (w - 1) / (w + 1), w = (1 + e^x)^2, scaled by e^-2x for x >= 0. */
V_INLINE vf v_mish(vf x) {
    const vf e = v_exp(v_sub(v_zero(), v_abs(x))), two = v_set1(2.0f), one = v_set1(1.0f);
    const vf below = v_mul(e, v_add(e, two)), above = v_fma(two, e, one);
    const vm is_negative = v_lt(x, v_zero());
    const vf top = v_blend(is_negative, below, above);
    const vf rest = v_blend(is_negative, two, v_mul(two, v_mul(e, e)));
    return v_mul(x, v_div(top, v_add(top, rest)));
}

V_INLINE vf v_sqrtsoftplus(vf x) {
    const vf log1p = v_log1p_unit(v_exp(v_sub(v_zero(), v_abs(x))));
    return v_sqrt(v_add(v_max(v_zero(), x), log1p));
}

V_INLINE vf v_laplace(vf x) {
    const vf z = v_mul(v_sub(x, v_set1(0.707107f)), v_set1(2.506626424f)); /* 1 / (0.282095 sqrt 2) */
    return v_mul(v_set1(0.5f), v_one_plus_erf(z));
}

V_INLINE vf v_clip(vf x, float low, float high) {
    return v_min(v_set1(high), v_max(v_set1(low), x)); /* argument order lets NaN through */
}

/* y = activation(x) per lane, for every value of enum tfr_activation; NONE and LINEAR give x. */
V_INLINE vf act_apply_vec(vf x, int activation) {
    switch (activation) {
    case TFR_ACT_GELU_TANH:
        return v_gelu_tanh(x);
    case TFR_ACT_GELU_ERF:
        return v_gelu_erf(x);
    case TFR_ACT_GELU_CLIP10:
        return v_clip(v_gelu_erf(x), -10.0f, 10.0f);
    case TFR_ACT_QUICK_GELU:
        return v_times_sigmoid(x, v_mul(x, v_set1(1.702f)));
    case TFR_ACT_RELU:
        return v_max(v_zero(), x);
    case TFR_ACT_RELU2:
        return v_mul(v_max(v_zero(), x), v_max(v_zero(), x));
    case TFR_ACT_RELU6:
        return v_clip(x, 0.0f, 6.0f);
    case TFR_ACT_LEAKY_RELU:
        return v_blend(v_lt(x, v_zero()), v_mul(x, v_set1(0.01f)), x);
    case TFR_ACT_SILU:
        return v_times_sigmoid(x, x);
    case TFR_ACT_TANH:
        return v_tanh(x);
    case TFR_ACT_SIGMOID:
        return v_sigmoid(x);
    case TFR_ACT_MISH:
        return v_mish(x);
    case TFR_ACT_LAPLACE:
        return v_laplace(x);
    case TFR_ACT_HARDSWISH:
        return v_mul(x, v_div(v_clip(v_add(x, v_set1(3.0f)), 0.0f, 6.0f), v_set1(6.0f))); /* no overflow */
    case TFR_ACT_SQRTSOFTPLUS:
        return v_sqrtsoftplus(x);
    default:
        return x;
    }
}

#endif
