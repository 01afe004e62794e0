/* step_flight.c - steps in flight on this rank: which memory is free, who waits for what. See step_run.h. */
#include "base/status.h"
#include "rank/rank.h"
#include "rank/step_run.h"

/* What is in the logits of a failed step is nobody's answer, whoever it was that met the failure. */
static void end_run(struct tfr_engine *engine, struct tfr_step_memory *memory, enum tfr_status status) {
    if (status != TFR_OK && memory->taken) {
        memory->failed = memory->run;
    } else {
        tfr_exec_close_run(engine->exec, memory->run);
    }
    memory->run = NULL;
    engine->steps.n_runs--;
}

enum tfr_status tfr_step_wait(struct tfr_engine *engine, struct tfr_step_memory *memory) {
    if (memory->run == NULL) {
        return TFR_OK;
    }
    const enum tfr_status status = tfr_exec_wait(engine->exec, memory->run);
    tfr_rank_give_up(engine, status);
    tfr_step_join_shares(engine, memory);
    end_run(engine, memory, status);
    return status;
}

static bool uses(const struct tfr_step_memory *memory, int32_t slot) {
    for (int64_t i = 0; i < memory->n_pieces; i++) {
        if (memory->slots[i] == slot) {
            return true;
        }
    }
    return slot < 0;
}

enum tfr_status tfr_steps_settle(struct tfr_engine *engine, int32_t slot) {
    for (int i = 0; i < TFR_STEP_MEMORIES; i++) {
        struct tfr_step_memory *memory = &engine->steps.memory[i];
        if (memory->run != NULL && uses(memory, slot)) {
            TFR_TRY(tfr_step_wait(engine, memory));
        }
    }
    return TFR_OK;
}

bool tfr_steps_in_flight(const struct tfr_engine *engine) {
    return tfr_exec_runs_in_flight(engine->exec) > 0;
}

enum tfr_status tfr_steps_progress(struct tfr_engine *engine, bool *went_on) {
    *went_on = tfr_steps_in_flight(engine) && tfr_exec_progress(engine->exec);
    for (int i = 0, n = engine->steps.n_runs; i < TFR_STEP_MEMORIES && n > 0; i++) {
        struct tfr_step_memory *memory = &engine->steps.memory[i];
        n -= memory->run != NULL;
        if (memory->run != NULL && memory->run->phase == TFR_RUN_DONE) {
            TFR_TRY(tfr_step_wait(engine, memory));
        }
    }
    return TFR_OK;
}

/* Nothing but logits is asked for, and nothing but numbers is given. */
static bool may_fly(const struct tfr_step_body *body) {
    const struct tfr_gpt2_features *features = &body->features;
    return features->part == TFR_PART_MODEL && features->head != TFR_HEAD_NONE && !features->hidden_states &&
           !features->last_hidden && !features->weights && !features->embeds && body->n_floats == 0;
}

static struct tfr_step_memory *oldest_in_flight(struct tfr_steps *steps, int *n) {
    struct tfr_step_memory *oldest = NULL;
    *n = 0;
    for (int i = 0; i < TFR_STEP_MEMORIES; i++) {
        struct tfr_step_memory *memory = &steps->memory[i];
        if (memory->run != NULL) {
            (*n)++;
            oldest = oldest == NULL || memory->run->number < oldest->run->number ? memory : oldest;
        }
    }
    return oldest;
}

/* The first, so that as few as possible hold logits; 0 where all are taken, which those who have steps in flight see to. */
static int first_free(const struct tfr_steps *steps) {
    for (int i = 1; i < TFR_STEP_MEMORIES; i++) {
        if (!steps->memory[i].taken && steps->memory[i].run == NULL) {
            return i;
        }
    }
    return 0;
}

/* Room that grows moves, and is touched anew: there is at once as much as sequences side by side ask for, of which what is not used
 * is not touched. */
static int64_t logit_rows(const struct tfr_engine *engine, int64_t n) {
    const int64_t rows = tfr_bucket(n > 0 ? n : 1, engine->max_rows), usual = tfr_bucket(engine->max_batch, engine->max_rows);
    return rows > usual ? rows : usual;
}

enum tfr_status tfr_steps_choose(struct tfr_engine *engine, const struct tfr_step_body *body, int32_t *memory) {
    struct tfr_steps *steps = &engine->steps;
    struct tfr_step_memory *oldest;
    int n;
    const int64_t rows = logit_rows(engine, body->n_logits);
    *memory = 0;
    if (!may_fly(body)) {
        return tfr_step_reserve_logits(engine, &steps->memory[0], rows, &body->features);
    }
    while ((oldest = oldest_in_flight(steps, &n)) != NULL && n >= steps->most) {
        TFR_TRY(tfr_step_wait(engine, oldest));
    }
    const int chosen = first_free(steps);
    if (chosen == 0) {
        return tfr_raise(TFR_RUNTIME, "%d steps have results that nobody has taken", TFR_STEP_MEMORIES - 1);
    }
    TFR_TRY(tfr_step_reserve_logits(engine, &steps->memory[chosen], rows, &body->features));
    steps->memory[chosen].taken = body->n_logits > 0;
    *memory = chosen;
    return TFR_OK;
}
