/* plan.h - stage 4: a graph becomes an array of tasks with kernels, memory and packed weights. All choices are made here.
 *
 * plan.c runs select (kernels), memplan (offsets) and store (weights); explain.c tells why. Plans of several shape
 * classes share one tfr_store of packed weights. Thread rule: built on one thread (packing uses the team), read-only afterwards.
 */
#ifndef TFR_PLAN_PLAN_H
#define TFR_PLAN_PLAN_H

#include "base/json.h"
#include "graph/graph.h"
#include "plan/registry.h"
#include "plan/store.h"
#include "team/team.h"
#include "topo/topo.h"

#define TFR_RUN_STATE_ALIGN 64

enum tfr_place { TFR_PLACE_NONE, TFR_PLACE_ARENA, TFR_PLACE_CONST, TFR_PLACE_IO };
struct tfr_task_arg {
    enum tfr_place place;
    size_t offset;    /* ARENA */
    const void *data; /* CONST: packed or plain weight; NULL in a dry plan */
    enum tfr_io io;   /* IO */
    int io_index;
};

struct tfr_candidate {
    const struct tfr_kernel *kernel;
    const char *plugin;
    int32_t abi_minor;   /* that the plugin was built for */
    double predicted_ns; /* 0 when refused */
    char refusal[96];    /* "" when it could serve */
};

struct tfr_task {
    const char *name; /* of the node; borrowed from the graph */
    const struct tfr_kernel *kernel;
    struct tfr_problem problem;
    struct tfr_task_arg arg[TFR_MAX_ARGS];
    int n_args;
    void *state; /* of the plan; what changes while a run is in flight is the run's: */
    size_t run_state_offset;
    enum tfr_rows_var rows;
    int64_t layer;
    int n_predecessors, n_successors;
    int *successors;
    double priority_ns; /* longest predicted path from here to the end */
    struct tfr_cost cost;
    double predicted_ns;
    bool compute_bound; /* by prediction; else bound by memory */
    bool alone;         /* a TEAM kernel that the master runs by itself: cheaper than a barrier, problem.n_threads is 1 */
    struct tfr_needs needs;
    const struct tfr_candidate
        *candidates; /* of the plan: all kernels of the op, the chosen one first, then by time, then refused */
    int n_candidates;
};

struct tfr_plan {
    struct tfr_graph *graph; /* owned */
    struct tfr_task *tasks;  /* in the order of the graph's nodes */
    int n_tasks, n_threads;
    int64_t rows_max, logits_max;
    int *async, n_async;          /* asynchronous tasks, in order */
    int *appends, n_appends;      /* tasks that append to a cache, in order */
    struct tfr_candidate **lists; /* candidates: tasks that were asked the same share one */
    int n_lists;
    struct tfr_candidate *absent; /* kernels whose pattern does not stand in the graph */
    int n_absent;
    size_t arena_bytes, scratch_bytes, scratch_per_thread_bytes, packed_bytes;
    size_t run_state_bytes; /* of one run, all tasks together */
    double predicted_ns;
    bool dry, deterministic;
    void *state_memory; /* of all tasks */
};

/* In deterministic mode a linear must add in the same order in every shape class, on every rank and for any number of
 * threads: order.c decides per shape, from nothing but the shape, the kernels and the machine; the book keeps what was
 * decided. The engine owns it. */
struct tfr_order_book {
    struct tfr_order_entry {
        int64_t k, n;
        enum tfr_dtype dtype;
        int32_t x_dtype, activation, transposed;
        int32_t k_block; /* that the graph wants, 0 none */
        struct tfr_order order;
        const struct tfr_kernel *kernel;      /* that decided; when order is TFR_ORDER_OWN: the one to use everywhere */
        const struct tfr_kernel *passed_over; /* faster with many rows, but one row would be slower; NULL none */
        double slowdown;                      /* of one row in the order of passed_over; infinite: no kernel */
    } entry[32];
    int n;
    struct tfr_half_entry { /* whether linears of this shape take f32 weights in 16 bits where these are exact */
        int64_t k, n;
        enum tfr_dtype narrow;
        int32_t activation, transposed, k_block;
        bool takes;
    } half[32];
    int n_halves;
};

struct tfr_plan_request {
    struct tfr_graph *graph; /* taken over by the plan, also on failure */
    const struct tfr_registry *registry;
    const struct tfr_machine *machine;
    struct tfr_store *store; /* NULL: a dry plan, nothing packed or initialised */
    struct tfr_team *team;   /* packs; NULL in a dry plan */
    int n_threads;
    bool deterministic;
    bool lossless; /* f32 weights that 16 bits hold exactly are packed so: deterministic mode only */
    bool by_parts; /* sums by head: no linear takes an order of a kernel's own, in which columns need not have the bits that all
                      have */
    struct tfr_order_book *orders; /* may be NULL when not deterministic */
    double context;                /* cached positions assumed per sequence, for predictions of attention */
    double sequences;
    double encoder; /* encoder rows of each sequence, where they are known */
};
enum tfr_status tfr_plan_build(struct tfr_plan **plan, const struct tfr_plan_request *request);
/* Makes ahead what kernels would make at their first runs: `warm` of tfrun/plugin.h. Before the first run. */
void tfr_plan_warm(struct tfr_plan *plan);
void tfr_plan_free(struct tfr_plan *plan);

/* Table for people: node, kernel, rows, FLOPs, bytes, predicted time, order; kernels not taken with reasons underneath.
 * Free with tfr_free. */
char *tfr_plan_explain(const struct tfr_plan *plan, bool refusals);
void tfr_plan_explain_json(const struct tfr_plan *plan, struct tfr_json_out *out);

#endif
