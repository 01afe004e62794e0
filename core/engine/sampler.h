/* sampler.h - from logits to the next token: greedy, or temperature, top_k, top_p and a draw.
 *
 * Order as in Hugging Face's pipeline: temperature, top_k, top_p. The random number is a pure function of (seed, position), so a
 * result depends on nothing else: not on the batch, the ranks, or what was drawn before. Ties go to the lowest id.
 * Thread rule: one thread per sampler (it owns working memory).
 */
#ifndef TFR_ENGINE_SAMPLER_H
#define TFR_ENGINE_SAMPLER_H

#include <tfrun/types.h>

struct tfr_sampling {
    double temperature; /* 0: greedy */
    int64_t top_k;      /* 0: all; k-th score's ties are all kept */
    double top_p;       /* 1: all; the best token is always kept */
    uint64_t seed;
};

struct tfr_choice {
    double p;
    int32_t id;
};

struct tfr_sampler {
    struct tfr_sampling sampling;
    struct tfr_choice *choices; /* [vocab_size] */
    int64_t vocab_size;
};

enum tfr_status tfr_sampler_open(struct tfr_sampler *sampler, const struct tfr_sampling *sampling, int64_t vocab_size);
void tfr_sampler_close(struct tfr_sampler *sampler);
/* `position` is the index in the sequence that the new token will have. NaN in the logits: TFR_CHECK. */
enum tfr_status tfr_sampler_next(struct tfr_sampler *sampler, const float *logits, int64_t position, int32_t *id);
/* After the filters: how many tokens may be drawn; their choices stand first, most probable first when filtered. For tests. */
int64_t tfr_sampler_filter(struct tfr_sampler *sampler, const float *logits);

#endif
