/* queue.c - see queue.h: the only locks between threads of a caller and the engine's. */
#include "serve/queue.h"

#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"

enum tfr_status tfr_queue_open(struct tfr_queue **queue, const struct tfr_queue_limits *limits) {
    struct tfr_queue *made = *queue = tfr_alloc(1, sizeof *made);
    pthread_condattr_t monotonic;
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->limits = *limits;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&made->mutex, NULL); /* on Linux these have nothing that could fail */
    pthread_cond_init(&made->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return TFR_OK;
}

void tfr_queue_close(struct tfr_queue *queue) {
    if (queue != NULL) {
        pthread_cond_destroy(&queue->wake);
        pthread_mutex_destroy(&queue->mutex);
        tfr_free(queue);
    }
}

static enum tfr_status refuse(struct tfr_queue *queue, enum tfr_refusal refusal) {
    const struct tfr_queue_load *load = &queue->load;
    const double wait_s = tfr_queue_wait_s(load);
    switch (refusal) {
    case TFR_REFUSAL_NONE:
        return TFR_OK;
    case TFR_REFUSAL_FULL:
        queue->serving.refused_full++;
        return tfr_raise(TFR_BUSY, "%zu request%s, %zu may (serve.max_queue); try again in %.1f s", load->waiting,
                         load->waiting == 1 ? " waits" : "s wait", queue->limits.most, wait_s);
    case TFR_REFUSAL_TOKENS:
        queue->serving.refused_tokens++;
        return tfr_raise(TFR_BUSY, "prompts of %lld tokens wait, %lld may (serve.max_queue_tokens); try again in %.1f s",
                         (long long)load->waiting_tokens, (long long)tfr_queue_most_tokens(&queue->limits, load), wait_s);
    case TFR_REFUSAL_WAIT:
        queue->serving.refused_wait++;
    }
    return tfr_raise(TFR_BUSY, "it would wait for about %.1f s, and %.1f s are the limit (serve.max_queue_ms); try again later",
                     wait_s, queue->limits.most_s);
}

/* One that is not `limited` counts all the same. */
static enum tfr_status check(struct tfr_queue *queue, struct tfr_request *const *requests, size_t n, bool limited) {
    int64_t tokens = 0;
    for (size_t i = 0; i < n; i++) {
        tokens += (int64_t)requests[i]->continuation.prompt.n;
    }
    return limited ? refuse(queue, tfr_queue_judge(&queue->limits, &queue->load, n, tokens)) : TFR_OK;
}

static void append(struct tfr_queue *queue, struct tfr_request *request) {
    request->next = NULL;
    *(queue->last != NULL ? &queue->last->next : &queue->first) = request;
    queue->last = request;
    queue->load.waiting++;
    queue->load.waiting_slots += tfr_continuation_slots(&request->continuation);
    queue->load.waiting_tokens += (int64_t)request->continuation.prompt.n;
    request->waits = true;
}

static void stop_waiting(struct tfr_queue *queue, struct tfr_request *request) {
    queue->load.waiting--;
    queue->load.waiting_slots -= tfr_continuation_slots(&request->continuation);
    queue->load.waiting_tokens -= (int64_t)request->continuation.prompt.n;
    request->waits = false;
}

enum tfr_status tfr_queue_put(struct tfr_queue *queue, struct tfr_request *const *requests, size_t n, bool limited) {
    pthread_mutex_lock(&queue->mutex);
    const enum tfr_status status = check(queue, requests, n, limited);
    for (size_t i = 0; i < n && status == TFR_OK; i++) {
        append(queue, requests[i]);
    }
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
    return status;
}

enum tfr_status tfr_queue_check(struct tfr_queue *queue, size_t n) {
    pthread_mutex_lock(&queue->mutex);
    const enum tfr_status status = refuse(queue, tfr_queue_judge(&queue->limits, &queue->load, n, 0));
    pthread_mutex_unlock(&queue->mutex);
    return status;
}

