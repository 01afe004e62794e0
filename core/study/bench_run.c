/* bench_run.c - tfr_bench_run: rounds in which every case is done once, so that whatever disturbs the machine meets all of them. */
#include <tfrun/tfrun.h>

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/plural.h"
#include "base/status.h"
#include "base/tensor.h"
#include "config/choices.h"
#include "job/command.h"
#include "profile/stepper.h"
#include "study/bench_gate.h"
#include "study/bench_roof.h"
#include "study/bench_steps.h"
#include "team/crowd.h"

/* Steps of a decode time, whose mean it is; tokens of the prompt and the answer of the first request of all. */
enum { DECODE_STEPS = 8, FIRST_PROMPT = 8, FIRST_TOKENS = 8 };

struct work {
    struct tfr_bench *bench;
    struct tfr_engine *engine;
    const struct tfr_bench_question *question;
    struct tfr_bench_roofs *roofs; /* NULL: not asked for */
    struct tfr_rank_watch *watch;  /* of the round that sees what ranks do; else NULL */
    struct tfr_stepper stepper;    /* one sequence; closed while others need its place */
    struct tfr_bench_steps steps;  /* several; likewise */
};

/* How long threads of this process have waited for a core that others had. */
struct waits {
    uint64_t now_ns, waited_ns;
    bool is_known;
};

static struct waits look_at_waits(void) {
    struct waits waits;
    uint64_t ran_ns;
    waits.is_known = tfr_crowd_times("", &ran_ns, &waits.waited_ns);
    waits.now_ns = tfr_clock_ns();
    return waits;
}

/* The mean over the rounds, each weighted by its length. What one round does not know, none knows: a thread that ended took its
 * times with it. */
