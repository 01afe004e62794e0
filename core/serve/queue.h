/* queue.h - what crosses threads: requests and calls on their way to the engine's thread, events on their way back, and what the
 * engine says of itself.
 *
 * One mutex for all of it, held for a few pointers at a time. Everything else of a request belongs to one side: what is set before
 * it is put here is read-only afterwards, and its continuation is the engine thread's alone. */
#ifndef TFR_SERVE_QUEUE_H
#define TFR_SERVE_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "generation/continuation.h"
#include "serve/admission.h"
#include "serve/fair.h"

/* An event and, in the same memory, what it points to. */
struct tfr_event_node {
    struct tfr_event_node *next;
    struct tfr_event event;
};

struct tfr_request {
    struct tfr_request *next; /* in the queue, then in the list of the engine's thread */
    struct tfr_queue *queue;
    atomic_bool cancelled, admitted;
    struct tfr_continuation continuation;
    uint64_t submitted_ns;
    /* engine's thread */
    struct tfr_turn turn; /* flow NULL: it has none */
    uint64_t admitted_ns, first_token_ns;
    size_t counted_tokens; /* of its output, in the batcher's sum */
    bool prompt_told;
    struct tfr_prefix_entry *prefix; /* while it runs, where it shares: prefixes.h */
    /* under the queue's mutex */
    bool waits; /* is among those that wait in the queue's load: neither admitted nor cancelled */
    int owners; /* the caller, and the engine until the last event */
    struct tfr_event_node *first, *last;
    uint64_t cancel_step; /* the step that was under way when it was cancelled */
    /* caller's side */
    struct tfr_event_node *current; /* what the last poll gave */
    struct tfr_event_node end;      /* the last event needs no memory that might not be there */
};

/* Work of a caller for the engine's thread. */
struct tfr_call {
    struct tfr_call *next;
    void (*work)(struct tfr_engine *engine, void *user);
    void *user;
};

struct tfr_queue {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct tfr_request *first, *last;
    struct tfr_call *first_call, *last_call;
    bool poked; /* a request was cancelled */
    void (*notify)(void *user);
    void *notify_user;
    struct tfr_queue_limits limits;
    struct tfr_queue_load load;
    size_t lingering; /* requests that waited and are cancelled, until the engine's thread has let them go */
    int64_t lingering_tokens;
    struct tfr_serving serving; /* as of the last step, but for what the load and this queue know better */
    uint64_t n_takes;           /* steps begun */
    uint64_t step_began_ns, step_ended_ns;
    bool works; /* a step is under way that had something to do */
};

enum tfr_status tfr_queue_open(struct tfr_queue **queue, const struct tfr_queue_limits *limits);
void tfr_queue_close(struct tfr_queue *queue); /* empty by then */

/* Any thread. */
/* All n or none: TFR_BUSY where they are `limited` and too much waits. */
enum tfr_status tfr_queue_put(struct tfr_queue *queue, struct tfr_request *const *requests, size_t n, bool limited);
/* As tfr_queue_put would say of n that are limited, whatever their prompts. */
enum tfr_status tfr_queue_check(struct tfr_queue *queue, size_t n);
enum tfr_status tfr_queue_call(struct tfr_queue *queue, void (*work)(struct tfr_engine *engine, void *user), void *user);
void tfr_queue_cancel(struct tfr_request *request);
struct tfr_event_node *tfr_queue_next(struct tfr_request *request); /* NULL: none now */
/* One owner lets go; the last one frees it. */
void tfr_queue_release(struct tfr_request *request);
void tfr_queue_set_notify(struct tfr_queue *queue, void (*notify)(void *user), void *user);
void tfr_queue_read(struct tfr_queue *queue, struct tfr_serving *serving);

/* Engine's thread. */
/* All that came, in order, linked by next: a step begins. */
struct tfr_request *tfr_queue_take(struct tfr_queue *queue);
struct tfr_call *tfr_queue_take_calls(struct tfr_queue *queue); /* freed by the caller */
/* A request no longer waits: it was admitted, or has ended. */
void tfr_queue_left(struct tfr_request *request);
/* Steps begun since it was cancelled. */
uint64_t tfr_queue_steps_since_cancel(struct tfr_request *request);
/* What the engine is doing, after a step; of `load` the part of the engine. */
void tfr_queue_report(struct tfr_queue *queue, const struct tfr_serving *serving, const struct tfr_queue_load *load);
void tfr_queue_tell(struct tfr_request *request, struct tfr_event_node *node);
void tfr_queue_notify(struct tfr_queue *queue);
/* Until something comes or is cancelled, or the time is over; false then. */
bool tfr_queue_wait(struct tfr_queue *queue, double seconds);

#endif