void tfr_queue_left(struct tfr_request *request) {
    struct tfr_queue *queue = request->queue;
    pthread_mutex_lock(&queue->mutex);
    if (request->waits) {
        stop_waiting(queue, request);
    } else { /* it was cancelled before: make_way */
        queue->lingering--;
        queue->lingering_tokens -= (int64_t)request->continuation.prompt.n;
    }
    pthread_mutex_unlock(&queue->mutex);
}

enum tfr_status tfr_queue_call(struct tfr_queue *queue, void (*work)(struct tfr_engine *engine, void *user), void *user) {
    struct tfr_call *call = tfr_alloc(1, sizeof *call);
    if (call == NULL) {
        return TFR_RESOURCE;
    }
    *call = (struct tfr_call){.work = work, .user = user};
    pthread_mutex_lock(&queue->mutex);
    *(queue->last_call != NULL ? &queue->last_call->next : &queue->first_call) = call;
    queue->last_call = call;
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
    return TFR_OK;
}

struct tfr_call *tfr_queue_take_calls(struct tfr_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    struct tfr_call *first = queue->first_call;
    queue->first_call = queue->last_call = NULL;
    pthread_mutex_unlock(&queue->mutex);
    return first;
}

/* Whoever comes next does not wait for it, though the engine's thread lets it go with the next step only. */
static void make_way(struct tfr_queue *queue, struct tfr_request *request) {
    const bool has_ended = request->owners < 2;
    if (request->waits) {
        stop_waiting(queue, request);
        queue->lingering++;
        queue->lingering_tokens += (int64_t)request->continuation.prompt.n;
    } else if (!has_ended) {
        queue->load.leaving_slots += tfr_continuation_slots(&request->continuation);
    }
}

void tfr_queue_cancel(struct tfr_request *request) {
    struct tfr_queue *queue = request->queue;
    pthread_mutex_lock(&queue->mutex);
    if (!atomic_load(&request->cancelled)) {
        make_way(queue, request);
        request->cancel_step = queue->n_takes;
        atomic_store(&request->cancelled, true);
    }
    queue->poked = true;
    pthread_cond_signal(&queue->wake);
    pthread_mutex_unlock(&queue->mutex);
}

uint64_t tfr_queue_steps_since_cancel(struct tfr_request *request) {
    pthread_mutex_lock(&request->queue->mutex);
    const uint64_t steps = request->queue->n_takes - request->cancel_step;
    pthread_mutex_unlock(&request->queue->mutex);
    return steps;
}

void tfr_queue_report(struct tfr_queue *queue, const struct tfr_serving *serving, const struct tfr_queue_load *load) {
    const uint64_t now_ns = tfr_clock_ns();
    pthread_mutex_lock(&queue->mutex);
    const struct tfr_serving old = queue->serving;
    queue->serving = *serving;
    queue->serving.refused_full = old.refused_full;
    queue->serving.refused_tokens = old.refused_tokens;
    queue->serving.refused_wait = old.refused_wait;
    queue->load.slots_total = load->slots_total;
    queue->load.slots_used = load->slots_used;
    queue->load.leaving_slots = load->leaving_slots;
    queue->load.prompt_left = load->prompt_left;
    queue->load.prefill_rate = load->prefill_rate;
    queue->load.rate_beside = load->rate_beside;
    queue->load.slot_s = load->slot_s;
    queue->load.soonest_s = load->soonest_s;
    queue->load.last_s = load->last_s;
    queue->step_ended_ns = now_ns;
    queue->works = false;
    pthread_mutex_unlock(&queue->mutex);
}

static double seconds_since(uint64_t ns, uint64_t now_ns) {
    return now_ns > ns ? (double)(now_ns - ns) / 1e9 : 0;
}

