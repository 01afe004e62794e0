/* layout_steps.c - time of a step on each stage of a layout, and of a chain of steps. See layout.h. */
#include "predict/layout.h"

#include <math.h>

static int node_of(const struct tfr_layout_question *question, int replica, int stage, int shard) {
    const struct tfr_layout *layout = question->layout;
    return ((replica * layout->stages + stage) * layout->tensor + shard) / question->cluster->ranks_per_node;
}

const struct tfr_link *tfr_layout_link(const struct tfr_layout_question *question, int stage, int other) {
    const struct tfr_layout *layout = question->layout;
    const int first = stage < 0 ? 0 : stage, last = stage < 0 ? layout->stages - 1 : other;
    for (int replica = 0; replica < layout->replicas; replica++) {
        const int from = first == last || stage < 0 ? 0 : layout->tensor; /* shards of neighbours speak to their like */
        if (from == 0 && node_of(question, replica, first, 0) != node_of(question, replica, last, layout->tensor - 1)) {
            return &question->cluster->net;
        }
        for (int shard = 0; shard < from; shard++) {
            if (node_of(question, replica, first, shard) != node_of(question, replica, last, shard)) {
                return &question->cluster->net;
            }
        }
    }
    return &question->cluster->shm;
}

/* The slowest rank of a stage, over all replicas. */
double tfr_layout_speed(const struct tfr_layout_question *question, int stage) {
    const struct tfr_layout *layout = question->layout;
    double least = INFINITY;
    if (question->cluster->speed == NULL) {
        return 1;
    }
    for (int replica = 0; replica < layout->replicas; replica++) {
        for (int shard = 0; shard < layout->tensor; shard++) {
            least = fmin(least, question->cluster->speed[(replica * layout->stages + stage) * layout->tensor + shard]);
        }
    }
    return least;
}

/* Ranks of a node that compute at the same time: those of the stages in flight, and all that share a piece. */
static double active(const struct tfr_layout_question *question, const struct tfr_layout_step *step, double shares) {
    const struct tfr_layout *layout = question->layout;
    const int stages = step->in_flight < layout->stages ? step->in_flight : layout->stages;
    const double in_stages = (double)step->replicas * (stages > 0 ? stages : 1) * layout->tensor;
    return fmin(question->cluster->ranks_per_node, fmax(in_stages, shares));
}

static double piece(const struct tfr_layout_question *question, const struct tfr_layout_step *step, enum tfr_piece piece,
                    double rows, double shares) {
    const struct tfr_piece_question asked = {.piece = piece,
                                             .rows = rows,
                                             .sequences = step->sequences,
                                             .past = step->past,
                                             .shares = shares,
                                             .active = active(question, step, shares)};
    return rows > 0 ? question->ns(question->user, &asked) : 0;
}

double tfr_layout_piece_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, enum tfr_piece which,
                           double shares) {
    return piece(question, step, which, step->rows, shares);
}

int tfr_layout_last_stage(const struct tfr_layout *layout) {
    int stage = layout->stages - 1;
    while (stage > 0 && layout->blocks[stage] == 0) {
        stage--;
    }
    return stage;
}

/* Of the rank that has it: a head that is not split stands on one rank, whatever shares there are. */
static double head_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage) {
    const struct tfr_layout *layout = question->layout;
    if (layout->head == TFR_PLACE_SPLIT) {
        return piece(question, step, TFR_PIECE_HEAD, step->logits, (double)layout->stages * layout->tensor);
    }
    const int holder = layout->head == TFR_PLACE_FIRST ? 0 : tfr_layout_last_stage(layout);
    return stage == holder ? piece(question, step, TFR_PIECE_HEAD, step->logits, 1) : 0;
}

/* The part of a stage that every step has, before the head. */
double tfr_layout_body_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage) {
    const struct tfr_layout *layout = question->layout;
    double ns = layout->blocks[stage] * piece(question, step, TFR_PIECE_BLOCK, step->rows, layout->tensor);
    if (stage == 0) {
        ns += piece(question, step, TFR_PIECE_EMBED, step->rows, 1);
    }
    return ns / tfr_layout_speed(question, stage) + tfr_layout_sums_of(question, step, stage).add_ns;
}

static double tail_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage) {
    double ns = head_ns(question, step, stage);
    if (stage == tfr_layout_last_stage(question->layout)) {
        ns += piece(question, step, TFR_PIECE_NORM, step->logits, 1);
    }
    if (stage == 0) {
        ns += piece(question, step, TFR_PIECE_SAMPLE, step->logits * question->layout->replicas, 1);
    }
    return ns / tfr_layout_speed(question, stage);
}

double tfr_layout_busy_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage) {
    return tfr_layout_body_ns(question, step, stage) + tail_ns(question, step, stage);
}

static double head_link_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, double *logits_ns) {
    const struct tfr_layout *layout = question->layout;
    const double hidden = (double)question->model->n_embd * step->logits * sizeof(float);
    const double logits = (double)question->model->vocabulary * step->logits * sizeof(float);
    const double n_holders = (double)layout->stages * layout->tensor;
    const int last = tfr_layout_last_stage(layout);
    *logits_ns = 0;
    if (layout->head == TFR_PLACE_SPLIT) { /* one rank tells all others, and all others tell one */
        const struct tfr_link *link = tfr_layout_link(question, -1, -1);
        *logits_ns = n_holders > 1 ? tfr_link_several_ns(link, n_holders - 1, logits / n_holders) : 0;
        return n_holders > 1 ? tfr_link_several_ns(link, n_holders - 1, hidden) : 0;
    }
    if (last > 0 && layout->head == TFR_PLACE_LAST) {
        *logits_ns = tfr_link_ns(tfr_layout_link(question, 0, last), logits);
    }
    return last > 0 && layout->head == TFR_PLACE_FIRST ? tfr_link_ns(tfr_layout_link(question, 0, last), hidden) : 0;
}

