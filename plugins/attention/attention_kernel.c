/* attention_kernel.c - fused attention with an online softmax, compiled once per ISA; must equal
 * tfr_ref_attention within rounding. No S x S matrix: a tile of query rows walks over blocks of 128 keys at
 * fixed positions.
 *
 * The one invariant: the bits of a row depend on its query and its visible keys alone, not on the tile it is computed in:
 *   score   one chain of FMAs over d per key, then times scale
 *   block   maximum, then e^(score - maximum); sums kept in 16 lanes (key % 16), panels in order
 *   output  per element one chain of FMAs over keys in order, times e^(old maximum - new) at each block
 * A tile shares loads of K and V between rows, never sums. Keys that only some rows of a tile see are added row by row, so an
 * invisible key takes no part at all (its value may be anything, NaN too).
 * With products in bf16 the chains are those of queries, keys, values and e^(score - maximum) rounded to bf16; the sums of
 * e^(score - maximum) are not rounded. Where the CPU has it the chains take pairs, and products stay without the scale until
 * their distance from the largest becomes a power of two (attention_dp.h).
 */
#include "attention/attention_rows.h"

#include "common/kv_served.h"

typedef void attend_fn(struct tile *tile, const float *q, int64_t q_pitch, float *o, int64_t o_pitch);

/* One function for each kind and number of rows, so that its loops are compiled for it. */
#define ATTEND(kind, rows)                                                                                                         \
    static void attend_##kind##_##rows(struct tile *tile, const float *q, int64_t q_pitch, float *o, int64_t o_pitch) {            \
        attend(tile, q, q_pitch, o, o_pitch, rows, kind);                                                                          \
    }
