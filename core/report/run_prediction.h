/* run_prediction.h - what a generation on ranks was predicted to take and to send, beside what it took and sent.
 *
 * Errors are measured / predicted - 1. Times are those of steps: without packing weights, reading files and choosing tokens. Bytes
 * and messages are those of the graph; what ranks count has the commands of rank 0 too. Thread rule: the engine's thread.
 */
#ifndef TFR_REPORT_RUN_PREDICTION_H
#define TFR_REPORT_RUN_PREDICTION_H

#include "base/json.h"
#include "rank/rank.h"

struct tfr_foretold { /* a figure; zeros where there is nothing to tell */
    double predicted, measured;
};
struct tfr_rank_prediction {
    struct tfr_foretold busy_ns, wait_share, messages, bytes; /* wait_share: of the steps, in which it computed nothing */
};
struct tfr_run_prediction {
    bool is_measured; /* by a calibration, else by nominal peaks */
    struct tfr_foretold first_token_ns, token_ns, tokens_per_s;
    int n_ranks;
    struct tfr_rank_prediction *rank; /* [n_ranks] */
};
/* With n_ranks 0 where there is nothing to compare: one rank, a run that failed or made no token. To be freed. */
enum tfr_status tfr_run_predict(const struct tfr_engine *engine, const struct tfr_generation_stats *stats, size_t n_sequences,
                                struct tfr_run_prediction *prediction);
void tfr_run_prediction_free(struct tfr_run_prediction *prediction);
void tfr_run_prediction_json(const struct tfr_run_prediction *prediction, struct tfr_json_out *out);

#endif
