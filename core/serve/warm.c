/* warm.c - what a server does before its first request: every kind of step is built, run and timed; see tfr_engine_warm. */
#include <math.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "serve/batcher.h"
#include "serve/step_cost_file.h"
#include "serve/step_measure.h"
#include "session/session.h"
#include "session/warmup.h"
#include "team/crowd.h"

enum { CROWDED_PERCENT = 10 };

/* Times that differ by more than this are of another machine, or of one that others use too. */
static const double slower = 1.4, faster = 0.7;

struct warming {
    struct tfr_engine *engine;
    void (*say)(void *user, const char *what);
    void *user;
    uint64_t ran_ns, waited_ns;
    bool counts_waits;
};

static void say(const struct warming *warming, const char *what) {
    if (warming->say != NULL) {
        warming->say(warming->user, what);
    }
}

/* Of the time in which threads could have run, the part in which others had their cores. */
static int percent_waited(const struct warming *warming) {
    uint64_t ran_ns, waited_ns;
    if (!warming->counts_waits || !tfr_crowd_times("", &ran_ns, &waited_ns) || ran_ns < warming->ran_ns ||
        waited_ns < warming->waited_ns) {
        return 0;
    }
    const double ran = (double)(ran_ns - warming->ran_ns), waited = (double)(waited_ns - warming->waited_ns);
    return ran + waited > 0 ? (int)(100 * waited / (ran + waited)) : 0;
}

static bool is_crowded(const struct warming *warming) {
    const int percent = percent_waited(warming);
    if (percent > CROWDED_PERCENT) {
        tfr_log(
            TFR_LOG_WARN, "serve",
            "other programs had these cores for %d %% of the time while the engine warmed up; steps take longer than on cores of "
            "its own",
            percent);
    }
    return percent > CROWDED_PERCENT;
}

static double sum_of(const struct tfr_cost_curve *curve) {
    double sum = 0;
    for (int i = 0; i < curve->n; i++) {
        sum += curve->s[i];
    }
    return sum;
}

static double compare(const struct tfr_step_cost *now, const struct tfr_step_cost *kept) {
    if (now->decode.n != kept->decode.n || now->prefill.n != kept->prefill.n) {
        return 0; /* not of this engine */
    }
    return sqrt(sum_of(&now->decode) / sum_of(&kept->decode) * (sum_of(&now->prefill) / sum_of(&kept->prefill)));
}

/* Whether the costs kept of an earlier time still hold. */
static enum tfr_status look_at_kept(struct warming *warming, struct tfr_step_cost *kept, bool *holds, bool *is_slow) {
    struct tfr_step_cost now;
    say(warming, "running each kind of step once");
    TFR_TRY(tfr_step_cost_glance(warming->engine, &now));
    const double ratio = compare(&now, kept);
    *holds = ratio > faster && ratio < slower;
    *is_slow = ratio >= slower;
    if (*is_slow) {
        tfr_log(
            TFR_LOG_WARN, "serve",
            "steps take %.1f times as long as when they were measured on this host: other programs may use these cores, or fewer "
            "are there",
            ratio);
    }
    return TFR_OK;
}

/* Without a folder for it, or on a full disk, the next start measures again. */
static void keep(const struct tfr_step_cost *cost, const char *path) {
    if (path == NULL || tfr_step_cost_write(cost, path) != TFR_OK) {
        tfr_log(TFR_LOG_INFO, "serve", "the costs of steps are not kept: %s", tfr_failure_text());
    }
}

static enum tfr_status find_costs(struct warming *warming, const char *path) {
    struct tfr_step_cost *cost = &warming->engine->batcher->cost;
    bool holds = false, is_slow = false;
    if (path != NULL && tfr_step_cost_read(cost, path)) {
        TFR_TRY(look_at_kept(warming, cost, &holds, &is_slow));
    }
    if (!holds) {
        say(warming, "measuring what steps cost");
        TFR_TRY(tfr_step_cost_measure(warming->engine, cost));
    }
    if (!is_crowded(warming) && !holds && !is_slow) {
        keep(cost, path);
    }
    return TFR_OK;
}

static void tell_costs(const struct tfr_engine *engine) {
    const struct tfr_step_cost *cost = &engine->batcher->cost;
    tfr_log(TFR_LOG_INFO, "serve", "a step of 1 sequence takes %.1f ms, of %lld %.1f ms; prompts are read at %.0f tokens/s",
            1e3 * tfr_curve_s(&cost->decode, 1), (long long)engine->max_batch,
            1e3 * tfr_curve_s(&cost->decode, (double)engine->max_batch), tfr_step_prefill_rate(cost));
}

enum tfr_status tfr_engine_warm(struct tfr_engine *engine, void (*say_)(void *user, const char *what), void *user) {
    struct warming warming = {.engine = engine, .say = say_, .user = user};
    if (engine->batcher == NULL) {
        return tfr_raise(TFR_USAGE, "rank 0 serves; the others call tfr_engine_follow");
    }
    if (tfr_session_check_model(engine) != TFR_OK) { /* it has vectors and labels to give, which need no preparation */
        tfr_batcher_serve(engine->batcher);
        return TFR_OK;
    }
    warming.counts_waits = tfr_crowd_times("", &warming.ran_ns, &warming.waited_ns);
    say(&warming, "building the plans of steps");
    TFR_TRY(tfr_batcher_prepare(engine->batcher));
    tfr_batcher_serve(engine->batcher); /* so that slots keep the memory that is touched here */
    TFR_TRY(tfr_warmup_plans(engine));
    char *path = tfr_step_cost_path(engine);
    const enum tfr_status status = find_costs(&warming, path);
    tfr_free(path);
    TFR_TRY(status);
    tell_costs(engine);
    tfr_store_keep_packs(engine->store);
    return TFR_OK;
}
