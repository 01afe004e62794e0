/* cut.h - the rule by which rows of many sequences are cut into steps: one place for the engine and for counts of its cost.
 * Thread rule: no state. */
#ifndef TFR_BASE_CUT_H
#define TFR_BASE_CUT_H

#include <tfrun/types.h>

/* The next rows of a sequence, offered to a step. */
struct tfr_offer {
    int64_t left;   /* rows of the sequence that are in no step yet */
    bool may_share; /* with what is in the step */
    bool whole;     /* all in one step */
};

/* How many of them go into a step that has `rows` rows of at most `most`; -1: none, the step is complete. */
static inline int64_t tfr_cut_take(const struct tfr_offer *offer, int64_t rows, int64_t most) {
    const int64_t room = most - rows;
    if (room <= 0 || (rows > 0 && (!offer->may_share || (offer->whole && offer->left > room)))) {
        return -1;
    }
    return offer->left < room ? offer->left : room;
}

#endif
