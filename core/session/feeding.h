/* feeding.h - a call of tfr_engine_feed in two halves: its steps begin, and later their logits are taken. Other calls may begin
 * between the two, of other sessions: then several ranks are busy. Steps of which no logits are wanted are not waited for, but
 * where there is one rank.
 *
 *     tfr_feed_begin(&feeding, engine, feeds, n, false);
 *     ... others begin
 *     tfr_feed_end(&feeding, &logits);      the sessions have the new length now
 *
 * Rank 0 only. Thread rule: the engine's thread.
 */
#ifndef TFR_SESSION_FEEDING_H
#define TFR_SESSION_FEEDING_H

#include "base/arena.h"
#include "step/step.h"

struct tfr_feed;
struct tfr_session;

enum { TFR_FEED_AWAITS = 4, TFR_FEED_MOST = 16 }; /* steps with logits in flight at most, of one call: for each replica, in all */

struct tfr_feeding { /* zeroed before */
    struct tfr_engine *engine;
    size_t n, room;
    struct tfr_piece *pieces;           /* [room] */
    struct tfr_gpt2_features *features; /* [room] */
    struct tfr_fed {
        struct tfr_session *session;
        int64_t n;
    } * fed;               /* [room] */
    struct tfr_feed_span { /* consecutive sessions of one replica: their steps begin in turn with those of the other spans */
        struct tfr_step step;
        int64_t row; /* of the next step's first logits among all */
    } * spans;       /* [room] */
    size_t n_spans;
    struct tfr_awaited {
        struct tfr_step_memory *memory;
        int64_t n_logits, row;
    } awaited[TFR_FEED_MOST]; /* the oldest first */
    int n_awaited;
    bool best;
    bool gathers; /* the logits of several steps */
    struct tfr_block gathered;
    const float *logits;
};

/* What fails, or is cancelled, leaves the sessions as they were. `best`: the best token of each row is all that is wanted
 * (tfr_step_may_ask_best). */
enum tfr_status tfr_feed_begin(struct tfr_feeding *feeding, struct tfr_engine *engine, const struct tfr_feed *feeds, size_t n,
                               bool best);
/* Floats of a row of logits: the vocabulary, or TFR_BEST_WIDTH. */
int64_t tfr_feed_width(const struct tfr_feeding *feeding);
/* *logits: as tfr_engine_feed gives them, with `best` as struct tfr_step_memory has them, until the next step begins; those of
 * several steps until the next call of this feeding.
 */
enum tfr_status tfr_feed_end(struct tfr_feeding *feeding, const float **logits);
void tfr_feeding_close(struct tfr_feeding *feeding); /* NULL-safe */

#endif
