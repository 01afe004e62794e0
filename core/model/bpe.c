/* bpe.c - see bpe.h. Both ways of merging give the same ids; the short one has no set-up cost. */
#include "model/bpe.h"

#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/status.h"

#define NO_RANK UINT32_MAX
#define NO_NODE UINT32_MAX
/* Up to here scanning all ranks for each merge is quicker than a heap. */
#define SHORT_PIECE 48

static uint32_t pair_hash(uint64_t seed, int32_t left, int32_t right) {
    uint64_t key = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) ^ seed;
    key = (key ^ key >> 29) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)((key ^ key >> 32) * UINT64_C(0xff51afd7ed558ccd) >> 40);
}

/* Cell of the pair, or the empty cell where it would go. */
static struct tfr_bpe_cell *find_cell(const struct tfr_bpe *bpe, int32_t left, int32_t right) {
    uint32_t at = pair_hash(bpe->seed, left, right) & bpe->mask;
    for (;;) {
        struct tfr_bpe_cell *cell = &bpe->cell[at];
        if (cell->left < 0 || (cell->left == left && cell->right == right)) {
            return cell;
        }
        at = (at + 1) & bpe->mask;
    }
}

static uint32_t pair_rank(const struct tfr_bpe *bpe, int32_t left, int32_t right) {
    return find_cell(bpe, left, right)->rank;
}

enum tfr_status tfr_bpe_open(struct tfr_bpe *bpe, size_t n_merges) {
    memset(bpe, 0, sizeof(*bpe));
    bpe->seed = tfr_hash_seed();
    /* pair_hash gives 24 bits; a table twice the merges must not be larger. */
    if (n_merges > (1u << 22)) {
        return tfr_raise(TFR_MODEL, "tokenizer: %zu merges, the limit is %u", n_merges, 1u << 22);
    }
    uint32_t cells = 16;
    while (cells < 2 * n_merges) {
        cells *= 2;
    }
    bpe->cell = tfr_alloc(cells, sizeof(*bpe->cell));
    bpe->merged = tfr_alloc(n_merges + 1, sizeof(*bpe->merged));
    if (bpe->cell == NULL || bpe->merged == NULL) {
        tfr_bpe_close(bpe);
        return TFR_RESOURCE;
    }
    for (uint32_t i = 0; i < cells; i++) {
        bpe->cell[i] = (struct tfr_bpe_cell){.left = -1, .right = -1, .rank = NO_RANK};
    }
    bpe->mask = cells - 1;
    bpe->capacity = (uint32_t)n_merges;
    return TFR_OK;
}

void tfr_bpe_close(struct tfr_bpe *bpe) {
    tfr_free(bpe->cell);
    tfr_free(bpe->merged);
    memset(bpe, 0, sizeof(*bpe));
}

void tfr_bpe_add(struct tfr_bpe *bpe, int32_t left, int32_t right, int32_t merged) {
    if (bpe->n_merges == bpe->capacity) {
        return;
    }
    *find_cell(bpe, left, right) = (struct tfr_bpe_cell){.left = left, .right = right, .rank = bpe->n_merges};
    bpe->merged[bpe->n_merges++] = merged;
}

void tfr_bpe_scratch_free(struct tfr_bpe_scratch *scratch) {
    tfr_free(scratch->heap);
    tfr_free(scratch->rank);
    tfr_free(scratch->next);
    tfr_free(scratch->previous);
    *scratch = (struct tfr_bpe_scratch){0};
}

static enum tfr_status scratch_reserve(struct tfr_bpe_scratch *scratch, size_t n) {
    if (n <= scratch->capacity) {
        return TFR_OK;
    }
    tfr_bpe_scratch_free(scratch);
    const size_t capacity = n + n / 2;
    /* Each of the n - 1 merges takes one entry off the heap and puts at most two on: never more than 2n. */
    scratch->heap = tfr_alloc(capacity, 2 * sizeof(*scratch->heap));
    scratch->rank = tfr_alloc(capacity, sizeof(*scratch->rank));
    scratch->next = tfr_alloc(capacity, sizeof(*scratch->next));
    scratch->previous = tfr_alloc(capacity, sizeof(*scratch->previous));
    if (scratch->heap == NULL || scratch->rank == NULL || scratch->next == NULL || scratch->previous == NULL) {
        tfr_bpe_scratch_free(scratch);
        return TFR_RESOURCE;
    }
    scratch->capacity = capacity;
    return TFR_OK;
}

