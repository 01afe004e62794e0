/* layout.c - a layout's times of one stream and of many, from those of its steps. See layout.h. */
#include "predict/layout.h"

#include <tfrun/tfrun.h>

#include <math.h>

#include "base/arena.h"
#include "base/status.h"

/* Stages times groups of a ring that is played through: a second's work at most. Larger ones are told by their least round. */
enum { MOST_PLAYED = 4096 };

struct rate {
    int groups;
    double rows, latency_ns, bottleneck_ns, round_ns, tokens_per_s;
};

static struct tfr_layout_step step_of(const struct tfr_layout_question *question, double rows, int in_flight) {
    return (struct tfr_layout_step){.replicas = in_flight > 0 ? question->layout->replicas : 1,
                                    .rows = rows,
                                    .sequences = rows,
                                    .past = (double)question->load->context,
                                    .logits = rows,
                                    .in_flight = in_flight};
}

static struct rate rate_of(const struct tfr_layout_question *question, double sequences, int groups) {
    struct rate rate = {.groups = groups, .rows = ceil(sequences / groups)};
    const struct tfr_layout_step step = step_of(question, rate.rows, groups);
    rate.latency_ns = tfr_layout_latency_ns(question, &step);
    for (int stage = 0; stage < question->layout->stages; stage++) {
        const double wire_ns = tfr_layout_sums_of(question, &step, stage).wire_ns;
        rate.bottleneck_ns = fmax(rate.bottleneck_ns, fmax(wire_ns, tfr_layout_busy_ns(question, &step, stage)));
    }
    const double least_ns = fmax(rate.latency_ns, groups * rate.bottleneck_ns);
    const bool is_played = groups > 1 && groups * question->layout->stages <= MOST_PLAYED;
    const double played_ns = is_played ? tfr_layout_round_ns(question, &step, groups) : least_ns;
    rate.round_ns = played_ns < 0 ? -1 : fmax(played_ns, least_ns);
    rate.tokens_per_s = (double)question->load->sequences / rate.round_ns * 1e9; /* the fullest replica sets the round */
    return rate;
}

/* The number of groups that was asked for, or the best one: more than two for each stage only make steps smaller. Beyond eight not
 * every number is tried. */
static struct rate best_rate(const struct tfr_layout_question *question) {
    const struct tfr_layout *layout = question->layout;
    const double sequences = ceil((double)question->load->sequences / layout->replicas);
    const int most = sequences < 2.0 * layout->stages ? (int)sequences : 2 * layout->stages;
    if (layout->groups > 0) {
        return rate_of(question, sequences, layout->groups < sequences ? layout->groups : (int)sequences);
    }
    struct rate best = rate_of(question, sequences, 1);
    for (int groups = 2; groups <= most; groups += groups < 8 ? 1 : groups / 4) {
        const struct rate rate = rate_of(question, sequences, groups);
        if (rate.round_ns < 0) { /* no memory: another number would be the best one by that */
            return rate;
        }
        best = rate.tokens_per_s > best.tokens_per_s ? rate : best;
    }
    return best;
}

static void fill_ranks(const struct tfr_layout_question *question, struct tfr_layout_times *times) {
    const struct tfr_layout *layout = question->layout;
    const struct tfr_layout_step step = step_of(question, times->rows, times->groups);
    const int n_each = layout->stages * layout->tensor;
    for (int rank = 0; rank < times->n_ranks; rank++) {
        const double busy = tfr_layout_busy_ns(question, &step, rank % n_each / layout->tensor);
        times->rank[rank].busy_ns = busy * times->groups;
        times->rank[rank].wait_share = 1 - times->rank[rank].busy_ns / times->round_ns;
        times->wait_share += times->rank[rank].wait_share / times->n_ranks;
    }
}

enum tfr_status tfr_layout_predict(const struct tfr_layout_question *question, struct tfr_layout_times *times) {
    const struct tfr_layout *layout = question->layout;
    const struct tfr_layout_step single = step_of(question, 1, 0);
    *times = (struct tfr_layout_times){.n_ranks = layout->replicas * layout->stages * layout->tensor};
    double *end = tfr_alloc((size_t)layout->stages, sizeof *end);
    times->rank = tfr_alloc((size_t)times->n_ranks, sizeof *times->rank);
    if (times->rank == NULL || end == NULL) {
        tfr_free(end);
        tfr_free(times->rank);
        times->rank = NULL;
        return TFR_RESOURCE;
    }
    const struct rate rate = best_rate(question);
    times->first_token_ns = tfr_layout_first_token_ns(question, end);
    if (rate.round_ns < 0 || times->first_token_ns < 0) {
        tfr_free(end);
        tfr_free(times->rank);
        times->rank = NULL;
        return TFR_RESOURCE;
    }
    times->token_ns = tfr_layout_latency_ns(question, &single);
    times->tokens_per_s = rate.tokens_per_s;
    times->latency_ns = rate.latency_ns;
    times->bottleneck_ns = rate.bottleneck_ns;
    times->round_ns = rate.round_ns;
    times->groups = rate.groups;
    times->rows = rate.rows;
    fill_ranks(question, times);
    tfr_layout_count(question, times);
    tfr_free(end);
    return TFR_OK;
}

/* Less than this is no difference of layouts but of what formulas leave out. */
static const double alike = 0.01;

bool tfr_layout_is_better(int goal, const struct tfr_layout_times *times, const struct tfr_layout_times *than) {
    const double gain = goal == TFR_GOAL_THROUGHPUT ? times->tokens_per_s / than->tokens_per_s : than->token_ns / times->token_ns;
    if (fabs(gain - 1) > alike) {
        return gain > 1;
    }
    return times->first_token_ns < than->first_token_ns * (1 - alike);
}