#if VW > 4 || defined(V_ISA_NEON)
#define ATTEND_ALL(kind) ATTEND(kind, 1) ATTEND(kind, 2) ATTEND(kind, 3) ATTEND(kind, 4) ATTEND(kind, 5) ATTEND(kind, 6)
#define OF_ROWS(kind)                                                                                                              \
    { NULL, attend_##kind##_1, attend_##kind##_2, attend_##kind##_3, attend_##kind##_4, attend_##kind##_5, attend_##kind##_6 }
#else
#define ATTEND_ALL(kind) ATTEND(kind, 1) ATTEND(kind, 2)
#define OF_ROWS(kind)                                                                                                              \
    { NULL, attend_##kind##_1, attend_##kind##_2 }
#endif

ATTEND_ALL(KIND_ROUNDED)
#if HAS_DP /* serves nothing else, see attention_plugin.c */
static attend_fn *const attend_by_rows[KIND_COUNT][TILE_ROWS + 1] = {[KIND_ROUNDED] = OF_ROWS(KIND_ROUNDED)};
#else
ATTEND_ALL(KIND_F32)
ATTEND_ALL(KIND_INT8)
ATTEND_ALL(KIND_F16)
ATTEND_ALL(KIND_BF16)
static attend_fn *const attend_by_rows[KIND_COUNT][TILE_ROWS + 1] = {[KIND_F32] = OF_ROWS(KIND_F32),
                                                                     [KIND_INT8] = OF_ROWS(KIND_INT8),
                                                                     [KIND_F16] = OF_ROWS(KIND_F16),
                                                                     [KIND_BF16] = OF_ROWS(KIND_BF16),
                                                                     [KIND_ROUNDED] = OF_ROWS(KIND_ROUNDED)};
#endif

static enum kind kind_of(const struct tfr_problem *problem) {
    switch (problem->arg[1].dtype) {
    case TFR_DTYPE_I8:
        return KIND_INT8;
    case TFR_DTYPE_F16:
        return KIND_F16;
    case TFR_DTYPE_BF16:
        return kv_in_bf16_products(problem) ? KIND_ROUNDED : KIND_BF16;
    default:
        return KIND_F32;
    }
}

static const char *keys_of(const struct tfr_kv *kv, enum kind kind) {
    const void *keys = kind == KIND_F32 ? (const void *)kv->k : kind == KIND_INT8 ? (const void *)kv->k8 : kv->k_pair;
    return kind == KIND_F16 ? (const char *)kv->k_half : keys;
}

static const char *values_of(const struct tfr_kv *kv, enum kind kind) {
    const void *values = kind == KIND_F32 ? (const void *)kv->v : kind == KIND_INT8 ? (const void *)kv->v8 : kv->v_pair;
    return kind == KIND_F16 ? (const char *)kv->v_half : values;
}

static int64_t head_bytes(const struct tfr_kv *kv, int64_t h, int64_t head_dim, enum kind kind) {
    return h * kv->capacity * head_dim * element_size(kind);
}

static void point_to_head(struct tile *tile, const struct tfr_kv *kv, int64_t h, enum kind kind) {
    const int64_t scales = h * kv->capacity, first = scales * tile->head_dim;
    switch (kind) {
    case KIND_INT8:
        tile->k8 = kv->k8 + first, tile->v8 = kv->v8 + first;
        tile->k_scale = kv->k_scale + scales, tile->v_scale = kv->v_scale + scales;
        break;
    case KIND_F16:
        tile->k_half = kv->k_half + first, tile->v_half = kv->v_half + first;
        break;
    case KIND_BF16:
    case KIND_ROUNDED:
        tile->k_pair = kv->k_pair + first, tile->v_pair = kv->v_pair + first;
        break;
    default:
        tile->k = kv->k + first, tile->v = kv->v + first;
    }
    tile->keys = keys_of(kv, kind) + head_bytes(kv, h, tile->head_dim, kind);
    tile->values = values_of(kv, kind) + head_bytes(kv, h, tile->head_dim, kind);
}

static int64_t count_keys(const struct tfr_batch_seq *seq, bool is_cross) {
    return is_cross ? seq->n_cross : seq->past + (seq->query_only ? 0 : seq->n_rows);
}

/* True if each row sees one key more than the row before it. */
static bool sees_growing(const struct tfr_batch_seq *seq, const struct tfr_problem *problem) {
    return problem->attrs.causal && !problem->attrs.cross && !seq->query_only;
}

/* Where the outputs of rows [t, end) go, and the queries of the rows behind them, come in while these compute. */
static void fetch_rows(const struct tfr_batch_seq *seq, int64_t t, int64_t end, int64_t head_dim, const float *q, int64_t q_pitch,
                       const float *o, int64_t o_pitch) {
    for (int64_t r = t; r < end; r++) {
        for (int64_t d = 0; d < head_dim; d += 16) {
            __builtin_prefetch(o + r * o_pitch + d, 1, 3);
            if (r + TILE_ROWS < seq->n_rows) {
                __builtin_prefetch(q + (r + TILE_ROWS) * q_pitch + d, 0, 3);
            }
        }
    }
}

/* A row alone reads its keys from memory for itself; those of tiles mostly compute. A pair of the one kind
 * takes several times as long as one of the other. */
static bool is_short(const struct tfr_batch_seq *seq) {
    return seq->n_rows == 1;
}

/* Where the keys of the next head lie, or of the first head of the next sequence that has one row: NULL if there is none. */
static const char *keys_behind(const struct tfr_run_args *args, const struct tfr_problem *problem, int64_t b, int64_t h) {
    const enum kind kind = kind_of(problem);
    int64_t next = b;
    if (++h == problem->attrs.n_heads) {
        h = 0;
        do {
            next++;
        } while (next < args->batch->n_seqs && !is_short(tfr_batch_at(args->batch, next)));
    }
    if (next >= args->batch->n_seqs) {
        return NULL;
    }
    const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, next);
    if ((problem->attrs.cross ? seq->cross_kv : seq->kv) == NULL) {
        return NULL;
    }
    const struct tfr_kv *kv = tfr_seq_kv(args->batch, seq, &problem->attrs, problem->attrs.cross);
    return keys_of(kv, kind) + head_bytes(kv, h, problem->attrs.head_dim, kind);
}

/* Rows [t, end) of one head of one sequence: a tile. The keys at `next` are read behind it, if any. */
static void attend_rows(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx, const struct tfr_problem *problem,
                        const struct tfr_batch_seq *seq, int64_t h, int64_t t, int64_t end, const char *next) {
    const int64_t head_dim = problem->attrs.head_dim, width = problem->attrs.n_heads * head_dim;
    const int64_t pitch = problem->arg[0].dim[1]; /* q alone or qkv */
    const bool is_cross = problem->attrs.cross != 0;
    const struct tfr_kv *kv = tfr_seq_kv(args->batch, seq, &problem->attrs, problem->attrs.cross);
    struct tile tile = {.head_dim = head_dim,
                        .pitch = tfr_attention_pitch(head_dim),
                        .causal = sees_growing(seq, problem),
                        .scale = problem->attrs.scale};
    const enum kind kind = kind_of(problem);
    point_to_head(&tile, kv, h, kind);
    tile.far_keys = next != NULL ? next : tile.keys;
    tile.q = ctx->thread_scratch;
    tile.acc = tile.q + MAX_ROWS * tile.pitch;
    tile.score = tile.acc + MAX_ROWS * tile.pitch;
    tile.sum = tile.score + MAX_ROWS * KEYS;
    tile.visible = tile.causal ? seq->past + t + 1 : count_keys(seq, is_cross);
    const float *q = (const float *)args->arg[0] + seq->row0 * pitch + h * head_dim;
    float *o = (float *)args->arg[2] + seq->row0 * width + h * head_dim;
    if (seq->n_rows > 1) {
        fetch_rows(seq, t, end, head_dim, q, pitch, o, width);
    }
    attend_by_rows[kind][end - t](&tile, q + t * pitch, pitch, o + t * width, width);
}

/* Rows of a sequence go in tiles that differ by one row at most. */
static int64_t count_tiles(const struct tfr_batch_seq *seq) {
    return (seq->n_rows + TILE_ROWS - 1) / TILE_ROWS;
}

/* Of tile g. */
static int64_t first_row(const struct tfr_batch_seq *seq, int64_t g) {
    return seq->n_rows * g / count_tiles(seq);
}

/* (query, key) pairs of rows [t, end), at least one each: a row without keys is work too. */
static int64_t count_pairs(const struct tfr_batch_seq *seq, const struct tfr_problem *problem, int64_t t, int64_t end) {
    const int64_t n = end - t, n_keys = count_keys(seq, problem->attrs.cross != 0);
    return sees_growing(seq, problem) ? n * (seq->past + t) + n * (n + 1) / 2 : n * (n_keys > 0 ? n_keys : 1);
}

static int64_t count_all(const struct tfr_batch *batch, const struct tfr_problem *problem, bool of_short) {
    int64_t total = 0;
    for (int64_t b = 0; b < batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(batch, b);
        total += is_short(seq) == of_short ? problem->attrs.n_heads * count_pairs(seq, problem, 0, seq->n_rows) : 0;
    }
    return total;
}

/* Work items are (sequence, head, tile of rows) in this order. A thread takes the items whose middle falls
 * into its share of all pairs of the kind: a static split, balanced over the causal triangle. */
static void attend_kind(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx, const struct tfr_problem *problem,
                        bool of_short) {
    const int64_t total = count_all(args->batch, problem, of_short);
    int64_t before = 0;
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, b);
        for (int64_t h = 0; is_short(seq) == of_short && h < problem->attrs.n_heads; h++) {
            for (int64_t g = 0; g < count_tiles(seq); g++) {
                const int64_t t = first_row(seq, g), end = first_row(seq, g + 1);
                const int64_t pairs = count_pairs(seq, problem, t, end);
                if ((2 * before + pairs) * ctx->nth / (2 * total) == ctx->tid) {
                    attend_rows(args, ctx, problem, seq, h, t, end, of_short ? keys_behind(args, problem, b, h) : NULL);
                }
                before += pairs;
            }
        }
    }
}

/* Each kind is shared by itself, so that no thread has all the sequences that wait for memory while another has the prompts. */
int32_t V_NAME(tfr_attention)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                              const struct tfr_run_ctx *ctx) {
    attend_kind(args, ctx, problem, true);
    attend_kind(args, ctx, problem, false);
    return TFR_OK;
}
