/* layout_list.h - the layouts that a model allows on so many ranks, each with its split of the blocks or the reason against it.
 * Thread rule: no state. */
#ifndef TFR_RANK_LAYOUT_LIST_H
#define TFR_RANK_LAYOUT_LIST_H

#include "predict/layout.h"

enum { TFR_MOST_LAYOUTS = 64 };

struct tfr_listed_layout {
    char name[32];     /* "hf", "tensor 4", "hybrid 8x2" */
    char flags[64];    /* that run it: "--head split --tensor 2" */
    char refusal[160]; /* "" where it could be */
    bool can_run;      /* this version runs it: else it is no best one */
    char note[96];     /* "5 of 8 ranks idle" */
    struct tfr_layout layout;
    int split;   /* of parallel.split */
    int *blocks; /* [layout.stages] of a layout that can run; it owns them */
};
struct tfr_layout_list {
    struct tfr_listed_layout item[TFR_MOST_LAYOUTS];
    int n;
};
/* `n_layer` blocks; `question` has model, load, times and cluster, and may have a layout, of which `groups` counts. Times of a
 * decoded row decide the splits but for "hf", "prefill" and "mixed". Fails for lack of memory only. */
enum tfr_status tfr_layout_list_make(struct tfr_layout_list *list, const struct tfr_layout_question *question, int64_t n_layer,
                                     int n_ranks);
void tfr_layout_list_free(struct tfr_layout_list *list);

#endif