/* A step that began with nothing running ages from its beginning: it may hang like any other. */
void tfr_queue_read(struct tfr_queue *queue, struct tfr_serving *serving) {
    const uint64_t now_ns = tfr_clock_ns();
    pthread_mutex_lock(&queue->mutex);
    const struct tfr_queue_load *load = &queue->load;
    *serving = queue->serving;
    serving->waiting = load->waiting + queue->lingering;
    serving->waiting_prompt_tokens = load->waiting_tokens + queue->lingering_tokens;
    serving->estimated_wait_s = tfr_queue_wait_s(load);
    serving->last_step_age_s = serving->running > 0 ? seconds_since(queue->step_ended_ns, now_ns)
                               : queue->works       ? seconds_since(queue->step_began_ns, now_ns)
                                                    : 0;
    pthread_mutex_unlock(&queue->mutex);
}

struct tfr_event_node *tfr_queue_next(struct tfr_request *request) {
    pthread_mutex_lock(&request->queue->mutex);
    struct tfr_event_node *node = request->first;
    if (node != NULL) {
        request->first = node->next;
        request->last = request->first != NULL ? request->last : NULL;
    }
    pthread_mutex_unlock(&request->queue->mutex);
    return node;
}

static void free_node(struct tfr_request *request, struct tfr_event_node *node) {
    if (node != &request->end) {
        tfr_free(node);
    }
}

void tfr_queue_release(struct tfr_request *request) {
    pthread_mutex_lock(&request->queue->mutex);
    const bool is_last = --request->owners == 0;
    pthread_mutex_unlock(&request->queue->mutex);
    if (!is_last) {
        return;
    }
    while (request->first != NULL) {
        struct tfr_event_node *next = request->first->next;
        free_node(request, request->first);
        request->first = next;
    }
    free_node(request, request->current);
    tfr_continuation_free(&request->continuation);
    tfr_free(request);
}

void tfr_queue_set_notify(struct tfr_queue *queue, void (*notify)(void *user), void *user) {
    pthread_mutex_lock(&queue->mutex);
    queue->notify = notify;
    queue->notify_user = user;
    pthread_mutex_unlock(&queue->mutex);
}

struct tfr_request *tfr_queue_take(struct tfr_queue *queue) {
    const uint64_t now_ns = tfr_clock_ns();
    pthread_mutex_lock(&queue->mutex);
    struct tfr_request *first = queue->first;
    queue->first = queue->last = NULL;
    queue->poked = false;
    queue->n_takes++;
    if (!queue->works) {
        queue->works = first != NULL || queue->first_call != NULL || queue->load.waiting + queue->lingering > 0;
        queue->step_began_ns = now_ns;
    }
    pthread_mutex_unlock(&queue->mutex);
    return first;
}

void tfr_queue_tell(struct tfr_request *request, struct tfr_event_node *node) {
    pthread_mutex_lock(&request->queue->mutex);
    node->next = NULL;
    *(request->last != NULL ? &request->last->next : &request->first) = node;
    request->last = node;
    pthread_mutex_unlock(&request->queue->mutex);
}

void tfr_queue_notify(struct tfr_queue *queue) {
    pthread_mutex_lock(&queue->mutex);
    void (*notify)(void *user) = queue->notify;
    void *user = queue->notify_user;
    pthread_mutex_unlock(&queue->mutex);
    if (notify != NULL) {
        notify(user);
    }
}

static bool has_work(const struct tfr_queue *queue) {
    return queue->first != NULL || queue->first_call != NULL || queue->poked;
}

bool tfr_queue_wait(struct tfr_queue *queue, double seconds) {
    static const double longest = 1e9; /* 31 years: what is longer, INFINITY too, fits no clock */
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const double whole = seconds > longest ? longest : seconds > 0 ? seconds : 0;
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((whole - (double)(time_t)whole) * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&queue->mutex);
    int waited = 0;
    while (!has_work(queue) && waited == 0) {
        waited = pthread_cond_timedwait(&queue->wake, &queue->mutex, &until);
    }
    const bool is_awaited = has_work(queue);
    pthread_mutex_unlock(&queue->mutex);
    return is_awaited;
}
