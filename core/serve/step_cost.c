/* step_cost.c - sums, their inverse and a moving average: see step_cost.h. */
#include "serve/step_cost.h"

enum { USUAL_CHUNK = 128 };

void tfr_curve_add(struct tfr_cost_curve *curve, double at, double s) {
    if (curve->n < TFR_CURVE_POINTS) {
        curve->at[curve->n] = at;
        curve->s[curve->n++] = s;
    }
}

/* The point at or before `at`, but not the last one: the line from there to the next serves what lies beyond too. */
static int segment(const struct tfr_cost_curve *curve, double at) {
    int i = 0;
    while (i + 2 < curve->n && curve->at[i + 1] <= at) {
        i++;
    }
    return i;
}

/* Where `at` lies on the line from point i to the next: 0 .. 1, above 1 beyond the last. */
static double place(const struct tfr_cost_curve *curve, int i, double at) {
    return (at - curve->at[i]) / (curve->at[i + 1] - curve->at[i]);
}

/* Fewer than the first point cost what that does: a step reads all weights for one row too. */
double tfr_curve_s(const struct tfr_cost_curve *curve, double at) {
    if (curve->n == 0 || at <= 0) {
        return 0;
    }
    if (curve->n == 1 || at <= curve->at[0]) {
        return at <= curve->at[0] ? curve->s[0] : curve->s[0] * at / curve->at[0];
    }
    const int i = segment(curve, at);
    const double s = curve->s[i] + place(curve, i, at) * (curve->s[i + 1] - curve->s[i]);
    return s > 0 ? s : 0;
}

bool tfr_step_cost_known(const struct tfr_step_cost *cost) {
    return cost->decode.n > 0 && cost->prefill.n > 0;
}

static double decode_s(const struct tfr_step_cost *cost, const struct tfr_step_shape *shape) {
    const double more_keys = shape->decode_keys - cost->decode_keys * (double)shape->sequences;
    const double s = tfr_curve_s(&cost->decode, (double)shape->sequences) + more_keys * cost->decode_key_s;
    return s > 0 ? s : 0;
}

static double beside_s(const struct tfr_step_cost *cost, const struct tfr_step_shape *shape) {
    return (double)shape->prompt_rows * (shape->prompt_past * cost->prefill_key_s + shape->scored_share * cost->scored_row_s);
}

double tfr_step_cost_s(const struct tfr_step_cost *cost, const struct tfr_step_shape *shape) {
    return decode_s(cost, shape) + tfr_curve_s(&cost->prefill, (double)shape->prompt_rows) + beside_s(cost, shape);
}

int64_t tfr_step_budget(const struct tfr_step_cost *cost, const struct tfr_step_shape *shape, double target_s, int64_t least,
                        int64_t most) {
    struct tfr_step_shape with = *shape;
    int64_t low = least, high = most;
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        with.prompt_rows = middle;
        if (tfr_step_cost_s(cost, &with) <= target_s) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

static void scale(struct tfr_cost_curve *curve, double at, double ratio) {
    static const double share = 0.06, share_of_all = 0.06, most = 2;
    const double off = (ratio > most ? most : ratio < 1 / most ? 1 / most : ratio) - 1;
    const int near = curve->n > 1 ? segment(curve, at) : 0;
    double t = curve->n > 1 ? place(curve, near, at) : 0;
    t = t > 1 ? 1 : t < 0 ? 0 : t;
    for (int i = 0; i < curve->n; i++) {
        const double weight = i == near ? 1 - t : i == near + 1 ? t : 0;
        curve->s[i] *= 1 + off * (share_of_all + share * weight);
    }
}

void tfr_step_cost_learn(struct tfr_step_cost *cost, const struct tfr_step_shape *shape, double seconds) {
    const double decoding = decode_s(cost, shape);
    if (!tfr_step_cost_known(cost) || seconds <= 0) {
        return;
    }
    if (shape->prompt_rows == 0) {
        if (decoding > 0) {
            scale(&cost->decode, (double)shape->sequences, seconds / decoding);
        }
        return;
    }
    const double expected = tfr_curve_s(&cost->prefill, (double)shape->prompt_rows);
    if (expected > 0) {
        scale(&cost->prefill, (double)shape->prompt_rows, (seconds - decoding - beside_s(cost, shape)) / expected);
    }
}

double tfr_step_prefill_rate(const struct tfr_step_cost *cost) {
    const double s = tfr_curve_s(&cost->prefill, USUAL_CHUNK);
    return s > 0 ? USUAL_CHUNK / s : 0;
}

double tfr_step_token_weight(const struct tfr_step_cost *cost, int64_t sequences) {
    static const double unknown = 4;
    const double rate = tfr_step_prefill_rate(cost), s = tfr_curve_s(&cost->decode, (double)sequences);
    return rate > 0 && s > 0 && sequences > 0 ? s / (double)sequences * rate : unknown;
}
