/* score_rows.h - log-probabilities of many rows of logits, on a team's threads. Nothing here keeps logits: a caller streams rows as
 * the steps give them. Thread rule: the thread that drives the team. */
#ifndef TFR_SCORING_SCORE_ROWS_H
#define TFR_SCORING_SCORE_ROWS_H

#include "base/logits.h"
#include "team/team.h"

/* tfr_score_row for n rows [n, vocab_size], each row on one thread. */
void tfr_score_rows(struct tfr_team *team, const float *logits, int64_t vocab_size, const int32_t *targets, int64_t n,
                    struct tfr_row_score *scores);

#endif
