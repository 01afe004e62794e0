/* rank_watch.h - what every rank did between two moments: facts of all ranks, asked for at both.
 *
 * Asking takes messages of its own: an empty watch tells how many, and they are taken off. What a rank waited before the first
 * moment and behind the second, until it was asked, is none of it. Thread rule: the engine's thread, rank 0. */
#ifndef TFR_STUDY_RANK_WATCH_H
#define TFR_STUDY_RANK_WATCH_H

#include <tfrun/tfrun.h>

struct tfr_rank_watch {
    struct tfr_engine *engine;
    struct tfr_rank_facts *before, *between, *asking; /* [n_ranks]; of one empty watch */
    uint64_t start_ns, elapsed_ns;
    double units; /* that were done meanwhile, as whoever watched said */
};

/* Also makes the empty watch. To be closed also where it fails. */
enum tfr_status tfr_rank_watch_open(struct tfr_rank_watch *watch, struct tfr_engine *engine);
void tfr_rank_watch_close(struct tfr_rank_watch *watch);
/* NULL: nothing happens. */
enum tfr_status tfr_rank_watch_begin(struct tfr_rank_watch *watch);
enum tfr_status tfr_rank_watch_end(struct tfr_rank_watch *watch, double units);

#endif
