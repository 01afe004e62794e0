/* requests.c - the calls that any thread may make: submit, poll, cancel, close, call, look. */
#include <string.h>
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
    if (extra->is_served) {
        TFR_TRY(tfr_continuation_serve(c, extra->terms));
    }
    return check_slots(engine, params);
}

static enum tfr_status make(struct tfr_engine *engine, const struct tfr_prompt *prompt, struct tfr_params *params,
                            const struct tfr_request_extra *extra, struct tfr_request **request) {
    struct tfr_request *made = *request = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->queue = engine->batcher->queue;
    made->owners = 1;
    made->submitted_ns = tfr_clock_ns();
    atomic_init(&made->cancelled, false);
    atomic_init(&made->admitted, false);
    return fill(made, engine, prompt, params, extra);
}

enum tfr_status tfr_request_put(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n, struct tfr_params *params,
                                const struct tfr_request_extra *extra, struct tfr_request **requests) {
    struct tfr_request_extra each = *extra;
    enum tfr_status status = check_engine(engine);
    size_t made = 0;
    memset(requests, 0, n * sizeof(struct tfr_request *));
    for (; made < n && status == TFR_OK; made++) {
        each.index = extra->index + made;
        status = make(engine, &prompts[made], params, &each, &requests[made]);
    }
    for (size_t i = 0; i < n && status == TFR_OK; i++) {
        requests[i]->owners = 2; /* this thread's alone until they are put */
    }
    status = status == TFR_OK ? tfr_queue_put(engine->batcher->queue, requests, n, extra->is_served) : status;
    for (size_t i = 0; i < made && status != TFR_OK; i++) {
        if (requests[i] != NULL) {
            requests[i]->owners = 1;
            tfr_queue_release(requests[i]);
        }
        requests[i] = NULL;
    }
    return status;
}

/* The config's own settings where there are none; on another rank than 0 there is nothing at all. */
static struct tfr_params *settings(const struct tfr_engine *engine, struct tfr_params *params) {
    return params != NULL ? params : engine->params;
}

enum tfr_status tfr_request_submit(struct tfr_engine *engine, const struct tfr_prompt *prompt, struct tfr_params *params,
                                   struct tfr_request **request) {
    const struct tfr_request_extra extra = {.seed = -1};
    return tfr_request_put(engine, prompt, 1, settings(engine, params), &extra, request);
}

enum tfr_status tfr_request_submit_on(struct tfr_engine *engine, const struct tfr_prompt *prompt, struct tfr_params *params,
                                      const struct tfr_request_terms *terms, struct tfr_request **request) {
    return tfr_request_submit_all(engine, prompt, 1, params, terms, request);
}

enum tfr_status tfr_request_submit_all(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n,
                                       struct tfr_params *params, const struct tfr_request_terms *terms,
                                       struct tfr_request **requests) {
    const struct tfr_request_extra extra = {.seed = -1, .is_served = true, .terms = terms};
    return tfr_request_put(engine, prompts, n, settings(engine, params), &extra, requests);
}

enum tfr_status tfr_request_check_room(struct tfr_engine *engine, size_t n) {
    TFR_TRY(check_engine(engine));
    return tfr_queue_check(engine->batcher->queue, n);
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

bool tfr_request_admitted(const struct tfr_request *request) {
    return atomic_load(&request->admitted);
}

void tfr_request_cancel(struct tfr_request *request) {
    tfr_queue_cancel(request);
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

enum tfr_status tfr_engine_call(struct tfr_engine *engine, void (*work)(struct tfr_engine *engine, void *user), void *user) {
    TFR_TRY(check_engine(engine));
    return tfr_queue_call(engine->batcher->queue, work, user);
}

void tfr_engine_serving(const struct tfr_engine *engine, struct tfr_serving *serving) {
    *serving = (struct tfr_serving){0};
    if (engine->batcher != NULL) {
        tfr_queue_read(engine->batcher->queue, serving);
    }
}
