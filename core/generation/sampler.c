/* sampler.c - runs the pipeline over one row of logits, then takes the best or makes one counter-based draw. */
#include "generation/sampler.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/rng.h"
#include "base/row_loops.h"
#include "base/status.h"

enum tfr_status tfr_sampler_open(struct tfr_sampler *sampler, const struct tfr_pipeline *pipeline, uint64_t seed,
                                 int64_t vocab_size) {
    *sampler = (struct tfr_sampler){.seed = seed};
    TFR_TRY(tfr_processors_open(&sampler->processors, pipeline, vocab_size));
    sampler->scores = tfr_alloc((size_t)vocab_size, sizeof *sampler->scores);
    if (sampler->scores == NULL) {
        tfr_sampler_close(sampler);
        return TFR_RESOURCE;
    }
    return TFR_OK;
}

void tfr_sampler_use(struct tfr_sampler *sampler, const struct tfr_pipeline *pipeline, uint64_t seed) {
    tfr_processors_use(&sampler->processors, pipeline);
    sampler->seed = seed;
}

void tfr_sampler_close(struct tfr_sampler *sampler) {
    tfr_processors_close(&sampler->processors);
    tfr_free(sampler->scores);
    sampler->scores = NULL;
}

static enum tfr_status refuse_nan(int64_t position) {
    return tfr_raise(TFR_CHECK, "the logits for position %lld hold NaN; look for it in the weights with --check-weights",
                     (long long)position);
}

/* The settings exclude all tokens, and are named; or scores are no numbers, which no setting can mend. */
static enum tfr_status refuse_none(struct tfr_sampler *sampler, const struct tfr_score_row *row, const float *logits) {
    struct tfr_processors *processors = &sampler->processors;
    char options[320];
    memcpy(sampler->scores, logits, (size_t)processors->vocab_size * sizeof *logits);
    if (tfr_processors_blame(processors, row, sampler->scores, options, sizeof options) > 0 || options[0] == '\0') {
        return tfr_raise(TFR_CHECK, "the scores for position %lld are no numbers; look for it in the weights with --check-weights",
                         (long long)row->n);
    }
    return tfr_raise(TFR_CONFIG, "no token is left for position %lld: none gets past %s", (long long)row->n, options);
}

/* The best score must be a number that others can be compared with. Without any token left, normalising makes NaN. */
static enum tfr_status check_best(struct tfr_sampler *sampler, const struct tfr_score_row *row, const float *logits) {
    const struct tfr_processors *processors = &sampler->processors;
    bool has_nan;
    const float best = sampler->scores[tfr_best_number(sampler->scores, processors->vocab_size, &has_nan)];
    if (best == INFINITY && processors->pipeline->do_sample) {
        return tfr_raise(TFR_CHECK,
                         "the scores for position %lld hold infinity; raise sampling.temperature (it is %g) or look for "
                         "it in the weights with --check-weights",
                         (long long)row->n, processors->pipeline->temperature);
    }
    return best == -INFINITY || has_nan ? refuse_none(sampler, row, logits) : TFR_OK;
}

enum tfr_status tfr_sampler_score(struct tfr_sampler *sampler, const struct tfr_score_row *row, const float *logits) {
    const int64_t n = sampler->processors.vocab_size;
    if (!sampler->processors.pipeline->remove_invalid_values && tfr_has_nan(logits, n)) {
        return refuse_nan(row->n); /* before the filters, which would sort it anywhere */
    }
    memcpy(sampler->scores, logits, (size_t)n * sizeof *logits);
    tfr_processors_apply(&sampler->processors, row, sampler->scores);
    return check_best(sampler, row, logits);
}

/* The first of ids [first, end) whose weight, with those before it and `reached`, passes `goal`; where rounding leaves none, the
 * last that has any. -1: no weight at all. */
static int32_t walk(const float *weights, int64_t first, int64_t end, double reached, double goal) {
    int32_t last = -1;
    for (int64_t i = first; i < end; i++) {
        reached += (double)weights[i];
        last = weights[i] > 0 ? (int32_t)i : last;
        if (goal < reached) {
            return (int32_t)i;
        }
    }
    return last;
}

int32_t tfr_draw(const float *weights, int64_t n, double uniform) {
    const struct tfr_row_loops *loops = tfr_row_loops();
    const double goal = uniform * loops->sum(weights, n);
    double reached = 0;
    for (int64_t first = 0; first < n; first += TFR_ROW_BLOCK) {
        const int64_t end = n - first < TFR_ROW_BLOCK ? n : first + TFR_ROW_BLOCK;
        const double block = loops->sum(weights + first, end - first);
        if (goal < reached + block) {
            return walk(weights, first, end, reached, goal);
        }
        reached += block;
    }
    const int32_t last = walk(weights, 0, n, 0, INFINITY);
    return last < 0 ? 0 : last;
}

void tfr_probabilities(const float *scores, int64_t n, float *p) {
    memmove(p, scores, (size_t)n * sizeof *p);
    tfr_scores_normalise(p, n);
    tfr_row_loops()->weights(p, n, 0, p);
}

enum tfr_status tfr_sampler_take_best(const struct tfr_score_row *row, const float *best, int32_t *id) {
    *id = (int32_t)best[1];
    return isnan(best[0]) ? refuse_nan(row->n) : TFR_OK;
}

enum tfr_status tfr_sampler_next(struct tfr_sampler *sampler, const struct tfr_score_row *row, const float *logits, uint64_t choice,
                                 int32_t *id) {
    const int64_t n = sampler->processors.vocab_size;
    const bool plain = tfr_processors_idle(&sampler->processors) && !sampler->processors.pipeline->do_sample;
    if (plain) {
        bool has_nan;
        *id = tfr_best_number(logits, n, &has_nan);
        return has_nan ? refuse_nan(row->n) : TFR_OK;
    }
    TFR_TRY(tfr_sampler_score(sampler, row, logits));
    if (!sampler->processors.pipeline->do_sample) {
        *id = tfr_best_id(sampler->scores, n);
        return TFR_OK;
    }
    const float best = sampler->scores[tfr_best_id(sampler->scores, n)];
    tfr_row_loops()->weights(sampler->scores, n, best, sampler->processors.p);
    *id = tfr_draw(sampler->processors.p, n, tfr_philox_uniform(sampler->seed, choice, (uint64_t)row->n));
    return TFR_OK;
}
