/* queue.h - what crosses threads: requests on their way to the engine's thread, and events on their way back.
 *
 * One mutex for all of it, held for a few pointers at a time. Everything else of a request belongs to one side: what is set before
 * it is put here is read-only afterwards, and its continuation is the engine thread's alone. */
#ifndef TFR_SERVE_QUEUE_H
#define TFR_SERVE_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>

#include "generation/continuation.h"

/* An event and, in the same memory, what it points to. */
struct tfr_event_node {
    struct tfr_event_node *next;
    struct tfr_event event;
};

struct tfr_request {
    struct tfr_request *next; /* in the queue, then in the list of the engine's thread */
    struct tfr_queue *queue;
    atomic_bool cancelled;
    struct tfr_continuation continuation;
    uint64_t submitted_ns;
    /* engine's thread */
    uint64_t admitted_ns, first_token_ns;
    bool prompt_told;
    /* under the queue's mutex */
    int owners; /* the caller, and the engine until the last event */
    struct tfr_event_node *first, *last;
    /* caller's side */
    struct tfr_event_node *current; /* what the last poll gave */
    struct tfr_event_node end;      /* the last event needs no memory that might not be there */
};

struct tfr_queue {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct tfr_request *first, *last;
    bool poked; /* a request was cancelled */
    void (*notify)(void *user);
    void *notify_user;
};

enum tfr_status tfr_queue_open(struct tfr_queue **queue);
void tfr_queue_close(struct tfr_queue *queue); /* empty by then */

/* Any thread. */
void tfr_queue_put(struct tfr_queue *queue, struct tfr_request *request);
void tfr_queue_poke(struct tfr_queue *queue);
struct tfr_event_node *tfr_queue_next(struct tfr_request *request); /* NULL: none now */
/* One owner lets go; the last one frees it. */
void tfr_queue_release(struct tfr_request *request);
void tfr_queue_set_notify(struct tfr_queue *queue, void (*notify)(void *user), void *user);

/* Engine's thread. */
struct tfr_request *tfr_queue_take(struct tfr_queue *queue); /* all that came, in order, linked by next */
void tfr_queue_tell(struct tfr_request *request, struct tfr_event_node *node);
void tfr_queue_notify(struct tfr_queue *queue);
/* Until a request comes or is cancelled, or the time is over; false then. */
bool tfr_queue_wait(struct tfr_queue *queue, double seconds);

#endif
