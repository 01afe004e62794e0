/* loss.h - from logits to log-probabilities and cross entropy, one row at a time.
 *
 * All sums run in double over ascending ids, so a value depends on its row alone: not on the rows beside it,
 * the threads or the ranks. Nothing here keeps logits: a caller streams rows as the steps give them. Thread
 * rule: no state, any thread.
 */
#ifndef TFR_SCORING_LOSS_H
#define TFR_SCORING_LOSS_H

#include <tfrun/types.h>

#include "team/team.h"

#define TFR_IGNORED_LABEL (-100)

/* log(sum(exp(logits))); NaN when a logit is NaN or +infinity, or when all are -infinity. */
double tfr_log_sum_exp(const float *logits, int64_t n);

/* What one row says about the token that came, and which token it liked best (lowest id among ties). */
struct tfr_row_score {
    double logprob, best_logprob;
    int32_t best_id;
};
void tfr_score_row(const float *logits, int64_t vocab_size, int32_t target, struct tfr_row_score *score);
/* The same for n rows [n, vocab_size] on a team's threads, each row on one thread. */
void tfr_score_rows(struct tfr_team *team, const float *logits, int64_t vocab_size, const int32_t *targets,
                    int64_t n, struct tfr_row_score *scores);

#endif
