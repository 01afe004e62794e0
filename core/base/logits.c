/* logits.c - see logits.h. */
#include "base/logits.h"

#include <math.h>

/* Steps of a loop that a compiler makes one instruction of. */
enum { LANES = 16 };

/* Scores that are looked at together: they stay in the first cache while the best of them is looked for. */
enum { BLOCK = 1024 };

/* The larger of `largest` and the scores, none of which is larger than a NaN nor is one; a NaN among them or at the start sets
 * *nan. */
static float largest_of(const float *scores, int64_t n, float largest, int32_t *nan) {
    float most[LANES];
    int32_t odd[LANES] = {0}, any = largest != largest;
    int64_t i = 0;
    for (int j = 0; j < LANES; j++) {
        most[j] = largest;
    }
    for (; i + LANES <= n; i += LANES) {
        for (int j = 0; j < LANES; j++) {
            most[j] = scores[i + j] > most[j] ? scores[i + j] : most[j];
            odd[j] |= scores[i + j] != scores[i + j];
        }
    }
    for (; i < n; i++) {
        largest = scores[i] > largest ? scores[i] : largest;
        any |= scores[i] != scores[i];
    }
    for (int j = 0; j < LANES; j++) {
        largest = most[j] > largest ? most[j] : largest;
        any |= odd[j];
    }
    *nan |= any;
    return largest;
}

int32_t tfr_best_number(const float *scores, int64_t n, bool *has_nan) {
    float largest = scores[0];
    int64_t best = 0;
    int32_t nan = 0;
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t count = n - first < BLOCK ? n - first : BLOCK;
        const float larger = largest_of(scores + first, count, largest, &nan);
        if (larger > largest) {
            largest = larger;
            best = first;
        }
    }
    *has_nan = nan != 0;
    for (int64_t i = best; i < n && i < best + BLOCK; i++) {
        if (scores[i] == largest) {
            return (int32_t)i;
        }
    }
    return 0;
}

int32_t tfr_best_id(const float *scores, int64_t n) {
    bool has_nan;
    return tfr_best_number(scores, n, &has_nan);
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
