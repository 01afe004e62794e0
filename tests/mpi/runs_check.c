/* runs_check.c - several runs in flight on two ranks: runs_check CONFIG [KERNELS], started by
 * mpiexec.
 *
 * The model is split over the ranks, so every run of the forward pass sends rows there and back.
 * Micro-batches run one after the other, then all at once, then in two lanes: the logits must have the same
 * bits. The trace of both ranks must show one rank computing a run while the other computes another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "rank/rank.h"

enum { N_RUNS = 6, ROWS = 160, TAG = 29000, MOST_SPANS = 4096 };

struct span {
    uint64_t begin_ns, end_ns, run;
};

struct batch {
    struct tfr_kvcache kv;
    struct tfr_batch_seq seq;
    struct tfr_batch batch;
    int32_t ids[ROWS], positions[ROWS], logit_rows[2];
    float *expected, *logits;
    struct tfr_exec_input input;
};

static struct tfr_engine *engine;
static struct batch batches[N_RUNS];
static struct span mine[MOST_SPANS], theirs[MOST_SPANS];

static void check(bool condition, const char *what) {
    if (!condition) {
        fprintf(stderr, "rank %d: %s; last failure: %s\n", tfr_engine_rank(engine), what, tfr_failure_text());
        tfr_comm_abort(engine->comm, 99);
    }
}

static void fill_batch(struct batch *batch, int index) {
    const int64_t vocab = tfr_engine_vocab_size(engine), width = tfr_engine_logit_width(engine);
    check(tfr_engine_open_kv(engine, &batch->kv, 0, ROWS) == TFR_OK, "no kv cache");
    for (int i = 0; i < ROWS; i++) {
        batch->ids[i] = (int32_t)((i * 7919 + index * 104729 + 13) % vocab);
        batch->positions[i] = i;
    }
    batch->logit_rows[0] = ROWS / 2;
    batch->logit_rows[1] = ROWS - 1;
    batch->expected = calloc((size_t)(2 * width), sizeof(float));
    batch->logits = calloc((size_t)(2 * width), sizeof(float));
    check(batch->expected != NULL && batch->logits != NULL, "no memory");
    batch->seq = (struct tfr_batch_seq){.n_rows = ROWS, .kv = batch->kv.layer};
    batch->batch = tfr_batch_of(&batch->seq, 1);
    batch->input = (struct tfr_exec_input){.ids = batch->ids,
                                           .positions = batch->positions,
                                           .logit_rows = batch->logit_rows,
                                           .logits = batch->expected,
                                           .rows = ROWS,
                                           .n_logits = 2,
                                           .batch = &batch->batch};
}

static void run_one_by_one(const struct tfr_plan *plan) {
    for (int i = 0; i < N_RUNS; i++) {
        check(tfr_exec_run(engine->exec, plan, &batches[i].input) == TFR_OK, "a run alone failed");
    }
}

/* All submitted before the first is waited for; runs of the second lane are waited for last. */
static void run_at_once(const struct tfr_plan *plan, bool two_lanes) {
    const size_t bytes = (size_t)(2 * tfr_engine_vocab_size(engine)) * sizeof(float);
    struct tfr_run *run[N_RUNS];
    for (int i = 0; i < N_RUNS; i++) {
        struct tfr_exec_input input = batches[i].input;
        memset(batches[i].logits, 0, bytes);
        input.logits = batches[i].logits;
        input.lane = two_lanes && i % 2 == 0 ? TFR_LANE_PREFILL : TFR_LANE_DECODE;
        check(tfr_exec_open_run(engine->exec, &run[i], plan, &input) == TFR_OK, "no run");
        check(tfr_exec_submit(engine->exec, run[i]) == TFR_OK, "a run was not submitted");
    }
    check(two_lanes || tfr_exec_runs_in_flight(engine->exec) == N_RUNS, "not all runs are in flight");
    for (int i = N_RUNS - 1; i >= 0; i--) { /* the newest first: the others go on meanwhile */
        check(tfr_exec_wait(engine->exec, run[i]) == TFR_OK, "a run failed");
    }
    for (int i = 0; i < N_RUNS; i++) {
        tfr_exec_close_run(engine->exec, run[i]);
        if (tfr_engine_rank(engine) == 0) {
            check(memcmp(batches[i].logits, batches[i].expected, bytes) == 0, "other bits than alone");
        }
    }
}

static size_t take_spans(const struct tfr_trace *trace) {
    size_t n = 0;
    for (size_t i = 0; i < tfr_trace_count(trace) && n < MOST_SPANS; i++) {
        const struct tfr_trace_event *event = tfr_trace_get(trace, i);
        if (event->kind == TFR_TRACE_TASK) {
            mine[n++] = (struct span){.begin_ns = event->begin_ns, .end_ns = event->end_ns, .run = event->run.number};
        }
    }
    return n;
}

