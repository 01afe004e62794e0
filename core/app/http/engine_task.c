/* engine_task.c - see engine_task.h. */
#include "app/http/engine_task.h"

#include <stdio.h>
#include <string.h>

#include "app/http/reply.h"
#include "base/clock.h"
#include "base/log.h"

enum { WAITING, POSTED, DONE, LEFT };

void tfr_engine_task_end(struct tfr_engine_task *task, enum tfr_status status) {
    task->status = status;
    snprintf(task->error, sizeof task->error, "%s", status != TFR_OK ? tfr_last_error() : "");
}

/* As long as something is written, or is about to be. */
static bool must_wait(struct tfr_engine *engine, const struct tfr_server *server) {
    struct tfr_serving serving;
    tfr_engine_serving(engine, &serving);
    return serving.running + serving.waiting > 0 && tfr_clock_ns() - server->task_ended_ns < server->task_ns;
}

static void run_timed(struct tfr_engine *engine, struct tfr_engine_task *task) {
    struct tfr_server *server = task->server;
    const uint64_t began_ns = tfr_clock_ns();
    task->run(engine, task);
    server->task_ended_ns = tfr_clock_ns();
    server->task_ns = server->task_ended_ns - began_ns;
}

/* A task that was left is nobody's but this thread's; the transport may be closed by then. */
static void run_task(struct tfr_engine *engine, void *user) {
    struct tfr_engine_task *task = user;
    struct tfr_server *server = task->server;
    int stage = POSTED;
    if (atomic_load(&task->stage) == POSTED) {
        if (must_wait(engine, server) && tfr_engine_call(engine, run_task, task) == TFR_OK) { /* behind the next step */
            return;
        }
        run_timed(engine, task);
    }
    atomic_store(&server->task_runs, false);
    if (!atomic_compare_exchange_strong(&task->stage, &stage, DONE)) {
        task->free(task);
    }
    if (server->http != NULL) {
        tfr_http_wake(server->http);
    }
}

/* A turn behind the last one of its key; the first of a key goes in the next turn, however many of another one wait. */
static void append(struct tfr_engine_task *task) {
    struct tfr_server *server = task->server;
    struct tfr_engine_task **at = &server->tasks;
    task->turn = server->task_turn + 1;
    for (const struct tfr_engine_task *other = server->tasks; other != NULL; other = other->next) {
        task->turn = other->turn >= task->turn && strcmp(other->key, task->key) == 0 ? other->turn + 1 : task->turn;
    }
    while (*at != NULL && (*at)->turn <= task->turn) {
        at = &(*at)->next;
    }
    task->next = *at;
    *at = task;
    server->n_tasks++;
}

static void take_out(struct tfr_engine_task *task) {
    struct tfr_engine_task **at = &task->server->tasks;
    while (*at != task) {
        at = &(*at)->next;
    }
    *at = task->next;
    task->server->n_tasks--;
}

/* The first one goes to the engine, where none is there. What fails here ends at the next wake: no other call may end under a walk
 * over all of them. */
static void post_next(struct tfr_server *server) {
    struct tfr_engine_task *task = server->tasks;
    if (task == NULL || atomic_load(&server->task_runs)) {
        return;
    }
    take_out(task);
    server->task_turn = task->turn;
    atomic_store(&task->stage, POSTED);
    atomic_store(&server->task_runs, true);
    const enum tfr_status status = tfr_engine_call(server->engine, run_task, task);
    if (status != TFR_OK) {
        atomic_store(&server->task_runs, false);
        tfr_engine_task_end(task, status);
        atomic_store(&task->stage, DONE);
        tfr_http_wake(server->http);
    }
}

static void poll_task(struct tfr_call *call) {
    struct tfr_engine_task *task = call->work;
    struct tfr_server *server = call->server;
    if (atomic_load(&task->stage) == DONE) {
        task->done(task);
    }
    post_next(server);
}

/* The engine's thread frees what it has. */
static void abandon_task(struct tfr_call *call) {
    struct tfr_engine_task *task = call->work;
    int stage = POSTED;
    if (atomic_compare_exchange_strong(&task->stage, &stage, LEFT)) {
        return;
    }
    if (stage == WAITING) {
        take_out(task);
    }
    task->free(task);
}

static void end_early(struct tfr_call *call, enum tfr_error error) {
    abandon_task(call);
    tfr_call_stop_waiting(call);
    tfr_reply_error(call->exchange, error, NULL, NULL);
}

