/* ranking.h - puts tokens in the order of their scores. Thread rule: no state but the memory that is given. */
#ifndef TFR_GENERATION_RANKING_H
#define TFR_GENERATION_RANKING_H

#include <stddef.h>
#include <stdint.h>

struct tfr_choice {
    float score;
    int32_t id;
};

/* Best first; equal scores (0 and -0 are) stay in the order in which they stand. No NaN. `spare` has room for n. */
void tfr_choices_sort(struct tfr_choice *choices, struct tfr_choice *spare, size_t n);

#endif
