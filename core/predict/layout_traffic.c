/* layout_traffic.c - messages, bytes and memory of each rank of a layout. See layout.h. */
#include "predict/layout.h"

#include <math.h>

struct sent {
    double messages, bytes;
};

static void add(struct sent *sent, double messages, double bytes_each) {
    sent->messages += messages;
    sent->bytes += messages * bytes_each;
}

struct place {
    int replica, stage, shard;
};

static struct place place_of(const struct tfr_layout *layout, int rank) {
    const int n_each = layout->stages * layout->tensor, index = rank % n_each;
    return (struct place){rank / n_each, index / layout->tensor, index % layout->tensor};
}

/* To the head and from it to rank 0. ln_f stands on the first shard of the last stage that has blocks; a split head hears of it on
 * all ranks. */
static void add_head(const struct tfr_layout_question *question, double rows, const struct place *place, struct sent *sent) {
    const struct tfr_layout *layout = question->layout;
    const int stage = place->stage, shard = place->shard;
    const bool is_away = place->replica > 0;
    const double hidden = (double)question->model->n_embd * rows * sizeof(float);
    const double logits = (double)question->model->vocabulary * rows * sizeof(float);
    const int n_holders = layout->stages * layout->tensor, last = tfr_layout_last_stage(layout);
    const bool has_norm = stage == last && shard == 0;
    switch (layout->head) {
    case TFR_PLACE_SPLIT:
        add(sent, has_norm ? n_holders - 1 : 0, hidden);
        add(sent, is_away || stage > 0 || shard > 0 ? 1 : 0, logits / n_holders);
        break;
    case TFR_PLACE_FIRST:
        add(sent, has_norm && last > 0 ? 1 : 0, hidden);
        add(sent, is_away && stage == 0 && shard == 0 ? 1 : 0, logits);
        break;
    case TFR_PLACE_LAST:
        add(sent, has_norm && (is_away || last > 0) ? 1 : 0, logits);
    }
}

/* Twice a block; the first rank of few rows has added its own sums already. */
static void add_sums(const struct tfr_layout_question *question, double rows, int stage, int shard, struct sent *sent) {
    const struct tfr_layout *layout = question->layout;
    const int others = layout->tensor - 1;
    const double hidden = (double)question->model->n_embd * rows * sizeof(float), n_sums = 2.0 * layout->blocks[stage];
    add(sent, stage == 0 && shard == 0 ? others : 0, hidden); /* all shards have the rows */
    if (rows > TFR_LAYOUT_FEW_ROWS) {
        add(sent, n_sums * (shard < others ? 1 : others), hidden);
    } else {
        add(sent, n_sums * others, shard == 0 ? hidden : hidden * (double)question->model->n_head / layout->tensor);
    }
}

static struct sent sent_by(const struct tfr_layout_question *question, double rows, double logits, const struct place *place) {
    const struct tfr_layout *layout = question->layout;
    const double hidden = (double)question->model->n_embd * rows * sizeof(float);
    struct sent sent = {0};
    add(&sent, place->stage < tfr_layout_last_stage(layout) ? 1 : 0, hidden);
    add_sums(question, rows, place->stage, place->shard, &sent);
    if (logits > 0) {
        add_head(question, logits, place, &sent);
    }
    return sent;
}

struct tfr_layout_sent tfr_layout_sent(const struct tfr_layout_question *question, double rows, double logits, int rank) {
    const struct place place = place_of(question->layout, rank);
    const struct sent sent = sent_by(question, rows, logits, &place);
    return (struct tfr_layout_sent){sent.messages, sent.bytes};
}

static double memory_of(const struct tfr_layout_question *question, int stage, int shard) {
    const struct tfr_layout *layout = question->layout;
    const struct tfr_layout_model *model = question->model;
    const struct tfr_layout_load *load = question->load;
    const double sequences = ceil((double)load->sequences / layout->replicas);
    const double positions = sequences * (double)(load->context + 1);
    double bytes = layout->blocks[stage] * (model->block_bytes + positions * model->cached_bytes) / layout->tensor;
    if (stage == 0 && shard == 0) {
        bytes += model->embed_bytes;
    }
    if (layout->head == TFR_PLACE_SPLIT) {
        return bytes + model->head_bytes / ((double)layout->stages * layout->tensor);
    }
    const int holder = layout->head == TFR_PLACE_FIRST ? 0 : tfr_layout_last_stage(layout);
    return bytes + (stage == holder && shard == 0 ? model->head_bytes : 0);
}

void tfr_layout_count(const struct tfr_layout_question *question, struct tfr_layout_times *times) {
    const struct tfr_layout *layout = question->layout;
    for (int index = 0; index < times->n_ranks; index++) {
        const struct place place = place_of(layout, index);
        const struct sent sent = sent_by(question, times->rows, times->rows, &place);
        struct tfr_layout_rank *rank = &times->rank[index];
        rank->messages_a_token = sent.messages / times->rows / layout->replicas;
        rank->bytes_a_token = sent.bytes / times->rows / layout->replicas;
        rank->memory_bytes = memory_of(question, place.stage, place.shard);
        times->messages_a_token += rank->messages_a_token;
        times->bytes_a_token += rank->bytes_a_token;
        times->most_memory_bytes = fmax(times->most_memory_bytes, rank->memory_bytes);
    }
}
