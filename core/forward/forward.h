/* forward.h - one forward pass as Hugging Face defines it: what the forward_*.c files share.
 *
 * forward_request.c and forward_masks.c turn named tensors into a checked struct tfr_forward_request;
 * forward_rows.c decides which rows are computed, forward_steps.c computes them; forward_cache.c moves keys and
 * values; forward_targets.c, forward_head.c and forward_loss.c do what stands on the trunk; forward_reply.c
 * owns the results. forward.c is the order of it all. Everything runs on rank 0.
 *
 * Masked tokens never become keys: their rows are left out of the cache, so that a row's result cannot depend
 * on its padding. A masked token that still sees keys is computed as a query alone; one that sees none gives
 * zeros.
 */
#ifndef TFR_FORWARD_FORWARD_H
#define TFR_FORWARD_FORWARD_H

#include "base/tensor_input.h"
#include "job/command.h"
#include "session/session.h"

/* In an additive mask: hides a key; minus infinity hides as well. */
#define TFR_HIDDEN (2 * TFR_MASK_INVISIBLE)

/* What results are compared with, checked before anything is computed; NULL where not given. */
struct tfr_targets {
    int64_t *labels;    /* classes: [B,S], of a sequence head [B] */
    float *numbers;     /* or numbers: [B, num_labels] */
    int problem_type;   /* enum tfr_problem_type of a sequence head's labels, not INFERRED */
    int32_t *mc_tokens; /* [B] */
    int64_t *mc_labels; /* [B / choices] */
    int64_t *span[2];   /* [B] start and end, clamped to [0, S] */
};

/* Everything asked, in plain dense arrays of one type; NULL where not given. */
struct tfr_forward_request {
    struct tfr_engine *engine;
    const struct tfr_hparams *model;
    const struct tfr_named_tensor *inputs;
    size_t n_inputs;
    struct tfr_forward_options options;
    int head;                               /* enum tfr_head; NONE also where the head has no tensors */
    int64_t B, S, P, T, E, choices;         /* rows, new, cached and all tokens, encoder positions; choices 0: ids had rank 2 */
    int32_t *ids, *token_types, *positions; /* [B,S] */
    float *embeds;                          /* [B,S,C] */
    uint8_t *key_mask;                      /* [B,T] 1 visible */
    float *mask;                            /* [mask_batch, mask_heads, S, T] additive */
    int64_t mask_batch, mask_heads;
    float *head_mask;      /* [L,H] */
    float *encoder;        /* [B,E,C] */
    uint8_t *encoder_mask; /* [B,E] */
    float *cross_mask;     /* [B,S,E] additive */
    float **past;          /* [4 L]: key, value, cross_key, cross_value of each block; each [B,H,P or E,D] */
    bool has_past, has_cross_past, has_cross;
    bool has_prefix; /* model.prefix: P positions that all rows share */
    struct tfr_targets targets;
    int64_t *keep; /* [n_keep] positions whose logits are given */
    int64_t n_keep;
};

/* forward_request.c */
const struct tfr_tensor *tfr_input_find(const struct tfr_forward_request *request, const char *name);
enum tfr_status tfr_forward_request_open(struct tfr_forward_request *request);
void tfr_forward_request_close(struct tfr_forward_request *request);

/* forward_masks.c */
/* Whether a mask has a number for each of `width` tokens of every row, in order: [B,width], all in one dim,
 * ... */
bool tfr_forward_request_mask_fits(const struct tfr_forward_request *request, const struct tfr_tensor *tensor, int64_t width);
enum tfr_status tfr_forward_request_mask(struct tfr_forward_request *request);
enum tfr_status tfr_forward_request_head_mask(struct tfr_forward_request *request);
enum tfr_status tfr_forward_request_encoder_mask(struct tfr_forward_request *request);

/* forward_prefix.c: what changes where model.prefix is loaded. */
enum tfr_status tfr_forward_request_check_prefix(struct tfr_forward_request *request);
/* attention_mask over the new tokens, or over the prefix (ones) and them. */
enum tfr_status tfr_forward_request_prefix_mask(struct tfr_forward_request *request, const struct tfr_tensor *tensor);

/* forward_positions.c: request->positions, and the mask of packed sequences. */
enum tfr_status tfr_forward_request_positions(struct tfr_forward_request *request);
/* A number for each token: [B,S], with choices [B,choices,S] as well; dims of 1 do not count. With
 * `is_shared` also one row [S] for all, and all rows in one dim. */
enum tfr_status tfr_forward_request_token_shape(const struct tfr_forward_request *request, const char *name,
                                                const struct tfr_tensor *tensor, bool *is_shared);

