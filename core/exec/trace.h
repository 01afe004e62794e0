/* trace.h - what ran when, beside what was predicted: a ring of events for each thread, the oldest
 * overwritten.
 *
 * An executor without a trace takes no time stamps; those of a model and of its assistant may share one. Thread rule: each thread
 * of the team adds to its own ring; read by the executor's thread between runs.
 */
#ifndef TFR_EXEC_TRACE_H
#define TFR_EXEC_TRACE_H

#include "base/json.h"
#include "plan/plan.h"

enum tfr_trace_kind {
    TFR_TRACE_TASK,    /* one thread in one task */
    TFR_TRACE_MESSAGE, /* an asynchronous task, from post to completion */
    TFR_TRACE_RUNS     /* at begin_ns, n_runs runs are in flight */
};

/* A run of one of the executors that share a trace. */
struct tfr_trace_run {
    uint64_t number;   /* counted from 1 by the trace */
    const char *model; /* whose it is: NULL the engine's, "assistant"; a literal */
};

/* Holds names of its own: the plan may be gone when it is read. */
struct tfr_trace_event {
    uint64_t begin_ns, end_ns; /* tfr_clock_ns */
    struct tfr_trace_run run;
    int64_t n_runs; /* in flight: of TFR_TRACE_RUNS */
    const struct tfr_kernel *kernel;
    double predicted_ns; /* of the whole task */
    int64_t rows;
    int32_t kind, thread; /* enum tfr_trace_kind */
    int32_t peer, tag;    /* of a message */
    char task[48];
};

struct tfr_trace;
enum tfr_status tfr_trace_open(struct tfr_trace **trace, int n_threads, size_t events_per_thread);
void tfr_trace_close(struct tfr_trace *trace);

/* The next run, whatever executor it is put in flight by. */
uint64_t tfr_trace_last_run(const struct tfr_trace *trace); /* its number, 0 before the first */
/* What the next run is called: ranks that take part in some steps only hear it from those that take part in all. */
void tfr_trace_name_next(struct tfr_trace *trace, uint64_t number);
struct tfr_trace_run tfr_trace_begin_run(struct tfr_trace *trace, const char *model);
void tfr_trace_add_task(struct tfr_trace *trace, int thread, const struct tfr_trace_run *run, const struct tfr_task *task,
                        int64_t rows, uint64_t begin_ns, uint64_t end_ns);
void tfr_trace_add_runs(struct tfr_trace *trace, const char *model, int n_runs);

/* Events in the rings, thread by thread, of each the oldest first; how many were overwritten; when the trace
 * was opened. */
size_t tfr_trace_count(const struct tfr_trace *trace);
const struct tfr_trace_event *tfr_trace_get(const struct tfr_trace *trace, size_t index);
uint64_t tfr_trace_dropped(const struct tfr_trace *trace);
/* Whether nothing of run `run` and of later ones was overwritten. */
bool tfr_trace_holds(const struct tfr_trace *trace, uint64_t run);
uint64_t tfr_trace_opened_ns(const struct tfr_trace *trace);

/* The events as items of a Chrome trace's array, times from origin_ns on: a process for the rank, a track for each thread, and
 * below them as many as messages overlap; an arrow from each send to its recv on the other rank. */
void tfr_trace_put_json(const struct tfr_trace *trace, int rank, uint64_t origin_ns, struct tfr_json_out *out);

#endif
