/* picture_fold.c - equal blocks drawn once: a run of blocks in which every box costs the same and is fed the same way becomes its
 * first block, with a number of times.
 *
 * What feeds the first block and what the last one feeds may be anything; between them a block is fed by its own boxes, by those of
 * the block before, by a box outside that feeds all of them, or by the same block of another rank, where ranks hold shards of it.
 * Those ranks fold alike: what cuts a run on one of them cuts it on all.
 */
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "picture/picture.h"

/* Boxes of one block: consecutive. */
struct block {
    int first, n;
};

struct folder {
    struct tfr_picture *picture;
    int *to;                 /* [boxes] the box that stands for it; -1: none does */
    int *index;              /* [boxes] where it comes to stand */
    int *first_to, *last_to; /* [boxes] the first and the last box that reads it; without one: behind all boxes, and -1 */
    bool *is_shared;         /* [blocks] ranks hold shards of it, which send to each other */
    bool *is_cut;            /* [blocks] no run goes on behind it */
};

static struct block block_at(const struct tfr_picture *picture, int first) {
    const struct tfr_picture_node *node = &picture->nodes[first];
    struct block block = {.first = first};
    for (int i = first; i < picture->n_nodes && picture->nodes[i].layer == node->layer && picture->nodes[i].panel == node->panel;
         i++) {
        block.n++;
    }
    return block;
}

/* Within one block, from a rank to another. */
static bool is_between_shards(const struct tfr_picture *picture, const struct tfr_picture_edge *edge) {
    const struct tfr_picture_node *from = &picture->nodes[edge->from], *to = &picture->nodes[edge->to];
    return from->panel != to->panel && from->layer >= 0 && from->layer == to->layer;
}

static int place_in_block(const struct tfr_picture *picture, int node) {
    const struct tfr_picture_node *nodes = picture->nodes;
    int first = node;
    while (first > 0 && nodes[first - 1].layer == nodes[node].layer && nodes[first - 1].panel == nodes[node].panel) {
        first--;
    }
    return node - first;
}

static bool is_inside(const struct block *block, int node) {
    return node >= block->first && node < block->first + block->n;
}

/* "attn.c_attn" of "h.3.attn.c_attn" */
static const char *name_in_block(const char *name) {
    const char *dot = strchr(name, '.');
    dot = dot != NULL ? strchr(dot + 1, '.') : NULL;
    return dot != NULL ? dot + 1 : name;
}

static bool same_box(const struct tfr_picture_node *a, const struct tfr_picture_node *b) {
    const bool same_kernel =
        a->kernel == b->kernel || (a->kernel != NULL && b->kernel != NULL && strcmp(a->kernel, b->kernel) == 0);
    return a->kind == b->kind && a->op == b->op && same_kernel && a->flops == b->flops && a->bytes_read == b->bytes_read &&
           a->bytes_written == b->bytes_written && a->predicted_ns == b->predicted_ns && a->n_edges == b->n_edges &&
           strcmp(a->what, b->what) == 0 && strcmp(a->shape, b->shape) == 0 && strcmp(a->weight, b->weight) == 0 &&
           strcmp(name_in_block(a->name), name_in_block(b->name)) == 0;
}

/* Whether an edge into `block` and one into `next`, behind it, come from the same place as their blocks see it. For the first block
 * of a run (`before` NULL) whatever comes from outside may be what later comes from the block before. */
static bool same_origin(const struct block *before, const struct block *block, const struct block *next, int from, int next_from) {
    if (is_inside(block, from) || is_inside(next, next_from)) {
        return is_inside(block, from) && is_inside(next, next_from) && from - block->first == next_from - next->first;
    }
    if (!is_inside(block, next_from)) {
        return from == next_from;
    }
    return before == NULL || (is_inside(before, from) && from - before->first == next_from - block->first);
}

static bool same_shard(const struct tfr_picture *picture, const struct tfr_picture_edge *x, const struct tfr_picture_edge *y) {
    return is_between_shards(picture, x) && is_between_shards(picture, y) &&
           picture->nodes[x->from].panel == picture->nodes[y->from].panel &&
           place_in_block(picture, x->from) == place_in_block(picture, y->from);
}

static bool same_block(const struct tfr_picture *picture, const struct block *before, const struct block *block,
                       const struct block *next) {
    if (block->n != next->n) {
        return false;
    }
    for (int i = 0; i < block->n; i++) {
        const struct tfr_picture_node *a = &picture->nodes[block->first + i], *b = &picture->nodes[next->first + i];
        if (!same_box(a, b)) {
            return false;
        }
        for (int e = 0; e < a->n_edges; e++) {
            const struct tfr_picture_edge *x = &picture->edges[a->first_edge + e], *y = &picture->edges[b->first_edge + e];
            if (x->arrow != y->arrow || (!same_shard(picture, x, y) && !same_origin(before, block, next, x->from, y->from))) {
                return false;
            }
        }
    }
    return true;
}

