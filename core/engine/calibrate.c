/* calibrate.c - tfr_calibrate: roofs of the machine, then an engine for each type of weights whose kernels are watched. */
#include <tfrun/profile.h>
#include <tfrun/tfrun.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/status.h"
#include "config/choices.h"
#include "engine/calibrate_net.h"
#include "predict/calibration.h"
#include "profile/observe_kernels.h"
#include "profile/profile_run.h"
#include "rank/rank.h"
#include "team/crowd.h"

struct work {
    const struct tfr_calibrate_question *question;
    struct tfr_calibration calibration;
    struct tfr_observations seen;
    const char *dtype;
    uint64_t ran_ns, waited_ns; /* of all threads while they measured */
};

static void say(struct work *work, const char *what, int64_t done, int64_t total) {
    if (work->question->say != NULL) {
        work->question->say(work->question->user, what, done, total);
    }
}

static void say_roof(void *user, const char *what) {
    say(user, what, 0, 0);
}

static void say_kernels(void *user, int64_t done, int64_t total) {
    struct work *work = user;
    char what[64];
    snprintf(what, sizeof what, "kernels with weights in %s", work->dtype);
    say(work, what, done, total);
}

static void note_conditions(struct work *work, const struct tfr_engine *engine) {
    struct tfr_conditions *conditions = &work->calibration.conditions;
    const struct tfr_hparams *model = &engine->config->model;
    tfr_engine_conditions(engine, conditions);
    snprintf(conditions->model, sizeof conditions->model, "%lld blocks of %lld, %lld heads, vocabulary of %lld",
             (long long)model->n_layer, (long long)model->n_embd, (long long)model->n_head, (long long)model->vocab_size);
}

/* Before the kernels of each type of weights, and after them all: memory and cores may be slower for a while, and a roof is the
 * best that was seen. */
static enum tfr_status measure_roofs(struct work *work, const struct tfr_engine *engine) {
    struct tfr_roofs roofs;
    TFR_TRY(tfr_roofs_measure(&roofs, engine->team, engine->machine, work->question->quick, say_roof, work));
    tfr_roofs_merge(&work->calibration.roofs, &roofs);
    return TFR_OK;
}

static enum tfr_status measure_quietly(struct work *work, struct tfr_engine *engine) {
    const bool is_first = work->calibration.roofs.n_threads == 0, is_quick = work->question->quick;
    note_conditions(work, engine);
    if (is_first || !is_quick) {
        TFR_TRY(measure_roofs(work, engine));
    }
    TFR_TRY(tfr_observe_kernels(&work->seen, engine, is_quick, say_kernels, work));
    return is_quick ? TFR_OK : measure_roofs(work, engine);
}

/* Keeps how much of the time the threads could have run and other programs had their cores. */
static enum tfr_status measure(struct work *work, struct tfr_engine *engine) {
    uint64_t ran[2], waited[2];
    const bool is_told = tfr_crowd_times("", &ran[0], &waited[0]);
    const enum tfr_status status = measure_quietly(work, engine);
    if (is_told && tfr_crowd_times("", &ran[1], &waited[1]) && ran[1] >= ran[0] && waited[1] >= waited[0]) {
        work->ran_ns += ran[1] - ran[0];
        work->waited_ns += waited[1] - waited[0];
        const double wanted = (double)(work->ran_ns + work->waited_ns);
        work->calibration.conditions.waited_percent = wanted > 0 ? 100 * (double)work->waited_ns / wanted : 0;
    }
    return status;
}

/* The question's overrides, and behind them what the calibration wants. */
static enum tfr_status open_and_measure(struct work *work, const char *config, const char *weights) {
    const struct tfr_calibrate_question *question = work->question;
    struct tfr_override *overrides = tfr_alloc(question->n_overrides + 2, sizeof *overrides);
    struct tfr_engine *engine = NULL;
    size_t n = question->n_overrides;
    if (overrides == NULL) {
        return TFR_RESOURCE;
    }
    if (n > 0) {
        memcpy(overrides, question->overrides, n * sizeof *overrides);
    }
    overrides[n++] = (struct tfr_override){.key = "runtime.dtype", .value = work->dtype, .origin = "--dtype"};
    if (weights != NULL) {
        overrides[n++] = (struct tfr_override){.key = "model.weights", .value = weights, .origin = "--weights"};
    }
    enum tfr_status status = tfr_engine_open(&engine, config, overrides, n);
    if (status == TFR_OK) {
        status = measure(work, engine);
    }
    tfr_engine_close(engine);
    tfr_free(overrides);
    return status;
}

static enum tfr_status with_dtype(struct work *work, const char *dtype) {
    const struct tfr_calibrate_question *question = work->question;
    struct tfr_random_weights random = {0};
    bool missing = true;
    work->dtype = dtype;
    if (question->config != NULL) {
        TFR_TRY(tfr_weights_are_missing(question->config, question->overrides, question->n_overrides, &missing));
    }
    if (missing) {
        say(work, "random weights for a model that has none", 0, 0);
        TFR_TRY(tfr_random_weights_make(&random, question->config));
    }
    const enum tfr_status status =
        open_and_measure(work, question->config != NULL ? question->config : random.config, random.weights);
    tfr_random_weights_remove(&random);
    return status;
}

