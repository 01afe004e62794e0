/* trace.c - rings of events, and their form as a Chrome trace. */
#include "exec/trace.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"

/* On lines of its own: each thread writes its counter after every task. */
struct ring {
    struct tfr_trace_event *events;
    uint64_t n; /* ever added */
    char pad[112];
};

struct tfr_trace {
    struct ring *rings;
    int n_threads;
    size_t capacity; /* of each */
    uint64_t n_runs; /* begun */
    uint64_t opened_ns;
};

enum tfr_status tfr_trace_open(struct tfr_trace **trace, int n_threads, size_t events_per_thread) {
    *trace = NULL;
    struct tfr_trace *made = tfr_alloc(1, sizeof *made);
    if (made == NULL) {
        return TFR_RESOURCE;
    }
    made->n_threads = n_threads;
    made->capacity = events_per_thread;
    made->opened_ns = tfr_clock_ns();
    made->rings = tfr_alloc((size_t)n_threads, sizeof *made->rings);
    bool complete = made->rings != NULL;
    for (int i = 0; complete && i < n_threads; i++) {
        made->rings[i].events = tfr_alloc(events_per_thread, sizeof *made->rings[i].events);
        complete = made->rings[i].events != NULL;
        if (complete) { /* its pages are there before the first step, which would wait for them */
            memset(made->rings[i].events, 0, events_per_thread * sizeof *made->rings[i].events);
        }
    }
    if (!complete) {
        tfr_trace_close(made);
        return TFR_RESOURCE;
    }
    *trace = made;
    return TFR_OK;
}

void tfr_trace_close(struct tfr_trace *trace) {
    if (trace == NULL) {
        return;
    }
    for (int i = 0; trace->rings != NULL && i < trace->n_threads; i++) {
        tfr_free(trace->rings[i].events);
    }
    tfr_free(trace->rings);
    tfr_free(trace);
}

static struct tfr_trace_event *next_event(struct tfr_trace *trace, int thread) {
    struct ring *ring = &trace->rings[thread];
    return &ring->events[ring->n++ % trace->capacity];
}

uint64_t tfr_trace_last_run(const struct tfr_trace *trace) {
    return trace->n_runs;
}

void tfr_trace_name_next(struct tfr_trace *trace, uint64_t number) {
    trace->n_runs = number - 1;
}

struct tfr_trace_run tfr_trace_begin_run(struct tfr_trace *trace, const char *model) {
    return (struct tfr_trace_run){.number = ++trace->n_runs, .model = model};
}

void tfr_trace_add_task(struct tfr_trace *trace, int thread, const struct tfr_trace_run *run, const struct tfr_task *task,
                        int64_t rows, uint64_t begin_ns, uint64_t end_ns) {
    struct tfr_trace_event *event = next_event(trace, thread);
    *event = (struct tfr_trace_event){
        .begin_ns = begin_ns,
        .end_ns = end_ns,
        .run = *run,
        .kernel = task->kernel,
        .predicted_ns = task->predicted_ns,
        .rows = rows,
        .kind = task->kernel->run_class == TFR_RUN_ASYNC ? TFR_TRACE_MESSAGE : TFR_TRACE_TASK,
        .thread = thread,
        .peer = task->problem.attrs.peer,
        .tag = task->problem.attrs.tag,
    };
    memccpy(event->task, task->name, '\0', sizeof event->task - 1); /* at hundreds of tasks a step printf would be seen */
}

void tfr_trace_add_runs(struct tfr_trace *trace, const char *model, int n_runs) {
    const uint64_t now = tfr_clock_ns();
    *next_event(trace, 0) =
        (struct tfr_trace_event){.begin_ns = now, .end_ns = now, .run.model = model, .n_runs = n_runs, .kind = TFR_TRACE_RUNS};
}

static size_t kept(const struct tfr_trace *trace, const struct ring *ring) {
    return ring->n < trace->capacity ? (size_t)ring->n : trace->capacity;
}

size_t tfr_trace_count(const struct tfr_trace *trace) {
    size_t n = 0;
    for (int i = 0; i < trace->n_threads; i++) {
        n += kept(trace, &trace->rings[i]);
    }
    return n;
}

