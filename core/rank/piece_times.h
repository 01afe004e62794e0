/* piece_times.h - the time of a piece of the model on this machine: dry plans of one rank, and a calibration or nominal peaks.
 *
 * Each task of a plan belongs to a piece; its time is predict/predict.h's. Of a piece that is split, matrices and heads are divided
 * and the rest is not. Ranks of a node that compute at once share its memory. Thread rule: one thread.
 */
#ifndef TFR_RANK_PIECE_TIMES_H
#define TFR_RANK_PIECE_TIMES_H

#include "predict/calibration.h"
#include "predict/layout.h"
#include "rank/rank.h"

enum { TFR_PIECE_PLANS = 24, TFR_PIECE_ANSWERS = 1024 };

struct tfr_piece_times {
    struct tfr_planner planner;
    const struct tfr_calibration *calibration; /* of ranks of as many threads */
    const struct tfr_roofs *node;              /* of all threads of a node; NULL: nominal peaks of the machine */
    struct tfr_order_book orders;
    struct {
        int64_t rows;
        struct tfr_plan *plan;
    } plans[TFR_PIECE_PLANS]; /* by class of rows */
    int n_plans;
    struct tfr_piece_answer {
        struct tfr_piece_question question;
        double ns;
    } answers[TFR_PIECE_ANSWERS];
    enum tfr_status status; /* of the first plan that failed: to be looked at when all was asked */
};
/* `planner` is of one rank, without model, store and team; what it points to lives longer. */
enum tfr_status tfr_piece_times_open(struct tfr_piece_times *times, const struct tfr_planner *planner,
                                     const struct tfr_calibration *calibration, const struct tfr_roofs *node);
void tfr_piece_times_close(struct tfr_piece_times *times);
/* What tfr_layout_question.ns takes; `times` keeps answers, so it is no constant. */
double tfr_piece_times_ns(const void *times, const struct tfr_piece_question *question);

/* Sizes of a model as a config packs it; and its work, for ranks that are told by numbers. */
struct tfr_layout_model tfr_layout_model_of(const struct tfr_config *config);
void tfr_model_work_of(struct tfr_model_work *work, const struct tfr_config *config, const struct tfr_rank_speed *speed);

#endif
