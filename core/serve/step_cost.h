/* step_cost.h - what a step takes: measured before serving, and followed while steps run.
 *
 * A step is taken for the sum of its parts: sequences that decode, rows of prompts, rows whose logits are wanted beside those, keys
 * that rows see. Thread rule: the engine's thread; no state but the record. */
#ifndef TFR_SERVE_STEP_COST_H
#define TFR_SERVE_STEP_COST_H

#include <stdbool.h>
#include <stdint.h>

enum { TFR_CURVE_POINTS = 16 };

/* Seconds at some counts, straight lines between them; n = 0: not known. */
struct tfr_cost_curve {
    int n;
    double at[TFR_CURVE_POINTS], s[TFR_CURVE_POINTS];
};

struct tfr_step_cost {
    struct tfr_cost_curve decode;  /* a step of so many sequences, a row each, with decode_keys keys */
    struct tfr_cost_curve prefill; /* so many rows of prompts that begin */
    double decode_keys;
    double decode_key_s, prefill_key_s; /* one more key of one row */
    double scored_row_s;                /* logits of one row of a prompt */
};

/* What is in a step, or would be. */
struct tfr_step_shape {
    int64_t sequences;   /* that decode */
    int64_t prompt_rows; /* rows of prompts */
    double scored_share; /* of these, the part with logits */
    double decode_keys;  /* keys that the decoding rows see, all together */
    double prompt_past;  /* keys before a row of a prompt's piece, on average */
};

/* Measured points come in order of `at`. */
void tfr_curve_add(struct tfr_cost_curve *curve, double at, double s);
double tfr_curve_s(const struct tfr_cost_curve *curve, double at);

bool tfr_step_cost_known(const struct tfr_step_cost *cost);
double tfr_step_cost_s(const struct tfr_step_cost *cost, const struct tfr_step_shape *shape);
/* The rows of prompts that fit beside what decodes within target_s, least .. most. */
int64_t tfr_step_budget(const struct tfr_step_cost *cost, const struct tfr_step_shape *shape, double target_s, int64_t least,
                        int64_t most);
/* A step took so long: the points near it move a part of the way, all others a little. */
void tfr_step_cost_learn(struct tfr_step_cost *cost, const struct tfr_step_shape *shape, double seconds);
/* Prompt rows a second without company. */
double tfr_step_prefill_rate(const struct tfr_step_cost *cost);
/* What a token that is decoded costs, in prompt rows. */
double tfr_step_token_weight(const struct tfr_step_cost *cost, int64_t sequences);

#endif
