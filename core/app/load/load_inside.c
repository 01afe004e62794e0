/* load_inside.c - see load_inside.h. The engine's thread wakes the other one through an eventfd after each step that had events. */
#include "app/load/load_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "app/load/arrivals.h"
#include "base/clock.h"

struct pair {
    struct tfr_request *inside;
    struct tfr_load_request *request;
};

struct inside {
    struct tfr_load_target target; /* first */
    struct tfr_engine *engine;
    const struct tfr_load_workload *workload;
    struct pair *pairs; /* under way */
    size_t n, capacity;
    int wake;
    atomic_bool is_lost; /* the engine can't step any more */
};

static void notify(void *user) {
    const struct inside *inside = user;
    const uint64_t one = 1;
    if (write(inside->wake, &one, sizeof one) < 0) {
        return; /* it is full: the reader will wake up anyway */
    }
}

static enum tfr_status make_params(const struct inside *inside, const struct tfr_load_request *request,
                                   struct tfr_params **params) {
    char json[200];
    if (inside->workload->scoring) {
        snprintf(json, sizeof json,
                 "{\"max_tokens\": 1, \"temperature\": 0, \"ignore_eos\": true, \"logprobs\": 1, "
                 "\"prompt_logprobs\": true}");
    } else {
        snprintf(json, sizeof json, "{\"max_tokens\": %" PRId64 ", \"temperature\": 0, \"ignore_eos\": true}", request->n_output);
    }
    return tfr_params_parse_json(inside->engine, json, strlen(json), params);
}

static enum tfr_status submit(const struct inside *inside, const struct tfr_load_request *request, struct tfr_request **submitted) {
    struct tfr_params *params;
    int32_t *ids = malloc((size_t)request->n_prompt * sizeof *ids);
    enum tfr_status status = ids != NULL ? make_params(inside, request, &params) : TFR_RESOURCE;
    if (status == TFR_OK) {
        for (int64_t i = 0; i < request->n_prompt; i++) {
            ids[i] = tfr_load_id(inside->workload, request, i);
        }
        const struct tfr_prompt prompt = {.ids = ids, .n_ids = (size_t)request->n_prompt};
        status = tfr_request_submit_on(inside->engine, &prompt, params, NULL, submitted);
        tfr_params_free(params);
    }
    free(ids);
    return status;
}

