/* engine_task.h - work of a route that must run on the engine's thread, between two steps: posted from the network thread, which
 * replies when it is done. One at a time, so that no step waits for two of them; while texts are written tasks have half of the
 * time at most: one goes only if the last one's end is as long ago as that one took. Keys take turns, and of one key the tasks go
 * in the order in which they came.
 *
 * A task is taken by one thread at a time: the network thread until it is posted and after it is done, the engine's in between. A
 * task whose client left meanwhile is let go by the engine's thread. */
#ifndef TFR_APP_HTTP_ENGINE_TASK_H
#define TFR_APP_HTTP_ENGINE_TASK_H

#include <stdatomic.h>

#include "app/http/fields.h"
#include "app/http/server.h"

struct tfr_engine_task {
    struct tfr_call *call;
    void (*run)(struct tfr_engine *engine, struct tfr_engine_task *task); /* engine's thread */
    void (*done)(struct tfr_engine_task *task); /* network thread: posts the task again, or replies by tfr_engine_task_take */
    void (*free)(struct tfr_engine_task *task); /* either thread */
    /* of the last run */
    enum tfr_status status;
    char error[512];
    struct tfr_server *server;
    struct tfr_engine_task *next; /* that waits behind it */
    char key[TFR_CALL_ASKER];     /* who asks */
    uint64_t turn;                /* each key has one task a turn */
    atomic_int stage;
};

/* Whether there is a place for one more; else, where serve.max_queue of them wait, it is refused. To be asked before texts are
 * split, which would be for nothing. */
bool tfr_engine_task_has_place(const struct tfr_server *server, struct tfr_refusal *refusal);
/* Replies with a refusal from before the start. */
void tfr_engine_task_reply_refusal(struct tfr_exchange *x, const struct tfr_refusal *refusal);
/* The call waits for it. Replies 429 where there is no place; the task is freed then. */
void tfr_engine_task_start(struct tfr_engine_task *task);
/* Once more, from `done`, behind those of its key that wait. */
void tfr_engine_task_post(struct tfr_engine_task *task);
/* The call does not wait any more, and can be replied to; the task is the caller's, who frees it. */
struct tfr_call *tfr_engine_task_take(struct tfr_engine_task *task);
/* Takes, replies with `out` behind which it puts what was used and the end of its object, and frees: `out`, which may be part of
 * the task, is empty then. */
void tfr_engine_task_reply(struct tfr_engine_task *task, struct tfr_json_out *out);
/* Takes, replies with what `status` and `error` say, and frees. */
void tfr_engine_task_fail(struct tfr_engine_task *task);
/* `run` ended so; the text is tfr_last_error() of this thread. */
void tfr_engine_task_end(struct tfr_engine_task *task, enum tfr_status status);

#endif
