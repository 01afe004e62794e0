/* kernel_bench_case.c - one case: which kernels serve it, and rounds in which each of them is timed once, so that whatever disturbs
 * the machine meets all of them. */
#include "study/kernel_bench_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "plan/select.h"
#include "predict/predict.h"
#include "study/kernel_runner.h"
#include "team/crowd.h"

/* A time is the mean of as many runs as take so long, at least one. */
#define TIMED_S 1e-3
enum { MOST_REPEATS = 5000 };

/* The case that is being measured. */
struct stand {
    struct tfr_kernel_work *work;
    struct tfr_kernel_result *result;
    struct tfr_kernel_data data;
    struct tfr_block out;
    float *weights;                    /* room for an attention's probabilities, in `out` */
    struct tfr_kernel_runner *runners; /* [result->n_figures], of those that serve it */
};

static bool passes_caches(const struct tfr_kernel_work *work, const struct tfr_kernel_result *result) {
    return result->bytes > 2.0 * (double)work->engine->machine->l3_bytes;
}

static bool is_asked(const struct tfr_kernel_work *work, const struct tfr_candidate *candidate) {
    return work->question->kernel == NULL || strstr(candidate->kernel->name, work->question->kernel) != NULL;
}

/* The plain reference, where nobody names it. */
static bool is_left_out(const struct tfr_kernel_work *work, const struct tfr_candidate *candidate, char *reason, size_t size) {
    const bool is_left = work->question->kernel == NULL && strcmp(candidate->plugin, "ref") == 0;
    if (is_left) {
        snprintf(reason, size, "the plain reference: --kernel ref times it");
    }
    return is_left;
}

/* A weight that is read where it lies is one of the type that the kernel was asked about: a plan converts it, this does not. */
static bool reads_other_type(const struct tfr_problem *problem, const struct tfr_kernel_data *data, const struct tfr_needs *needs,
                             char *reason, size_t size) {
    if (problem->op != TFR_OP_LINEAR || needs->pack[1].bytes > 0 || problem->arg[1].dtype == (int32_t)data->weight.dtype) {
        return false;
    }
    snprintf(reason, size, "packs no weights: give stored= and dtype= one type");
    return true;
}

/* Asks one kernel; its figure says why it is not timed. Fails where the kernel does. */
static enum tfr_status judge(struct stand *stand, const struct tfr_candidate *candidate, struct tfr_kernel_figure *figure) {
    const struct tfr_kernel_work *work = stand->work;
    const struct tfr_kernel *kernel = candidate->kernel;
    struct tfr_kernel_runner *runner = &stand->runners[stand->result->n_served];
    enum tfr_status failure = TFR_OK;
    const struct tfr_chooser chooser = {.registry = work->engine->registry, .failure = &failure};
    *runner = (struct tfr_kernel_runner){.kernel = kernel,
                                         .data = &stand->data,
                                         .team = work->engine->team,
                                         .problem = stand->data.problem,
                                         .is_noted = ATOMIC_FLAG_INIT};
    runner->problem.n_threads = work->bench->n_threads;
    snprintf(figure->kernel, sizeof figure->kernel, "%s", kernel->name);
    figure->threads = kernel->run_class == TFR_RUN_SEQ ? 1 : work->bench->n_threads;
    if (is_left_out(work, candidate, figure->refusal, sizeof figure->refusal)) {
        return TFR_OK;
    }
    const bool is_served =
        tfr_candidate_judge(&chooser, candidate, &runner->problem, &runner->needs, figure->refusal, sizeof figure->refusal);
    if (failure != TFR_OK) {
        return failure;
    }
    if (is_served && !reads_other_type(&runner->problem, &stand->data, &runner->needs, figure->refusal, sizeof figure->refusal)) {
        figure->refusal[0] = '\0';
        figure->packed_bytes = runner->needs.pack[1].bytes;
        stand->result->n_served++;
    }
    return TFR_OK;
}

static int by_kernel(const void *a, const void *b) {
    return strcmp(((const struct tfr_candidate *)a)->kernel->name, ((const struct tfr_candidate *)b)->kernel->name);
}

