/* filters.c - the processors that only sampling has: temperature, the filters, and normalisation.
 *
 * Probabilities are float32 and sums double, as torch has them on a CPU, so that the same tokens survive. Where scores tie at an
 * edge that a filter may place between them, the lowest ids survive.
 */
#include <math.h>
#include <string.h>

#include "generation/processors.h"

static double sum_of_exp(const float *scores, int64_t n, float best) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)expf(scores[i] - best);
    }
    return sum;
}

void tfr_scores_normalise(float *scores, int64_t n) {
    const float best = scores[tfr_best_id(scores, n)];
    const float log_sum = (float)log(sum_of_exp(scores, n, best));
    for (int64_t i = 0; i < n; i++) {
        scores[i] = scores[i] - best - log_sum;
    }
}

/* Probabilities of the row into processors->p. */
static void weigh(struct tfr_processors *processors, const float *scores) {
    const int64_t n = processors->vocab_size;
    const float best = scores[tfr_best_id(scores, n)];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        processors->p[i] = expf(scores[i] - best);
        sum += (double)processors->p[i];
    }
    const float scale = (float)(1 / sum);
    for (int64_t i = 0; i < n; i++) {
        processors->p[i] *= scale;
    }
}

/* The tokens more probable than `least`, best first, into processors->sorted. The mass of the others goes to `rest`. */
static int64_t sort_scores(struct tfr_processors *processors, const float *scores, float least, double *rest) {
    int64_t n = 0;
    *rest = 0;
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        if (processors->p[i] > least) {
            processors->sorted[n++] = (struct tfr_choice){.score = scores[i], .id = (int32_t)i};
        } else {
            *rest += (double)processors->p[i];
        }
    }
    tfr_choices_sort(processors->sorted, processors->spare, (size_t)n);
    return n;
}

/* The k-th largest value (k from 1), by Hoare's selection; reorders `values`. */
static float kth_largest(float *values, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1;
    while (low < high) {
        const float pivot = values[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] > pivot) {
                i++;
            }
            while (values[j] < pivot) {
                j--;
            }
            if (i <= j) {
                const float other = values[i];
                values[i++] = values[j];
                values[j--] = other;
            }
        }
        if (k - 1 <= j) {
            high = j;
        } else if (k - 1 >= i) {
            low = i;
        } else {
            break;
        }
    }
    return values[k - 1];
}

/* The score that `keep` tokens reach. */
static float edge(struct tfr_processors *processors, const float *scores, int64_t keep) {
    const int64_t n = processors->vocab_size;
    memcpy(processors->work, scores, (size_t)n * sizeof *scores);
    return kth_largest(processors->work, n, keep < n ? keep : n);
}

bool tfr_wants_temperature(const struct tfr_pipeline *pipeline) {
    return pipeline->do_sample && pipeline->temperature != 1;
}

void tfr_apply_temperature(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        scores[i] /= (float)processors->pipeline->temperature;
    }
}

bool tfr_wants_top_k(const struct tfr_pipeline *pipeline) {
    return pipeline->do_sample && pipeline->top_k > 0;
}

void tfr_apply_top_k(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    const struct tfr_pipeline *pipeline = processors->pipeline;
    const float last = edge(processors, scores, pipeline->top_k > pipeline->min_keep ? pipeline->top_k : pipeline->min_keep);
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        scores[i] = scores[i] < last ? -INFINITY : scores[i];
    }
}

bool tfr_wants_top_p(const struct tfr_pipeline *pipeline) {
    return pipeline->do_sample && pipeline->top_p < 1;
}

/* From the worst token up: dropped while all so far hold at most 1 - top_p together. V tokens of at most a V-th of that do so
 * without being sorted, which leaves few of a real distribution. */
void tfr_apply_top_p(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    const int64_t keep = processors->pipeline->min_keep;
    const float tail = (float)(1 - processors->pipeline->top_p);
    float least = tail / (float)processors->vocab_size * 0.99f;
    double sum;
    weigh(processors, scores);
    int64_t n = sort_scores(processors, scores, least, &sum);
    if (n < keep) {
        least = -1;
        n = sort_scores(processors, scores, least, &sum);
    }
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        scores[i] = processors->p[i] > least ? scores[i] : -INFINITY;
    }
    for (int64_t i = n - 1; i >= keep; i--) {
        const int32_t id = processors->sorted[i].id;
        sum += (double)processors->p[id];
        if ((float)sum > tail) {
            break;
        }
        scores[id] = -INFINITY;
    }
}

