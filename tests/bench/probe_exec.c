/* probe_exec.c - what the executor adds to a task: chains of tasks whose kernels do nothing, by class.
 *
 *     probe_exec [threads] [repetitions]
 *
 * A run is a chain of 1000 tasks. Printed: nanoseconds a task, median and best over the repetitions, the
 * classes interleaved.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/status.h"
#include "exec/exec.h"

#include "bandwidth.h"
#include "usage.h"

enum { N_TASKS = 1000, MOST = 1000, N_CASES = 4 };

static int32_t run_nothing(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                           const struct tfr_run_ctx *ctx) {
    (void)self;
    (void)args, (void)ctx, (void)problem;
    return TFR_OK;
}

static const struct tfr_kernel team_kernel = {.name = "team", .run_class = TFR_RUN_TEAM, .run = run_nothing},
                               seq_kernel = {.name = "seq", .run_class = TFR_RUN_SEQ, .run = run_nothing};

struct chain {
    struct tfr_plan plan;
    struct tfr_task tasks[N_TASKS];
    int to[N_TASKS];
};

static void make_chain(struct chain *chain, const struct tfr_kernel *kernel, bool alone, int n_threads) {
    for (int i = 0; i < N_TASKS; i++) {
        chain->to[i] = i + 1;
        chain->tasks[i] = (struct tfr_task){.name = "task",
                                            .kernel = kernel,
                                            .rows = TFR_ROWS_TOKENS,
                                            .n_predecessors = i > 0,
                                            .n_successors = i + 1 < N_TASKS,
                                            .successors = &chain->to[i],
                                            .priority_ns = N_TASKS - i,
                                            .alone = alone};
    }
    chain->plan = (struct tfr_plan){.tasks = chain->tasks, .n_tasks = N_TASKS, .n_threads = n_threads};
}

static double run_seconds(struct tfr_exec *exec, const struct chain *chain) {
    const struct tfr_exec_input input = {.rows = 1};
    const double start = bench_now();
    if (tfr_exec_run(exec, &chain->plan, &input) != TFR_OK) {
        fprintf(stderr, "probe_exec: %s\n", tfr_failure_text());
        exit(1);
    }
    return (bench_now() - start) / N_TASKS;
}

static const char usage[] = "usage: probe_exec [threads] [repetitions]\n"
                            "nanoseconds that the executor adds to a task, by class\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    static const char *const names[N_CASES] = {"SEQ", "TEAM", "TEAM, alone", "TEAM, traced"};
    static double seconds[N_CASES][MOST];
    static struct chain chains[N_CASES];
    bench_words(argc, 0, 2, usage);
    const int n_threads = (int)bench_number(argc, argv, 1, 2, 1, BENCH_MOST_THREADS, usage);
    const int n = (int)bench_number(argc, argv, 2, 200, 1, MOST, usage);
    struct tfr_team *team;
    struct tfr_exec *exec;
    struct tfr_trace *trace;
    if (tfr_team_open(&team, n_threads, NULL, false) != TFR_OK || tfr_exec_open(&exec, team, NULL) != TFR_OK ||
        tfr_trace_open(&trace, n_threads, 4096) != TFR_OK) {
        fprintf(stderr, "probe_exec: %s\n", tfr_failure_text());
        return 1;
    }
    for (int c = 0; c < N_CASES; c++) {
        make_chain(&chains[c], c == 0 ? &seq_kernel : &team_kernel, c == 2, n_threads);
    }
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < N_CASES; c++) {
            tfr_exec_set_trace(exec, c == 3 ? trace : NULL, NULL);
            seconds[c][i] = run_seconds(exec, &chains[c]);
        }
    }
    for (int c = 0; c < N_CASES; c++) {
        const struct bench_summary summary = bench_summarise(seconds[c], n);
        printf("%-14s %8.0f ns a task   (best %.0f, spread %.0f %%)\n", names[c], summary.median * 1e9, summary.best * 1e9,
               summary.spread * 100);
    }
    tfr_exec_close(exec);
    tfr_trace_close(trace);
    tfr_team_close(team);
    return 0;
}
