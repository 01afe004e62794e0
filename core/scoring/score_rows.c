/* score_rows.c - log-probabilities of many rows of logits, on a team's threads. */
#include "scoring/score_rows.h"

struct row_work {
    const float *logits;
    int64_t vocab_size, n;
    const int32_t *targets;
    struct tfr_row_score *scores;
};

static void score_share(void *arg, int tid, int nth) {
    const struct row_work *work = arg;
    const int64_t first = work->n * tid / nth, end = work->n * (tid + 1) / nth;
    for (int64_t i = first; i < end; i++) {
        tfr_score_row(work->logits + i * work->vocab_size, work->vocab_size, work->targets[i], &work->scores[i]);
    }
}

void tfr_score_rows(struct tfr_team *team, const float *logits, int64_t vocab_size, const int32_t *targets, int64_t n,
                    struct tfr_row_score *scores) {
    struct row_work work = {.logits = logits, .vocab_size = vocab_size, .n = n, .targets = targets, .scores = scores};
    if (n > 0) {
        tfr_team_run(team, score_share, &work);
    }
}