const struct tfr_trace_event *tfr_trace_get(const struct tfr_trace *trace, size_t index) {
    for (int i = 0; i < trace->n_threads; i++) {
        const struct ring *ring = &trace->rings[i];
        const size_t n = kept(trace, ring);
        if (index < n) {
            return &ring->events[(ring->n - n + index) % trace->capacity];
        }
        index -= n;
    }
    return NULL;
}

uint64_t tfr_trace_dropped(const struct tfr_trace *trace) {
    uint64_t n = 0;
    for (int i = 0; i < trace->n_threads; i++) {
        n += trace->rings[i].n - kept(trace, &trace->rings[i]);
    }
    return n;
}

/* Runs follow each other in a ring: where a run before this one is left, nothing of it is gone. */
bool tfr_trace_holds(const struct tfr_trace *trace, uint64_t run) {
    for (int i = 0; i < trace->n_threads; i++) {
        const struct ring *ring = &trace->rings[i];
        bool is_whole = ring->n <= trace->capacity;
        for (size_t k = 0; k < trace->capacity && !is_whole; k++) {
            const struct tfr_trace_event *event = &ring->events[(ring->n + k) % trace->capacity];
            if (event->kind != TFR_TRACE_RUNS) {
                is_whole = event->run.number < run;
                break;
            }
        }
        if (!is_whole) {
            return false;
        }
    }
    return true;
}

uint64_t tfr_trace_opened_ns(const struct tfr_trace *trace) {
    return trace->opened_ns;
}

static void put_head(struct tfr_json_out *out, const char *name, const char *phase, int rank, int thread) {
    tfr_json_begin(out, NULL, '{');
    tfr_json_put_text(out, "name", name);
    tfr_json_put_text(out, "ph", phase);
    tfr_json_put_int(out, "pid", rank);
    tfr_json_put_int(out, "tid", thread);
}

/* Microseconds; an event of another clock may lie a little before the origin. */
static void put_time(struct tfr_json_out *out, uint64_t at_ns, uint64_t origin_ns) {
    tfr_json_put_number(out, "ts", (double)(int64_t)(at_ns - origin_ns) / 1e3);
}

