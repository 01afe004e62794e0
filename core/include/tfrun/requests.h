/* requests.h - prompts that run side by side: submitted, polled and cancelled by any thread; and what a server needs beside them.
 *
 * A part of tfrun.h, whose conventions hold here; include that one. */
#ifndef TFRUN_REQUESTS_H
#define TFRUN_REQUESTS_H

#ifndef TFRUN_TFRUN_H
#error "include <tfrun/tfrun.h>, which has this part"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- requests ------------------------------------------------------------------------------------------- */

/* Prompts side by side, each with settings of its own. A request is submitted, waits until sequences of the engine are free, runs
 * in the same steps as all others, and says as events what comes of it. Bits, text and failures of a request are its own: no
 * company changes them.
 *
 * Which thread: tfr_params_* and tfr_request_* any; tfr_engine_step and everything else the engine's (rank 0). A request is closed
 * before its engine is, and not while another thread polls it. */

struct tfr_params;  /* the settings of a request; read-only, for any number of requests */
struct tfr_request; /* one prompt under way */

/* The config's sampling section (and input.truncate) with what is said here instead: as overrides ("sampling.top_p"), or as one
 * JSON object of names under sampling and "truncate" ({"top_p": 0.9, "max_tokens": 20}; null: the config's value). TFR_CONFIG with
 * all that is wrong, TFR_USAGE for what does not go together. */
TFR_API enum tfr_status tfr_params_parse(const struct tfr_engine *engine, const struct tfr_override *overrides, size_t n_overrides,
                                         struct tfr_params **params);
TFR_API enum tfr_status tfr_params_parse_json(const struct tfr_engine *engine, const char *json, size_t size,
                                              struct tfr_params **params);
/* Requests that were submitted with them keep what they need. */
TFR_API void tfr_params_free(struct tfr_params *params);

enum tfr_finish { TFR_FINISH_NONE, TFR_FINISH_LENGTH, TFR_FINISH_EOS, TFR_FINISH_STOP };

/* By the model's own logits, before any processor; natural logarithm. */
struct tfr_logprob {
    double logprob;
    int32_t id;
    int32_t rank; /* among all tokens at this place: 1 is the most probable; of equal ones the lower id is before */
};

struct tfr_request_stats {
    size_t prompt_tokens, cached_tokens, output_tokens;
    int64_t seed;                                 /* that was used */
    uint64_t logits_digest;                       /* FNV-1a over the bits of all logits that tokens were chosen from, in order;
                                                   * 0 after tfr_engine_set_digest(engine, false) */
    uint64_t waited_ns, first_token_ns, total_ns; /* since it was submitted, until it was admitted, ...; 0: never */
    uint64_t prefill_ns, decode_ns;               /* admitted to first token; from there to the end; 0: never */
};

/* PROMPT comes first: its tokens, as they were read. TOKENS: what is new of one sequence, at most once a step; text is whole
 * characters, held back where it may become a stop string, so it can come later than its ids; `finish` is set in a sequence's
 * last one. END comes once and last: status, error (a sentence of this request alone) and stats; the other events have the stats so
 * far, without total_ns and decode_ns. */
enum tfr_event_kind { TFR_EVENT_PROMPT, TFR_EVENT_TOKENS, TFR_EVENT_END };
struct tfr_event {
    enum tfr_event_kind kind;
    size_t index;     /* which of the sampling.num_return_sequences */
    const char *text; /* NUL behind it */
    size_t text_size;
    const int32_t *ids;
    size_t n_ids;
    /* NULL without sampling.logprobs, and where a request ended before all of its prompt was scored. Of each id (of a prompt: from
     * the second on) 1 + n_top: itself, then the best ones. */
    const struct tfr_logprob *logprobs;
    size_t n_top;
    enum tfr_finish finish;
    enum tfr_status status;
    const char *error;
    struct tfr_request_stats stats;
};

struct tfr_prompt;

/* Prompt and encoder states are copied. What is wrong with them, or asks for more than the engine has, is refused here. `params`
 * NULL: the config's. Waiting requests are admitted in the order in which they came. input.encoder_states and saved caches of the
 * config are for tfr_generate alone. */
TFR_API enum tfr_status tfr_request_submit(struct tfr_engine *engine, const struct tfr_prompt *prompt, struct tfr_params *params,
                                           struct tfr_request **request);
/* The next event, if there is one; what it points to is valid until the next poll or close of this request. */
TFR_API bool tfr_request_poll(struct tfr_request *request, struct tfr_event *event);
/* It has left the queue. */
TFR_API bool tfr_request_admitted(const struct tfr_request *request);
/* It ends with TFR_CANCELLED at the engine's next step, unless it has ended by then. */
TFR_API void tfr_request_cancel(struct tfr_request *request);
/* Cancels what has not ended, and lets go. Not later than the engine is closed. */
TFR_API void tfr_request_close(struct tfr_request *request);

