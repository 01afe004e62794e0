/* logits.c - see logits.h. */
#include "base/logits.h"

#include <math.h>

int32_t tfr_best_id(const float *scores, int64_t n) {
    int32_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        if (scores[i] > scores[best]) {
            best = (int32_t)i;
        }
    }
    return best;
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