static bool has_room(struct inside *inside) {
    if (inside->n == inside->capacity) {
        const size_t capacity = inside->capacity > 0 ? 2 * inside->capacity : 16;
        struct pair *grown = realloc(inside->pairs, capacity * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        inside->pairs = grown;
        inside->capacity = capacity;
    }
    return true;
}

static void inside_start(struct tfr_load_target *target, struct tfr_load_request *request) {
    struct inside *inside = (struct inside *)target;
    struct tfr_request *submitted;
    request->sent_ns = tfr_clock_ns();
    if (atomic_load(&inside->is_lost)) {
        tfr_load_run_fail(target->run, request, request->sent_ns, "the engine has stopped");
        return;
    }
    const enum tfr_status status = has_room(inside) ? submit(inside, request, &submitted) : TFR_RESOURCE;
    if (status == TFR_BUSY) {
        tfr_load_run_end(target->run, request, TFR_LOAD_REFUSED, tfr_clock_ns());
    } else if (status != TFR_OK) {
        tfr_load_run_fail(target->run, request, tfr_clock_ns(), "%s", tfr_last_error());
    }
    if (status != TFR_OK) {
        return;
    }
    inside->pairs[inside->n++] = (struct pair){.inside = submitted, .request = request};
}

static void forget(struct inside *inside, size_t index) {
    tfr_request_close(inside->pairs[index].inside);
    inside->pairs[index] = inside->pairs[--inside->n];
}

/* What one request has to say; true if that was its end. */
static bool take_events(struct inside *inside, const struct pair *pair, uint64_t now_ns) {
    struct tfr_event event;
    struct tfr_load_run *run = inside->target.run;
    while (tfr_request_poll(pair->inside, &event)) {
        if (event.kind == TFR_EVENT_TOKENS && event.n_ids > 0) {
            pair->request->n_tokens += (int64_t)event.n_ids;
            tfr_load_run_tokens(run, pair->request, now_ns, (int64_t)event.n_ids);
        } else if (event.kind == TFR_EVENT_END && event.status == TFR_OK) {
            tfr_load_run_end(run, pair->request, TFR_LOAD_DONE, now_ns);
            return true;
        } else if (event.kind == TFR_EVENT_END) {
            tfr_load_run_fail(run, pair->request, now_ns, "%s", event.error != NULL ? event.error : "it failed");
            return true;
        }
    }
    return false;
}

static void inside_wait(struct tfr_load_target *target, uint64_t until_ns) {
    struct inside *inside = (struct inside *)target;
    struct pollfd wake = {.fd = inside->wake, .events = POLLIN};
    uint64_t now_ns = tfr_clock_ns(), count;
    const uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    const struct timespec left = {.tv_sec = (time_t)(left_ns / 1000000000), .tv_nsec = (long)(left_ns % 1000000000)};
    if (ppoll(&wake, 1, &left, NULL) <= 0 || read(inside->wake, &count, sizeof count) < 0) {
        return;
    }
    now_ns = tfr_clock_ns();
    for (size_t i = inside->n; i > 0; i--) { /* backwards: the last one takes the place of one that has ended */
        bool has_ended = take_events(inside, &inside->pairs[i - 1], now_ns);
        if (!has_ended && atomic_load(&inside->is_lost)) {
            tfr_load_run_fail(target->run, inside->pairs[i - 1].request, now_ns, "the engine has stopped");
            has_ended = true;
        }
        if (has_ended) {
            forget(inside, i - 1);
        }
    }
}

static void inside_leave(struct tfr_load_target *target, struct tfr_load_request *request) {
    struct inside *inside = (struct inside *)target;
    for (size_t i = 0; i < inside->n; i++) {
        if (inside->pairs[i].request == request) {
            forget(inside, i);
            return;
        }
    }
}

struct tfr_load_target *tfr_load_inside_open(struct tfr_engine *engine, const struct tfr_load_workload *workload) {
    struct inside *inside = calloc(1, sizeof *inside);
    if (inside == NULL) {
        return NULL;
    }
    *inside = (struct inside){.target = {.start = inside_start, .wait = inside_wait, .leave = inside_leave},
                              .engine = engine,
                              .workload = workload,
                              .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (inside->wake < 0) {
        free(inside);
        return NULL;
    }
    tfr_engine_notify(engine, notify, inside);
    return &inside->target;
}

void tfr_load_inside_close(struct tfr_load_target *target) {
    struct inside *inside = (struct inside *)target;
    if (inside == NULL) {
        return;
    }
    tfr_engine_notify(inside->engine, NULL, NULL);
    while (inside->n > 0) {
        forget(inside, inside->n - 1);
    }
    close(inside->wake);
    free(inside->pairs);
    free(inside);
}

/* ---- the engine's thread ------------------------------------------------------------------------------------- */

struct job {
    void (*work)(void *user);
    void *user;
    atomic_bool is_done;
};

static void *work_through(void *user) {
    struct job *job = user;
    job->work(job->user);
    atomic_store(&job->is_done, true);
    return NULL;
}

enum tfr_status tfr_load_inside_drive(struct tfr_load_target *target, void (*work)(void *user), void *user) {
    struct inside *inside = (struct inside *)target;
    struct job job = {.work = work, .user = user};
    struct tfr_step_info info;
    enum tfr_status status = TFR_OK;
    pthread_t thread;
    atomic_init(&job.is_done, false);
    if (pthread_create(&thread, NULL, work_through, &job) != 0) {
        return TFR_RESOURCE;
    }
    while (!atomic_load(&job.is_done)) {
        status = status == TFR_OK ? tfr_engine_step(inside->engine, &info) : status;
        if (status != TFR_OK) {
            atomic_store(&inside->is_lost, true);
            notify(inside);
        }
        if (status != TFR_OK || info.running + info.waiting == 0) {
            tfr_engine_wait(inside->engine, 0.05);
        }
    }
    pthread_join(thread, NULL);
    return status;
}