static void tick_task(struct tfr_call *call, uint64_t now_ns) {
    struct tfr_server *server = call->server;
    const double most_s = tfr_settings_real(server->settings, "serve.request_s");
    if (most_s > 0 && (double)(now_ns - call->begun_ns) / 1e9 >= most_s) {
        end_early(call, TFR_ERROR_DEADLINE);
    }
    post_next(server);
}

/* The one whose turn it is goes on with all its inputs. */
static void drain_task(struct tfr_call *call, bool at_once) {
    const struct tfr_engine_task *task = call->work;
    if (at_once || atomic_load(&task->stage) == WAITING) {
        end_early(call, TFR_ERROR_DRAINING);
    }
}

struct tfr_call *tfr_engine_task_take(struct tfr_engine_task *task) {
    tfr_call_stop_waiting(task->call);
    return task->call;
}

void tfr_engine_task_reply(struct tfr_engine_task *task, struct tfr_json_out *out) {
    struct tfr_call *call = tfr_engine_task_take(task);
    struct tfr_json_out whole = *out;
    *out = (struct tfr_json_out){0};
    tfr_json_begin(&whole, "usage", '{');
    tfr_json_put_int(&whole, "prompt_tokens", (int64_t)call->prompt_tokens);
    tfr_json_put_int(&whole, "total_tokens", (int64_t)call->prompt_tokens);
    tfr_json_end(&whole, '}');
    tfr_json_end(&whole, '}');
    tfr_reply_json(call->exchange, 200, &whole);
    task->free(task);
}

static const struct tfr_http_header soon[] = {{"Retry-After", "1"}, {"retry-after-ms", "1000"}};

static bool refuse_full(struct tfr_refusal *refusal) {
    return tfr_refuse(refusal, TFR_ERROR_QUEUE_FULL, NULL, "%s", tfr_error_info(TFR_ERROR_QUEUE_FULL)->text);
}

bool tfr_engine_task_has_place(const struct tfr_server *server, struct tfr_refusal *refusal) {
    return server->n_tasks < (size_t)tfr_settings_int(server->settings, "serve.max_queue") || refuse_full(refusal);
}

void tfr_engine_task_reply_refusal(struct tfr_exchange *x, const struct tfr_refusal *refusal) {
    tfr_reply_refusal(x, refusal, soon, refusal->error == TFR_ERROR_QUEUE_FULL ? 2 : 0);
}

void tfr_engine_task_fail(struct tfr_engine_task *task) {
    static const struct tfr_http_header never[] = {{"x-should-retry", "false"}};
    const bool is_broken = task->status == TFR_CHECK; /* and will be the next time */
    const bool is_asked = task->status == TFR_USAGE || task->status == TFR_CONFIG || task->status == TFR_UNSUPPORTED;
    struct tfr_call *call = tfr_engine_task_take(task);
    struct tfr_refusal refusal;
    if (task->status == TFR_BUSY) {
        refuse_full(&refusal);
    } else if (is_asked) {
        tfr_refuse_failed(&refusal, TFR_ERROR_INVALID, NULL, task->error);
    } else if (task->status == TFR_CANCELLED) { /* another rank is gone: this one ends after it */
        tfr_refuse(&refusal, TFR_ERROR_DRAINING, NULL, "request %s: %s", call->id, task->error);
    } else {
        tfr_log(TFR_LOG_ERROR, "serve", "%s: %s", call->id, task->error);
        const bool is_memory = task->status == TFR_RESOURCE;
        tfr_refuse(&refusal, is_memory ? TFR_ERROR_NO_MEMORY : TFR_ERROR_SERVER, NULL, "request %s: %s", call->id,
                   is_memory   ? "there is no memory for it now"
                   : is_broken ? task->error
                               : "the server failed; its log says why");
    }
    if (is_broken) {
        tfr_reply_refusal(call->exchange, &refusal, never, 1);
    } else {
        tfr_engine_task_reply_refusal(call->exchange, &refusal);
    }
    task->free(task);
}

void tfr_engine_task_post(struct tfr_engine_task *task) {
    struct tfr_server *server = task->server;
    atomic_store(&task->stage, WAITING);
    append(task);
    post_next(server);
}

void tfr_engine_task_start(struct tfr_engine_task *task) {
    struct tfr_call *call = task->call;
    struct tfr_refusal refusal;
    task->server = call->server;
    tfr_call_asker(call, task->key);
    call->work = task;
    call->poll = poll_task;
    call->tick = tick_task;
    call->drain = drain_task;
    call->abandon = abandon_task;
    tfr_call_wait(call);
    if (!tfr_engine_task_has_place(task->server, &refusal)) {
        task->status = TFR_BUSY;
        tfr_engine_task_fail(task);
    } else {
        tfr_engine_task_post(task);
    }
}
