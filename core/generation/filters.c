/* filters.c - the processors that only sampling has: temperature, the filters, and normalisation.
 *
 * Probabilities are float32 and sums double, as torch has them on a CPU, so that the same tokens survive. Where scores tie at an
 * edge that a filter may place between them, the lowest ids survive.
 */
#include <math.h>
#include <string.h>

#include "base/row_loops.h"
#include "generation/processors.h"

void tfr_scores_normalise(float *scores, int64_t n) {
    const float best = scores[tfr_best_id(scores, n)];
    const float log_sum = (float)log(tfr_row_loops()->exp_sum(scores, n, (double)best));
    for (int64_t i = 0; i < n; i++) {
        scores[i] = scores[i] - best - log_sum;
    }
}

/* Probabilities of the row into processors->p. */
static void weigh(struct tfr_processors *processors, const float *scores) {
    const int64_t n = processors->vocab_size;
    const double sum = tfr_row_loops()->weights(scores, n, scores[tfr_best_id(scores, n)], processors->p);
    const float scale = (float)(1 / sum);
    for (int64_t i = 0; i < n; i++) {
        processors->p[i] *= scale;
    }
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

/* Fewer columns than groups at an edge, so that most groups have none of them. */
enum { N_GROUPS = 2048, LARGEST_SHARE = 4 };

/* A score that at least `keep` others reach, and few more: that of the largest of groups of columns. `work` has room for groups. */
static float near_edge(const float *scores, int64_t n, int64_t keep, float *work) {
    const struct tfr_row_loops *loops = tfr_row_loops();
    memcpy(work, scores, N_GROUPS * sizeof *scores);
    for (int64_t first = N_GROUPS; first < n; first += N_GROUPS) {
        loops->larger(work, scores + first, n - first < N_GROUPS ? n - first : N_GROUPS);
    }
    return kth_largest(work, N_GROUPS, keep);
}

/* The scores that reach `least` into `work`; a block at a time, most of which have none. */
static int64_t collect_reaching(const float *scores, int64_t n, float least, float *work) {
    const struct tfr_row_loops *loops = tfr_row_loops();
    int64_t found = 0;
    for (int64_t first = 0; first < n; first += TFR_ROW_BLOCK) {
        const int64_t end = n - first < TFR_ROW_BLOCK ? n : first + TFR_ROW_BLOCK;
        if (loops->is_below(scores + first, end - first, least)) {
            continue;
        }
        for (int64_t i = first; i < end; i++) {
            work[found] = scores[i];
            found += scores[i] >= least;
        }
    }
    return found;
}

/* The score that `keep` tokens reach. */
static float edge(struct tfr_processors *processors, const float *scores, int64_t keep) {
    const int64_t n = processors->vocab_size;
    if (n > N_GROUPS && keep <= N_GROUPS / LARGEST_SHARE) {
        const float least = near_edge(scores, n, keep, processors->work);
        const int64_t found = collect_reaching(scores, n, least, processors->work);
        if (found >= keep) {
            return kth_largest(processors->work, found, keep);
        }
    }
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

/* The tokens more probable than `least`, by their ids, into processors->sorted. The mass of the others goes to `rest`. */
static int64_t collect_likely(struct tfr_processors *processors, const float *scores, float least, double *rest) {
    const struct tfr_row_loops *loops = tfr_row_loops();
    int64_t n = 0;
    *rest = 0;
    for (int64_t first = 0; first < processors->vocab_size; first += TFR_ROW_BLOCK) {
        const int64_t left = processors->vocab_size - first, end = left < TFR_ROW_BLOCK ? first + left : first + TFR_ROW_BLOCK;
        const float *p = processors->p;
        if (loops->is_below(p + first, end - first, least)) {
            *rest += loops->sum(p + first, end - first);
            continue;
        }
        for (int64_t i = first; i < end; i++) {
            processors->sorted[n] = (struct tfr_choice){.score = scores[i], .id = (int32_t)i};
            n += p[i] > least;
            *rest += p[i] > least ? 0 : (double)p[i];
        }
    }
    return n;
}

/* Tokens of about one score. Larger scores never stand in a later bucket. */
enum { N_BUCKETS = 2048, BUCKETS_A_NAT = 128 };

static int bucket_of(float score, float best) {
    const float place = (best - score) * BUCKETS_A_NAT;
    return place < N_BUCKETS - 1 ? (int)place : N_BUCKETS - 1;
}

struct buckets {
    double mass[N_BUCKETS];
    int32_t n[N_BUCKETS];
};

static void fill_buckets(const struct tfr_processors *processors, int64_t n, float best, struct buckets *buckets) {
    memset(buckets, 0, sizeof *buckets);
    for (int64_t i = 0; i < n; i++) {
        const int b = bucket_of(processors->sorted[i].score, best);
        buckets->mass[b] += (double)processors->p[processors->sorted[i].id];
        buckets->n[b]++;
    }
}

/* Of the n tokens in processors->sorted drops the worst, as long as those that are dropped hold at most `tail`, of which `sum` is
 * gone already, and `keep` are left. Whole buckets first, then those of the bucket where it ends, in their order. */
static void drop_worst(struct tfr_processors *processors, float *scores, int64_t n, int64_t keep, float tail, double sum) {
    const float best = scores[tfr_best_id(scores, processors->vocab_size)];
    struct buckets buckets;
    int64_t left = n, here = 0;
    int b = N_BUCKETS - 1;
    fill_buckets(processors, n, best, &buckets);
    for (; b > 0 && left - buckets.n[b] >= keep && !((float)(sum + buckets.mass[b]) > tail); b--) {
        sum += buckets.mass[b];
        left -= buckets.n[b];
    }
    for (int64_t i = 0; i < n; i++) {
        const struct tfr_choice choice = processors->sorted[i];
        const int own = bucket_of(choice.score, best);
        if (own > b) {
            scores[choice.id] = -INFINITY;
        }
        processors->sorted[here] = choice;
        here += own == b;
    }
    tfr_choices_sort(processors->sorted, processors->spare, (size_t)here);
    for (int64_t i = here - 1; i >= 0 && left > keep; i--, left--) {
        const int32_t id = processors->sorted[i].id;
        sum += (double)processors->p[id];
        if ((float)sum > tail) {
            break;
        }
        scores[id] = -INFINITY;
    }
}

/* From the worst token up: dropped while all so far hold at most 1 - top_p together. V tokens of at most a V-th of that do so
 * without being looked at one by one, which leaves few of a real distribution. */
void tfr_apply_top_p(struct tfr_processors *processors, const struct tfr_score_row *row, float *scores) {
    (void)row;
    const int64_t keep = processors->pipeline->min_keep;
    const float tail = (float)(1 - processors->pipeline->top_p);
    float least = tail / (float)processors->vocab_size * 0.99f;
    double sum;
    weigh(processors, scores);
    int64_t n = collect_likely(processors, scores, least, &sum);
    if (n < keep) {
        least = -1;
        n = collect_likely(processors, scores, least, &sum);
    }
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        scores[i] = processors->p[i] > least ? scores[i] : -INFINITY;
    }
    drop_worst(processors, scores, n, keep, tail, sum);
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
    tfr_row_loops()->weights(log_p, processors->vocab_size, 0, processors->p);
    for (int64_t i = 0; i < processors->vocab_size; i++) {
        entropy -= log_p[i] == -INFINITY ? 0 : (double)(log_p[i] * processors->p[i]);
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
