/* samples.c - see samples.h. */
#include "job/samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "job/command.h"

/* Rings that hold n_steps. A plan of one row stands for all: others have a few tasks more or less, and runs are counted too. */
static enum tfr_status open_watch(struct tfr_engine *engine, size_t n_steps) {
    const struct tfr_gpt2_features features = tfr_engine_features(engine);
    const struct tfr_plan *plan;
    TFR_TRY(tfr_engine_plan(engine, 1, 1, &features, &plan));
    tfr_trace_close(engine->watch);
    engine->watch = NULL;
    const size_t events_a_step = (size_t)plan->n_tasks * 5 / 4 + 16;
    return tfr_trace_open(&engine->watch, tfr_team_size(engine->team), n_steps * events_a_step);
}

enum tfr_status tfr_watch_obey(struct tfr_engine *engine, size_t n_steps) {
    engine->is_watched = false;
    if (engine->trace == NULL) {
        tfr_exec_set_trace(engine->exec, NULL, NULL);
        TFR_TRY(tfr_comm_agree(engine->comm, n_steps > 0 ? open_watch(engine, n_steps) : TFR_OK));
        tfr_exec_set_trace(engine->exec, n_steps > 0 ? engine->watch : NULL, NULL);
    }
    engine->is_watched = n_steps > 0;
    return TFR_OK;
}

enum tfr_status tfr_engine_watch(struct tfr_engine *engine, size_t n_steps) {
    if (n_steps > TFR_MAX_SAMPLED_STEPS) {
        return tfr_raise(TFR_USAGE, "a watch of %zu steps; %d are possible at once", n_steps, TFR_MAX_SAMPLED_STEPS);
    }
    if (n_steps > 0 && engine->placement.replicas > 1) {
        return tfr_raise(
            TFR_UNSUPPORTED,
            "the tasks of steps are timed where all ranks take part in a step, and with parallel.replicas = %d those of "
            "one replica do; leave --replicas out, and start the ranks of one replica",
            engine->placement.replicas);
    }
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_WATCH, 0);
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    message->part.n = (int64_t)n_steps;
    return tfr_command(engine, message);
}

/* The samples of this rank while they are put together. */
struct gathering {
    struct tfr_engine *engine;
    const struct tfr_trace *trace;
    const struct tfr_step_facts *steps;
    size_t n_steps;
    const struct tfr_plan *plan[TFR_MAX_SAMPLED_STEPS];
    size_t first[TFR_MAX_SAMPLED_STEPS + 1]; /* sample of the step's first task */
    struct tfr_task_sample *samples;
};

static enum tfr_status make_samples(struct gathering *all) {
    const struct tfr_gpt2_features features = tfr_engine_features(all->engine);
    for (size_t i = 0; i < all->n_steps; i++) {
        TFR_TRY(tfr_engine_plan(all->engine, all->steps[i].rows, all->steps[i].logits, &features, &all->plan[i]));
        all->first[i + 1] = all->first[i] + (size_t)all->plan[i]->n_tasks;
    }
    all->samples = tfr_alloc(all->first[all->n_steps] + 1, sizeof *all->samples);
    if (all->samples == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < all->n_steps; i++) {
        for (int t = 0; t < all->plan[i]->n_tasks; t++) {
            struct tfr_task_sample *sample = &all->samples[all->first[i] + (size_t)t];
            *sample = (struct tfr_task_sample){
                .rank = tfr_engine_rank(all->engine), .step = (int32_t)i, .begin_ns = INFINITY, .ns = -INFINITY};
            tfr_task_facts_make(&sample->facts, all->plan[i], t, &all->steps[i]);
        }
    }
    return TFR_OK;
}

/* Of this model: an assistant's stand in the same trace. */
static bool is_stamp(const struct tfr_trace_event *event) {
    return event->run.model == NULL && (event->kind == TFR_TRACE_TASK || event->kind == TFR_TRACE_MESSAGE);
}

