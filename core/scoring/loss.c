/* loss.c - see loss.h. */
#include "scoring/loss.h"

#include <math.h>

#include "generation/processors.h"

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
    *score = (struct tfr_row_score){
        .logprob = (double)logits[target] - largest - rest, .best_logprob = -rest, .best_id = best};
}

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
        tfr_score_row(work->logits + i * work->vocab_size, work->vocab_size, work->targets[i],
                      &work->scores[i]);
    }
}

void tfr_score_rows(struct tfr_team *team, const float *logits, int64_t vocab_size, const int32_t *targets,
                    int64_t n, struct tfr_row_score *scores) {
    struct row_work work = {
        .logits = logits, .vocab_size = vocab_size, .n = n, .targets = targets, .scores = scores};
    if (n > 0) {
        tfr_team_run(team, score_share, &work);
    }
}
