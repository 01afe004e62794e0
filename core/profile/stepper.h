/* stepper.h - steps of a wanted shape: so many sequences, each with so many cached positions and so many new rows.
 * Thread rule: the engine's thread, rank 0. */
#ifndef TFR_PROFILE_STEPPER_H
#define TFR_PROFILE_STEPPER_H

#include "predict/task_facts.h"
#include "session/session.h"

struct tfr_stepper {
    struct tfr_engine *engine;
    struct tfr_session **sessions; /* [n] */
    struct tfr_feed *feeds;        /* [n] */
    int32_t *ids;                  /* [n_positions] made up, the same for all */
    int64_t n, n_positions;
};

enum tfr_status tfr_stepper_open(struct tfr_stepper *stepper, struct tfr_engine *engine, int64_t n_sequences);
void tfr_stepper_close(struct tfr_stepper *stepper);
/* All sequences come to hold `context` positions. */
enum tfr_status tfr_stepper_reach(struct tfr_stepper *stepper, int64_t context);
/* One step: `rows` new rows of each sequence, logits of the last `keep` of them. rows times sequences is at most
 * runtime.max_rows. Says what the step was. */
enum tfr_status tfr_stepper_step(struct tfr_stepper *stepper, int64_t rows, int64_t keep, struct tfr_step_facts *facts);

#endif