static uint64_t last_run(const struct tfr_trace *trace) {
    uint64_t last = 0;
    for (size_t i = 0, n = tfr_trace_count(trace); i < n; i++) {
        const struct tfr_trace_event *event = tfr_trace_get(trace, i);
        last = is_stamp(event) && event->run.number > last ? event->run.number : last;
    }
    return last;
}

static struct tfr_task_sample *find_task(const struct gathering *all, size_t step, const char *name) {
    for (size_t i = all->first[step]; i < all->first[step + 1]; i++) {
        if (strncmp(all->samples[i].facts.name, name, sizeof all->samples[i].facts.name - 1) == 0) {
            return &all->samples[i];
        }
    }
    return NULL;
}

/* What was overwritten would be missing in the sums, unseen. */
static enum tfr_status check_held(const struct gathering *all) {
    const uint64_t last = last_run(all->trace);
    if (last < all->n_steps || !tfr_trace_holds(all->trace, last - all->n_steps + 1)) {
        return tfr_raise(TFR_RUNTIME,
                         "%zu steps of %d tasks each are more than the time stamps that are kept of a thread; measure fewer steps: "
                         "a higher --max-rows, fewer tokens, or without observe.trace",
                         all->n_steps, all->plan[0]->n_tasks);
    }
    return TFR_OK;
}

/* begin_ns and ns hold the earliest begin and the latest end until all stamps were seen. */
static void take_stamps(const struct gathering *all) {
    const uint64_t last = last_run(all->trace), origin_ns = tfr_trace_opened_ns(all->trace);
    for (size_t i = 0, n = tfr_trace_count(all->trace); i < n; i++) {
        const struct tfr_trace_event *event = tfr_trace_get(all->trace, i);
        if (!is_stamp(event) || event->run.number + all->n_steps <= last) {
            continue;
        }
        struct tfr_task_sample *sample = find_task(all, (size_t)(event->run.number + all->n_steps - 1 - last), event->task);
        if (sample != NULL) {
            sample->begin_ns = fmin(sample->begin_ns, (double)(event->begin_ns - origin_ns));
            sample->ns = fmax(sample->ns, (double)(event->end_ns - origin_ns));
        }
    }
}

static int by_begin(const void *a, const void *b) {
    const struct tfr_task_sample *x = a, *y = b;
    return x->step != y->step ? x->step - y->step : (x->begin_ns > y->begin_ns) - (x->begin_ns < y->begin_ns);
}

/* Tasks without rows did not run. */
static size_t keep_those_that_ran(struct gathering *all) {
    size_t kept = 0;
    for (size_t i = 0; i < all->first[all->n_steps]; i++) {
        if (isfinite(all->samples[i].begin_ns)) {
            all->samples[kept++] = all->samples[i];
        }
    }
    qsort(all->samples, kept, sizeof *all->samples, by_begin);
    return kept;
}

/* samples[0, n) of one step, ends in `ns`: how long a message at its end was all that this rank had to wait for. */
static double waited(const struct tfr_task_sample *samples, size_t n, size_t message) {
    const double end = samples[message].ns;
    double since = samples[message].begin_ns;
    for (size_t i = 0; i < n; i++) {
        const struct tfr_task_sample *other = &samples[i];
        if (i == message || other->begin_ns >= end) {
            continue;
        }
        if (other->ns > end && !other->facts.is_message) {
            return 0; /* it came while a task ran */
        }
        since = other->ns <= end ? fmax(since, other->ns) : since;
    }
    return end - since;
}

static void settle(struct tfr_task_sample *samples, size_t n) {
    const double origin_ns = n > 0 ? samples[0].begin_ns : 0;
    for (size_t i = 0; i < n; i++) {
        samples[i].waited_ns = samples[i].facts.is_message ? waited(samples, n, i) : 0;
    }
    for (size_t i = 0; i < n; i++) {
        samples[i].ns -= samples[i].begin_ns;
        samples[i].begin_ns -= origin_ns;
    }
}

