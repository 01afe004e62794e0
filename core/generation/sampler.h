/* sampler.h - from logits to the next token: the score pipeline, then the best token or a draw.
 *
 * The random number is a pure function of (seed, choice, position), so a result depends on nothing else: not on the batch, the
 * ranks, or what was drawn before. Ties of the best go to the lowest id. Thread rule: one thread per sampler (it owns working
 * memory).
 */
#ifndef TFR_GENERATION_SAMPLER_H
#define TFR_GENERATION_SAMPLER_H

#include "generation/processors.h"

struct tfr_sampler {
    struct tfr_processors processors;
    uint64_t seed;
    float *scores; /* [vocab_size] the row as the pipeline left it */
};

/* `pipeline` must live as long as it is used. */
enum tfr_status tfr_sampler_open(struct tfr_sampler *sampler, const struct tfr_pipeline *pipeline, uint64_t seed,
                                 int64_t vocab_size);
/* From here on for these settings and this seed; the working memory stays. */
void tfr_sampler_use(struct tfr_sampler *sampler, const struct tfr_pipeline *pipeline, uint64_t seed);
void tfr_sampler_close(struct tfr_sampler *sampler);
/* Runs the pipeline: sampler->scores. NaN left in them: TFR_CHECK; no token left: TFR_CONFIG, with the options that ban them. */
enum tfr_status tfr_sampler_score(struct tfr_sampler *sampler, const struct tfr_score_row *row, const float *logits);
/* `choice` counts the samples of one prompt. */
enum tfr_status tfr_sampler_next(struct tfr_sampler *sampler, const struct tfr_score_row *row, const float *logits, uint64_t choice,
                                 int32_t *id);
/* The same of a row's largest logit, NaN where one is, and its id: for settings that are greedy (tfr_pipeline_is_greedy). */
enum tfr_status tfr_sampler_take_best(const struct tfr_score_row *row, const float *best, int32_t *id);
/* The id at `uniform` (0..1) of the distribution that n weights make. */
int32_t tfr_draw(const float *weights, int64_t n, double uniform);
/* softmax of `scores` into `p`. */
void tfr_probabilities(const float *scores, int64_t n, float *p);

#endif
