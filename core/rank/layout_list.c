/* layout_list.c - see layout_list.h. */
#include "rank/layout_list.h"

#include <tfrun/tfrun.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/plural.h"
#include "base/status.h"
#include "config/config.h"
#include "mpi/partition.h"

struct maker {
    struct tfr_layout_list *list;
    const struct tfr_layout_question *question;
    int64_t n_layer;
    int n_ranks;
};

struct wish {
    int replicas, stages, tensor;
    enum tfr_head_place head;
    int split; /* of parallel.split: what weighs */
};

static double time_of(const struct maker *maker, const struct wish *wish, enum tfr_piece piece, bool is_prompt) {
    const struct tfr_layout_load *load = maker->question->load;
    const struct tfr_piece_question asked = {.piece = piece,
                                             .rows = is_prompt ? (double)load->chunk : 1,
                                             .sequences = 1,
                                             .past = is_prompt ? 0 : (double)load->context,
                                             .shares = wish->tensor,
                                             .active = 1};
    return maker->question->ns(maker->question->user, &asked);
}

/* A prompt needs the head and its companions once, so beside its chunks they weigh nothing. */
static double piece_ns(const struct maker *maker, const struct wish *wish, enum tfr_piece piece) {
    const struct tfr_layout_load *load = maker->question->load;
    const bool is_of_all = piece == TFR_PIECE_BLOCK || piece == TFR_PIECE_EMBED;
    if (wish->split == TFR_SPLIT_PREFILL) {
        return is_of_all ? time_of(maker, wish, piece, true) : 0;
    }
    const double token_ns = time_of(maker, wish, piece, false);
    if (wish->split != TFR_SPLIT_MIXED) {
        return token_ns;
    }
    const int64_t n_chunks = (load->prompt + load->chunk - 1) / load->chunk;
    return (double)load->tokens * token_ns + (is_of_all ? (double)n_chunks * time_of(maker, wish, piece, true) : token_ns);
}

/* Blocks of each stage. */
static enum tfr_status deal(const struct maker *maker, const struct wish *wish, int *blocks) {
    const int64_t n_layer = maker->n_layer;
    const double head = wish->head == TFR_PLACE_SPLIT ? 0 : piece_ns(maker, wish, TFR_PIECE_HEAD);
    const double first = piece_ns(maker, wish, TFR_PIECE_EMBED) + (wish->head == TFR_PLACE_FIRST ? head : 0) +
                         piece_ns(maker, wish, TFR_PIECE_SAMPLE);
    const double last = (wish->head == TFR_PLACE_LAST ? head : 0) + piece_ns(maker, wish, TFR_PIECE_NORM);
    int *owner = tfr_alloc((size_t)n_layer, sizeof *owner);
    double *cost = tfr_alloc((size_t)n_layer, sizeof *cost);
    enum tfr_status status = owner != NULL && cost != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK && wish->split == TFR_SPLIT_HF) {
        tfr_partition_hf(n_layer, wish->stages, owner);
    } else if (status == TFR_OK) {
        for (int64_t i = 0; i < n_layer; i++) {
            cost[i] = i > 0 ? cost[0] : piece_ns(maker, wish, TFR_PIECE_BLOCK);
        }
        status = tfr_partition_balanced(cost, n_layer, first, last, wish->stages, owner);
    }
    for (int64_t i = 0; i < n_layer && status == TFR_OK; i++) {
        blocks[owner[i]]++;
    }
    tfr_free(cost);
    tfr_free(owner);
    return status;
}

static void refuse(const struct maker *maker, const struct wish *wish, struct tfr_listed_layout *item) {
    const struct tfr_layout_model *model = maker->question->model;
    const int64_t sequences = maker->question->load->sequences;
    if (model->n_head % wish->tensor != 0) {
        snprintf(item->refusal, sizeof item->refusal, "%d does not divide %lld heads", wish->tensor, (long long)model->n_head);
    } else if (wish->tensor > 1 && model->has_one_sum) {
        snprintf(item->refusal, sizeof item->refusal, "whole numbers (--dtype) are not added head by head");
    } else if (wish->replicas > sequences) {
        snprintf(item->refusal, sizeof item->refusal, "%d groups have %lld sequence%s to serve", wish->replicas,
                 (long long)sequences, tfr_plural(sequences));
    }
}

static double most_replicas(void) {
    size_t n, i = 0;
    const struct tfr_option_info *table = tfr_option_table(&n);
    while (i + 1 < n && strcmp(table[i].key, "parallel.replicas") != 0) {
        i++;
    }
    return table[i].max;
}

/* More than the option allows are predicted all the same. */
static void note_too_many(const struct wish *wish, struct tfr_listed_layout *item) {
    const double most = most_replicas();
    item->can_run = wish->replicas <= most;
    if (!item->can_run) {
        snprintf(item->note, sizeof item->note, "a prediction: --replicas is %.0f at most", most);
    }
}

/* Stages that have no work: no block, and neither embeddings nor a share of the head. */
static void note_idle(const struct wish *wish, struct tfr_listed_layout *item) {
    int n_idle = 0;
    for (int stage = 1; stage < wish->stages; stage++) {
        n_idle += item->blocks[stage] == 0;
    }
    if (n_idle > 0) {
        snprintf(item->note, sizeof item->note, "%d of %d stages have no block", n_idle, wish->stages);
    }
}

