/* batcher.c - one step of the engine's thread: take what came, admit what fits, run one round, tell what is new, let go what ended.
 *
 * Admission is in order of arrival, or in turns of the keys that requests come with (fair.h): a request waits until its slots are
 * free, and those behind it wait with it. A slot is a whole sequence of the request's length, so nothing that was admitted has to
 * give way later. */
#include "serve/batcher.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "job/command.h"
#include "serve/events.h"
#include "serve/prefixes.h"

enum tfr_status tfr_batcher_open(struct tfr_batcher **batcher, struct tfr_engine *engine) {
    struct tfr_batcher *made = *batcher = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->engine = engine;
    made->target_s = engine->config->options.serve_itl_target_ms / 1e3;
    TFR_TRY(tfr_prefixes_open(&made->prefixes, engine));
    const struct tfr_options *options = &engine->config->options;
    const struct tfr_queue_limits limits = {.most = (size_t)options->serve_max_queue,
                                            .most_tokens = options->serve_max_queue_tokens,
                                            .most_s = (double)options->serve_max_queue_ms / 1e3};
    return tfr_queue_open(&made->queue, &limits);
}

/* Working memory is as large as a vocabulary: commands that never generate do without. */
enum tfr_status tfr_batcher_prepare(struct tfr_batcher *batcher) {
    if (batcher->is_open) {
        return TFR_OK;
    }
    if (batcher->batch == NULL) {
        batcher->batch = tfr_alloc((size_t)batcher->engine->max_batch, sizeof(struct tfr_continuation *));
    }
    TFR_TRY(batcher->batch != NULL ? tfr_groups_open(&batcher->groups, batcher->engine) : TFR_RESOURCE);
    batcher->is_open = true;
    return TFR_OK;
}

void tfr_batcher_serve(struct tfr_batcher *batcher) {
    batcher->is_serving = batcher->engine->is_server = true;
}

static void append(struct tfr_request_list *list, struct tfr_request *request) {
    request->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = request;
    list->last = request;
    list->n++;
}

/* It leaves the places where it is known. */
static void leave(struct tfr_batcher *batcher, struct tfr_request *request) {
    tfr_batcher_count_end(batcher, request);
    if (request->admitted_ns == 0) {
        tfr_queue_left(request);
    }
    if (request->turn.flow != NULL && request->admitted_ns == 0) {
        tfr_fair_leave(&batcher->fair, &request->turn);
    } else if (request->turn.flow != NULL) {
        tfr_fair_settle(&batcher->fair, &request->turn, tfr_batcher_spent(batcher, &request->continuation));
    }
}

/* The last event and the end of the engine's share; the request may be gone afterwards. */
static void end_request(struct tfr_batcher *batcher, struct tfr_request *request) {
    struct tfr_continuation *c = &request->continuation;
    leave(batcher, request);
    if (c->status == TFR_OK) {
        const enum tfr_status status = tfr_continuation_save(c);
        if (status != TFR_OK) {
            tfr_continuation_fail(c, status);
        }
    }
    tfr_continuation_end(c);
    tfr_prefixes_keep(batcher->prefixes, request);
    if (c->status == TFR_OK || c->status == TFR_CANCELLED) {
        const enum tfr_status status = tfr_events_tell(request, &batcher->told);
        if (status != TFR_OK) {
            tfr_continuation_fail(c, status);
        }
    }
    tfr_events_end(request);
    batcher->told = true;
    tfr_queue_release(request);
}

static void cancel(struct tfr_request *request) {
    if (request->continuation.status == TFR_OK) {
        tfr_continuation_fail(
            &request->continuation,
            tfr_raise(TFR_CANCELLED, tfr_comm_has_left() ? "stopped, since another rank is gone" : "stopped on request"));
    }
}

/* A server's request may not take longer than its terms say. */
static void check_deadline(struct tfr_request *request, uint64_t now_ns) {
    const double limit_s = request->continuation.terms.deadline_s;
    if (limit_s > 0 && (double)(now_ns - request->submitted_ns) / 1e9 > limit_s && request->continuation.status == TFR_OK) {
        tfr_continuation_fail(&request->continuation, tfr_raise(TFR_CANCELLED, "took longer than %g s, its limit", limit_s));
    }
}

/* Ends those that failed, were cancelled or are done; the others stay in order, and so does who is in a group until its round is
 * finished. */
static void sweep(struct tfr_batcher *batcher, struct tfr_request_list *list, bool all, bool running) {
    struct tfr_request *request = list->first;
    const uint64_t now_ns = tfr_clock_ns();
    *list = (struct tfr_request_list){0};
    while (request != NULL) {
        struct tfr_request *next = request->next;
        if (all || atomic_load(&request->cancelled)) {
            cancel(request);
        }
        check_deadline(request, now_ns);
        const struct tfr_continuation *c = &request->continuation;
        if (!c->in_group && (c->status != TFR_OK || (running && tfr_continuation_done(c)))) {
            end_request(batcher, request);
        } else {
            append(list, request);
        }
        request = next;
    }
}

