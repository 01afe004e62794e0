/* task_facts.h - what the time of a task depends on, in one plain record: it is measured, predicted and sent to rank 0 by it.
 * Thread rule: no state. */
#ifndef TFR_PREDICT_TASK_FACTS_H
#define TFR_PREDICT_TASK_FACTS_H

#include "plan/plan.h"

/* A step: `rows` new rows in all, spread evenly over sequences with `past` cached positions each; logits of `logits` rows. */
struct tfr_step_facts {
    int64_t rows, sequences, past, logits;
};

struct tfr_task_facts {
    char name[48];              /* of the node: "h.3.attn.c_attn" */
    char kernel[64], shape[64]; /* "linear.f32.gemv.avx512", "768x2304 bias": tasks of equal kernel and shape behave alike */
    int32_t op;                 /* enum tfr_op */
    int32_t dtype;              /* of the multipliers it keeps busy: F32, BF16 or I8 */
    uint32_t isa;               /* that the kernel needs; 0: it takes what there is */
    int32_t threads;            /* 1 where one thread runs it */
    int32_t is_message;
    int64_t class_rows;         /* most rows of the plan's class */
    int64_t rows;               /* of this run */
    int64_t rows_each, context; /* attention: rows and cached positions of a sequence; else rows and 0 */
    double flops;
    double near_bytes, far_bytes; /* activations; weights and cached keys */
    double near_set, far_set;     /* what is gone through before those bytes are wanted again */
};

void tfr_task_facts_make(struct tfr_task_facts *facts, const struct tfr_plan *plan, int task, const struct tfr_step_facts *step);

#endif
