/* loss.h - from logits to log-probabilities and cross entropy, one row at a time.
 *
 * All sums run in double over ascending ids, so a value depends on its row alone: not on the rows beside it,
 * the threads or the ranks. Nothing here keeps logits: a caller streams rows as the steps give them. Thread
 * rule: no state, any thread.
 */
#ifndef TFR_ENGINE_LOSS_H
#define TFR_ENGINE_LOSS_H

#include <tfrun/types.h>

#include "team/team.h"

#define TFR_IGNORED_LABEL (-100)

/* log(sum(exp(logits))); NaN when a logit is NaN or +infinity, or when all are -infinity. */
double tfr_log_sum_exp(const float *logits, int64_t n);
void tfr_log_softmax(const float *logits, int64_t n, double *logprobs);

/* What one row says about the token that came, and which token it liked best (lowest id among ties). */
struct tfr_row_score {
    double logprob, best_logprob;
    int32_t best_id;
};
void tfr_score_row(const float *logits, int64_t vocab_size, int32_t target, struct tfr_row_score *score);
/* The same for n rows [n, vocab_size] on a team's threads, each row on one thread. */
void tfr_score_rows(struct tfr_team *team, const float *logits, int64_t vocab_size, const int32_t *targets,
                    int64_t n, struct tfr_row_score *scores);

/* A cross entropy under way: sum of -log p over the rows whose label counts. Start with {0}. */
struct tfr_loss {
    double sum;
    int64_t n;
};
/* Row i against labels[i]; TFR_IGNORED_LABEL does not count. Another label outside the vocabulary: TFR_USAGE;
 * NaN: TFR_CHECK. */
enum tfr_status tfr_loss_add(struct tfr_loss *loss, const float *logits, int64_t vocab_size,
                             const int32_t *labels, int64_t n_rows);
/* The causal shift: rows of positions first, first + 1, ... of a sequence of n_labels, each against the label
 * of the next position. The row of the last position has no target. */
enum tfr_status tfr_loss_add_shifted(struct tfr_loss *loss, const float *logits, int64_t vocab_size,
                                     int64_t first, int64_t n_rows, const int32_t *labels, int64_t n_labels);
/* Mean over the rows counted; NaN when there was none, which the caller tells as "no target". */
double tfr_loss_mean(const struct tfr_loss *loss);

#endif
