/* logits.h - one row of logits: its best id, log-probabilities, the terms of cross entropy.
 *
 * All sums run in double in the order of row_loops.h, so a value depends on its row alone: not on the rows beside it, the threads
 * or the ranks. Thread rule: no state, any thread.
 */
#ifndef TFR_BASE_LOGITS_H
#define TFR_BASE_LOGITS_H

#include <tfrun/types.h>

#define TFR_IGNORED_LABEL (-100)

/* The best score's id, the lowest on a tie; NaN is never better, and 0 where the first score is one. */
int32_t tfr_best_id(const float *scores, int64_t n);
/* The same, and whether any score is NaN, in one look. */
int32_t tfr_best_number(const float *scores, int64_t n, bool *has_nan);
bool tfr_has_nan(const float *scores, int64_t n);
/* log(sum(exp(logits))); NaN when a logit is NaN or +infinity, or when all are -infinity. */
double tfr_log_sum_exp(const float *logits, int64_t n);

/* What one row says about the token that came, and which token it liked best (lowest id among ties). */
struct tfr_row_score {
    double logprob, best_logprob;
    int32_t best_id;
};
void tfr_score_row(const float *logits, int64_t vocab_size, int32_t target, struct tfr_row_score *score);

#endif
