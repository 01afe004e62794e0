/* select.h - which kernel serves a problem, and why no other.
 *
 * Order of preference: the user's list, predicted time, score, name. In deterministic mode nothing that
 * changes bits may depend on rows, threads or the context of the step: the choice is made as for
 * TFR_NOMINAL_ROWS rows on TFR_NOMINAL_THREADS threads, and a linear keeps the order of additions that
 * order.c decides. Thread rule: one thread per order book.
 */
#ifndef TFR_PLAN_SELECT_H
#define TFR_PLAN_SELECT_H

#include "plan/cost.h"
#include "plan/plan.h"

/* A prefill of ordinary length: where the choice of an order matters. */
#define TFR_NOMINAL_ROWS 512

struct tfr_chooser {
    const struct tfr_registry *registry;
    struct tfr_outlook outlook;
    bool deterministic;
    bool lossless;                 /* struct tfr_plan_request; with `store`, f32 weights are scanned */
    bool by_parts;                 /* struct tfr_plan_request */
    struct tfr_store *store;       /* NULL in a dry plan */
    struct tfr_order_book *orders; /* deterministic only */
    enum tfr_status *failure;      /* set, and the sentence raised, when a kernel fails instead of answering */
};

struct tfr_choice {
    struct tfr_problem problem; /* as the kernel was asked, with the order to keep */
    const struct tfr_kernel *kernel;
    struct tfr_needs needs;
    struct tfr_prediction prediction;
    struct tfr_candidate *candidates; /* owned by the caller afterwards */
    int n_candidates;
};

/* Failure: TFR_UNSUPPORTED when no kernel serves the problem; the text lists the reasons. */
enum tfr_status tfr_select(const struct tfr_chooser *chooser, const struct tfr_problem *problem, struct tfr_choice *choice);

/* fusion.c: asks the kernels which claim a pattern, and puts fused nodes where they are taken. *absent: those whose pattern does
 * not stand in the graph; to be freed also where it fails. */
enum tfr_status tfr_fuse_patterns(struct tfr_graph *graph, const struct tfr_chooser *chooser, int n_threads,
                                  struct tfr_candidate **absent, int *n_absent);

/* All kernels of the op (of the pattern), unjudged. Free with tfr_free. */
enum tfr_status tfr_candidates_list(const struct tfr_registry *registry, const struct tfr_problem *problem,
                                    struct tfr_candidate **list, int *n);
/* Static filter, supports and prepare; false with the reason. */
bool tfr_candidate_judge(const struct tfr_chooser *chooser, const struct tfr_candidate *candidate,
                         const struct tfr_problem *problem, struct tfr_needs *needs, char *reason, size_t size);

/* order.c: the order in which linears of this shape add, the same for every number of rows and threads; kept
 * in the book. */
enum tfr_status tfr_order_decide(const struct tfr_chooser *chooser, const struct tfr_problem *problem,
                                 struct tfr_order_entry *entry);
/* halves.c: turns a linear on f32 weights into one on those of 16 bits, where these hold the values exactly and that is no slower.
 */
enum tfr_status tfr_choose_half(const struct tfr_chooser *chooser, const struct tfr_graph *graph, const struct tfr_node *node,
                                struct tfr_problem *problem);
/* Whether an f32 linear of this shape takes weights that `narrow` holds exactly in that type: if kernels keep its order then, and
 * neither one row nor many would be slower. The same for any rows and threads; kept in the book. */
enum tfr_status tfr_order_takes_half(const struct tfr_chooser *chooser, const struct tfr_problem *problem, enum tfr_dtype narrow,
                                     bool *takes);
/* Equal orders give equal bits; an own order only equals itself, so it never does here. */
bool tfr_order_same(const struct tfr_order *a, const struct tfr_order *b, int64_t k);
/* "fma 512", "dp_bf16 768", "own", "-". */
const char *tfr_order_text(const struct tfr_order *order, char *text, size_t size);

#endif