/* The last one counts, as everywhere. */
static const char *dtype_asked(const struct tfr_calibrate_question *question) {
    for (size_t i = question->n_overrides; i > 0; i--) {
        if (strcmp(question->overrides[i - 1].key, "runtime.dtype") == 0) {
            return question->overrides[i - 1].value;
        }
    }
    return NULL;
}

static enum tfr_status measure_all(struct work *work) {
    const char *only = dtype_asked(work->question);
    if (only != NULL) {
        return with_dtype(work, only);
    }
    TFR_TRY(with_dtype(work, "f32"));
    TFR_TRY(with_dtype(work, "bf16"));
    say(work,
        "f32 and bf16 are measured; each of int8, int8w and int4 takes as long as one of them: with --dtype TYPE --file FILE it "
        "gets a file of its own, which `tfrun profile --calibration FILE` takes",
        0, 0);
    return TFR_OK;
}

static void warn_of_doubts(const struct tfr_calibration *calibration) {
    char doubts[TFR_DOUBTS_SIZE] = "";
    tfr_calibration_doubts(calibration, doubts, sizeof doubts);
    if (doubts[0] != '\0') {
        tfr_log(TFR_LOG_WARN, "calibrate", "this calibration may not hold: %s; run it again when the machine is quiet", doubts);
    }
}

/* What calibrate --net found stays, where the old file can be read; else what was measured just now is worth more. */
static enum tfr_status write_beside_links(struct tfr_calibration *calibration, const char *path) {
    struct tfr_calibration old = {0};
    if (tfr_path_exists(path)) {
        const enum tfr_status status = tfr_calibration_read(&old, path);
        calibration->links = old.links;
        tfr_calibration_free(&old);
        if (status == TFR_UNSUPPORTED) {
            tfr_log(
                TFR_LOG_WARN, "calibrate",
                "%s was of another schema: links of ranks that it had are not kept; `tfrun calibrate --net` measures them again",
                path);
        } else if (status != TFR_OK) {
            tfr_log(TFR_LOG_WARN, "calibrate",
                    "links of ranks that the file had are not kept: %s; `tfrun calibrate --net` measures them again",
                    tfr_failure_text());
        }
    }
    return tfr_calibration_write(calibration, path);
}

/* Whether a file could be written there; folders that are not there yet are made then. */
static enum tfr_status check_folder(const char *path) {
    char *folder = tfr_path_directory(path);
    while (folder != NULL && !tfr_path_exists(folder) && strcmp(folder, "/") != 0 && strcmp(folder, ".") != 0) {
        char *above = tfr_path_directory(folder);
        tfr_free(folder);
        folder = above;
    }
    if (folder == NULL) {
        return TFR_RESOURCE;
    }
    const bool can = tfr_path_is_directory(folder) && access(folder, W_OK) == 0;
    const enum tfr_status status =
        can ? TFR_OK
            : tfr_raise(TFR_RESOURCE, "%s: cannot be written, as %s is no folder that can; give another --file", path, folder);
    tfr_free(folder);
    return status;
}

/* What stands there may be replaced by its like alone. */
static enum tfr_status check_output(const char *path) {
    struct tfr_calibration old = {0};
    if (path != NULL && path[0] == '\0') {
        return tfr_raise(TFR_USAGE, "--file: the name is empty; name a file");
    }
    if (path == NULL || !tfr_path_exists(path)) {
        return TFR_OK;
    }
    if (tfr_path_is_directory(path)) {
        return tfr_raise(TFR_USAGE, "--file: %s is a folder; name a file in it", path);
    }
    const enum tfr_status status = tfr_calibration_read(&old, path);
    if (status == TFR_MODEL) {
        return tfr_raise(
            TFR_USAGE, "--file: %s exists and is no calibration, and would be overwritten; give another name, or remove it", path);
    }
    tfr_calibration_free(&old);
    return status == TFR_UNSUPPORTED ? TFR_OK : status; /* one of another schema */
}

/* Before minutes of measuring. All hosts have one folder. */
static enum tfr_status check_place(const char *output) {
    TFR_TRY(check_output(output));
    char *path = output != NULL ? tfr_strdup(output) : tfr_calibration_path("any", 1);
    const enum tfr_status status = path != NULL ? check_folder(path) : TFR_RESOURCE;
    tfr_free(path);
    return status;
}

enum tfr_status tfr_calibrate(const struct tfr_calibrate_question *question, char **path) {
    struct work work = {.question = question};
    const int size = tfr_launched_size();
    *path = NULL;
    if (question->net) {
        return tfr_calibrate_net(question, path);
    }
    if (size > 1) {
        return tfr_raise(TFR_USAGE,
                         "calibrate measures one process, and the launcher started %d; start it without, with --threads N for "
                         "ranks of N threads",
                         size);
    }
    TFR_TRY(check_place(question->output));
    enum tfr_status status = measure_all(&work);
    if (status == TFR_OK) {
        status = tfr_observations_settle(&work.seen, &work.calibration);
    }
    if (status == TFR_OK) {
        const struct tfr_conditions *conditions = &work.calibration.conditions;
        *path =
            question->output != NULL ? tfr_strdup(question->output) : tfr_calibration_path(conditions->host, conditions->threads);
        status = *path != NULL ? write_beside_links(&work.calibration, *path) : TFR_RESOURCE;
    }
    if (status == TFR_OK) {
        warn_of_doubts(&work.calibration);
    }
    tfr_free(work.seen.items);
    tfr_calibration_free(&work.calibration);
    return status;
}
