/* line_sum.h - what lines cost: a polynomial of the variables, and references to classes that were not looked into.
 *
 * A reference is kept as text, "${CLASS}(arguments)", its arguments being polynomials; expanding puts the sum of the class in its
 * place, its arguments filled in. Counting walks the same tables with numbers instead, so that the one proves the other.
 * Thread rule: no state.
 */
#ifndef TFR_COST_LINE_SUM_H
#define TFR_COST_LINE_SUM_H

#include "cost/lines.h"
#include "graph/graph.h"
#include "graph/op.h"

/* What decides which lines run, and what the sizes are that no variable stands for. */
struct tfr_line_path {
    const struct tfr_line_release *release;
    uint32_t bits; /* of line_paths.def */
    const char *activation_function;
    enum tfr_activation summary_activation;
    bool only_last;         /* logits of the last position alone */
    bool summary_is_hidden; /* the summary has hidden_size outputs, not num_labels */
    bool causal;            /* a query meets the keys before it alone: key_len is their mean number */
    int element;            /* bytes of an element */
};

struct tfr_line_question {
    const char *release; /* NULL: the newest */
    bool fused;          /* sdpa */
    bool no_cache;       /* use_cache = False */
    bool past;           /* cache_len > 0 */
    bool one_row;        /* seq_len = 1 */
    bool encoder;        /* encoder_hidden_states are given */
    bool encoder_cached; /* in an earlier call, too */
    bool only_last;
};
/* Failure: TFR_USAGE where the release is unknown or has no such path. */
enum tfr_status tfr_line_path_set(struct tfr_line_path *path, const struct tfr_hparams *hparams,
                                  const struct tfr_line_question *question);
/* Where a class stands. Failure: TFR_USAGE where the release has no such class. */
enum tfr_status tfr_line_need_source(const struct tfr_line_path *path, enum tfr_line_class cls, struct tfr_line_source *source);
/* Bits that hold inside of a class. */
uint32_t tfr_line_bits(const struct tfr_line_path *path, enum tfr_line_class cls);
/* The class that a config's architecture names. */
enum tfr_line_class tfr_line_class_of(enum tfr_head head);
/* By page name or qualified name. Failure: TFR_USAGE with the names, or that the release has no such class. */
enum tfr_status tfr_line_class_named(const struct tfr_line_path *path, const char *name, enum tfr_line_class *cls);

#define TFR_LINE_TEXT 160 /* of an argument */

struct tfr_line_ref {
    enum tfr_line_class cls;
    char count[TFR_LINE_TEXT]; /* how often, a polynomial */
    char arg[TFR_LINE_MAX_ARGS][TFR_LINE_TEXT];
};

struct tfr_line_sum {
    struct tfr_poly flops, read, written;
    int n_refs;
    struct tfr_line_ref *ref; /* owned */
};
void tfr_line_sum_free(struct tfr_line_sum *sum);
/* The cost of one step inside of a class; all 0 where it is skipped. Free it, after a failure too. */
enum tfr_status tfr_line_step_sum(struct tfr_line_sum *sum, const struct tfr_line_path *path, enum tfr_line_class cls,
                                  const struct tfr_line_step *step);
/* All lines of a class. */
enum tfr_status tfr_line_class_sum(struct tfr_line_sum *sum, const struct tfr_line_path *path, enum tfr_line_class cls);
/* Each reference becomes the sum of its class, `levels` times, or until none is left. */
enum tfr_status tfr_line_expand(struct tfr_line_sum *sum, const struct tfr_line_path *path, int levels);
/* "${...GPT2Model}(batch_size, seq_len)", with "num_layers " before it where it counts more than once. free() it; NULL: no memory.
 */
char *tfr_line_ref_text(const struct tfr_line_ref *ref, const struct tfr_line_path *path);

/* line_count.c: numbers. */
struct tfr_line_counts {
    tfr_int128 flops, read, written;
    tfr_int128 matmul; /* FLOPs of the matrix products alone, as PyTorch's FlopCounterMode counts */
    struct tfr_line_op_counts {
        tfr_int128 calls, flops, read, written;
    } op[TFR_REFERENCE_OP_COUNT];
};
/* Adds what a class costs with these values, all the way down. Failure: TFR_USAGE beyond 2^127. */
enum tfr_status tfr_line_count_class(struct tfr_line_counts *counts, const struct tfr_line_path *path, enum tfr_line_class cls,
                                     const tfr_int128 value[TFR_DIM_COUNT]);
/* Adds one step, or one reference, `times` times. */
enum tfr_status tfr_line_count_step(struct tfr_line_counts *counts, const struct tfr_line_path *path, enum tfr_line_class cls,
                                    const struct tfr_line_step *step, const tfr_int128 value[TFR_DIM_COUNT]);

#endif
