/* batch.h - sequences of a question about cost, and the sums over them that costs depend on. Thread rule: no state. */
#ifndef TFR_COST_BATCH_H
#define TFR_COST_BATCH_H

#include "base/int128.h"
#include "graph/poly.h"

struct tfr_hparams;

/* `count` sequences alike: `rows` new positions each, behind `past` cached ones. */
struct tfr_sequences {
    int64_t count, rows, past;
};

enum tfr_logits_kept { TFR_LOGITS_ALL, TFR_LOGITS_LAST, TFR_LOGITS_NONE };

struct tfr_batch_question {
    const struct tfr_sequences *sequences;
    size_t n;
    enum tfr_logits_kept logits;
    bool is_causal;
    int64_t max_rows; /* of a step */
};

/* Gives the names of the model their values in value[]: hidden_size, num_layers ... num_labels, and encoder_len. */
void tfr_bind_model(const struct tfr_hparams *hparams, int64_t encoder_len, tfr_int128 value[TFR_DIM_COUNT]);
/* Gives the letters of a step their values in value[]: T R A X B U W. All rows at once, or as the engine cuts them. Failure: sums
 * beyond 2^127; without causality a sequence that no step takes in one piece. */
enum tfr_status tfr_batch_at_once(const struct tfr_batch_question *question, tfr_int128 value[TFR_DIM_COUNT]);
enum tfr_status tfr_batch_in_steps(const struct tfr_batch_question *question, tfr_int128 value[TFR_DIM_COUNT]);

#endif