/* Those that serve the case to the front, in the order of the runners. */
static void sort_figures(struct tfr_kernel_result *result) {
    size_t front = 0;
    for (size_t i = 0; i < result->n_figures; i++) {
        const struct tfr_kernel_figure figure = result->figures[i];
        if (figure.refusal[0] == '\0') {
            memmove(&result->figures[front + 1], &result->figures[front], (i - front) * sizeof figure);
            result->figures[front++] = figure;
        }
    }
}

static enum tfr_status ask_kernels(struct stand *stand) {
    struct tfr_kernel_result *result = stand->result;
    struct tfr_candidate *candidates;
    int n;
    TFR_TRY(tfr_candidates_list(stand->work->engine->registry, &stand->data.problem, &candidates, &n));
    qsort(candidates, (size_t)n, sizeof *candidates, by_kernel);
    result->figures = tfr_alloc((size_t)n, sizeof *result->figures);
    stand->runners = tfr_alloc((size_t)n, sizeof *stand->runners);
    enum tfr_status status = result->figures != NULL && stand->runners != NULL ? TFR_OK : TFR_RESOURCE;
    for (int i = 0; i < n && status == TFR_OK; i++) {
        if (is_asked(stand->work, &candidates[i])) {
            status = judge(stand, &candidates[i], &result->figures[result->n_figures++]);
        }
    }
    tfr_free(candidates);
    if (status == TFR_OK) {
        sort_figures(result);
    }
    return status;
}

static enum tfr_status check_memory(const struct tfr_kernel_work *work, double bytes) {
    const double available = (double)work->engine->machine->memory_available_bytes;
    if (available <= 0 || bytes <= available) {
        return TFR_OK;
    }
    return tfr_raise(TFR_RESOURCE,
                     "it takes %.3g GB of memory with all kernels that serve it, and %.3g GB are there; make it smaller, or take "
                     "fewer kernels with --kernel",
                     bytes / 1e9, available / 1e9);
}

static enum tfr_status open_runners(struct stand *stand) {
    const struct tfr_kernel_work *work = stand->work;
    struct tfr_kernel_result *result = stand->result;
    const size_t out_bytes = (size_t)stand->data.out_bytes_max;
    double bytes = tfr_kernel_case_bytes(&result->of) + (double)out_bytes;
    for (size_t i = 0; i < result->n_served; i++) {
        bytes += tfr_kernel_runner_bytes(&stand->runners[i].needs, work->bench->n_threads);
    }
    TFR_TRY(check_memory(work, bytes));
    TFR_TRY(tfr_block_open(&stand->out, out_bytes, TFR_HUGEPAGES_OFF));
    stand->weights = stand->out.data;
    for (int b = 0; b < result->of.n_seqs; b++) {
        stand->data.seq[b].self.weights = stand->data.seq[b].cross.weights = &stand->weights;
    }
    for (size_t i = 0; i < result->n_served; i++) {
        const enum tfr_hugepages hugepages = (enum tfr_hugepages)work->engine->config->options.runtime_hugepages;
        TFR_TRY(tfr_kernel_runner_open(&stand->runners[i], hugepages, stand->out.data));
        result->figures[i].times = tfr_alloc((size_t)work->bench->repetitions, sizeof(double));
        if (result->figures[i].times == NULL) {
            return TFR_RESOURCE;
        }
    }
    return TFR_OK;
}

/* Before each kernel, as a round of large cases takes long. */
static enum tfr_status check_cancel(void) {
    if (!tfr_engine_cancelled()) {
        return TFR_OK;
    }
    tfr_engine_clear_cancel();
    return tfr_raise(TFR_CANCELLED, "stopped on request");
}

static int repeats_for(double seconds) {
    const double wanted = seconds > 0 ? TIMED_S / seconds : MOST_REPEATS;
    return wanted < 1 ? 1 : wanted > MOST_REPEATS ? MOST_REPEATS : (int)wanted;
}

/* How many runs in a row make a time, after one that makes what kernels make at their first. */
static enum tfr_status choose_repeats(struct tfr_kernel_runner *runner) {
    double seconds;
    TFR_TRY(tfr_kernel_runner_time(runner, 1, NULL));
    TFR_TRY(tfr_kernel_runner_time(runner, 1, &seconds));
    TFR_TRY(tfr_kernel_runner_time(runner, repeats_for(seconds), &seconds));
    runner->chosen = repeats_for(seconds);
    return TFR_OK;
}

