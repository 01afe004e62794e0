/* sched.h - which task of which run goes next: a ready list over the dependency counts of all runs in flight.
 *
 * A task is ready when its predecessors are complete. Asynchronous tasks come first (posting is cheap and
 * lets the wire work), then the lane of the run (decode before prefill), then the older run, then the longest
 * predicted remaining path, ties by index: the order is a pure function of the plans, of the order of
 * submission and of when messages arrive, and no result depends on it.
 *
 * Messages. A transport pairs the messages of one (sender, receiver, tag) in the order in which they are
 * posted, so that order must be the same on both sides: all ranks submit the runs of a lane in the same
 * order, and of two runs of a lane the older one posts its message of an edge (operation, peer, tag) before
 * the younger one posts its own. A younger run's message that is ready too early is held back. Receives have
 * no predecessors: they are posted when their run is submitted. Lanes have tags of their own. No run waits
 * for a younger one of its lane, so holding back cannot lock two ranks. They are looked at in that order too:
 * one that is behind a message of the same edge of an older run (tfr_sched_is_behind) is not asked for. Nothing
 * rests on it but time: looks are system calls where ranks share cores, and shards with several steps in flight
 * would make three to five times as many; and the older run goes on first where a short message comes before a
 * long one that was sent earlier.
 *
 * Keys. Of two runs of a lane the older one appends its keys of a block first, and so before a younger run of
 * the same sequence reads them: who appends is held back until all older runs have appended theirs of that
 * block. The order of messages does not see to that, since two runs may have different edges: shards of a
 * stage receive from all others in a step of few rows, and from one in a step of many. This cannot lock
 * either: the oldest run is never held back, on any rank, and a run is held back by older ones alone.
 *
 * Thread rule: the executor's master thread alone.
 */
#ifndef TFR_EXEC_SCHED_H
#define TFR_EXEC_SCHED_H

#include "exec/run.h"

struct tfr_ready {
    struct tfr_run *run;
    int task;
};

struct tfr_sched {
    struct tfr_ready *ready; /* [n_ready] best last */
    int n_ready, capacity, n_runs;
    struct tfr_run *oldest; /* of the runs in flight, which follow by `next` */
    int n_tasks;            /* of all runs in flight */
    uint64_t last_number;
};

void tfr_sched_close(struct tfr_sched *sched);
/* Puts a run in flight that was opened or reset. */
enum tfr_status tfr_sched_add(struct tfr_sched *sched, struct tfr_run *run);
/* Takes a run out, with what it has ready: done or failed. */
void tfr_sched_remove(struct tfr_sched *sched, struct tfr_run *run);
/* The task to run now, which is then started; false: nothing is ready. `only` (may be NULL): tasks of this
 * run; `messages`: asynchronous ones. */
bool tfr_sched_pick(struct tfr_sched *sched, struct tfr_ready *picked, const struct tfr_run *only, bool messages);
/* An older run of the lane has a message of the same edge in flight. */
bool tfr_sched_is_behind(const struct tfr_sched *sched, const struct tfr_run *run, int task);
/* Its successors may become ready. */
void tfr_sched_complete(struct tfr_sched *sched, struct tfr_run *run, int task);

#endif