/* Whether something that is not of the next block reads what `block` makes; shards of `block` do not count. */
static bool is_shown(const struct folder *folder, const struct block *block, const struct block *next) {
    for (int i = block->first; i < next->first; i++) {
        if (folder->first_to[i] < block->first || folder->last_to[i] >= next->first + next->n) {
            return true;
        }
    }
    return false;
}

static void find_readers(struct folder *folder) {
    for (int i = 0; i < folder->picture->n_nodes; i++) {
        folder->first_to[i] = folder->picture->n_nodes;
        folder->last_to[i] = -1;
    }
    for (int e = 0; e < folder->picture->n_edges; e++) {
        const struct tfr_picture_edge *edge = &folder->picture->edges[e];
        if (is_between_shards(folder->picture, edge)) {
            folder->is_shared[folder->picture->nodes[edge->from].layer] = true;
            continue;
        }
        int *first = &folder->first_to[edge->from], *last = &folder->last_to[edge->from];
        *first = edge->to < *first ? edge->to : *first;
        *last = edge->to > *last ? edge->to : *last;
    }
}

/* How many blocks from this one on can be drawn as one. */
static int run_length(const struct folder *folder, struct block block) {
    const struct tfr_picture *picture = folder->picture;
    const struct block *before = NULL;
    struct block kept;
    int n = 1;
    for (;; n++) {
        const int at = block.first + block.n;
        const bool is_next = at < picture->n_nodes && picture->nodes[at].panel == picture->nodes[block.first].panel &&
                             picture->nodes[at].layer == picture->nodes[block.first].layer + 1;
        const struct block next = is_next ? block_at(picture, at) : (struct block){0};
        if (!is_next || folder->is_cut[picture->nodes[block.first].layer] || is_shown(folder, &block, &next) ||
            !same_block(picture, before, &block, &next)) {
            return n;
        }
        kept = block;
        before = &kept;
        block = next;
    }
}

/* Runs of one rank that end where blocks have shards elsewhere. A part of a run is one too, so no rank has another end then. */
static void find_cuts(struct folder *folder) {
    const struct tfr_picture *picture = folder->picture;
    for (int i = 0; i < picture->n_nodes;) {
        if (picture->nodes[i].layer < 0) {
            i++;
            continue;
        }
        const struct block block = block_at(picture, i);
        const int n = run_length(folder, block);
        const int64_t last = picture->nodes[i].layer + n - 1;
        folder->is_cut[last] = folder->is_cut[last] || folder->is_shared[last];
        i += block.n * n;
    }
}

/* The first block stands for n of them. */
static enum tfr_status take_run(struct folder *folder, struct block block, int n) {
    struct tfr_picture *picture = folder->picture;
    struct tfr_picture_fold *fold =
        tfr_picture_more((void **)&picture->folds, &picture->n_folds, &picture->fold_room, sizeof *picture->folds);
    if (fold == NULL) {
        return TFR_RESOURCE;
    }
    struct tfr_picture_node *nodes = &picture->nodes[block.first];
    *fold = (struct tfr_picture_fold){.panel = nodes->panel, .first = nodes->layer, .last = nodes->layer + n - 1};
    for (int i = 0; i < block.n * n; i++) {
        struct tfr_picture_node *one = &nodes[i % block.n];
        folder->to[block.first + i] = block.first + i % block.n;
        if (i >= block.n) {
            one->measured_ns += nodes[i].measured_ns;
            one->share += nodes[i].share;
            one->critical |= nodes[i].critical;
        }
    }
    for (int i = 0; i < block.n; i++) {
        char name[sizeof nodes[i].name];
        nodes[i].times = n;
        nodes[i].fold = picture->n_folds - 1;
        snprintf(name, sizeof name, "h.*.%s", name_in_block(nodes[i].name));
        memcpy(nodes[i].name, name, sizeof name);
    }
    return TFR_OK;
}

static enum tfr_status find_runs(struct folder *folder) {
    const struct tfr_picture *picture = folder->picture;
    for (int i = 0; i < picture->n_nodes;) {
        folder->to[i] = i;
        if (picture->nodes[i].layer < 0) {
            i++;
            continue;
        }
        const struct block block = block_at(picture, i);
        const int n = run_length(folder, block);
        for (int j = i; j < i + block.n; j++) {
            folder->to[j] = j;
        }
        if (n > 1) {
            TFR_TRY(take_run(folder, block, n));
        }
        i += block.n * n;
    }
    return TFR_OK;
}

/* Edges between boxes that stand for themselves, and each one of a fold once: that out of its last block, that into its first,
 * those inside, and those from block to block. */
