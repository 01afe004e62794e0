/* requests.c - the calls that any thread may make: submit, poll, cancel, close. */
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "generation/strategy.h"
#include "serve/batcher.h"

/* A drawn seed fits a JSON double, so that the reported one can be given back. */
int64_t tfr_seed_draw(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return ((int64_t)now.tv_sec * 1000003 + now.tv_nsec) & INT64_C(0xffffffff);
}

static enum tfr_status check_engine(const struct tfr_engine *engine) {
    return engine->batcher != NULL ? TFR_OK
                                   : tfr_raise(TFR_USAGE, "requests are submitted on rank 0; the others call tfr_engine_follow");
}

static enum tfr_status check_slots(const struct tfr_engine *engine, const struct tfr_params *params) {
    if (params->num_beams > engine->max_batch) {
        return tfr_raise(TFR_USAGE, "sampling.num_beams = %lld needs runtime.max_batch of at least as much, it is %lld",
                         (long long)params->num_beams, (long long)engine->max_batch);
    }
    return TFR_OK;
}

static enum tfr_status fill(struct tfr_request *request, struct tfr_engine *engine, const struct tfr_prompt *prompt,
                            struct tfr_params *params, const struct tfr_request_extra *extra) {
    struct tfr_continuation *c = &request->continuation;
    const int64_t seed = extra->seed >= 0 ? extra->seed : params->seed;
    TFR_TRY(tfr_continuation_init(c, engine, params, prompt, extra->index));
    c->seed = (uint64_t)(seed >= 0 ? seed : tfr_seed_draw());
    c->cache_load = extra->cache_load;
    c->cache_save = extra->cache_save;
    c->cache_force = extra->cache_force;
    return check_slots(engine, params);
}

enum tfr_status tfr_request_put(struct tfr_engine *engine, const struct tfr_prompt *prompt, struct tfr_params *params,
                                const struct tfr_request_extra *extra, struct tfr_request **request) {
    *request = NULL;
    TFR_TRY(check_engine(engine));
    struct tfr_request *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->queue = engine->batcher->queue;
    made->owners = 1;
    made->submitted_ns = tfr_clock_ns();
    atomic_init(&made->cancelled, false);
    const enum tfr_status status = fill(made, engine, prompt, params, extra);
    if (status != TFR_OK) {
        tfr_queue_release(made);
        return status;
    }
    made->owners = 2;
    tfr_queue_put(made->queue, made);
    *request = made;
    return TFR_OK;
}

enum tfr_status tfr_request_submit(struct tfr_engine *engine, const struct tfr_prompt *prompt, struct tfr_params *params,
                                   struct tfr_request **request) {
    const struct tfr_request_extra extra = {.seed = -1};
    *request = NULL;
    TFR_TRY(check_engine(engine));
    return tfr_request_put(engine, prompt, params != NULL ? params : engine->params, &extra, request);
}

bool tfr_request_poll(struct tfr_request *request, struct tfr_event *event) {
    struct tfr_event_node *node = tfr_queue_next(request);
    if (node == NULL) {
        return false;
    }
    if (request->current != &request->end) {
        tfr_free(request->current);
    }
    request->current = node;
    *event = node->event;
    return true;
}

void tfr_request_cancel(struct tfr_request *request) {
    atomic_store(&request->cancelled, true);
    tfr_queue_poke(request->queue);
}

void tfr_request_close(struct tfr_request *request) {
    if (request == NULL) {
        return;
    }
    if (request->current != &request->end) { /* it may still run */
        tfr_request_cancel(request);
    }
    tfr_queue_release(request);
}

bool tfr_engine_wait(struct tfr_engine *engine, double seconds) {
    return engine->batcher != NULL && tfr_queue_wait(engine->batcher->queue, seconds);
}

void tfr_engine_notify(struct tfr_engine *engine, void (*notify)(void *user), void *user) {
    if (engine->batcher != NULL) {
        tfr_queue_set_notify(engine->batcher->queue, notify, user);
    }
}