static void take_new(struct tfr_batcher *batcher) {
    struct tfr_request *request = tfr_queue_take(batcher->queue);
    while (request != NULL) {
        struct tfr_request *next = request->next;
        const struct tfr_request_terms *terms = &request->continuation.terms;
        request->turn.owner = request;
        append(&batcher->waiting, request);
        if (!tfr_fair_add(&batcher->fair, &request->turn, terms->key, terms->batch)) {
            tfr_continuation_fail(&request->continuation, TFR_RESOURCE);
        }
        request = next;
    }
}

static bool fits(const struct tfr_batcher *batcher, const struct tfr_continuation *c) {
    const struct tfr_engine *small = c->params->assisted && c->max_tokens > 0 ? batcher->engine->assistant : NULL;
    return tfr_continuation_slots(c) <= tfr_engine_free_slots(batcher->engine) &&
           (small == NULL || tfr_engine_free_slots(small) > 0);
}

/* It is the first, unless several keys take turns. */
static void stop_waiting(struct tfr_batcher *batcher, struct tfr_request *request) {
    struct tfr_request_list *list = &batcher->waiting;
    struct tfr_request *before = NULL;
    for (struct tfr_request *at = list->first; at != request; at = at->next) {
        before = at;
    }
    *(before != NULL ? &before->next : &list->first) = request->next;
    list->last = list->last == request ? before : list->last;
    list->n--;
}

static int64_t load_of(const struct tfr_batcher *batcher, int32_t replica) {
    int64_t slots = 0;
    for (const struct tfr_request *request = batcher->running.first; request != NULL; request = request->next) {
        const struct tfr_continuation *c = &request->continuation;
        slots += c->replica == replica ? tfr_continuation_slots(c) : 0;
    }
    return slots;
}

/* That with the fewest sequences; of several the one that knows most of the prompt, then the first. */
static int32_t choose_replica(const struct tfr_batcher *batcher, const struct tfr_continuation *c) {
    int64_t least = INT64_MAX, known = -1;
    int32_t chosen = 0;
    for (int32_t replica = 0; replica < batcher->groups.replicas && batcher->groups.replicas > 1; replica++) {
        const int64_t load = load_of(batcher, replica), has = load <= least ? tfr_prefixes_known(batcher->prefixes, c, replica) : 0;
        if (load < least || (load == least && has > known)) {
            chosen = replica;
            least = load;
            known = has;
        }
    }
    return chosen;
}

static void admit(struct tfr_batcher *batcher, struct tfr_request *request) {
    struct tfr_continuation *c = &request->continuation;
    c->replica = choose_replica(batcher, c);
    tfr_fair_take(&batcher->fair, &request->turn, tfr_batcher_expected(batcher, c));
    tfr_queue_left(request);
    tfr_batcher_count_start(batcher, request);
    request->admitted_ns = tfr_clock_ns();
    atomic_store(&request->admitted, true);
    enum tfr_status status = tfr_prefixes_give(batcher->prefixes, request);
    status = status == TFR_OK ? tfr_continuation_open(c, &batcher->groups.sampler) : status;
    if (status != TFR_OK) {
        tfr_continuation_fail(c, status);
    }
}

/* Slots that sessions of the caller hold may never come free while a request waits: with nothing running that is an error. */
static void admit_waiting(struct tfr_batcher *batcher) {
    struct tfr_turn *turn;
    while ((turn = tfr_fair_next(&batcher->fair)) != NULL) {
        struct tfr_request *request = turn->owner;
        const bool has_room = fits(batcher, &request->continuation);
        if (!has_room && batcher->running.n > 0) {
            return;
        }
        stop_waiting(batcher, request);
        if (has_room) {
            admit(batcher, request);
        } else {
            tfr_continuation_fail(&request->continuation,
                                  tfr_raise(TFR_RESOURCE, "open sessions hold the sequences that this request needs; close some "
                                                          "or raise tfrun.runtime.max_batch"));
        }
        append(&batcher->running, request);
        sweep(batcher, &batcher->running, false, true); /* one that failed at once, or has nothing to do, holds nothing up */
    }
}

static void tell_running(struct tfr_batcher *batcher) {
    for (struct tfr_request *request = batcher->running.first; request != NULL; request = request->next) {
        struct tfr_continuation *c = &request->continuation;
        const enum tfr_status status = c->status == TFR_OK && !c->in_group ? tfr_events_tell(request, &batcher->told) : TFR_OK;
        if (status != TFR_OK) {
            tfr_continuation_fail(c, status);
        }
    }
}

