/* step.h - ragged rows of any sequences, cut into steps of at most runtime.max_rows rows (of fewer where several ranks can
 * overlap), run on all ranks.
 *
 * A piece is consecutive rows of one sequence with all that belongs to them: inputs, masks, which outputs are wanted. Callers make
 * pieces in the order they like; cutting goes through them in that order, so that it alone decides who shares a step:
 *
 *     struct tfr_step step;
 *     status = tfr_step_open(&step, engine, pieces, n);
 *     while (status == TFR_OK && tfr_step_cut(&step)) {
 *         status = tfr_step_run(&step);
 *         ... results of step.cuts
 *     }
 *     tfr_step_close(&step);
 *
 * With tfr_step_begin and tfr_step_take in place of tfr_step_run several steps are in flight, on several ranks at once.
 *
 * Pieces share a step if their features are the same, and their slots of one replica. A row's bits do not depend on its company nor
 * on where the cuts are. Rank 0 only. Thread rule: the engine's thread.
 */
#ifndef TFR_STEP_STEP_H
#define TFR_STEP_STEP_H

#include "rank/step_run.h"

/* A mask that is added to scores: row i, key s of head h is values[h * head_stride + row_at[i] * row_stride + column], where
 * column is s, or column_of[s]. */
struct tfr_piece_mask {
    const float *values; /* NULL: none */
    int64_t heads, head_stride, row_stride;
    const int32_t *row_at, *column_of;
};

struct tfr_piece {
    int32_t slot;
    bool query_only; /* nothing is appended: the rows see the keys [0, past) */
    bool whole;      /* all rows in one step, because they see one another */
    int64_t n, past; /* rows, keys before them */
    const struct tfr_gpt2_features *features;
    const int32_t *ids, *positions, *token_types; /* [n]; positions NULL: past, past + 1, ... */
    const float *embeds;                          /* row i stands at embed_at[i], or at i */
    const int32_t *embed_at;
    int64_t keep;        /* logits of the last `keep` rows, */
    const uint8_t *kept; /* or, where not NULL, of the rows that are not 0 */
    struct tfr_piece_mask mask, cross_mask;
    const float *head_mask; /* [n_layer][n_head], the same for all pieces of a step */
};

/* Rows [first, first + n) of a piece, as rows [row, row + n) of the step. */
struct tfr_cut {
    const struct tfr_piece *piece;
    int64_t first, n, row;
};

struct tfr_step {
    struct tfr_engine *engine;
    const struct tfr_piece *pieces;
    int64_t most;                  /* rows of a step; runtime.max_rows, but for those who have several in flight */
    int64_t n_pieces, piece, done; /* the piece to go on with, and its rows that were cut off */
    /* of the step cut last */
    struct tfr_cut *cuts;
    int64_t n_cuts, n_rows, n_logits;
    struct tfr_step_memory *memory; /* once it has begun */
    /* its results, borrowed until the next command: logits [n_logits, width of the head] in the order of the rows; hidden states
     * [n_layer + 1][n_rows, C]; weights [n_layer], of the cuts one after the other, each [H][n][keys] */
    const float *logits;
    float *const *hidden, *const *weights, *const *cross_weights;
};

enum tfr_status tfr_step_open(struct tfr_step *step, struct tfr_engine *engine, const struct tfr_piece *pieces, int64_t n);
void tfr_step_close(struct tfr_step *step);
/* cut.c. False: there are no more rows. */
bool tfr_step_cut(struct tfr_step *step);
bool tfr_step_is_last(const struct tfr_step *step); /* no rows are left behind the step cut last */
bool tfr_piece_keeps(const struct tfr_piece *piece, int64_t row);
int64_t tfr_cut_past(const struct tfr_cut *cut); /* keys before its rows */
int64_t tfr_cut_keys(const struct tfr_cut *cut);
int64_t tfr_cut_cross_keys(const struct tfr_engine *engine, const struct tfr_cut *cut);
enum tfr_status tfr_step_run(struct tfr_step *step);
/* Its rows are on their way afterwards; nobody waits for a step without results, but where there is one rank. Results are looked at
 * by tfr_step_take, of every step that has some, before the next step begins. */
enum tfr_status tfr_step_begin(struct tfr_step *step);
/* The same, of the step begun last, whose results are in `step` then. */
enum tfr_status tfr_step_end(struct tfr_step *step);
enum tfr_status tfr_step_take(struct tfr_engine *engine, struct tfr_step_memory *memory);
/* All pieces, where no results are wanted. */
enum tfr_status tfr_step_run_all(struct tfr_engine *engine, const struct tfr_piece *pieces, int64_t n);

#endif
