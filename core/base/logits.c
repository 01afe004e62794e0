/* logits.c - see logits.h. */
#include "base/logits.h"

#include <math.h>

#include "base/row_loops.h"

/* Scores that are looked at together: they stay in the first cache while the best of them is looked for. */
enum { BLOCK = 1024 };

int32_t tfr_best_number(const float *scores, int64_t n, bool *has_nan) {
    const struct tfr_row_loops *loops = tfr_row_loops();
    float largest = scores[0];
    int64_t best = 0;
    int32_t nan = scores[0] != scores[0];
    for (int64_t first = 0; first < n; first += BLOCK) {
        const int64_t count = n - first < BLOCK ? n - first : BLOCK;
        const float larger = loops->largest(scores + first, count, largest, &nan);
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
    int32_t nan = 0;
    tfr_row_loops()->largest(scores, n, -INFINITY, &nan);
    return nan != 0;
}

/* log(sum) without the shift by the largest, which stays exact until the caller adds it. */
static double log_sum_from(const float *logits, int64_t n, double largest) {
    return log(tfr_row_loops()->exp_sum(logits, n, largest));
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