static enum tfr_status look_at_memory(struct tfr_kernel_work *work, const struct tfr_kernel_result *result) {
    if (work->question->no_roofs || !passes_caches(work, result)) {
        return TFR_OK;
    }
    return tfr_roofs_memory(work->engine->team, work->engine->machine, &work->rates[work->n_rates++]);
}

/* Every kernel once; a run before those that count brings back to the caches what the others took from them. */
static enum tfr_status run_round(struct stand *stand) {
    struct tfr_kernel_result *result = stand->result;
    TFR_TRY(look_at_memory(stand->work, result));
    for (size_t i = 0; i < result->n_served; i++) {
        TFR_TRY(check_cancel());
        struct tfr_kernel_figure *figure = &result->figures[i];
        double *seconds = &figure->times[figure->n_times++];
        TFR_TRY(tfr_kernel_runner_time(&stand->runners[i], 1, NULL));
        TFR_TRY(tfr_kernel_runner_time(&stand->runners[i], stand->runners[i].chosen, seconds));
        stand->runners[i].chosen = repeats_for(*seconds); /* fewer where others take the cores, or a round takes minutes */
    }
    return TFR_OK;
}

static enum tfr_status run_rounds(struct stand *stand) {
    struct tfr_kernel_result *result = stand->result;
    uint64_t ran[2], waited[2];
    for (size_t i = 0; i < result->n_served; i++) {
        TFR_TRY(check_cancel());
        TFR_TRY(choose_repeats(&stand->runners[i]));
    }
    const bool is_told = tfr_crowd_times("", &ran[0], &waited[0]);
    for (int64_t round = 0; round < stand->work->bench->repetitions; round++) {
        TFR_TRY(run_round(stand));
    }
    if (is_told && tfr_crowd_times("", &ran[1], &waited[1]) && ran[1] >= ran[0] && waited[1] >= waited[0]) {
        const double wanted = (double)(ran[1] - ran[0]) + (double)(waited[1] - waited[0]);
        result->waited_percent = wanted > 0 ? 100 * (double)(waited[1] - waited[0]) / wanted : 0;
    }
    for (size_t i = 0; i < result->n_served; i++) {
        result->figures[i].spread = tfr_spread_of(result->figures[i].times, result->figures[i].n_times);
    }
    return TFR_OK;
}

static enum tfr_status measure(struct stand *stand) {
    struct tfr_kernel_result *result = stand->result;
    struct tfr_cost cost = {.struct_size = sizeof cost};
    TFR_TRY(check_memory(stand->work, tfr_kernel_case_bytes(&result->of)));
    TFR_TRY(tfr_kernel_data_open(&stand->data, &result->of));
    const struct tfr_op_facts facts = tfr_kernel_case_facts(&result->of);
    tfr_op_cost(&stand->data.problem, &facts, &cost);
    result->flops = cost.flops;
    result->bytes = cost.bytes_read + cost.bytes_written;
    result->waited_percent = -1;
    TFR_TRY(ask_kernels(stand));
    if (result->n_served == 0) {
        return TFR_OK;
    }
    TFR_TRY(open_runners(stand));
    TFR_TRY(run_rounds(stand));
    if (!stand->work->question->no_roofs) {
        tfr_kernel_roof_settle(stand->work, result);
    }
    return TFR_OK;
}

enum tfr_status tfr_kernel_bench_case(struct tfr_kernel_work *work, struct tfr_kernel_result *result) {
    struct stand stand = {.work = work, .result = result};
    const enum tfr_status status = measure(&stand);
    for (size_t i = 0; stand.runners != NULL && i < result->n_served; i++) {
        tfr_kernel_runner_close(&stand.runners[i]);
    }
    tfr_free(stand.runners);
    tfr_block_close(&stand.out);
    tfr_kernel_data_close(&stand.data);
    return status == TFR_OK || status == TFR_CANCELLED
               ? status
               : tfr_raise_prefix(status, "%s:%d: case %s", work->question->file, result->of.line, result->of.name);
}
