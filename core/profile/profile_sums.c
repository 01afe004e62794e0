/* profile_sums.c - samples of the repetitions of a phase become nodes, with predictions, and sums of each rank. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/samples.h"
#include "profile/profile_run.h"

/* Time of one rank in one repetition, all its steps. */
static double span_of(const struct tfr_phase_samples *all, size_t rep, int rank) {
    double total = 0, end = 0;
    int32_t step = -1;
    for (size_t i = 0; i < all->n_samples[rep]; i++) {
        const struct tfr_task_sample *sample = &all->samples[rep][i];
        if (sample->rank != rank) {
            continue;
        }
        total += sample->step != step ? end : 0;
        end = sample->step != step ? 0 : end;
        step = sample->step;
        end = fmax(end, sample->begin_ns + sample->ns);
    }
    return total + end;
}

struct order {
    double span_ns;
    size_t rep;
};

static int by_span(const void *a, const void *b) {
    const struct order *x = a, *y = b;
    return (x->span_ns > y->span_ns) - (x->span_ns < y->span_ns);
}

/* The middle half by the span of rank 0: kept[rep] is its weight, 0 for the others. */
static enum tfr_status choose_reps(const struct tfr_phase_samples *all, double **kept) {
    const size_t n = all->n_reps, dropped = n / 4, left = n - 2 * dropped;
    struct order *order = tfr_alloc(n, sizeof *order);
    *kept = tfr_alloc(n, sizeof **kept);
    if (order == NULL || *kept == NULL) {
        tfr_free(order);
        tfr_free(*kept);
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = (struct order){.span_ns = span_of(all, i, 0), .rep = i};
    }
    qsort(order, n, sizeof *order, by_span);
    for (size_t i = dropped; i < dropped + left; i++) {
        (*kept)[order[i].rep] = 1 / (double)left;
    }
    tfr_free(order);
    return TFR_OK;
}

static struct tfr_profile_node *find_or_add(struct tfr_profile *profile, enum tfr_phase phase,
                                            const struct tfr_task_sample *sample) {
    for (size_t i = profile->n_nodes; i > 0; i--) {
        struct tfr_profile_node *node = &profile->nodes[i - 1];
        if (node->phase == (int32_t)phase && node->rank == sample->rank && strcmp(node->facts.name, sample->facts.name) == 0) {
            return node;
        }
    }
    struct tfr_profile_node *grown = tfr_realloc(profile->nodes, profile->n_nodes + 1, sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    profile->nodes = grown;
    struct tfr_profile_node *node = &grown[profile->n_nodes++];
    *node = (struct tfr_profile_node){.facts = sample->facts, .phase = (int32_t)phase, .rank = sample->rank};
    node->facts.flops = node->facts.near_bytes = node->facts.far_bytes = 0;
    return node;
}

/* What is counted and predicted is the same in each repetition: it is taken of the first. */
static void predict(struct tfr_profile_node *node, const struct tfr_calibration *calibration, const struct tfr_task_facts *facts) {
    struct tfr_task_prediction prediction;
    node->facts.flops += facts->flops;
    node->facts.near_bytes += facts->near_bytes;
    node->facts.far_bytes += facts->far_bytes;
    if (facts->is_message) {
        return;
    }
    tfr_predict_task(calibration, facts, &prediction);
    node->bound = prediction.bound;
    node->base = prediction.base;
    node->predicted_ns += prediction.ns;
    node->roof_ns += prediction.roof_ns;
}

static enum tfr_status add_nodes(struct tfr_profile *profile, enum tfr_phase phase, const struct tfr_phase_samples *all,
                                 const double *kept) {
    struct tfr_calibration now = profile->calibration; /* what it points to stays */
    now.roofs = tfr_roofs_with_memory(&now.roofs, profile->phase[phase].memory_rate);
    for (size_t rep = 0; rep < all->n_reps; rep++) {
        for (size_t i = 0; i < all->n_samples[rep]; i++) {
            const struct tfr_task_sample *sample = &all->samples[rep][i];
            struct tfr_profile_node *node = find_or_add(profile, phase, sample);
            if (node == NULL) {
                return TFR_RESOURCE;
            }
            node->ns += kept[rep] * sample->ns;
            node->waited_ns += kept[rep] * sample->waited_ns;
            if (rep == 0) {
                predict(node, &now, &sample->facts);
            }
        }
    }
    return TFR_OK;
}

/* Tasks that this rank has in a step. */
static int tasks_of(const struct tfr_phase_samples *all, int rank, int32_t step) {
    int n = 0;
    for (size_t i = 0; i < all->n_samples[0]; i++) {
        const struct tfr_task_sample *sample = &all->samples[0][i];
        n += sample->rank == rank && sample->step == step && !sample->facts.is_message;
    }
    return n;
}

static void sum_rank(struct tfr_profile *profile, enum tfr_phase phase, const struct tfr_phase_samples *all, const double *kept,
                     int rank) {
    struct tfr_profile_rank *sums = &profile->phase[phase].ranks[rank];
    for (size_t rep = 0; rep < all->n_reps; rep++) {
        sums->span_ns += kept[rep] > 0 ? kept[rep] * span_of(all, rep, rank) : 0;
    }
    for (size_t i = 0; i < profile->n_nodes; i++) {
        const struct tfr_profile_node *node = &profile->nodes[i];
        if (node->phase == (int32_t)phase && node->rank == rank) {
            sums->busy_ns += node->facts.is_message ? 0 : node->ns;
            sums->waited_ns += node->waited_ns;
            sums->predicted_ns += node->predicted_ns;
        }
    }
    for (size_t step = 0; step < all->n_steps; step++) {
        sums->predicted_between_ns += tfr_predict_between(&profile->calibration, all->steps[step].rows, all->steps[step].rows,
                                                          tasks_of(all, rank, (int32_t)step));
    }
    sums->predicted_ns += sums->predicted_between_ns;
    sums->between_ns = sums->span_ns - sums->busy_ns - sums->waited_ns;
}

enum tfr_status tfr_profile_add_phase(struct tfr_profile *profile, enum tfr_phase phase, const struct tfr_phase_samples *all) {
    struct tfr_profile_phase *to = &profile->phase[phase];
    double *kept;
    TFR_TRY(choose_reps(all, &kept));
    to->is_there = true;
    to->first = all->steps[0];
    to->n_steps = (int64_t)all->n_steps;
    to->n_reps = (int64_t)all->n_reps;
    to->ranks = tfr_alloc((size_t)profile->n_ranks, sizeof *to->ranks);
    enum tfr_status status = to->ranks != NULL ? add_nodes(profile, phase, all, kept) : TFR_RESOURCE;
    for (int rank = 0; rank < profile->n_ranks && status == TFR_OK; rank++) {
        sum_rank(profile, phase, all, kept, rank);
    }
    tfr_free(kept);
    return status;
}