/* Begins the rounds of all that are in no group, and finishes the oldest. All running ones that hold slots fit, since each slot is
 * a sequence of max_batch. A step that built a plan, that had others beside it, or that nobody waited for, says nothing of what its
 * kind costs. */
static void run_round(struct tfr_batcher *batcher, struct tfr_round_counts *counts) {
    const uint64_t start_ns = tfr_clock_ns();
    const uint64_t n_plans_made = batcher->engine->n_plans_made;
    const bool was_alone = !tfr_steps_in_flight(batcher->engine);
    size_t n = 0;
    for (struct tfr_request *request = batcher->running.first; request != NULL; request = request->next) {
        batcher->batch[n++] = &request->continuation;
    }
    tfr_groups_begin(&batcher->groups, batcher->batch, n, batcher->is_serving ? tfr_batcher_budget : NULL, batcher);
    const struct tfr_round_counts *finished = tfr_groups_finish(&batcher->groups);
    *counts = finished != NULL ? *finished : *counts;
    tell_running(batcher);
    const bool planned = batcher->engine->n_plans_made != n_plans_made;
    if (!planned && batcher->is_serving && was_alone && !tfr_steps_in_flight(batcher->engine)) {
        tfr_batcher_learn(batcher, counts, tfr_clock_ns() - start_ns);
    }
}

/* A step that was stopped has ended those that were in it. */
static bool was_stopped(const struct tfr_batcher *batcher) {
    for (const struct tfr_request *request = batcher->running.first; request != NULL; request = request->next) {
        if (request->continuation.status == TFR_CANCELLED) {
            return true;
        }
    }
    return false;
}

/* In order; one may post others, which have to wait for the next step. */
static void run_calls(struct tfr_batcher *batcher) {
    struct tfr_call *call = tfr_queue_take_calls(batcher->queue);
    while (call != NULL) {
        struct tfr_call *next = call->next;
        call->work(batcher->engine, call->user);
        tfr_free(call);
        call = next;
    }
}

static void cancel_all(struct tfr_batcher *batcher) {
    take_new(batcher);
    sweep(batcher, &batcher->running, true, true);
    while (tfr_groups_finish(&batcher->groups) != NULL) { /* of those that were told to end nobody takes anything */
    }
    sweep(batcher, &batcher->running, true, true);
    sweep(batcher, &batcher->waiting, true, false);
}

static void step(struct tfr_batcher *batcher, struct tfr_round_counts *counts) {
    take_new(batcher);
    run_calls(batcher);
    if (tfr_engine_cancelled() || tfr_comm_has_left()) {
        tfr_engine_clear_cancel();
        cancel_all(batcher);
        return;
    }
    sweep(batcher, &batcher->running, false, true);
    sweep(batcher, &batcher->waiting, false, false);
    tfr_prefixes_share(batcher->prefixes, &batcher->running); /* they were there before those that come now */
    admit_waiting(batcher);
    if (batcher->running.n > 0) {
        run_round(batcher, counts);
    }
    if (was_stopped(batcher)) {
        cancel_all(batcher);
    }
    sweep(batcher, &batcher->running, false, true);
    if (batcher->running.n == 0) { /* a prompt that was cancelled may have rows on their way, which nobody else waits for */
        (void)tfr_steps_settle(batcher->engine, -1);
    }
}

enum tfr_status tfr_engine_step(struct tfr_engine *engine, struct tfr_step_info *info) {
    struct tfr_batcher *batcher = engine->batcher;
    const uint64_t start_ns = tfr_clock_ns();
    *info = (struct tfr_step_info){0};
    if (batcher == NULL) {
        return tfr_raise(TFR_USAGE, "rank 0 drives the engine; the others call tfr_engine_follow");
    }
    TFR_TRY(tfr_batcher_prepare(batcher));
    struct tfr_round_counts counts = {0};
    step(batcher, &counts);
    tfr_batcher_report(batcher, &counts);
    info->rows = counts.rows;
    info->prompt_rows = counts.prompt_rows;
    info->logits = counts.logits;
    info->running = batcher->running.n;
    info->waiting = batcher->waiting.n;
    info->ns = tfr_clock_ns() - start_ns;
    if (batcher->told) {
        batcher->told = false;
        tfr_queue_notify(batcher->queue);
    }
    return batcher->is_serving && tfr_comm_has_left() ? tfr_raise(TFR_CANCELLED, "another rank is gone") : TFR_OK;
}

void tfr_batcher_close(struct tfr_batcher *batcher) {
    if (batcher == NULL) {
        return;
    }
    if (batcher->queue != NULL) {
        run_calls(batcher);
        cancel_all(batcher);
    }
    tfr_prefixes_close(batcher->prefixes);
    if (batcher->is_open) {
        tfr_groups_close(&batcher->groups);
    }
    tfr_queue_close(batcher->queue);
    tfr_free(batcher->batch);
    tfr_free(batcher);
}