/* Of this rank; free *samples. */
static enum tfr_status own_samples(struct tfr_engine *engine, const struct tfr_step_facts *steps, size_t n_steps,
                                   struct tfr_task_sample **samples, size_t *n) {
    struct gathering all = {
        .engine = engine, .trace = engine->trace != NULL ? engine->trace : engine->watch, .steps = steps, .n_steps = n_steps};
    enum tfr_status status = make_samples(&all);
    *samples = all.samples;
    TFR_TRY(status);
    TFR_TRY(check_held(&all));
    take_stamps(&all);
    *n = keep_those_that_ran(&all);
    for (size_t i = 0, alike; i < *n; i += alike) {
        for (alike = 1; i + alike < *n && all.samples[i + alike].step == all.samples[i].step; alike++) {
        }
        settle(all.samples + i, alike);
    }
    return TFR_OK;
}

static enum tfr_status receive(struct tfr_engine *engine, int peer, struct tfr_task_sample **samples, size_t *n) {
    uint64_t more = 0;
    TFR_TRY(tfr_comm_recv(engine->comm, &more, sizeof more, peer, TFR_TAG_TRACE));
    struct tfr_task_sample *grown = tfr_realloc(*samples, *n + (size_t)more + 1, sizeof *grown);
    if (grown == NULL) {
        return TFR_RESOURCE;
    }
    *samples = grown;
    TFR_TRY(tfr_comm_recv(engine->comm, grown + *n, (size_t)more * sizeof *grown, peer, TFR_TAG_TRACE));
    *n += (size_t)more;
    return TFR_OK;
}

static enum tfr_status collect(struct tfr_engine *engine, struct tfr_task_sample **samples, size_t *n) {
    const uint64_t own = *n;
    if (tfr_engine_rank(engine) > 0) {
        TFR_TRY(tfr_comm_send(engine->comm, &own, sizeof own, 0, TFR_TAG_TRACE));
        return tfr_comm_send(engine->comm, *samples, *n * sizeof **samples, 0, TFR_TAG_TRACE);
    }
    for (int peer = 1; peer < tfr_engine_size(engine); peer++) {
        TFR_TRY(receive(engine, peer, samples, n));
    }
    return TFR_OK;
}

static enum tfr_status gather(struct tfr_engine *engine, const struct tfr_step_facts *steps, size_t n_steps,
                              struct tfr_task_sample **samples, size_t *n) {
    *samples = NULL;
    *n = 0;
    enum tfr_status status = tfr_comm_agree(engine->comm, own_samples(engine, steps, n_steps, samples, n));
    if (status == TFR_OK) {
        status = collect(engine, samples, n);
    }
    return status;
}

enum tfr_status tfr_samples_obey(struct tfr_engine *engine, const struct tfr_step_facts *steps, size_t n_steps) {
    struct tfr_task_sample *samples;
    size_t n;
    const enum tfr_status status = gather(engine, steps, n_steps, &samples, &n);
    if (tfr_engine_rank(engine) == 0 && status == TFR_OK) {
        tfr_free(engine->sampled); /* left where another rank failed */
        engine->sampled = samples;
        engine->n_sampled = n;
    } else {
        tfr_free(samples);
    }
    return status;
}

enum tfr_status tfr_engine_samples(struct tfr_engine *engine, const struct tfr_step_facts *steps, size_t n_steps,
                                   struct tfr_task_sample **samples, size_t *n) {
    *samples = NULL;
    if (n_steps < 1 || n_steps > TFR_MAX_SAMPLED_STEPS) {
        return tfr_raise(TFR_USAGE, "samples of %zu steps; 1..%d are possible at once", n_steps, TFR_MAX_SAMPLED_STEPS);
    }
    struct tfr_message *message = tfr_message_new(engine, TFR_MESSAGE_SAMPLES, n_steps * sizeof *steps);
    if (message == NULL) {
        return TFR_RESOURCE;
    }
    memcpy(tfr_message_body(message), steps, n_steps * sizeof *steps);
    TFR_TRY(tfr_command(engine, message));
    *samples = engine->sampled;
    *n = engine->n_sampled;
    engine->sampled = NULL;
    return TFR_OK;
}
