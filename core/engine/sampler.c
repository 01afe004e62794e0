/* sampler.c - filters over one row of logits, in double, then one counter-based draw. */
#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/rng.h"
#include "base/status.h"

enum tfr_status tfr_sampler_open(struct tfr_sampler *sampler, const struct tfr_sampling *sampling, int64_t vocab_size) {
    *sampler = (struct tfr_sampler){.sampling = *sampling, .vocab_size = vocab_size};
    if (sampling->temperature > 0) {
        sampler->choices = tfr_alloc((size_t)vocab_size, sizeof *sampler->choices);
        if (sampler->choices == NULL) {
            return TFR_RESOURCE;
        }
    }
    return TFR_OK;
}

void tfr_sampler_close(struct tfr_sampler *sampler) {
    tfr_free(sampler->choices);
    sampler->choices = NULL;
}

static int32_t greedy(const float *logits, int64_t n) {
    int32_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        if (logits[i] > logits[best]) {
            best = (int32_t)i;
        }
    }
    return best;
}

static bool has_nan(const float *logits, int64_t n) {
    bool nan = false;
    for (int64_t i = 0; i < n; i++) {
        nan |= logits[i] != logits[i];
    }
    return nan;
}

static int by_probability(const void *a, const void *b) {
    const struct tfr_choice *x = a, *y = b;
    if (x->p != y->p) {
        return x->p < y->p ? 1 : -1;
    }
    return (x->id > y->id) - (x->id < y->id);
}

/* exp((logit - max) / temperature): not normalised, the best is 1. */
static void weigh(struct tfr_sampler *sampler, const float *logits) {
    const double best = logits[greedy(logits, sampler->vocab_size)];
    for (int64_t i = 0; i < sampler->vocab_size; i++) {
        sampler->choices[i] =
            (struct tfr_choice){.p = exp(((double)logits[i] - best) / sampler->sampling.temperature), .id = (int32_t)i};
    }
}

/* The first n stand sorted; ties with the k-th stay. */
static int64_t keep_top_k(const struct tfr_choice *choices, int64_t n, int64_t k) {
    int64_t kept = k;
    while (kept < n && choices[kept].p == choices[k - 1].p) {
        kept++;
    }
    return kept;
}

/* A token stays while the tokens before it hold less than top_p of the mass. */
static int64_t keep_top_p(const struct tfr_choice *choices, int64_t n, double top_p) {
    double total = 0;
    for (int64_t i = 0; i < n; i++) {
        total += choices[i].p;
    }
    double before = choices[0].p;
    int64_t kept = 1;
    while (kept < n && before < top_p * total) {
        before += choices[kept++].p;
    }
    return kept;
}

int64_t tfr_sampler_filter(struct tfr_sampler *sampler, const float *logits) {
    const struct tfr_sampling *sampling = &sampler->sampling;
    int64_t n = sampler->vocab_size;
    weigh(sampler, logits);
    bool cut_k = sampling->top_k > 0 && sampling->top_k < n;
    if (!cut_k && sampling->top_p >= 1) {
        return n;
    }
    qsort(sampler->choices, (size_t)n, sizeof *sampler->choices, by_probability);
    if (cut_k) {
        n = keep_top_k(sampler->choices, n, sampling->top_k);
    }
    return sampling->top_p < 1 ? keep_top_p(sampler->choices, n, sampling->top_p) : n;
}

static int32_t draw(const struct tfr_choice *choices, int64_t n, double uniform) {
    double total = 0, reached = 0;
    for (int64_t i = 0; i < n; i++) {
        total += choices[i].p;
    }
    for (int64_t i = 0; i < n; i++) {
        reached += choices[i].p;
        if (uniform * total < reached) {
            return choices[i].id;
        }
    }
    return choices[n - 1].id;
}

enum tfr_status tfr_sampler_next(struct tfr_sampler *sampler, const float *logits, int64_t position, int32_t *id) {
    if (has_nan(logits, sampler->vocab_size)) {
        return tfr_raise(TFR_CHECK, "the logits for position %lld hold NaN; look for it in the weights with --check-weights",
                         (long long)position);
    }
    if (sampler->sampling.temperature == 0) {
        *id = greedy(logits, sampler->vocab_size);
        return TFR_OK;
    }
    int64_t n = tfr_sampler_filter(sampler, logits);
    *id = draw(sampler->choices, n, tfr_philox_uniform(sampler->sampling.seed, 0, (uint64_t)position));
    return TFR_OK;
}
