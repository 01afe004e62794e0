/* logits.c - see logits.h. */
#include "base/logits.h"

#include <math.h>

/* Steps of a loop that a compiler makes one instruction of. */
enum { LANES = 16 };

/* NaN is larger than nothing, and nothing is larger than a NaN at the start. */
static float largest_of(const float *scores, int64_t n) {
    float most[LANES];
    int64_t i = 0;
    for (int j = 0; j < LANES; j++) {
        most[j] = scores[0];
    }
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            most[j] = scores[i + j] > most[j] ? scores[i + j] : most[j];
        }
    }
    float largest = scores[0];
    for (; i < n; i++) {
        largest = scores[i] > largest ? scores[i] : largest;
    }
    for (int j = 0; j < LANES; j++) {
        largest = most[j] > largest ? most[j] : largest;
    }
    return largest;
}

static bool is_among(const float *scores, float value) {
    int found = 0;
    for (int j = 0; j < LANES; j++) {
        found |= scores[j] == value;
    }
    return found != 0;
}

int32_t tfr_best_id(const float *scores, int64_t n) {
    const float largest = largest_of(scores, n);
    int64_t i = 0;
    while (i + LANES <= n && !is_among(scores + i, largest)) {
        i += LANES;
    }
    for (; i < n; i++) {
        if (scores[i] == largest) {
            return (int32_t)i;
        }
    }
    return 0;
}

bool tfr_has_nan(const float *scores, int64_t n) {
    int32_t nan[LANES] = {0}, any = 0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            nan[j] |= scores[i + j] != scores[i + j];
        }
    }
    for (; i < n; i++) {
        any |= scores[i] != scores[i];
    }
    for (int j = 0; j < LANES; j++) {
        any |= nan[j];
    }
    return any != 0;
}

/* log(sum) without the shift by the largest, which stays exact until the caller adds it. */
static double log_sum_from(const float *logits, int64_t n, double largest) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += exp((double)logits[i] - largest);
    }
    return log(sum);
}

double tfr_log_sum_exp(const float *logits, int64_t n) {
    const double largest = logits[tfr_best_id(logits, n)];
    return largest + log_sum_from(logits, n, largest);
}

void tfr_score_row(const float *logits, int64_t vocab_size, int32_t target, struct tfr_row_score *score) {
    const int32_t best = tfr_best_id(logits, vocab_size);
    const double largest = logits[best], rest = log_sum_from(logits, vocab_size, largest);
    *score = (struct tfr_row_score){.logprob = (double)logits[target] - largest - rest, .best_logprob = -rest, .best_id = best};
}
