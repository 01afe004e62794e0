/* warmup.c - see warmup.h. */
#include "session/warmup.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/plural.h"
#include "base/status.h"
#include "session/session.h"

enum { OTHER_PLANS = 16 };

/* Plans of classes of steps, of all replicas. */
struct tally {
    int n_there, n_left; /* left for when they come: there is no place */
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t next_bucket(int64_t bucket, int64_t most) {
    return bucket < most ? tfr_bucket(bucket + 1, most) : most + 1;
}

static bool has_place(const struct tfr_engine *engine) {
    return engine->n_plans + OTHER_PLANS * engine->placement.replicas < engine->max_plans;
}

static enum tfr_status build_for_all(struct tfr_engine *engine, int64_t rows, int64_t logits, struct tfr_gpt2_features features,
                                     struct tally *tally) {
    const bool is_built = has_place(engine);
    for (features.replica = 0; features.replica < engine->placement.replicas; features.replica++) {
        if (is_built) {
            TFR_TRY(tfr_engine_ask_plan(engine, rows, logits, &features));
        }
        *(is_built ? &tally->n_there : &tally->n_left) += 1;
    }
    return TFR_OK;
}

/* Every class of rows, with more than `above` and up to `most` rows of logits, which are classes too. */
static enum tfr_status build_classes(struct tfr_engine *engine, const struct tfr_gpt2_features *features, int64_t above,
                                     int64_t most, struct tally *tally) {
    for (int64_t rows = 1; rows <= engine->max_rows; rows = next_bucket(rows, engine->max_rows)) {
        const int64_t end = least(rows, most);
        for (int64_t logits = next_bucket(above, engine->max_rows); logits <= end; logits = next_bucket(logits, engine->max_rows)) {
            TFR_TRY(build_for_all(engine, rows, logits, *features, tally));
        }
    }
    return TFR_OK;
}

static enum tfr_status build(struct tfr_engine *engine, const struct tfr_gpt2_features *features, int64_t above, int64_t most,
                             struct tally *tally) {
    engine->is_warming = true;
    const enum tfr_status status = build_classes(engine, features, above, most, tally);
    engine->is_warming = false;
    return status;
}

/* "105 plans", or "240 of 253 plans, the others when they come,": nobody shall think that all are there. */
static void describe(const struct tally *tally, char *text, size_t size) {
    const int n = tally->n_there + tally->n_left;
    if (tally->n_left > 0) {
        snprintf(text, size, "%d of %d plans of classes of steps (the others when they come: there is no place for more)",
                 tally->n_there, n);
    } else {
        snprintf(text, size, "%d plan%s of classes of steps", n, tfr_plural(n));
    }
}

static int64_t most_decodes(const struct tfr_engine *engine) {
    return tfr_bucket(engine->max_batch, engine->max_rows);
}

enum tfr_status tfr_warmup_plans(struct tfr_engine *engine) {
    const struct tfr_gpt2_features features = tfr_engine_features(engine);
    struct tally tally = {0};
    char told[128];
    TFR_TRY(build(engine, &features, 0, most_decodes(engine), &tally));
    if (tally.n_left > 0) {
        describe(&tally, told, sizeof told);
        tfr_log(TFR_LOG_INFO, "plan", "made %s", told);
    }
    return TFR_OK;
}

/* As the model's own head is asked, and of several ranks with a split one their best tokens too. */
static enum tfr_status build_all(struct tfr_engine *engine, struct tally *tally) {
    struct tfr_gpt2_features features = tfr_engine_features(engine);
    const int head = engine->config->model.head;
    features.head = head == TFR_HEAD_DOUBLE ? TFR_HEAD_LM : head;
    features.last_hidden = head == TFR_HEAD_NONE;
    TFR_TRY(build(engine, &features, 0, most_decodes(engine), tally));
    if (tfr_step_may_ask_best(engine)) {
        features.best = 1;
        TFR_TRY(build(engine, &features, 0, most_decodes(engine), tally));
        features.best = 0;
    }
    return build(engine, &features, most_decodes(engine), engine->max_rows, tally);
}

/* Memory of steps is touched by whoever needs it first. */
static enum tfr_status run_largest(struct tfr_engine *engine) {
    const int64_t rows = least(engine->max_rows, tfr_engine_n_positions(engine));
    struct tfr_session *session = NULL;
    const float *logits;
    int32_t *ids = tfr_alloc((size_t)rows, sizeof *ids); /* zeros: some token */
    enum tfr_status status = ids != NULL ? tfr_session_open(&session, engine, rows) : TFR_RESOURCE;
    if (status == TFR_OK) {
        const struct tfr_feed feed = {.session = session, .ids = ids, .n = rows, .keep = least(rows, engine->max_batch)};
        status = tfr_engine_feed(engine, &feed, 1, &logits);
    }
    tfr_session_close(session);
    tfr_free(ids);
    return status;
}

static enum tfr_status warm_up(struct tfr_engine *engine) {
    const uint64_t start_ns = tfr_clock_ns();
    struct tally tally = {0};
    char told[128];
    TFR_TRY(build_all(engine, &tally));
    if (tfr_session_check_model(engine) == TFR_OK) {
        TFR_TRY(run_largest(engine));
    }
    describe(&tally, told, sizeof told);
    tfr_log(TFR_LOG_INFO, "plan", "warmed up in %.0f ms: %s, weights packed, memory touched",
            (double)(tfr_clock_ns() - start_ns) / 1e6, told);
    return TFR_OK;
}

enum tfr_status tfr_warmup(struct tfr_engine *engine) {
    if (!engine->config->options.runtime_warmup || tfr_engine_rank(engine) != 0) {
        return TFR_OK;
    }
    TFR_TRY(warm_up(engine));
    return engine->assistant != NULL ? warm_up(engine->assistant) : TFR_OK;
}
