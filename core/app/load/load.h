/* load.h - what the parts of `tfrun load` share: what is asked for, one request and what became of it, and who answers.
 *
 * A run (load_run.h) decides when requests start and keeps what is measured; a target answers them: a server (load_client.c) or an
 * engine in this process (load_inside.c). Thread rule: one thread has the run and its target. */
#ifndef TFR_APP_LOAD_LOAD_H
#define TFR_APP_LOAD_LOAD_H

#include <tfrun/types.h>

/* A number of tokens: one, or any of these, equally likely. */
struct tfr_load_range {
    int64_t low, high;
};

/* What a good request keeps, in ns; 0: not asked for. Of the gaps 95 % keep theirs. */
struct tfr_load_slo {
    uint64_t ttft, itl, tpot, e2e;
};

/* What all requests of all runs have in common. */
struct tfr_load_workload {
    struct tfr_load_range prompt_tokens, output_tokens;
    int64_t shared_prefix; /* the first tokens of every prompt are these */
    int64_t vocab_size;    /* ids are below it */
    bool vocab_guessed;    /* nobody said so */
    uint64_t seed;
    double disconnect; /* share of the requests that leave before their end */
    bool same_prompts, as_text, scoring, whole;
};

enum tfr_load_outcome {
    TFR_LOAD_UNDER_WAY,
    TFR_LOAD_DONE,
    TFR_LOAD_REFUSED, /* 429 or 503 */
    TFR_LOAD_FAILED,
    TFR_LOAD_LEFT, /* as wanted */
};

struct tfr_load_request {
    int64_t number; /* of the run, from 0: its prompt follows from it */
    int64_t n_prompt, n_output;
    int64_t leave_after;   /* leaves after so many events, 0: leave_ns after it was sent; -1: stays */
    uint64_t leave_ns;     /* a duration, then a time */
    uint64_t scheduled_ns; /* when it was to be sent: what latencies count from */
    uint64_t sent_ns, first_ns, last_ns, end_ns;
    int64_t n_events, n_tokens, n_late; /* late: gaps over the SLO's */
    enum tfr_load_outcome outcome;
    int status;                               /* of HTTP; 0: none */
    int retry_s;                              /* of a refusal; 0: not said */
    bool is_short;                            /* ended by itself before n_output tokens */
    bool counts;                              /* not of the warm-up */
    int client;                               /* of a closed loop */
    char error[256];                          /* one sentence of what failed */
    void *of_target;                          /* the target's own, while it is under way */
    struct tfr_load_request *previous, *next; /* of those under way */
};

struct tfr_load_run;

struct tfr_load_target {
    /* Sends it now. What can't even be sent has ended by then. */
    void (*start)(struct tfr_load_target *target, struct tfr_load_request *request);
    /* Tells the run what comes until a time, or returns early after something was told. */
    void (*wait)(struct tfr_load_target *target, uint64_t until_ns);
    /* Closes its connection, or cancels it; it has ended then. */
    void (*leave)(struct tfr_load_target *target, struct tfr_load_request *request);
    struct tfr_load_run *run; /* who is told */
};

/* load_run.c, for targets: tokens of a request came, at a time; it has ended, with its outcome set. */
void tfr_load_run_tokens(struct tfr_load_run *run, struct tfr_load_request *request, uint64_t ns, int64_t n_tokens);
void tfr_load_run_end(struct tfr_load_run *run, struct tfr_load_request *request, enum tfr_load_outcome outcome, uint64_t ns);
void tfr_load_run_fail(struct tfr_load_run *run, struct tfr_load_request *request, uint64_t ns, const char *format, ...)
    TFR_PRINTF(4, 5);

#endif
