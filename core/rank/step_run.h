/* step_run.h - THE step on this rank: a described step becomes a plan, its inputs and outputs find their memory, exec runs it.
 *
 * A step is described by one block of bytes, the same on every rank: struct tfr_step_body with its arrays. Rows of embeddings lie
 * in rank 0's memory alone, and so do the results afterwards. Every buffer that a kernel sees has room for the largest number of
 * rows that the plan of the step's class serves.
 *
 * Several steps may be in flight, each in a memory of its own, whose index rank 0 chooses and the body tells. Memory 0 takes any
 * step, and its rank has no other one meanwhile: it is waited for at once on every rank. The others take steps that give logits and
 * nothing else: they are submitted, and go on while this rank waits for anything (step_flight.c). All are of one lane, so that two
 * steps of one sequence stay in order. Thread rule: the engine's thread.
 */
#ifndef TFR_RANK_STEP_RUN_H
#define TFR_RANK_STEP_RUN_H

#include <tfrun/plugin.h>

#include "base/arena.h"
#include "graph/graph.h"

struct tfr_engine;
struct tfr_plan;
struct tfr_run;

/* Consecutive rows of one sequence. */
struct tfr_step_piece {
    int32_t slot, query_only; /* query_only: nothing is appended, the rows see the keys [0, past) */
    int64_t rows, past;
    int64_t mask_at, mask_heads, cross_mask_at; /* where its masks begin among the floats */
};

struct tfr_step_body {
    struct tfr_gpt2_features features;
    int32_t memory;  /* index into struct tfr_steps */
    uint64_t traced; /* number of its run in a trace */
    /* n_ids, n_positions, n_token_types: n_rows, or 0: zeros, for positions those that follow the keys before */
    int64_t n_pieces, n_rows, n_logits, n_ids, n_positions, n_token_types, n_floats;
    /* pieces[n_pieces], logit_rows[n_logits], ids[n_ids], positions[n_positions], token_types[n_token_types], together rounded up
     * to even, floats[n_floats]: the encoder part's rows [n_rows, C], which every rank reads; or the head mask [n_layer][n_head]
     * where there is one, then the masks of the pieces */
};
struct tfr_step_parts {
    struct tfr_step_piece *pieces;
    int32_t *logit_rows, *ids, *positions, *token_types;
    float *floats;
};
size_t tfr_step_body_bytes(const struct tfr_step_body *body);
struct tfr_step_parts tfr_step_body_parts(struct tfr_step_body *body);
int64_t tfr_step_piece_keys(const struct tfr_step_piece *piece); /* that its rows see at most */

/* What a step needs, kept from one to the next. Memories but the first have no room for what stands behind `taken`. */
struct tfr_step_memory {
    struct tfr_run *run;    /* NULL: none is in flight */
    bool taken;             /* rank 0: its results are still to be looked at */
    struct tfr_run *failed; /* rank 0: the run that was in it, where it failed before they were; it has the sentence */
    int64_t n_pieces;
    int32_t *slots;                                      /* [max_rows] of its pieces */
    int32_t *ids, *positions, *token_types, *logit_rows; /* [max_rows] */
    struct tfr_batch_seq *seqs;                          /* [max_rows]: a piece has at least one row */
    struct tfr_batch batch;                              /* of the run: n_pieces of seqs */
    struct tfr_block shares;                             /* rank 0, of a split head: the same room, each share for itself */
    bool has_shares, has_best;                           /* the run writes there; the best of each share alone */
    struct tfr_block logits;                             /* rank 0: [max_rows, widest head]; but for the first as much as needed.
                                                          * Of a step with features.best [n_logits, TFR_BEST_WIDTH]: of each row the
                                                          * largest logit, NaN where one is, and its id */
    struct tfr_block embeds;                             /* [max_rows, C] */
    float **hidden; /* [n_layer + 1] each [n_rows, C] with room for the class; NULL where not asked for. Rank 0: all */
    float **weights, **cross_weights;     /* [n_layer] the pieces one after the other, each [H][rows][keys]. Rank 0: all */
    float **local_weights, **local_cross; /* [local layers] those that this rank makes */
    float *head_mask;                     /* [local layers][H] */
    struct tfr_block made;                /* where hidden, weights and cross_weights point to */
};
enum { TFR_STEP_MEMORIES = 64, TFR_STEPS_OF_REPLICA = 15, TFR_ALL_GROUPS = 48 /* of sequences, each in a step of its own */ };
struct tfr_steps {
    struct tfr_step_memory memory[TFR_STEP_MEMORIES]; /* but for the first opened when first used */
    int n_runs;                                       /* memories with a run, in flight or done and not waited for */
    int most;                                         /* rank 0: steps in flight at most */
};
enum tfr_status tfr_steps_open(struct tfr_engine *engine);
void tfr_steps_close(struct tfr_engine *engine);
/* step_shares.c, rank 0: whether a step may ask for features.best; room for the logits of so many rows; where the run of a plan
 * writes them; after it, as whole rows. */
bool tfr_step_may_ask_best(const struct tfr_engine *engine);
enum tfr_status tfr_step_reserve_logits(const struct tfr_engine *engine, struct tfr_step_memory *memory, int64_t rows,
                                        const struct tfr_gpt2_features *features);
float *tfr_step_logits(const struct tfr_engine *engine, struct tfr_step_memory *memory, const struct tfr_plan *plan,
                       const struct tfr_gpt2_features *features);
void tfr_step_join_shares(const struct tfr_engine *engine, struct tfr_step_memory *memory);
/* Gives back what hidden states, weights and many rows of logits took; generation never needs it. */
void tfr_steps_trim(struct tfr_engine *engine);
/* The arrays that every memory has. */
enum tfr_status tfr_step_memory_open(struct tfr_engine *engine, struct tfr_step_memory *memory);

/* On every rank, but for a step in flight, of which rank 0 and those of its replica hear; the others pass by. With several replicas
 * its plan is there (tfr_engine_ask_plan). Failing to find a plan or memory is agreed on; after that a failure of one rank cannot
 * be mended: the command that it is part of ends the job. Back at once but for a step of memory 0. */
enum tfr_status tfr_rank_step(struct tfr_engine *engine, struct tfr_step_body *body);

/* step_flight.c, of this rank's part of steps in flight. Failures end the job, where there are several ranks. */
/* Rank 0: a memory for such a step, free, with room for its logits, taken until somebody sets that back. */
enum tfr_status tfr_steps_choose(struct tfr_engine *engine, const struct tfr_step_body *body, int32_t *memory);
/* Waits for a step; nothing where it is done. The failure of one whose results are still to be looked at goes to whoever waits, and
 * to whoever looks (tfr_step_take). */
enum tfr_status tfr_step_wait(struct tfr_engine *engine, struct tfr_step_memory *memory);
/* Waits for all steps that use the caches of a slot; -1: for all steps. */
enum tfr_status tfr_steps_settle(struct tfr_engine *engine, int32_t slot);
/* Computes what is ready, for those who wait for something else. *went_on: there was something. Fails where a step has failed, also
 * while another one was waited for. */
enum tfr_status tfr_steps_progress(struct tfr_engine *engine, bool *went_on);
bool tfr_steps_in_flight(const struct tfr_engine *engine);

#endif