/* forward.c: enum tfr_head of the config; NONE where its tensors are missing and the config allows that. */
int tfr_forward_head(const struct tfr_engine *engine);

/* forward_reply.c */
struct tfr_forward_reply {
    struct tfr_named_tensor *tensors;
    size_t n, capacity;
};
/* Adds a zeroed f32 tensor; borrowed data in *data. */
enum tfr_status tfr_reply_add(struct tfr_forward_reply *reply, const char *name, int rank, const int64_t *dim, float **data);
/* All tensors to F32, F16 or BF16, once they are complete. */
void tfr_reply_narrow(struct tfr_forward_reply *reply, enum tfr_dtype dtype);

/* forward_rows.c: rows in the order they are computed, and the runs they form. */
struct tfr_row {
    int32_t b, t;
};
struct tfr_row_run {
    int64_t b, n, past, first; /* sequence, rows, keys before them, first row */
    bool query_only;
};
struct tfr_row_plan {
    struct tfr_row *rows;
    struct tfr_row_run *runs;
    int64_t n_rows, n_runs;
    int32_t *key_of, *n_keys;    /* [B][T] original index of each kept key; [B] how many, of which n_past are cached */
    int32_t *n_past;             /* [B] */
    int32_t *cross_of, *n_cross; /* [B][E], [B] the same of the encoder's positions */
};
enum tfr_status tfr_row_plan_open(struct tfr_row_plan *plan, const struct tfr_forward_request *request);
void tfr_row_plan_close(struct tfr_row_plan *plan);

/* forward_cache.c. slot[b] is the slot of sequence b0 + b. */
enum tfr_status tfr_caches_load(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                                int64_t b0, int64_t n);
enum tfr_status tfr_caches_encode(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                                  int64_t b0, int64_t n);
/* past[4 L] as in the request, each [B,H,T or E,D]. */
enum tfr_status tfr_caches_store(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                                 int64_t b0, int64_t n, float *const *past);

/* Where results go while steps run. */
struct tfr_result {
    float *logits; /* [B, n_keep, width] */
    int64_t width;
    float **hidden;           /* [L + 1] each [B,S,C], or NULL */
    float **weights, **cross; /* [L] each [B,H,S,T], [B,H,S,E], or NULL */
    float **past;             /* [4 L], or NULL */
    float *last_hidden;       /* hidden[L], also where the others are not wanted; may be NULL */
};
/* The replica for sequence i of n that run together: one after the other, those of rank 0 last; 0 where all ranks have to wait. */
int32_t tfr_rows_replica(const struct tfr_forward_request *request, const struct tfr_result *result, int64_t i, int64_t n);
enum tfr_status tfr_rows_run(const struct tfr_forward_request *request, const struct tfr_row_plan *plan, const int32_t *slot,
                             int64_t b0, int64_t n, const struct tfr_result *result);

/* forward_head.c: which positions have logits, how wide they are, and the results under their names. */
enum tfr_status tfr_head_positions(struct tfr_forward_request *request);
int64_t tfr_head_width(const struct tfr_forward_request *request);
/* Position of sequence b whose logits stand at index j of n_keep. */
int64_t tfr_head_position(const struct tfr_forward_request *request, int64_t b, int64_t j);
enum tfr_status tfr_head_finish(const struct tfr_forward_request *request, const struct tfr_result *result,
                                struct tfr_forward_reply *reply);

/* Choices that one of mc_labels chooses from: without a dim of choices the rows are those of one example. */
int64_t tfr_choice_width(const struct tfr_forward_request *request);
/* Whether there is a multiple-choice head that runs. */
bool tfr_has_summary(const struct tfr_forward_request *request);

/* forward_targets.c */
enum tfr_status tfr_targets_open(struct tfr_forward_request *request);
void tfr_targets_close(struct tfr_targets *targets);

/* forward_loss.c: a mean over what counts (-100 does not), NaN when nothing does; nothing without targets. */
enum tfr_status tfr_labels_check(const char *name, const int64_t *labels, int64_t n, int64_t limit);
enum tfr_status tfr_add_loss(const struct tfr_forward_request *request, const struct tfr_result *result,
                             struct tfr_forward_reply *reply);
enum tfr_status tfr_add_choice_loss(const struct tfr_forward_request *request, const float *mc_logits,
                                    struct tfr_forward_reply *reply);
/* logits[2]: [B,S] of starts and of ends. */
enum tfr_status tfr_add_span_loss(const struct tfr_forward_request *request, float *const *logits, struct tfr_forward_reply *reply);

#endif