static void fold_edge(struct folder *folder, const struct tfr_picture_edge *edge, struct tfr_picture_edge *kept, int *n_kept,
                      int first) {
    const struct tfr_picture *picture = folder->picture;
    struct tfr_picture_edge folded = *edge;
    const int fold = picture->nodes[folder->to[edge->from]].fold;
    const bool is_same = fold >= 0 && fold == picture->nodes[folder->to[edge->to]].fold;
    if (is_same && picture->nodes[edge->from].layer != picture->nodes[edge->to].layer) {
        folded.arrow = TFR_PICTURE_AGAIN;
    }
    folded.from = folder->index[folder->to[edge->from]];
    folded.to = folder->index[folder->to[edge->to]];
    for (int e = first; e < *n_kept; e++) {
        if (kept[e].from == folded.from && kept[e].to == folded.to && kept[e].arrow == folded.arrow) {
            kept[e].critical |= folded.critical;
            return;
        }
    }
    kept[(*n_kept)++] = folded;
}

/* Edges of all boxes that one stands for, gathered behind it. */
static void fold_edges(struct folder *folder, struct tfr_picture_edge *kept, int *n_kept) {
    const struct tfr_picture *picture = folder->picture;
    for (int i = 0; i < picture->n_nodes; i++) {
        const int first = *n_kept;
        if (folder->to[i] != i) {
            continue;
        }
        for (int j = i; j < picture->n_nodes; j++) {
            const struct tfr_picture_node *node = &picture->nodes[j];
            for (int e = 0; folder->to[j] == i && e < node->n_edges; e++) {
                fold_edge(folder, &picture->edges[node->first_edge + e], kept, n_kept, first);
            }
        }
    }
}

/* The boxes that stay move up; each finds its edges again. */
static void close_gaps(struct folder *folder, struct tfr_picture_edge *kept, int n_kept) {
    struct tfr_picture *picture = folder->picture;
    int n = 0;
    for (int p = 0, i = 0; p < picture->n_panels; p++) {
        struct tfr_picture_panel *panel = &picture->panels[p];
        panel->first_node = n;
        for (; i < picture->n_nodes && picture->nodes[i].panel == p; i++) {
            if (folder->to[i] == i) {
                picture->nodes[n] = picture->nodes[i];
                picture->nodes[n].n_edges = 0;
                picture->nodes[n++].first_edge = -1;
            }
        }
        panel->n_nodes = n - panel->first_node;
    }
    picture->n_nodes = n;
    memcpy(picture->edges, kept, (size_t)n_kept * sizeof *kept);
    picture->n_edges = n_kept;
    for (int e = 0; e < n_kept; e++) {
        struct tfr_picture_node *node = &picture->nodes[kept[e].to];
        node->first_edge = node->n_edges++ == 0 ? e : node->first_edge;
    }
}

static enum tfr_status fold_with(struct folder *folder, struct tfr_picture_edge *kept) {
    int n = 0, n_kept = 0;
    find_readers(folder);
    find_cuts(folder);
    TFR_TRY(find_runs(folder));
    for (int i = 0; i < folder->picture->n_nodes; i++) {
        folder->index[i] = folder->to[i] == i ? n++ : -1;
    }
    fold_edges(folder, kept, &n_kept);
    close_gaps(folder, kept, n_kept);
    return TFR_OK;
}

/* Behind the last block of the picture. */
static size_t count_blocks(const struct tfr_picture *picture) {
    int64_t last = -1;
    for (int i = 0; i < picture->n_nodes; i++) {
        last = picture->nodes[i].layer > last ? picture->nodes[i].layer : last;
    }
    return (size_t)(last + 1);
}

enum tfr_status tfr_picture_fold(struct tfr_picture *picture) {
    const size_t n_nodes = (size_t)picture->n_nodes + 1, n_blocks = count_blocks(picture) + 1;
    struct folder folder = {.picture = picture,
                            .to = tfr_alloc(n_nodes, sizeof(int)),
                            .index = tfr_alloc(n_nodes, sizeof(int)),
                            .first_to = tfr_alloc(n_nodes, sizeof(int)),
                            .last_to = tfr_alloc(n_nodes, sizeof(int)),
                            .is_shared = tfr_alloc(n_blocks, sizeof(bool)),
                            .is_cut = tfr_alloc(n_blocks, sizeof(bool))};
    struct tfr_picture_edge *kept = tfr_alloc((size_t)picture->n_edges + 1, sizeof *kept);
    const bool has_room = folder.to != NULL && folder.index != NULL && folder.first_to != NULL && folder.last_to != NULL &&
                          folder.is_shared != NULL && folder.is_cut != NULL && kept != NULL;
    const enum tfr_status status = has_room ? fold_with(&folder, kept) : TFR_RESOURCE;
    tfr_free(folder.to);
    tfr_free(folder.index);
    tfr_free(folder.first_to);
    tfr_free(folder.last_to);
    tfr_free(folder.is_shared);
    tfr_free(folder.is_cut);
    tfr_free(kept);
    return status;
}
