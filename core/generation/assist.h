/* assist.h - the one decision of assisted sampling, by itself so that its distribution can be tested. */
#ifndef TFR_GENERATION_ASSIST_H
#define TFR_GENERATION_ASSIST_H

#include <tfrun/types.h>

/* A token whose distribution is exactly p, given a draft that was drawn from q (NULL: q is the draft and nothing else): the draft
 * with probability min(1, p/q), else one from what p has more than q. Both uniforms are in [0, 1). p is overwritten. */
int32_t tfr_assist_choose(float *p, const float *q, int64_t n, int32_t draft, double accept, double uniform);

#endif
