/* profile_run.c - tfr_profile_run: prefill and decode, each several times, under the executor's time stamps. */
#include "profile/profile_run.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "base/tensor.h"
#include "config/choices.h"
#include "job/samples.h"
#include "profile/stepper.h"

enum { DECODES_A_REP = 4, MEMORY_LOOKS = 8 };

struct work {
    struct tfr_profile *profile;
    struct tfr_engine *engine;
    const struct tfr_profile_question *question;
    struct tfr_stepper stepper;
};

static enum tfr_status read_and_check(struct tfr_profile *profile, const struct tfr_engine *engine, const char *path) {
    struct tfr_conditions now;
    char age[48];
    TFR_TRY(tfr_calibration_read(&profile->calibration, path));
    tfr_engine_conditions(engine, &now);
    const enum tfr_status status =
        tfr_calibration_check(&profile->calibration, &now, path, profile->doubts, sizeof profile->doubts);
    if (status != TFR_OK) {
        tfr_calibration_free(&profile->calibration);
        return status;
    }
    tfr_calibration_age(&profile->calibration.conditions, now.measured_unix, age, sizeof age);
    snprintf(profile->calibrated_by, sizeof profile->calibrated_by, "%s, %s", path, age);
    profile->is_calibrated = true;
    return TFR_OK;
}

enum tfr_status tfr_profile_take_calibration(struct tfr_profile *profile, const struct tfr_engine *engine, const char *named) {
    char *path = named != NULL ? tfr_strdup(named) : tfr_calibration_path(engine->machine->host_name, engine->threads.n_threads);
    enum tfr_status status = TFR_RESOURCE;
    if (path == NULL && named == NULL && !tfr_cache_has_folder()) {
        snprintf(profile->calibrated_by, sizeof profile->calibrated_by, "none: %s. Nominal peaks instead", tfr_failure_text());
    } else if (path == NULL) {
        return status;
    } else if (named == NULL && !tfr_path_exists(path)) {
        snprintf(profile->calibrated_by, sizeof profile->calibrated_by,
                 "none for this host and %d threads; run `tfrun calibrate`. Nominal peaks instead", engine->threads.n_threads);
    } else {
        status = read_and_check(profile, engine, path);
        if (status != TFR_OK) {
            snprintf(profile->calibrated_by, sizeof profile->calibrated_by, "refused: %s. Nominal peaks instead",
                     tfr_failure_text());
        }
    }
    tfr_free(path);
    if (!profile->is_calibrated) {
        tfr_calibration_nominal(&profile->calibration, engine->machine, engine->threads.n_threads);
    }
    return named != NULL ? status : TFR_OK;
}

static enum tfr_status check_cancelled(void) {
    if (tfr_engine_cancelled()) {
        tfr_engine_clear_cancel();
        return tfr_raise(TFR_CANCELLED, "stopped on request");
    }
    return TFR_OK;
}

/* A prompt goes in steps of runtime.max_rows rows, all sequences together; a decode step is one. */
static enum tfr_status run_rep(struct work *work, enum tfr_phase phase, struct tfr_step_facts *steps, size_t *n) {
    const struct tfr_profile_question *question = work->question;
    const int64_t most = work->engine->max_rows / question->batch;
    TFR_TRY(check_cancelled());
    *n = 0;
    if (phase == TFR_PHASE_DECODE) {
        TFR_TRY(tfr_stepper_reach(&work->stepper, question->context));
        return tfr_stepper_step(&work->stepper, 1, 1, &steps[(*n)++]);
    }
    TFR_TRY(tfr_stepper_reach(&work->stepper, 0));
    for (int64_t left = question->prompt_tokens; left > 0;) {
        const int64_t rows = left < most ? left : most;
        left -= rows;
        TFR_TRY(tfr_stepper_step(&work->stepper, rows, left == 0 ? 1 : 0, &steps[(*n)++]));
    }
    return TFR_OK;
}

/* What memory gives, again and again between repetitions: the mean. Where there is a calibration to correct by it, and where all
 * weights pass through the caches in each step anyway. */
