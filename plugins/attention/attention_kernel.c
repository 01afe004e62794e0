/* attention_kernel.c - fused attention with an online softmax, compiled once per ISA; must equal
 * tfr_ref_attention within rounding. No S x S matrix: a tile of query rows walks over blocks of 128 keys at
 * fixed positions.
 *
 * The one invariant: the bits of a row depend on its query and its visible keys alone, not on the tile it is
 * computed in. score    one chain of FMAs over d per key, then times scale block    maximum, then e^(score -
 * maximum); sums kept in 16 lanes (key % 16), panels in order output   per element one chain of FMAs over
 * keys in order, times e^(old maximum - new) at each block A tile shares loads of K and V between rows, never
 * sums. Keys that only some rows of a tile see are added row by row, so an invisible key takes no part at all
 * (its value may be anything, NaN too).
 */
#include "attention/attention_tile.h"

typedef void attend_fn(struct tile *tile, const float *q, int64_t q_pitch, float *o, int64_t o_pitch);

/* One function for each number of rows, so that its loops are compiled for it. */
#define ATTEND(rows)                                                                                                               \
    static void attend_##rows(struct tile *tile, const float *q, int64_t q_pitch, float *o, int64_t o_pitch) {                     \
        attend(tile, q, q_pitch, o, o_pitch, rows, 0);                                                                             \
    }                                                                                                                              \
    static void attend_##rows##_int8(struct tile * tile, const float *q, int64_t q_pitch, float *o, int64_t o_pitch) {             \
        attend(tile, q, q_pitch, o, o_pitch, rows, 1);                                                                             \
    }
#define BOTH(rows)                                                                                                                 \
    { attend_##rows, attend_##rows##_int8 }

ATTEND(1)
ATTEND(2)
#if VW > 4 || defined(V_ISA_NEON)
ATTEND(3)
ATTEND(4)
ATTEND(5)
ATTEND(6)
static attend_fn *const attend_by_rows[TILE_ROWS + 1][2] = {{NULL}, BOTH(1), BOTH(2), BOTH(3), BOTH(4), BOTH(5), BOTH(6)};
#else
static attend_fn *const attend_by_rows[TILE_ROWS + 1][2] = {{NULL}, BOTH(1), BOTH(2)};
#endif

static void point_to_head(struct tile *tile, const struct tfr_kv *kv, int64_t h) {
    const int64_t first = h * kv->capacity;
    if (kv->k8 == NULL) {
        tile->k = kv->k + first * tile->head_dim;
        tile->v = kv->v + first * tile->head_dim;
        return;
    }
    tile->k8 = kv->k8 + first * tile->head_dim;
    tile->v8 = kv->v8 + first * tile->head_dim;
    tile->k_scale = kv->k_scale + first;
    tile->v_scale = kv->v_scale + first;
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

/* Rows [t, end) of one head of one sequence: a tile. */
static void attend_rows(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx, const struct tfr_problem *problem,
                        const struct tfr_batch_seq *seq, int64_t h, int64_t t, int64_t end) {
    const int64_t head_dim = problem->attrs.head_dim, width = problem->attrs.n_heads * head_dim;
    const int64_t pitch = problem->arg[0].dim[1]; /* q alone or qkv */
    const bool is_cross = problem->attrs.cross != 0;
    const struct tfr_kv *kv = tfr_seq_kv(args->batch, seq, &problem->attrs, problem->attrs.cross);
    struct tile tile = {.head_dim = head_dim,
                        .pitch = tfr_attention_pitch(head_dim),
                        .causal = sees_growing(seq, problem),
                        .scale = problem->attrs.scale};
    point_to_head(&tile, kv, h);
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
    attend_by_rows[end - t][tile.k8 != NULL](&tile, q + t * pitch, pitch, o + t * width, width);
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

/* A row alone reads its keys from memory for itself; those of tiles mostly compute. A pair of the one kind
 * takes several times as long as one of the other. */
static bool is_short(const struct tfr_batch_seq *seq) {
    return seq->n_rows == 1;
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
                    attend_rows(args, ctx, problem, seq, h, t, end);
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
