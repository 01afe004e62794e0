/* batcher.h - requests that join and leave the running batch at every step. Thread rule: the engine's thread; other threads come in
 * by queue.h. */
#ifndef TFR_SERVE_BATCHER_H
#define TFR_SERVE_BATCHER_H

#include "serve/groups.h"
#include "serve/queue.h"
#include "serve/step_cost.h"

/* Requests linked by next, in the order in which they came. */
struct tfr_request_list {
    struct tfr_request *first, *last;
    size_t n;
};

struct tfr_batcher {
    struct tfr_engine *engine;
    struct tfr_queue *queue;
    struct tfr_prefixes *prefixes;
    struct tfr_groups groups; /* opened with the first step */
    bool is_open;
    struct tfr_request_list waiting, running;
    struct tfr_continuation **batch; /* [max_batch] the running ones, for the groups */
    bool told;                       /* events since the last notice */
    bool is_serving;                 /* tfr_engine_warm was called */
    struct tfr_fair fair;            /* whose turn it is of those that wait */
    struct tfr_serving counts;       /* what it has done; the queue adds what waits */
    struct tfr_step_cost cost;
    double target_s;    /* of a step while others wait for their next token */
    int64_t chunk_rows; /* prompt rows of a step, in tests; 0: as the costs say */
    double mean_tokens; /* that a sequence gets in the end; 0: none has ended */
    double used_share;  /* of the tokens that a sequence may get; 0: none has ended */
    double slot_s;      /* how long a request holds its sequences, on average; 0: none has ended */
};

/* Opening and closing an engine. Closing ends what is left as cancelled. */
enum tfr_status tfr_batcher_open(struct tfr_batcher **batcher, struct tfr_engine *engine);
void tfr_batcher_close(struct tfr_batcher *batcher);

/* Working memory for steps: tfr_engine_step does it too. */
enum tfr_status tfr_batcher_prepare(struct tfr_batcher *batcher);
/* From here on as a server has it: prompts by a budget, slots with memory that stays. */
void tfr_batcher_serve(struct tfr_batcher *batcher);

/* bookkeeping.c. Costs are in rows of prompts: expected of a request, and what it took. */
double tfr_batcher_expected(const struct tfr_batcher *batcher, const struct tfr_continuation *c);
double tfr_batcher_spent(const struct tfr_batcher *batcher, const struct tfr_continuation *c);
void tfr_batcher_count_start(struct tfr_batcher *batcher, const struct tfr_request *request);
void tfr_batcher_count_end(struct tfr_batcher *batcher, struct tfr_request *request);
/* struct tfr_round's. */
int64_t tfr_batcher_budget(void *user, const struct tfr_round_counts *counts);
void tfr_batcher_learn(struct tfr_batcher *batcher, const struct tfr_round_counts *counts, uint64_t ns);
/* Once a step, for whoever asks what is going on. */
void tfr_batcher_report(struct tfr_batcher *batcher, const struct tfr_round_counts *step);

/* requests.c: tfr_request_submit with what only tfr_generate or only a server has. */
struct tfr_request_extra {
    size_t index;                        /* of the first prompt, for messages */
    int64_t seed;                        /* one for several requests; -1: that of the settings */
    const char *cache_load, *cache_save; /* saved caches, borrowed until the request has ended */
    bool cache_force;
    bool is_served; /* within the limits of the queue */
    const struct tfr_request_terms *terms;
};
/* All n or none. */
enum tfr_status tfr_request_put(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n, struct tfr_params *params,
                                const struct tfr_request_extra *extra, struct tfr_request **requests);
int64_t tfr_seed_draw(void);

#endif