/* Rank 0 samples for all replicas: the logits of the others come to it over one wire. */
static double others_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step) {
    const struct tfr_layout *layout = question->layout;
    const int last = (step->replicas - 1) * layout->stages * layout->tensor; /* the first rank of the last one */
    const struct tfr_cluster *cluster = question->cluster;
    const struct tfr_link *link = last / cluster->ranks_per_node > 0 ? &cluster->net : &cluster->shm;
    const double bytes = (double)question->model->vocabulary * step->logits * sizeof(float);
    return step->replicas > 1 ? tfr_link_several_ns(link, step->replicas - 1, bytes) : 0;
}

struct tfr_layout_costs tfr_layout_end_costs(const struct tfr_layout_question *question, const struct tfr_layout_step *step) {
    const struct tfr_layout *layout = question->layout;
    const int last = tfr_layout_last_stage(layout);
    const bool stays = layout->head == TFR_PLACE_LAST || (layout->head == TFR_PLACE_FIRST && last == 0);
    const double shares = layout->head == TFR_PLACE_SPLIT ? (double)layout->stages * layout->tensor : 1;
    const double head_ns = piece(question, step, TFR_PIECE_HEAD, step->logits, shares);
    struct tfr_layout_costs costs = {.tail_ns = piece(question, step, TFR_PIECE_NORM, step->logits, 1), .head_apart = !stays};
    costs.to_head_ns = head_link_ns(question, step, &costs.to_sample_ns);
    costs.to_sample_ns += others_ns(question, step);
    costs.tail_ns = (costs.tail_ns + (stays ? head_ns : 0)) / tfr_layout_speed(question, last);
    costs.head_ns = layout->head == TFR_PLACE_SPLIT ? head_ns : head_ns / tfr_layout_speed(question, 0);
    costs.sample_ns = piece(question, step, TFR_PIECE_SAMPLE, step->logits, 1) / tfr_layout_speed(question, 0);
    if (costs.head_apart && shares <= 1) {
        costs.head_ns += costs.sample_ns;
        costs.sample_ns = 0;
    }
    return costs;
}

/* From the end of the last block to the token on rank 0: what has to cross, and the head, whose shares run at the same time. */
static double end_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step) {
    const struct tfr_layout *layout = question->layout;
    const struct tfr_layout_costs costs = tfr_layout_end_costs(question, step);
    double slowest = costs.head_apart ? costs.head_ns : 0;
    for (int stage = 0; stage < layout->stages && layout->head == TFR_PLACE_SPLIT; stage++) {
        slowest = fmax(slowest, costs.head_ns / tfr_layout_speed(question, stage));
    }
    return costs.tail_ns + costs.to_head_ns + slowest + costs.to_sample_ns + costs.sample_ns;
}

/* Rows that go to the next stage that has blocks. */
double tfr_layout_hop_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step, int stage) {
    const double hidden = (double)question->model->n_embd * step->rows * sizeof(float);
    return tfr_link_ns(tfr_layout_link(question, stage - 1, stage), hidden);
}

double tfr_layout_latency_ns(const struct tfr_layout_question *question, const struct tfr_layout_step *step) {
    const int last = tfr_layout_last_stage(question->layout);
    double ns = 0;
    for (int stage = 0; stage <= last; stage++) {
        ns += tfr_layout_body_ns(question, step, stage) + tfr_layout_sums_of(question, step, stage).wait_ns;
        ns += stage > 0 ? tfr_layout_hop_ns(question, step, stage) : 0;
    }
    return ns + end_ns(question, step);
}

/* A rank is busy with a piece, or its wire is. Another piece may use the time in which one waits for sums. */
static double read_ns(const struct tfr_layout_question *question, double *end, int64_t n_chunks) {
    const struct tfr_layout_load *load = question->load;
    const int last = tfr_layout_last_stage(question->layout);
    struct tfr_layout_step step = {.replicas = 1, .sequences = 1, .in_flight = n_chunks < 1 << 20 ? (int)n_chunks : 1 << 20};
    for (int stage = 0; stage <= last; stage++) {
        end[stage] = 0;
    }
    for (int64_t done = 0; done < load->prompt; done += load->chunk) {
        step.rows = (double)(load->prompt - done < load->chunk ? load->prompt - done : load->chunk);
        step.past = (double)done;
        for (int stage = 0; stage <= last; stage++) {
            const double arrived = stage > 0 ? end[stage - 1] + tfr_layout_hop_ns(question, &step, stage) : 0;
            const double body_ns = tfr_layout_body_ns(question, &step, stage);
            const struct tfr_layout_sums sums = tfr_layout_sums_of(question, &step, stage);
            end[stage] = fmax(end[stage] + fmax(body_ns, sums.wire_ns), arrived + body_ns + sums.wait_ns);
        }
    }
    return end[last];
}

double tfr_layout_first_token_ns(const struct tfr_layout_question *question, double *end) {
    const struct tfr_layout_load *load = question->load;
    const int64_t n_chunks = (load->prompt + load->chunk - 1) / load->chunk;
    const struct tfr_layout_step final = {
        .replicas = 1, .rows = 1, .sequences = 1, .past = (double)load->prompt, .logits = 1, .in_flight = 0};
    const bool plays = question->layout->tensor > 1 && tfr_layout_may_play(question, n_chunks);
    const double ns = plays ? tfr_layout_play_ns(question, (int)n_chunks) : read_ns(question, end, n_chunks);
    return ns < 0 ? -1 : ns + end_ns(question, &final);
}