static enum tfr_status add(const struct maker *maker, const char *name, const char *flags, const struct wish *wish) {
    if (maker->list->n == TFR_MOST_LAYOUTS) {
        return TFR_OK; /* more ways to divide than anybody reads; the first ones have the most stages */
    }
    struct tfr_listed_layout *item = &maker->list->item[maker->list->n++];
    *item = (struct tfr_listed_layout){0};
    snprintf(item->name, sizeof item->name, "%s", name);
    snprintf(item->flags, sizeof item->flags, "%s", flags);
    refuse(maker, wish, item);
    if (item->refusal[0] != '\0') {
        return TFR_OK;
    }
    item->blocks = tfr_alloc((size_t)wish->stages, sizeof *item->blocks);
    if (item->blocks == NULL) {
        return TFR_RESOURCE;
    }
    item->layout = (struct tfr_layout){.replicas = wish->replicas,
                                       .stages = wish->stages,
                                       .tensor = wish->tensor,
                                       .head = wish->head,
                                       .blocks = item->blocks,
                                       .groups = maker->question->layout != NULL ? maker->question->layout->groups : 0};
    item->split = wish->split;
    TFR_TRY(deal(maker, wish, item->blocks));
    note_idle(wish, item);
    note_too_many(wish, item);
    return TFR_OK;
}

static enum tfr_status add_pipelines(const struct maker *maker) {
    const int n = maker->n_ranks;
    TFR_TRY(add(maker, "hf", "--split hf", &(struct wish){1, n, 1, TFR_PLACE_FIRST, TFR_SPLIT_HF}));
    TFR_TRY(add(maker, "balanced", "--split balanced", &(struct wish){1, n, 1, TFR_PLACE_FIRST, TFR_SPLIT_BALANCED}));
    TFR_TRY(add(maker, "prefill", "--split prefill", &(struct wish){1, n, 1, TFR_PLACE_FIRST, TFR_SPLIT_PREFILL}));
    if (maker->question->load->tokens > 0) {
        TFR_TRY(add(maker, "mixed", "--split mixed", &(struct wish){1, n, 1, TFR_PLACE_FIRST, TFR_SPLIT_MIXED}));
    }
    TFR_TRY(add(maker, "head last", "--head last", &(struct wish){1, n, 1, TFR_PLACE_LAST, TFR_SPLIT_BALANCED}));
    return add(maker, "head split", "--head split", &(struct wish){1, n, 1, TFR_PLACE_SPLIT, TFR_SPLIT_BALANCED});
}

static enum tfr_status add_hybrids(const struct maker *maker) {
    bool any = false;
    for (int tensor = 2; tensor < maker->n_ranks; tensor++) {
        if (maker->n_ranks % tensor != 0) {
            continue;
        }
        char name[32], flags[64];
        const struct wish wish = {1, maker->n_ranks / tensor, tensor, TFR_PLACE_SPLIT, TFR_SPLIT_BALANCED};
        snprintf(name, sizeof name, "hybrid %dx%d", wish.stages, tensor);
        snprintf(flags, sizeof flags, "--tensor %d --head split", tensor);
        any = true;
        if (maker->question->model->n_head % tensor == 0) { /* the others are refused by the line of tensor */
            TFR_TRY(add(maker, name, flags, &wish));
        }
    }
    if (!any && maker->list->n < TFR_MOST_LAYOUTS) {
        struct tfr_listed_layout *item = &maker->list->item[maker->list->n++];
        *item = (struct tfr_listed_layout){.name = "hybrid"};
        snprintf(item->refusal, sizeof item->refusal, "%d ranks are no product of stages and shares", maker->n_ranks);
    }
    return TFR_OK;
}

static enum tfr_status add_replicas(const struct maker *maker) {
    for (int replicas = 2; replicas <= maker->n_ranks; replicas++) {
        if (maker->n_ranks % replicas != 0) {
            continue;
        }
        char name[32], flags[64];
        const int stages = maker->n_ranks / replicas;
        const struct wish wish = {replicas, stages, 1, stages > 1 ? TFR_PLACE_SPLIT : TFR_PLACE_FIRST, TFR_SPLIT_BALANCED};
        snprintf(name, sizeof name, stages > 1 ? "replicas %dx%d" : "replicas %d", replicas, stages);
        snprintf(flags, sizeof flags, stages > 1 ? "--replicas %d --head split" : "--replicas %d", replicas);
        TFR_TRY(add(maker, name, flags, &wish));
    }
    return TFR_OK;
}

static enum tfr_status make(const struct maker *maker) {
    char name[32], flags[64];
    if (maker->n_ranks == 1) {
        return add(maker, "one rank", "", &(struct wish){1, 1, 1, TFR_PLACE_FIRST, TFR_SPLIT_BALANCED});
    }
    TFR_TRY(add_pipelines(maker));
    snprintf(name, sizeof name, "tensor %d", maker->n_ranks);
    snprintf(flags, sizeof flags, "--tensor %d --head split", maker->n_ranks);
    TFR_TRY(add(maker, name, flags, &(struct wish){1, 1, maker->n_ranks, TFR_PLACE_SPLIT, TFR_SPLIT_BALANCED}));
    TFR_TRY(add_hybrids(maker));
    return add_replicas(maker);
}

enum tfr_status tfr_layout_list_make(struct tfr_layout_list *list, const struct tfr_layout_question *question, int64_t n_layer,
                                     int n_ranks) {
    const struct maker maker = {.list = list, .question = question, .n_layer = n_layer, .n_ranks = n_ranks};
    list->n = 0;
    const enum tfr_status status = make(&maker);
    if (status != TFR_OK) {
        tfr_layout_list_free(list);
    }
    return status;
}

void tfr_layout_list_free(struct tfr_layout_list *list) {
    for (int i = 0; i < list->n; i++) {
        tfr_free(list->item[i].blocks);
    }
    list->n = 0;
}