bool tfr_wants_min_p(const struct tfr_pipeline *pipeline) {
    return pipeline->do_sample && pipeline->min_p > 0;
}

/* Probabilities and scores have one order, so the min_keep best are those that reach an edge: all ties of it, where transformers
 * keeps some. */
void tfr_apply_min_p(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    const float last = edge(processors, scores, processors->pipeline->min_keep);
    weigh(processors, scores);
    const float least = processors->p[tfr_best_id(scores, processors->vocab_size)] * (float)processors->pipeline->min_p;
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        scores[i] = processors->p[i] < least && scores[i] < last ? -INFINITY : scores[i];
    }
}

bool tfr_wants_typical_p(const struct tfr_pipeline *pipeline) {
    return pipeline->do_sample && pipeline->typical_p < 1;
}

/* How far a token's surprise is from the entropy, negated so that the most typical comes first. Sorted; returns how
 * many. */
static int64_t sort_typical(struct tfr_processors *processors, const float *scores) {
    float *log_p = processors->work;
    memcpy(log_p, scores, (size_t)processors->vocab_size * sizeof *scores);
    tfr_scores_normalise(log_p, processors->vocab_size);
    double entropy = 0;
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        entropy -= log_p[i] == -INFINITY ? 0 : (double)(log_p[i] * expf(log_p[i]));
    }
    int64_t n = 0;
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        if (log_p[i] != -INFINITY) {
            processors->sorted[n++] = (struct tfr_choice){.score = -fabsf(-log_p[i] - (float)entropy), .id = (int32_t)i};
        }
    }
    tfr_choices_sort(processors->sorted, processors->spare, (size_t)n);
    return n;
}

void tfr_apply_typical_p(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    const struct tfr_choice *sorted = processors->sorted;
    const int64_t n = sort_typical(processors, scores);
    weigh(processors, scores);
    const float mass = (float)processors->pipeline->typical_p;
    double sum = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)processors->p[sorted[i].id];
        last += (float)sum < mass;
    }
    last = last < n ? last : n - 1;
    const float far = sorted[last].score; /* what is exactly as far stays */
    for (int64_t i = processors->pipeline->min_keep; i < n; i++) {
        if (sorted[i].score < far) {
            scores[sorted[i].id] = -INFINITY;
        }
    }
}

/* Drops what is less probable than `least`, but for the min_keep best. */
static void cut_off(struct tfr_processors *processors, float *scores, float least) {
    const float last = edge(processors, scores, processors->pipeline->min_keep);
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        scores[i] = processors->p[i] < least && scores[i] < last ? -INFINITY : scores[i];
    }
}

bool tfr_wants_epsilon_cutoff(const struct tfr_pipeline *pipeline) {
    return pipeline->do_sample && pipeline->epsilon_cutoff > 0 && pipeline->epsilon_cutoff < 1;
}

void tfr_apply_epsilon_cutoff(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    weigh(processors, scores);
    cut_off(processors, scores, (float)processors->pipeline->epsilon_cutoff);
}

bool tfr_wants_eta_cutoff(const struct tfr_pipeline *pipeline) {
    return pipeline->do_sample && pipeline->eta_cutoff > 0 && pipeline->eta_cutoff < 1;
}

void tfr_apply_eta_cutoff(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    weigh(processors, scores);
    memcpy(processors->work, scores, (size_t)processors->vocab_size * sizeof *scores);
    tfr_scores_normalise(processors->work, processors->vocab_size);
    double entropy = 0;
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        entropy -= processors->p[i] > 0 ? (double)(processors->p[i] * processors->work[i]) : 0;
    }
    const float epsilon = (float)processors->pipeline->eta_cutoff;
    cut_off(processors, scores, fminf(epsilon, sqrtf(epsilon) * expf(-(float)entropy)));
}

bool tfr_wants_renormalize(const struct tfr_pipeline *pipeline) {
    return pipeline->renormalize;
}

void tfr_apply_renormalize(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    tfr_scores_normalise(scores, processors->vocab_size);
}