static int64_t most_in_flight(const struct tfr_trace *trace) {
    int64_t most = 0;
    for (size_t i = 0; i < tfr_trace_count(trace); i++) {
        const struct tfr_trace_event *event = tfr_trace_get(trace, i);
        most = event->kind == TFR_TRACE_RUNS && event->n_runs > most ? event->n_runs : most;
    }
    return most;
}

/* Messages of this rank that were seen to be complete in the middle of a task. */
static size_t count_inside(const struct tfr_trace *trace, size_t n_spans) {
    size_t n = 0;
    for (size_t i = 0; i < tfr_trace_count(trace); i++) {
        const struct tfr_trace_event *event = tfr_trace_get(trace, i);
        for (size_t s = 0; s < n_spans && event->kind == TFR_TRACE_MESSAGE; s++) {
            n += mine[s].begin_ns < event->end_ns && event->end_ns < mine[s].end_ns;
        }
    }
    return n;
}

static void check_inside(const struct tfr_trace *trace, bool wanted) {
    size_t all[2] = {0};
    const size_t inside = count_inside(trace, take_spans(trace));
    check(tfr_comm_gather(engine->comm, &inside, sizeof inside, tfr_engine_rank(engine) == 0 ? all : NULL) == TFR_OK,
          "nothing is gathered");
    if (tfr_engine_rank(engine) == 0) {
        printf("%zu messages were complete in the middle of a task\n", all[0] + all[1]);
        check(!wanted || all[0] + all[1] > 0, "every message waited for the end of a task");
    }
}

/* Rank 0: pairs of tasks that overlap in time, of different runs, the younger one here. */
static void compare_spans(const struct tfr_trace *trace) {
    const size_t n = take_spans(trace);
    size_t n_theirs = n, n_pairs = 0;
    if (tfr_engine_rank(engine) != 0) {
        check(tfr_comm_send(engine->comm, &n, sizeof n, 0, TAG) == TFR_OK, "spans are not sent");
        check(tfr_comm_send(engine->comm, mine, n * sizeof *mine, 0, TAG) == TFR_OK, "spans are not sent");
        return;
    }
    check(tfr_comm_recv(engine->comm, &n_theirs, sizeof n_theirs, 1, TAG) == TFR_OK, "no spans");
    check(tfr_comm_recv(engine->comm, theirs, n_theirs * sizeof *theirs, 1, TAG) == TFR_OK, "no spans");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n_theirs; j++) {
            n_pairs += mine[i].run > theirs[j].run && mine[i].begin_ns < theirs[j].end_ns && theirs[j].begin_ns < mine[i].end_ns;
        }
    }
    printf("%d runs in flight at most, %zu pairs of tasks of different runs overlap on the two ranks\n", (int)most_in_flight(trace),
           n_pairs);
    check(n_pairs > 0, "rank 0 never computed a run while rank 1 computed an older one");
}

static void run_all(bool polls_inside) {
    const struct tfr_plan *plan;
    const struct tfr_gpt2_features features = tfr_engine_features(engine);
    struct tfr_trace *trace;
    check(tfr_engine_size(engine) == 2, "two ranks are needed");
    for (int i = 0; i < N_RUNS; i++) {
        fill_batch(&batches[i], i);
    }
    check(tfr_engine_plan(engine, ROWS, 2, &features, &plan) == TFR_OK, "no plan");
    run_one_by_one(plan);
    check(tfr_trace_open(&trace, tfr_team_size(engine->team), MOST_SPANS) == TFR_OK, "no trace");
    tfr_exec_set_trace(engine->exec, trace, NULL);
    run_at_once(plan, false);
    tfr_exec_set_trace(engine->exec, NULL, NULL);
    check(most_in_flight(trace) == N_RUNS, "the trace does not count the runs in flight");
    compare_spans(trace);
    check_inside(trace, polls_inside);
    run_at_once(plan, true);
    tfr_trace_close(trace);
    for (int i = 0; i < N_RUNS; i++) {
        tfr_kvcache_close(&batches[i].kv);
        free(batches[i].expected);
        free(batches[i].logits);
    }
}

int main(int argc, char **argv) {
    const struct tfr_override kernels = {"runtime.kernels", argc > 2 ? argv[2] : NULL, "the test"};
    if (argc < 2 || tfr_engine_open(&engine, argv[1], &kernels, argc > 2 ? 1 : 0) != TFR_OK) {
        fprintf(stderr, "runs_check CONFIG [KERNELS]: %s\n", tfr_failure_text());
        return 2;
    }
    run_all(argc > 2);
    const enum tfr_status status = tfr_engine_rank(engine) == 0 ? TFR_OK : tfr_engine_follow(engine);
    tfr_engine_close(engine);
    return status == TFR_OK ? 0 : 1;
}