/* Merges n ids in place; gives how many are left. */
static size_t merge_short(const struct tfr_bpe *bpe, int32_t *id, size_t n) {
    uint32_t rank[SHORT_PIECE];
    for (size_t i = 0; i + 1 < n; i++) {
        rank[i] = pair_rank(bpe, id[i], id[i + 1]);
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++) {
            best = rank[i] < rank[best] ? i : best;
        }
        if (rank[best] == NO_RANK) {
            break;
        }
        id[best] = bpe->merged[rank[best]];
        n--;
        memmove(id + best + 1, id + best + 2, (n - best - 1) * sizeof(*id));
        if (best + 1 < n) {
            memmove(rank + best, rank + best + 1, (n - best - 1) * sizeof(*rank));
            rank[best] = pair_rank(bpe, id[best], id[best + 1]);
        }
        if (best > 0) {
            rank[best - 1] = pair_rank(bpe, id[best - 1], id[best]);
        }
    }
    return n;
}

/* A binary heap of rank << 32 | position: the smallest is the lowest rank, leftmost first. */
static void heap_push(uint64_t *heap, size_t *n, uint64_t value) {
    size_t at = (*n)++;
    while (at > 0 && heap[(at - 1) / 2] > value) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = value;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n) {
    const uint64_t top = heap[0], value = heap[--(*n)];
    size_t at = 0;
    for (size_t child = 1; child < *n; child = 2 * at + 1) {
        child += child + 1 < *n && heap[child + 1] < heap[child];
        if (heap[child] >= value) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
    return top;
}

/* Looks up the pair that starts at node `at` and queues it. rank[at] tells later which queued entry is valid:
 * a rank names one pair, so an entry with another rank is stale. */
static void queue_pair(const struct tfr_bpe *bpe, struct tfr_bpe_scratch *s, const int32_t *id, uint32_t at, size_t *n_heap) {
    const uint32_t next = s->next[at];
    s->rank[at] = next == NO_NODE ? NO_RANK : pair_rank(bpe, id[at], id[next]);
    if (s->rank[at] != NO_RANK) {
        heap_push(s->heap, n_heap, (uint64_t)s->rank[at] << 32 | at);
    }
}

/* Node `at` takes the merged id; its right neighbour leaves the list. */
static void merge_node(const struct tfr_bpe *bpe, struct tfr_bpe_scratch *s, int32_t *id, uint32_t at, size_t *n_heap) {
    const uint32_t gone = s->next[at], after = s->next[gone];
    id[at] = bpe->merged[s->rank[at]];
    s->rank[gone] = NO_RANK;
    s->next[at] = after;
    if (after != NO_NODE) {
        s->previous[after] = at;
    }
    queue_pair(bpe, s, id, at, n_heap);
    if (s->previous[at] != NO_NODE) {
        queue_pair(bpe, s, id, s->previous[at], n_heap);
    }
}

static size_t merge_long(const struct tfr_bpe *bpe, struct tfr_bpe_scratch *s, int32_t *id, size_t n) {
    size_t n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        s->next[i] = i + 1 < n ? i + 1 : NO_NODE;
        s->previous[i] = i > 0 ? i - 1 : NO_NODE;
    }
    for (uint32_t i = 0; i < n; i++) {
        queue_pair(bpe, s, id, i, &n_heap);
    }
    while (n_heap > 0) {
        const uint64_t top = heap_pop(s->heap, &n_heap);
        const uint32_t at = (uint32_t)top;
        if (s->rank[at] == (uint32_t)(top >> 32)) {
            merge_node(bpe, s, id, at, &n_heap);
        }
    }
    size_t left = 0;
    for (uint32_t at = 0; at != NO_NODE; at = s->next[at]) {
        id[left++] = id[at];
    }
    return left;
}

enum tfr_status tfr_bpe_encode(const struct tfr_bpe *bpe, struct tfr_bpe_scratch *scratch, const uint8_t *piece, size_t size,
                               struct tfr_ids *ids) {
    if (size >= INT32_MAX) {
        return tfr_raise(TFR_RESOURCE, "tokenizer: a piece of %zu bytes without a break, the limit is %d", size, INT32_MAX);
    }
    TFR_TRY(tfr_ids_reserve(ids, size));
    int32_t *id = ids->data + ids->n;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        id[n] = bpe->byte_id[piece[i]];
        n += id[n] >= 0;
    }
    if (n > SHORT_PIECE) {
        TFR_TRY(scratch_reserve(scratch, n));
        ids->n += merge_long(bpe, scratch, id, n);
    } else {
        ids->n += merge_short(bpe, id, n);
    }
    return TFR_OK;
}