/* Whose request it is, and what it may cost others. Strings are copied. */
struct tfr_request_terms {
    const char *key;   /* who asks: fairness and shared prefixes go by it; NULL: one nobody */
    const char *salt;  /* parts the cached prefixes of a key further; NULL: does not */
    bool batch;        /* long work: gets what interactive requests leave, and a tenth in any case */
    bool no_prefix;    /* takes no cached prefix and leaves none */
    double deadline_s; /* from submission to end; over it, it ends with TFR_CANCELLED ("took longer than ..."). 0: none */
};
/* As tfr_request_submit, within the limits of the serve section: TFR_BUSY, and nothing is queued, where serve.max_queue,
 * serve.max_queue_tokens or serve.max_queue_ms would be exceeded. A queue that is empty takes anything. `terms` NULL: nobody's. */
TFR_API enum tfr_status tfr_request_submit_on(struct tfr_engine *engine, const struct tfr_prompt *prompt, struct tfr_params *params,
                                              const struct tfr_request_terms *terms, struct tfr_request **request);
/* Several at once, all or none: the prompts of one question, with one look at the queue. requests[n] are filled, NULL where it
 * fails. */
TFR_API enum tfr_status tfr_request_submit_all(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n,
                                               struct tfr_params *params, const struct tfr_request_terms *terms,
                                               struct tfr_request **requests);
/* TFR_BUSY, as they would give, where n prompts would be refused now whatever is in them: to be asked before they are made, which
 * would be for nothing. */
TFR_API enum tfr_status tfr_request_check_room(struct tfr_engine *engine, size_t n);

/* One step of the engine: takes what was submitted and cancelled, admits what fits, runs one ragged step for all, delivers events.
 * Failures belong to requests: this fails only where no step is possible. tfr_engine_cancel (a signal) ends all requests. Of a
 * warmed engine (tfr_engine_warm) it returns TFR_CANCELLED once another rank is lost: all requests have ended, and it can only be
 * closed. */
struct tfr_step_info {
    size_t running, waiting;           /* requests, after the step */
    int64_t rows, prompt_rows, logits; /* token rows of the step, those of prompts, rows whose logits were wanted */
    uint64_t ns;
};
TFR_API enum tfr_status tfr_engine_step(struct tfr_engine *engine, struct tfr_step_info *info);
/* With nothing running: until a request is submitted or cancelled, or the time is over (false; INFINITY:
 * never). tfr_engine_cancel, which may come from a signal handler, does not wake it. */
TFR_API bool tfr_engine_wait(struct tfr_engine *engine, double seconds);
/* `notify` is called on the engine's thread at the end of each step that had events: to wake up whoever polls. */
TFR_API void tfr_engine_notify(struct tfr_engine *engine, void (*notify)(void *user), void *user);

/* ---- serving -------------------------------------------------------------------------------------------- */

enum { TFR_SERVING_COSTS = 8 }; /* of 1, 2, 4, ... 128 sequences */

/* What the engine is doing, and what it has done since it was opened. */
struct tfr_serving {
    size_t running, waiting;                      /* requests */
    size_t slots_used, slots_total, prefix_slots; /* sequences: of running requests, that may run, cached prefixes */
    int64_t waiting_prompt_tokens;
    double estimated_wait_s; /* of a request that came now */
    double last_step_age_s;  /* since the last step ended or, with nothing running, since this one began; idle: 0 */
    uint64_t n_steps, n_batch_rows;
    uint64_t prompt_tokens, cached_tokens, generation_tokens;        /* of admitted requests; cached ones were not computed */
    uint64_t prefix_queries_tokens, prefix_hit_tokens;               /* of the prompts that were looked up */
    uint64_t cancelled_waiting, cancelled_prefill, cancelled_decode; /* requests, by what they were doing */
    uint64_t cancelled_steps_max;                                    /* from a cancel to its slots being free: at most 2 */
    uint64_t refused_full, refused_tokens, refused_wait;             /* calls that ended in TFR_BUSY, by the limit */
    double itl_target_s;                                             /* serve.itl_target_ms; 0 before tfr_engine_warm */
    double prefill_rate;                                             /* prompt tokens a second, alone; 0: not measured */
    double decode_cost_s[TFR_SERVING_COSTS];                         /* of a step without prompts; 0: not measured */
    int64_t last_budget_rows;                                        /* prompt rows that the last step had room for */
    size_t plans;                                                    /* of shape classes, that are kept */
    uint64_t n_plans_made;                                           /* with those that were given up */
};
/* Any thread; never waits for a step. */
TFR_API void tfr_engine_serving(const struct tfr_engine *engine, struct tfr_serving *serving);

/* `work` runs on the engine's thread between two steps (in tfr_engine_step, or at the latest when the engine closes), in the order
 * in which it was posted; any thread may post. What `user` points to is the caller's, who keeps it until then. */
TFR_API enum tfr_status tfr_engine_call(struct tfr_engine *engine, void (*work)(struct tfr_engine *engine, void *user), void *user);

/* Before serving, engine's thread: runs every class of steps that a server uses once, so that no request pays for it, and measures
 * what they cost, or reads that where it was kept in the cache folder. From here on prompts share a step within
 * serve.itl_target_ms, and prefixes are kept. `say` (may be NULL) tells how far it is. */
TFR_API enum tfr_status tfr_engine_warm(struct tfr_engine *engine, void (*say)(void *user, const char *what), void *user);

#ifdef __cplusplus
}
#endif

#endif
