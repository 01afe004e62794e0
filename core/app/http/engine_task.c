/* engine_task.c - see engine_task.h. */
#include "app/http/engine_task.h"

#include <stdio.h>

#include "app/http/reply.h"
#include "base/log.h"

enum { POSTED, DONE, LEFT };

void tfr_engine_task_end(struct tfr_engine_task *task, enum tfr_status status) {
    task->status = status;
    snprintf(task->error, sizeof task->error, "%s", status != TFR_OK ? tfr_last_error() : "");
}

static void run_task(struct tfr_engine *engine, void *user) {
    struct tfr_engine_task *task = user;
    struct tfr_http *http = task->http;
    int stage = POSTED;
    if (atomic_load(&task->stage) == POSTED) {
        task->run(engine, task);
    }
    if (atomic_compare_exchange_strong(&task->stage, &stage, DONE)) {
        tfr_http_wake(http);
    } else {
        task->free(task);
    }
}

static void poll_task(struct tfr_call *call) {
    struct tfr_engine_task *task = call->work;
    if (atomic_load(&task->stage) == DONE) {
        task->done(task);
    }
}

/* True where the network thread has it, which frees it then. */
static bool leave(struct tfr_engine_task *task) {
    int stage = POSTED;
    return !atomic_compare_exchange_strong(&task->stage, &stage, LEFT);
}

static void abandon_task(struct tfr_call *call) {
    struct tfr_engine_task *task = call->work;
    if (leave(task)) {
        task->free(task);
    }
}

static void stop_call(struct tfr_call *call) {
    tfr_call_stop_waiting(call);
    call->abandon = NULL;
    call->work = NULL;
}

static void drain_task(struct tfr_call *call, bool at_once) {
    if (at_once) {
        abandon_task(call);
        stop_call(call);
        tfr_reply_error(call->exchange, TFR_ERROR_DRAINING, NULL, NULL);
    }
}

struct tfr_call *tfr_engine_task_take(struct tfr_engine_task *task) {
    stop_call(task->call);
    return task->call;
}

void tfr_engine_task_fail(struct tfr_engine_task *task) {
    const bool is_asked = task->status == TFR_USAGE || task->status == TFR_CONFIG || task->status == TFR_UNSUPPORTED;
    struct tfr_call *call = tfr_engine_task_take(task);
    struct tfr_refusal refusal;
    if (task->status == TFR_BUSY) {
        tfr_refuse(&refusal, TFR_ERROR_QUEUE_FULL, NULL, "this needs an engine that does nothing else; come again later");
    } else if (is_asked) {
        tfr_refuse_failed(&refusal, TFR_ERROR_INVALID, NULL, task->error);
    } else {
        tfr_log(TFR_LOG_ERROR, "serve", "%s: %s", call->id, task->error);
        const bool is_memory = task->status == TFR_RESOURCE;
        tfr_refuse(&refusal, is_memory ? TFR_ERROR_NO_MEMORY : TFR_ERROR_SERVER, NULL,
                   is_memory ? "request %s: there is no memory for it now" : "request %s: the server failed; its log says why",
                   call->id);
    }
    tfr_reply_refusal(call->exchange, &refusal, NULL, 0);
    task->free(task);
}

void tfr_engine_task_post(struct tfr_engine_task *task) {
    atomic_store(&task->stage, POSTED);
    const enum tfr_status status = tfr_engine_call(task->call->server->engine, run_task, task);
    if (status != TFR_OK) {
        tfr_engine_task_end(task, status);
        tfr_engine_task_fail(task);
    }
}

void tfr_engine_task_start(struct tfr_engine_task *task) {
    struct tfr_call *call = task->call;
    task->http = call->server->http;
    call->work = task;
    call->poll = poll_task;
    call->drain = drain_task;
    call->abandon = abandon_task;
    tfr_call_wait(call);
    tfr_engine_task_post(task);
}