static enum tfr_status see_memory(struct work *work, enum tfr_phase phase, size_t n_reps) {
    const struct tfr_engine *engine = work->engine;
    const size_t every = n_reps / MEMORY_LOOKS > 0 ? n_reps / MEMORY_LOOKS : 1;
    struct tfr_profile_phase *to = &work->profile->phase[phase];
    double rate;
    if (!work->profile->is_calibrated || to->n_reps++ % (int64_t)every != 0 ||
        (int64_t)tfr_store_bytes(engine->store) <= 2 * engine->machine->l3_bytes) {
        return TFR_OK;
    }
    TFR_TRY(tfr_roofs_memory(engine->team, engine->machine, &rate));
    to->memory_rate += (rate - to->memory_rate) / (double)++to->n_looks;
    return TFR_OK;
}

static enum tfr_status sample_reps(struct work *work, enum tfr_phase phase, struct tfr_step_facts *steps,
                                   struct tfr_phase_samples *all) {
    TFR_TRY(run_rep(work, phase, steps, &all->n_steps)); /* builds plans, touches memory */
    const size_t n_reps = all->n_reps;
    for (all->n_reps = 0; all->n_reps < n_reps; all->n_reps++) {
        TFR_TRY(see_memory(work, phase, n_reps));
        TFR_TRY(run_rep(work, phase, steps, &all->n_steps));
        TFR_TRY(tfr_engine_samples(work->engine, steps, all->n_steps, &all->samples[all->n_reps], &all->n_samples[all->n_reps]));
    }
    return TFR_OK;
}

/* Counted apart from the samples, so that reading them is not counted. */
static enum tfr_status count_phase(struct work *work, enum tfr_phase phase, struct tfr_step_facts *steps) {
    struct tfr_profile *profile = work->profile;
    size_t n;
    if (!work->question->counters || profile->counters_refusal[0] != '\0') {
        return TFR_OK;
    }
    if (phase == TFR_PHASE_DECODE) { /* the way to the context is not counted */
        TFR_TRY(tfr_stepper_reach(&work->stepper, work->question->context));
    }
    struct tfr_counters *counters = tfr_counters_open(profile->counters_refusal, sizeof profile->counters_refusal);
    if (counters == NULL) {
        return TFR_OK;
    }
    const enum tfr_status status = run_rep(work, phase, steps, &n);
    tfr_counters_read(counters, &profile->phase[phase].counts);
    tfr_counters_close(counters);
    return status;
}

static enum tfr_status run_phase(struct work *work, enum tfr_phase phase) {
    struct tfr_step_facts steps[TFR_MAX_SAMPLED_STEPS];
    const size_t n_reps = (size_t)work->question->reps * (phase == TFR_PHASE_DECODE ? DECODES_A_REP : 1);
    struct tfr_phase_samples all = {.steps = steps,
                                    .samples = tfr_alloc(n_reps, sizeof *all.samples),
                                    .n_samples = tfr_alloc(n_reps, sizeof *all.n_samples),
                                    .n_reps = n_reps};
    enum tfr_status status = all.samples != NULL && all.n_samples != NULL ? sample_reps(work, phase, steps, &all) : TFR_RESOURCE;
    if (status == TFR_OK) {
        status = tfr_profile_add_phase(work->profile, phase, &all);
    }
    for (size_t i = 0; all.samples != NULL && i < n_reps; i++) {
        tfr_free(all.samples[i]);
    }
    tfr_free(all.samples);
    tfr_free(all.n_samples);
    return status == TFR_OK ? count_phase(work, phase, steps) : status;
}

static enum tfr_status run_phases(struct work *work) {
    if (work->question->prompt_tokens > 0) {
        TFR_TRY(run_phase(work, TFR_PHASE_PREFILL));
    }
    return work->question->context >= 0 ? run_phase(work, TFR_PHASE_DECODE) : TFR_OK;
}

/* The watch ends whatever happened in it: the engine may go on. */
static enum tfr_status watch_phases(struct work *work) {
    const int64_t most = work->engine->max_rows / work->question->batch,
                  n_steps = (work->question->prompt_tokens + most - 1) / most;
    TFR_TRY(tfr_stepper_open(&work->stepper, work->engine, work->question->batch));
    TFR_TRY(tfr_engine_watch(work->engine, n_steps > 1 ? (size_t)n_steps : 1));
    const enum tfr_status status = run_phases(work), unwatched = tfr_engine_watch(work->engine, 0);
    return status == TFR_OK ? unwatched : status;
}

