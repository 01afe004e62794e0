/* step_run.h - THE step on this rank: a described step becomes a plan, its inputs and outputs find their memory, exec runs it.
 *
 * A step is described by one block of bytes, the same on every rank: struct tfr_step_body with its arrays. What only rank 0 has
 * (ids, positions, rows of embeddings) lies in its struct tfr_step_memory; so do the results afterwards. Every buffer that a kernel
 * sees has room for the largest number of rows that the plan of the step's class serves. Thread rule: the engine's thread.
 */
#ifndef TFR_RANK_STEP_RUN_H
#define TFR_RANK_STEP_RUN_H

#include <tfrun/plugin.h>

#include "base/arena.h"
#include "graph/graph.h"

struct tfr_engine;

/* Consecutive rows of one sequence. */
struct tfr_step_piece {
    int32_t slot, query_only; /* query_only: nothing is appended, the rows see the keys [0, past) */
    int64_t rows, past;
    int64_t mask_at, mask_heads, cross_mask_at; /* where its masks begin among the floats */
};

struct tfr_step_body {
    struct tfr_gpt2_features features;
    int64_t n_pieces, n_rows, n_logits, n_floats;
    /* pieces[n_pieces], logit_rows[n_logits, rounded up to even], floats[n_floats]: the encoder part's rows [n_rows, C], which
     * every rank reads; or the head mask [n_layer][n_head] where there is one, then the masks of the pieces */
};
struct tfr_step_parts {
    struct tfr_step_piece *pieces;
    int32_t *logit_rows;
    float *floats;
};
size_t tfr_step_body_bytes(const struct tfr_step_body *body);
struct tfr_step_parts tfr_step_body_parts(struct tfr_step_body *body);
int64_t tfr_step_piece_keys(const struct tfr_step_piece *piece); /* that its rows see at most */

/* What steps need, kept from one to the next. */
struct tfr_step_memory {
    int32_t *ids, *positions, *token_types, *logit_rows; /* [max_rows] */
    struct tfr_block embeds;                             /* [max_rows, C] */
    struct tfr_block logits;                             /* rank 0: [max_rows, widest head] */
    struct tfr_batch_seq *seqs;                          /* [max_rows]: a piece has at least one row */
    float **hidden; /* [n_layer + 1] each [n_rows, C] with room for the class; NULL where not asked for. Rank 0: all */
    float **weights, **cross_weights;     /* [n_layer] the pieces one after the other, each [H][rows][keys]. Rank 0: all */
    float **local_weights, **local_cross; /* [local layers] those that this rank makes */
    float *head_mask;                     /* [local layers][H] */
    struct tfr_block made;                /* where hidden, weights and cross_weights point to */
};
enum tfr_status tfr_step_memory_open(struct tfr_engine *engine);
void tfr_step_memory_close(struct tfr_engine *engine);
/* Gives back what hidden states and weights took; generation never needs it. */
void tfr_step_memory_trim(struct tfr_engine *engine);

/* On every rank. Failing to find a plan or memory is agreed on; after that a failure of one rank cannot be mended and ends the
 * job. */
enum tfr_status tfr_rank_step(struct tfr_engine *engine, struct tfr_step_body *body);

#endif
