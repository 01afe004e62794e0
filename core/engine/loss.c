/* loss.c - see loss.h. */
#include "engine/loss.h"

#include <math.h>

#include "base/status.h"

static int32_t best_of(const float *logits, int64_t n) {
    int32_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) {
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
    const double largest = logits[best_of(logits, n)];
    return largest + log_sum_from(logits, n, largest);
}

void tfr_log_softmax(const float *logits, int64_t n, double *logprobs) {
    const double largest = logits[best_of(logits, n)], rest = log_sum_from(logits, n, largest);
    for (int64_t i = 0; i < n; i++) {
        logprobs[i] = (double)logits[i] - largest - rest;
    }
}

void tfr_score_row(const float *logits, int64_t vocab_size, int32_t target, struct tfr_row_score *score) {
    const int32_t best = best_of(logits, vocab_size);
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

enum tfr_status tfr_loss_add(struct tfr_loss *loss, const float *logits, int64_t vocab_size,
                             const int32_t *labels, int64_t n_rows) {
    for (int64_t i = 0; i < n_rows; i++) {
        if (labels[i] == TFR_IGNORED_LABEL) {
            continue;
        }
        if (labels[i] < 0 || labels[i] >= vocab_size) {
            return tfr_raise(TFR_USAGE,
                             "label %d of row %lld is outside 0..%lld (vocab_size - 1); %d marks a row that "
                             "does not count",
                             labels[i], (long long)i, (long long)(vocab_size - 1), TFR_IGNORED_LABEL);
        }
        struct tfr_row_score score;
        tfr_score_row(logits + i * vocab_size, vocab_size, labels[i], &score);
        if (isnan(score.logprob)) {
            return tfr_raise(TFR_CHECK,
                             "the logits of row %lld hold NaN or infinity; look for it in the weights with "
                             "--check-weights",
                             (long long)i);
        }
        loss->sum -= score.logprob;
        loss->n++;
    }
    return TFR_OK;
}

enum tfr_status tfr_loss_add_shifted(struct tfr_loss *loss, const float *logits, int64_t vocab_size,
                                     int64_t first, int64_t n_rows, const int32_t *labels, int64_t n_labels) {
    const int64_t with_target = n_labels - 1 - first;
    return tfr_loss_add(loss, logits, vocab_size, labels + first + 1,
                        with_target < n_rows ? with_target : n_rows);
}

double tfr_loss_mean(const struct tfr_loss *loss) {
    return loss->n > 0 ? loss->sum / (double)loss->n : (double)NAN;
}
