/* payload.h - commands with a body: a forward step with all its options, and keys and values in and out of
 * the caches of other ranks.
 *
 * A body is one block of bytes, sent to every rank: the struct, then its arrays in the order given at struct
 * tfr_payload. Results go to rank 0: logits into engine->logits, the rest into a struct tfr_step_outputs.
 */
#ifndef TFR_STEP_PAYLOAD_H
#define TFR_STEP_PAYLOAD_H

#include "rank/rank.h"

enum tfr_payload_kind {
    TFR_PAYLOAD_STEP,
    TFR_PAYLOAD_OPEN_CROSS, /* room for `n` encoder positions in `slot`; 0: none any more */
    TFR_PAYLOAD_LOAD,       /* `n` keys and values of block `layer` into `slot`, from position `first` on */
    TFR_PAYLOAD_STORE       /* and out of it */
};

struct tfr_payload_entry {
    int32_t slot, query_only;
    int64_t rows, past;
    int64_t mask_at, mask_heads, cross_mask_at; /* where its masks begin among the floats */
};

struct tfr_payload {
    int32_t kind, slot, is_cross, has_embeds; /* has_embeds: the floats begin with rows [n_rows, C] */
    int64_t layer, first, n;
    struct tfr_gpt2_features features;
    int64_t n_entries, n_rows, n_logits, n_floats;
    /* entries[n_entries], logit_rows[n_logits rounded up to even], floats[n_floats]: head mask first where
     * there is one; LOAD: keys [H][n][D], then values */
};

/* Where the parts of a body lie. */
struct tfr_payload_parts {
    struct tfr_payload_entry *entries;
    int32_t *logit_rows;
    float *floats;
};
/* A body with room for its arrays; free with tfr_free. */
struct tfr_payload *tfr_payload_make(const struct tfr_payload *shape);
size_t tfr_payload_bytes(const struct tfr_payload *payload);
struct tfr_payload_parts tfr_payload_parts(struct tfr_payload *payload);

/* Inputs and results of a step that live on rank 0 only. */
struct tfr_step_inputs {
    const int32_t *ids, *positions, *token_types; /* [n_rows] */
    const float *embeds;                          /* [n_rows, C] */
};
struct tfr_step_outputs {
    struct tfr_block block;
    float **hidden;  /* [n_layer + 1] each [n_rows, C]; NULL where not asked for */
    float **weights; /* [n_layer] the entries one after the other, each [H][rows][keys] */
    float **cross_weights;
};
/* Runs a body on all ranks. STEP: `inputs`, `outputs` (to be closed); STORE: floats of `outputs->hidden[0]`
 * are keys, then values. */
enum tfr_status tfr_payload_run(struct tfr_engine *engine, struct tfr_payload *payload,
                                const struct tfr_step_inputs *inputs, struct tfr_step_outputs *outputs);
void tfr_step_outputs_close(struct tfr_step_outputs *outputs);
int64_t tfr_entry_keys(const struct tfr_payload_entry *entry);

#endif