static enum tfr_status check_question(const struct tfr_engine *engine, const struct tfr_profile_question *question) {
    const int64_t n_positions = tfr_engine_n_positions(engine);
    const bool is_of_rows = engine->max_rows < engine->max_batch; /* a step has a row of each sequence at least */
    const int64_t most_sequences = is_of_rows ? engine->max_rows : engine->max_batch;
    if (question->batch < 1 || question->batch > most_sequences) {
        return tfr_raise(TFR_USAGE, "a batch of %lld sequences; 1..%lld are possible (%s)", (long long)question->batch,
                         (long long)most_sequences, is_of_rows ? "tfrun.runtime.max_rows" : "tfrun.runtime.max_batch");
    }
    if (question->prompt_tokens > n_positions || question->context >= n_positions) {
        return tfr_raise(TFR_USAGE,
                         "a prompt of %lld tokens and a context of %lld; %s = %lld allows as many tokens, and one less of context",
                         (long long)question->prompt_tokens, (long long)question->context, tfr_engine_positions_name(engine),
                         (long long)n_positions);
    }
    const int64_t most = engine->max_rows / question->batch * TFR_MAX_SAMPLED_STEPS;
    if (question->prompt_tokens > most) {
        return tfr_raise(TFR_USAGE, "a prompt of %lld tokens takes more than %d steps of %lld rows; give a higher --max-rows",
                         (long long)question->prompt_tokens, TFR_MAX_SAMPLED_STEPS, (long long)engine->max_rows);
    }
    if (question->reps < 1 || (question->prompt_tokens < 1 && question->context < 0)) {
        return tfr_raise(TFR_USAGE, "nothing to run: give at least one repetition, and a prompt or a context");
    }
    return TFR_OK;
}

static void describe(struct tfr_profile *profile, const struct tfr_engine *engine) {
    const struct tfr_hparams *model = &engine->config->model;
    const struct tfr_options *options = &engine->config->options;
    snprintf(profile->model, sizeof profile->model, "%lld blocks of %lld, %lld heads, vocabulary of %lld, %s, kv %s",
             (long long)model->n_layer, (long long)model->n_embd, (long long)model->n_head, (long long)model->vocab_size,
             tfr_choice_name("runtime.dtype", options->runtime_dtype), tfr_kv_dtype_name(tfr_kv_dtype(engine->config)));
    snprintf(profile->machine, sizeof profile->machine, "%s, %d rank%s, %d thread%s on rank 0", engine->machine->cpu_name,
             profile->n_ranks, profile->n_ranks == 1 ? "" : "s", engine->threads.n_threads,
             engine->threads.n_threads == 1 ? "" : "s");
}

enum tfr_status tfr_profile_run(struct tfr_profile **profile, struct tfr_engine *engine,
                                const struct tfr_profile_question *question) {
    *profile = NULL;
    TFR_TRY(check_question(engine, question));
    struct work work = {.profile = tfr_alloc(1, sizeof *work.profile), .engine = engine, .question = question};
    if (work.profile == NULL) {
        return TFR_RESOURCE;
    }
    work.profile->n_ranks = tfr_engine_size(engine);
    work.profile->batch = question->batch;
    describe(work.profile, engine);
    enum tfr_status status = tfr_profile_take_calibration(work.profile, engine, question->calibration);
    if (status == TFR_OK) {
        status = watch_phases(&work);
    }
    tfr_stepper_close(&work.stepper);
    if (status != TFR_OK) {
        tfr_profile_free(work.profile);
        return status;
    }
    *profile = work.profile;
    return TFR_OK;
}

void tfr_profile_free(struct tfr_profile *profile) {
    if (profile == NULL) {
        return;
    }
    for (int i = 0; i < TFR_PHASE_COUNT; i++) {
        tfr_free(profile->phase[i].ranks);
    }
    tfr_free(profile->nodes);
    tfr_calibration_free(&profile->calibration);
    tfr_free(profile);
}