static void put_args(struct tfr_json_out *out, const struct tfr_trace_event *event) {
    tfr_json_begin(out, "args", '{');
    tfr_json_put_text(out, "kernel", event->kernel->name);
    tfr_json_put_int(out, "run", (int64_t)event->run.number);
    if (event->run.model != NULL) {
        tfr_json_put_text(out, "model", event->run.model);
    }
    tfr_json_put_int(out, "rows", event->rows);
    tfr_json_put_number(out, "predicted_us", event->predicted_ns / 1e3);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

static void put_task(struct tfr_json_out *out, const struct tfr_trace_event *event, int rank, uint64_t origin_ns) {
    put_head(out, event->task, "X", rank, event->thread);
    tfr_json_put_text(out, "cat", "task");
    put_time(out, event->begin_ns, origin_ns);
    tfr_json_put_number(out, "dur", (double)(event->end_ns - event->begin_ns) / 1e3);
    put_args(out, event);
}

/* Tracks of messages, below those of the threads. Events stand in the order of their ends, so a track is free again when the last
 * event on it ended. */
enum { MESSAGE_TRACK = 1000, MOST_TRACKS = 64 };
struct tracks {
    uint64_t end_ns[MOST_TRACKS];
    int n;
};

static int track_of(struct tracks *tracks, const struct tfr_trace_event *event) {
    int t = 0;
    while (t < tracks->n && tracks->end_ns[t] > event->begin_ns) {
        t++;
    }
    t = t < MOST_TRACKS ? t : MOST_TRACKS - 1;
    tracks->n = t < tracks->n ? tracks->n : t + 1;
    tracks->end_ns[t] = event->end_ns;
    return MESSAGE_TRACK + t;
}

/* One end of the arrow from a send to its recv: where the one was posted and the other complete. Both have the same number of the
 * run, which rank 0 gave it. */
static void put_flow(struct tfr_json_out *out, const struct tfr_trace_event *event, int rank, int track, uint64_t origin_ns) {
    const bool is_send = event->kernel->op == TFR_OP_SEND_HIDDEN;
    const uint64_t last_ns = event->end_ns > event->begin_ns ? event->end_ns - 1 : event->begin_ns; /* inside the span */
    char id[96];
    snprintf(id, sizeof id, "run %llu, tag %d, rank %d to %d", (unsigned long long)event->run.number, event->tag,
             is_send ? rank : event->peer, is_send ? event->peer : rank);
    put_head(out, "message", is_send ? "s" : "f", rank, track);
    tfr_json_put_text(out, "cat", "flow");
    tfr_json_put_text(out, "id", id);
    if (!is_send) {
        tfr_json_put_text(out, "bp", "e"); /* to the span that holds this moment, not to the next one */
    }
    put_time(out, is_send ? event->begin_ns : last_ns, origin_ns);
    tfr_json_end(out, '}');
}

static void put_message(struct tfr_json_out *out, const struct tfr_trace_event *event, int rank, int track, uint64_t origin_ns) {
    put_head(out, event->task, "X", rank, track);
    tfr_json_put_text(out, "cat", "message");
    put_time(out, event->begin_ns, origin_ns);
    tfr_json_put_number(out, "dur", (double)(event->end_ns - event->begin_ns) / 1e3);
    put_args(out, event);
    put_flow(out, event, rank, track, origin_ns);
}

static void put_runs(struct tfr_json_out *out, const struct tfr_trace_event *event, int rank, uint64_t origin_ns) {
    char name[64];
    snprintf(name, sizeof name, "runs in flight%s%s", event->run.model != NULL ? " of the " : "",
             event->run.model != NULL ? event->run.model : "");
    put_head(out, name, "C", rank, 0);
    put_time(out, event->begin_ns, origin_ns);
    tfr_json_begin(out, "args", '{');
    tfr_json_put_int(out, "runs", event->n_runs);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

static void put_process(struct tfr_json_out *out, const struct tfr_trace *trace, int rank) {
    char name[32];
    snprintf(name, sizeof name, "rank %d", rank);
    put_head(out, "process_name", "M", rank, 0);
    tfr_json_begin(out, "args", '{');
    tfr_json_put_text(out, "name", name);
    tfr_json_put_int(out, "events_overwritten", (int64_t)tfr_trace_dropped(trace));
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

static void put_thread(struct tfr_json_out *out, const char *name, int rank, int thread) {
    put_head(out, "thread_name", "M", rank, thread);
    tfr_json_begin(out, "args", '{');
    tfr_json_put_text(out, "name", name);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
    put_head(out, "thread_sort_index", "M", rank, thread);
    tfr_json_begin(out, "args", '{');
    tfr_json_put_int(out, "sort_index", thread);
    tfr_json_end(out, '}');
    tfr_json_end(out, '}');
}

static void put_threads(struct tfr_json_out *out, int n_threads, const struct tracks *tracks, int rank) {
    char name[32];
    for (int t = 0; t < n_threads; t++) {
        snprintf(name, sizeof name, "thread %d", t);
        put_thread(out, name, rank, t);
    }
    for (int t = 0; t < tracks->n; t++) {
        put_thread(out, "messages", rank, MESSAGE_TRACK + t);
    }
}

static void put_event(struct tfr_json_out *out, const struct tfr_trace_event *event, int rank, struct tracks *tracks,
                      uint64_t origin_ns) {
    switch ((enum tfr_trace_kind)event->kind) {
    case TFR_TRACE_TASK:
        put_task(out, event, rank, origin_ns);
        break;
    case TFR_TRACE_MESSAGE:
        put_message(out, event, rank, track_of(tracks, event), origin_ns);
        break;
    case TFR_TRACE_RUNS:
        put_runs(out, event, rank, origin_ns);
        break;
    }
}

void tfr_trace_put_json(const struct tfr_trace *trace, int rank, uint64_t origin_ns, struct tfr_json_out *out) {
    struct tracks tracks = {0};
    const size_t n = tfr_trace_count(trace);
    put_process(out, trace, rank);
    for (size_t i = 0; i < n; i++) {
        put_event(out, tfr_trace_get(trace, i), rank, &tracks, origin_ns);
    }
    put_threads(out, trace->n_threads, &tracks, rank);
}