static void add_waits(const struct work *work, struct tfr_bench_figure *figure, const struct waits *from) {
    const struct waits to = look_at_waits();
    if (!from->is_known || !to.is_known || to.waited_ns < from->waited_ns) {
        figure->waited_percent = -1;
    } else if (figure->waited_percent >= 0) {
        figure->rounds_s += (double)(to.now_ns - from->now_ns) / 1e9;
        figure->waited_s += (double)(to.waited_ns - from->waited_ns) / 1e9;
        figure->waited_percent = 100 * figure->waited_s / (figure->rounds_s * work->bench->n_threads);
    }
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static enum tfr_status check_cancelled(void) {
    if (tfr_engine_cancelled()) {
        tfr_engine_clear_cancel();
        return tfr_raise(TFR_CANCELLED, "stopped on request");
    }
    return TFR_OK;
}

static enum tfr_status need_sequence(struct work *work) {
    if (work->stepper.engine != NULL) {
        return TFR_OK;
    }
    if (tfr_engine_free_slots(work->engine) < 1) {
        tfr_bench_steps_close(&work->steps);
    }
    return tfr_stepper_open(&work->stepper, work->engine, 1);
}

/* The prompt in one call, which is cut into steps as everywhere; logits of its last `keep` tokens. */
static enum tfr_status time_prompt(struct work *work, int64_t n, int64_t keep, double *seconds) {
    const float *logits;
    TFR_TRY(need_sequence(work));
    TFR_TRY(tfr_session_crop(work->stepper.sessions[0], 0));
    const struct tfr_feed feed = {.session = work->stepper.sessions[0], .ids = work->stepper.ids, .n = n, .keep = keep};
    TFR_TRY(tfr_rank_watch_begin(work->watch));
    const uint64_t start_ns = tfr_clock_ns();
    TFR_TRY(tfr_engine_feed(work->engine, &feed, 1, &logits));
    *seconds = (double)(tfr_clock_ns() - start_ns) / 1e9;
    return tfr_rank_watch_end(work->watch, 1);
}

/* Each step behind the same context. */
static enum tfr_status time_decode(struct work *work, int64_t context, double *seconds) {
    uint64_t took_ns = 0;
    TFR_TRY(need_sequence(work));
    TFR_TRY(tfr_stepper_reach(&work->stepper, context));
    TFR_TRY(tfr_rank_watch_begin(work->watch));
    for (int i = 0; i < DECODE_STEPS; i++) {
        struct tfr_step_facts facts;
        TFR_TRY(tfr_session_crop(work->stepper.sessions[0], context));
        const uint64_t start_ns = tfr_clock_ns();
        TFR_TRY(tfr_stepper_step(&work->stepper, 1, 1, &facts));
        took_ns += tfr_clock_ns() - start_ns;
    }
    *seconds = (double)took_ns / DECODE_STEPS / 1e9;
    return tfr_rank_watch_end(work->watch, DECODE_STEPS);
}

static enum tfr_status time_sequences(struct work *work, int64_t n, double *seconds) {
    const struct tfr_company_size size = tfr_bench_company_size(tfr_engine_n_positions(work->engine));
    struct tfr_company company;
    if (tfr_engine_free_slots(work->engine) < n) {
        tfr_stepper_close(&work->stepper);
        tfr_bench_steps_close(&work->steps);
    }
    TFR_TRY(tfr_bench_company(work->engine, n, size.prompt, size.tokens, work->watch, &company));
    *seconds = company.seconds;
    return TFR_OK;
}

static enum tfr_status time_steps(struct work *work, const struct tfr_bench_case *what, double *seconds) {
    if (work->steps.company.engine == NULL && tfr_engine_free_slots(work->engine) < work->steps.most + work->steps.has_mixed) {
        tfr_stepper_close(&work->stepper);
    }
    return tfr_bench_steps_time(&work->steps, work->engine, what, DECODE_STEPS, work->watch, seconds);
}

static enum tfr_status time_one(struct work *work, const struct tfr_bench_case *what, double *seconds) {
    TFR_TRY(check_cancelled());
    switch (what->kind) {
    case TFR_BENCH_DECODE:
        return time_decode(work, what->n, seconds);
    case TFR_BENCH_PREFILL:
        return time_prompt(work, what->n, 1, seconds);
    case TFR_BENCH_CLASS:
        return time_prompt(work, what->n, least(what->n, work->engine->max_batch), seconds);
    case TFR_BENCH_SEQUENCES:
        return time_sequences(work, what->n, seconds);
    default:
        return time_steps(work, what, seconds);
    }
}

/* From the last case to the first: sequences, then the longest prompt, which leaves the contexts of decoding behind. The round
 * before the first one makes plans, and is kept apart. */
static enum tfr_status run_round(struct work *work, bool is_first) {
    for (size_t i = work->bench->n_figures; i > 0; i--) {
        struct tfr_bench_figure *figure = &work->bench->figures[i - 1];
        const struct waits before = look_at_waits();
        double seconds;
        TFR_TRY(time_one(work, &figure->what, &seconds));
        if (is_first) {
            figure->first_s = seconds;
        } else {
            figure->times[figure->n_times++] = seconds;
            add_waits(work, figure, &before);
        }
    }
    return TFR_OK;
}

/* Before the roofs, which take memory of their own. */
static enum tfr_status note_memory(struct work *work) {
    const int64_t *bytes;
    TFR_TRY(tfr_engine_ask_memory(work->engine, &bytes));
    work->bench->peak_memory_bytes = tfr_alloc((size_t)work->bench->n_ranks, sizeof *bytes);
    if (work->bench->peak_memory_bytes == NULL) {
        return TFR_RESOURCE;
    }
    for (int rank = 0; rank < work->bench->n_ranks; rank++) {
        work->bench->peak_memory_bytes[rank] = bytes[rank];
    }
    return TFR_OK;
}

static enum tfr_status run_rounds(struct work *work) {
    const int64_t n = work->question->repetitions;
    TFR_TRY(run_round(work, true));
    TFR_TRY(note_memory(work));
    if (work->roofs != NULL) {
        TFR_TRY(tfr_bench_roofs_measure(work->roofs, work->engine));
    }
    for (int64_t round = 0; round < n; round++) {
        if (work->question->say != NULL) {
            work->question->say(work->question->user, round, n);
        }
        if (work->roofs != NULL) {
            TFR_TRY(tfr_bench_roofs_look(work->roofs, work->engine));
        }
        TFR_TRY(run_round(work, false));
    }
    for (size_t i = 0; i < work->bench->n_figures; i++) {
        struct tfr_bench_figure *figure = &work->bench->figures[i];
        figure->spread = tfr_spread_of(figure->times, figure->n_times);
    }
    return TFR_OK;
}

static enum tfr_status note_ranks(const struct work *work, struct tfr_bench_figure *figure) {
    const struct tfr_rank_watch *watch = work->watch;
    figure->ranks = tfr_alloc((size_t)work->bench->n_ranks, sizeof *figure->ranks);
    if (figure->ranks == NULL) {
        return TFR_RESOURCE;
    }
    const double second = figure->spread.median / (double)(watch->elapsed_ns > 0 ? watch->elapsed_ns : 1); /* of a nanosecond */
    for (int rank = 0; rank < work->bench->n_ranks; rank++) {
        const struct tfr_rank_facts *facts = &watch->between[rank];
        figure->ranks[rank] = (struct tfr_bench_rank){
            .busy_s = (double)facts->busy_ns * second,
            .wait_s = (double)facts->wait_ns * second,
            .control_s = (double)facts->control_ns * second,
            .bytes = (double)facts->sent_bytes / watch->units,
            .messages = (double)facts->sent_messages / watch->units,
        };
    }
    return TFR_OK;
}

/* One more round, whose times count for nothing. */
static enum tfr_status watch_ranks(struct work *work) {
    struct tfr_rank_watch watch;
    enum tfr_status status = tfr_rank_watch_open(&watch, work->engine);
    work->watch = &watch;
    for (size_t i = work->bench->n_figures; i > 0 && status == TFR_OK; i--) {
        double seconds;
        status = time_one(work, &work->bench->figures[i - 1].what, &seconds);
        status = status == TFR_OK ? note_ranks(work, &work->bench->figures[i - 1]) : status;
    }
    work->watch = NULL;
    tfr_rank_watch_close(&watch);
    return status;
}

/* What the first request of an engine waits for; its digest is what benches of equal bits have in common. */
static enum tfr_status run_first(struct work *work) {
    const int64_t n_positions = tfr_engine_n_positions(work->engine), prompt = least(FIRST_PROMPT, n_positions / 2);
    struct tfr_company company;
    if (n_positions < FIRST_PROMPT) {
        return TFR_OK; /* no room for words */
    }
    TFR_TRY(tfr_bench_company(work->engine, 1, prompt, least(FIRST_TOKENS, n_positions - prompt), NULL, &company));
    work->bench->first_token_s = company.first_token_s;
    work->bench->logits_digest = company.logits_digest;
    tfr_engine_set_digest(work->engine, false); /* what is timed does what a server does */
    return TFR_OK;
}

/* Tokens that come in one time of a case; of a prompt they are read. */
static double tokens_of(const struct tfr_bench_case *what, int64_t max_batch) {
    const int64_t decodes = what->kind == TFR_BENCH_MIXED ? tfr_bench_step_sequences(what, max_batch) : 0;
    return what->kind == TFR_BENCH_DECODE ? 1 : (double)(what->n + decodes);
}

static enum tfr_status make_figures(struct work *work) {
    const int64_t n_positions = tfr_engine_n_positions(work->engine), max_batch = work->engine->max_batch;
    struct tfr_bench *bench = work->bench;
    struct tfr_bench_cases cases;
    if (work->question->cases != NULL) {
        TFR_TRY(tfr_bench_cases_parse(&cases, work->question->cases));
        TFR_TRY(tfr_bench_cases_check(&cases, n_positions, max_batch));
    } else {
        tfr_bench_cases_usual(&cases, n_positions, max_batch, work->question->gate);
        if (work->question->gate && bench->is_warm) {
            tfr_bench_cases_add_classes(&cases, least(n_positions, work->engine->max_rows));
        }
    }
    work->steps = tfr_bench_steps_of(cases.cases, cases.n, max_batch);
    bench->figures = tfr_alloc(cases.n, sizeof *bench->figures);
    if (bench->figures == NULL) {
        return TFR_RESOURCE;
    }
    for (bench->n_figures = 0; bench->n_figures < cases.n; bench->n_figures++) {
        struct tfr_bench_figure *figure = &bench->figures[bench->n_figures];
        figure->what = cases.cases[bench->n_figures];
        figure->tokens = tokens_of(&figure->what, max_batch);
        figure->times = tfr_alloc((size_t)bench->repetitions, sizeof *figure->times);
        if (figure->times == NULL) {
            return TFR_RESOURCE;
        }
    }
    return TFR_OK;
}

static void describe(struct tfr_bench *bench, const struct tfr_engine *engine) {
    const struct tfr_hparams *model = &engine->config->model;
    const struct tfr_options *options = &engine->config->options;
    snprintf(bench->model, sizeof bench->model, "%lld blocks of %lld, %lld heads, vocabulary of %lld, %s, kv %s",
             (long long)model->n_layer, (long long)model->n_embd, (long long)model->n_head, (long long)model->vocab_size,
             tfr_choice_name("runtime.dtype", options->runtime_dtype), tfr_kv_dtype_name(tfr_kv_dtype(engine->config)));
    bench->dtype = options->runtime_dtype;
    bench->is_warm = options->runtime_warmup;
    snprintf(bench->machine, sizeof bench->machine, "%s", engine->machine->cpu_name);
    bench->n_threads = engine->threads.n_threads;
    bench->load_s = (double)engine->load_ns / 1e9;
}

/* Times of something else would say nothing about these. */
static enum tfr_status check_again(const struct work *work) {
    const struct tfr_bench *again = work->question->again;
    char *digest;
    if (again == NULL) {
        return TFR_OK;
    }
    TFR_TRY(tfr_manifest_config_digest(work->question, &digest));
    const char *recorded = again->manifest.facts[TFR_FACT_CONFIG_DIGEST];
    enum tfr_status status = TFR_OK;
    if (strcmp(digest, recorded) != 0) {
        status =
            tfr_raise(TFR_CONFIG,
                      "%s: the config says something else than when this was measured (digest %s, recorded %s); put it back, or "
                      "measure anew and hold the two together with --compare",
                      work->question->config, digest, recorded);
    } else if (again->n_ranks != work->bench->n_ranks) {
        status = tfr_raise(TFR_USAGE, "measured on %d rank%s, started on %d: start it with mpirun -n %d", again->n_ranks,
                           tfr_plural(again->n_ranks), work->bench->n_ranks, again->n_ranks);
    }
    tfr_free(digest);
    return status;
}

static enum tfr_status run_all(struct work *work) {
    TFR_TRY(check_again(work));
    TFR_TRY(make_figures(work));
    TFR_TRY(work->question->before != NULL ? tfr_bench_check_before(work->bench, work->question->before) : TFR_OK);
    TFR_TRY(work->question->gate ? tfr_bench_gate_check(work->bench, work->engine->max_rows) : TFR_OK);
    TFR_TRY(run_first(work));
    TFR_TRY(run_rounds(work));
    TFR_TRY(watch_ranks(work));
    if (work->roofs != NULL) {
        TFR_TRY(tfr_bench_roofs_settle(work->bench, work->roofs, work->engine, work->question));
    }
    if (work->question->gate) {
        tfr_stepper_close(&work->stepper);
        tfr_bench_steps_close(&work->steps);
        TFR_TRY(tfr_bench_parts_measure(work->bench, work->engine));
    }
    return tfr_manifest_make(&work->bench->manifest, work->engine, work->question);
}

enum tfr_status tfr_bench_run(struct tfr_bench **bench, struct tfr_engine *engine, const struct tfr_bench_question *question) {
    *bench = NULL;
    if (question->repetitions < 1 || question->repetitions > TFR_MOST_TIMES) {
        return tfr_raise(TFR_USAGE, "%lld repetitions; 1..%d are possible", (long long)question->repetitions, TFR_MOST_TIMES);
    }
    struct work work = {.bench = tfr_alloc(1, sizeof *work.bench), .engine = engine, .question = question};
    work.roofs = question->no_roofs ? NULL : tfr_alloc(1, sizeof *work.roofs);
    if (work.bench == NULL || (work.roofs == NULL && !question->no_roofs)) {
        tfr_free(work.bench);
        return TFR_RESOURCE;
    }
    work.bench->n_ranks = tfr_engine_size(engine);
    work.bench->repetitions = question->repetitions;
    describe(work.bench, engine);
    const enum tfr_status status = run_all(&work);
    tfr_stepper_close(&work.stepper);
    tfr_bench_steps_close(&work.steps);
    tfr_free(work.roofs);
    if (status != TFR_OK) {
        tfr_bench_free(work.bench);
        return status;
    }
    *bench = work.bench;
    return TFR_OK;
}

enum tfr_status tfr_bench_check(const char *cases) {
    struct tfr_bench_cases parsed;
    return tfr_bench_cases_parse(&parsed, cases);
}

void tfr_bench_free(struct tfr_bench *bench) {
    if (bench == NULL) {
        return;
    }
    for (size_t i = 0; bench->figures != NULL && i < bench->n_figures; i++) {
        tfr_free(bench->figures[i].times);
        tfr_free(bench->figures[i].ranks);
    }
    tfr_free(bench->figures);
    tfr_free(bench->peak_memory_bytes);
    tfr_manifest_free(&bench->manifest);
    tfr_free(bench);
}
