/* stepper.c - see stepper.h. */
#include "profile/stepper.h"

#include "base/arena.h"
#include "base/status.h"

static enum tfr_status open_sessions(struct tfr_stepper *stepper) {
    const size_t n = (size_t)stepper->n;
    stepper->sessions = tfr_alloc(n, sizeof *stepper->sessions);
    stepper->feeds = tfr_alloc(n, sizeof *stepper->feeds);
    stepper->ids = tfr_alloc((size_t)stepper->n_positions, sizeof *stepper->ids);
    if (stepper->sessions == NULL || stepper->feeds == NULL || stepper->ids == NULL) {
        return TFR_RESOURCE;
    }
    const size_t replicas = (size_t)stepper->engine->placement.replicas; /* rank 0's, which computes as its step begins, is last */
    for (size_t i = 0; i < n; i++) {
        const int32_t replica = (int32_t)((n - 1 - i) * replicas / n);
        TFR_TRY(tfr_session_open_on(&stepper->sessions[i], stepper->engine, replica, stepper->n_positions));
    }
    return TFR_OK;
}

enum tfr_status tfr_stepper_open(struct tfr_stepper *stepper, struct tfr_engine *engine, int64_t n_sequences) {
    *stepper = (struct tfr_stepper){.engine = engine, .n = n_sequences, .n_positions = tfr_engine_n_positions(engine)};
    const enum tfr_status status = open_sessions(stepper);
    if (status != TFR_OK) {
        tfr_stepper_close(stepper);
        return status;
    }
    uint64_t state = 1;
    for (int64_t i = 0; i < stepper->n_positions; i++) { /* Knuth's generator: tokens far from each other in the tables */
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        stepper->ids[i] = (int32_t)((state >> 33) % (uint64_t)tfr_engine_vocab_size(engine));
    }
    return TFR_OK;
}

void tfr_stepper_close(struct tfr_stepper *stepper) {
    for (int64_t i = 0; stepper->sessions != NULL && i < stepper->n; i++) {
        tfr_session_close(stepper->sessions[i]);
    }
    tfr_free(stepper->sessions);
    tfr_free(stepper->feeds);
    tfr_free(stepper->ids);
    *stepper = (struct tfr_stepper){0};
}

enum tfr_status tfr_stepper_step(struct tfr_stepper *stepper, int64_t rows, int64_t keep, struct tfr_step_facts *facts) {
    const float *logits;
    const int64_t past = tfr_session_length(stepper->sessions[0]);
    for (int64_t i = 0; i < stepper->n; i++) {
        stepper->feeds[i] = (struct tfr_feed){.session = stepper->sessions[i], .ids = stepper->ids + past, .n = rows, .keep = keep};
    }
    *facts = (struct tfr_step_facts){.rows = rows * stepper->n, .sequences = stepper->n, .past = past, .logits = keep * stepper->n};
    return tfr_engine_feed(stepper->engine, stepper->feeds, (size_t)stepper->n, &logits);
}

enum tfr_status tfr_stepper_reach(struct tfr_stepper *stepper, int64_t context) {
    const int64_t length = tfr_session_length(stepper->sessions[0]);
    const int64_t most = stepper->engine->max_rows > stepper->n ? stepper->engine->max_rows / stepper->n : 1;
    for (int64_t i = 0; length > context && i < stepper->n; i++) {
        TFR_TRY(tfr_session_crop(stepper->sessions[i], context));
    }
    for (int64_t left = context - length; left > 0;) {
        struct tfr_step_facts facts;
        const int64_t rows = left < most ? left : most;
        TFR_TRY(tfr_stepper_step(stepper, rows, 0, &facts));
        left -= rows;
    }
    return TFR_OK;
}
