/* bench_steps.c - see bench_steps.h. */
#include "study/bench_steps.h"

#include "base/clock.h"
#include "base/status.h"
#include "study/bench_document.h"

int64_t tfr_bench_step_sequences(const struct tfr_bench_case *what, int64_t max_batch) {
    if (what->kind == TFR_BENCH_STEPS) {
        return what->n;
    }
    const int64_t others = max_batch - 1;
    return what->kind != TFR_BENCH_MIXED ? 0 : others < TFR_BENCH_MIXED_DECODES ? others : TFR_BENCH_MIXED_DECODES;
}

int64_t tfr_bench_step_context(int64_t n_positions) {
    return n_positions - 1 < TFR_BENCH_STEP_CONTEXT ? n_positions - 1 : TFR_BENCH_STEP_CONTEXT;
}

struct tfr_bench_steps tfr_bench_steps_of(const struct tfr_bench_case *cases, size_t n, int64_t max_batch) {
    struct tfr_bench_steps steps = {0};
    for (size_t i = 0; i < n; i++) {
        const int64_t sequences = tfr_bench_step_sequences(&cases[i], max_batch);
        steps.most = sequences > steps.most ? sequences : steps.most;
        steps.has_mixed = steps.has_mixed || cases[i].kind == TFR_BENCH_MIXED;
    }
    return steps;
}

void tfr_bench_steps_close(struct tfr_bench_steps *steps) {
    tfr_session_close(steps->newcomer);
    steps->newcomer = NULL;
    tfr_stepper_close(&steps->company);
}

/* What all cases need where there is room for that, else what this one needs. */
static enum tfr_status need_company(struct tfr_bench_steps *steps, struct tfr_engine *engine, const struct tfr_bench_case *what) {
    const int64_t wanted = tfr_bench_step_sequences(what, engine->max_batch);
    const bool is_mixed = what->kind == TFR_BENCH_MIXED;
    if (steps->company.engine != NULL && steps->company.n >= wanted && (!is_mixed || steps->newcomer != NULL)) {
        return TFR_OK;
    }
    tfr_bench_steps_close(steps);
    const bool fits = tfr_engine_free_slots(engine) >= steps->most + steps->has_mixed;
    TFR_TRY(tfr_stepper_open(&steps->company, engine, fits ? steps->most : wanted));
    return is_mixed || (fits && steps->has_mixed) ? tfr_session_open_on(&steps->newcomer, engine, 0, tfr_engine_n_positions(engine))
                                                  : TFR_OK;
}

/* One token of each sequence, and the prompt from its beginning, of which no logits are wanted. */
static enum tfr_status step_beside_prompt(struct tfr_bench_steps *steps, struct tfr_stepper *some, int64_t rows) {
    struct tfr_feed feeds[TFR_BENCH_MIXED_DECODES + 1];
    const float *logits;
    const int64_t past = tfr_session_length(some->sessions[0]);
    for (int64_t i = 0; i < some->n; i++) {
        feeds[i] = (struct tfr_feed){.session = some->sessions[i], .ids = some->ids + past, .n = 1, .keep = 1};
    }
    feeds[some->n] = (struct tfr_feed){.session = steps->newcomer, .ids = some->ids, .n = rows};
    return tfr_engine_feed(some->engine, feeds, (size_t)some->n + 1, &logits);
}

static enum tfr_status go_back(struct tfr_bench_steps *steps, struct tfr_stepper *some, int64_t context) {
    for (int64_t i = 0; i < some->n; i++) {
        TFR_TRY(tfr_session_crop(some->sessions[i], context));
    }
    return steps->newcomer != NULL ? tfr_session_crop(steps->newcomer, 0) : TFR_OK;
}

enum tfr_status tfr_bench_steps_time(struct tfr_bench_steps *steps, struct tfr_engine *engine, const struct tfr_bench_case *what,
                                     int repeats, struct tfr_rank_watch *watch, double *seconds) {
    const int64_t context = tfr_bench_step_context(tfr_engine_n_positions(engine));
    uint64_t took_ns = 0;
    TFR_TRY(need_company(steps, engine, what));
    TFR_TRY(tfr_stepper_reach(&steps->company, context));
    struct tfr_stepper some = steps->company; /* the first ones; what it points to is the company's */
    some.n = tfr_bench_step_sequences(what, engine->max_batch);
    TFR_TRY(tfr_rank_watch_begin(watch));
    for (int i = 0; i < repeats; i++) {
        struct tfr_step_facts facts;
        TFR_TRY(go_back(steps, &some, context));
        const uint64_t start_ns = tfr_clock_ns();
        TFR_TRY(what->kind == TFR_BENCH_STEPS ? tfr_stepper_step(&some, 1, 1, &facts) : step_beside_prompt(steps, &some, what->n));
        took_ns += tfr_clock_ns() - start_ns;
    }
    *seconds = (double)took_ns / repeats / 1e9;
    TFR_TRY(tfr_rank_watch_end(watch, repeats));
    return go_back(steps, &some, context);
}
