/* slice.h - the part of a weight that a rank holds, as a tensor of its own. Thread rule: no state. */
#ifndef TFR_PLAN_SLICE_H
#define TFR_PLAN_SLICE_H

#include "graph/graph.h"

/* *part: the whole, or its slice, copied to *memory (to be freed) where it does not lie in one piece. */
enum tfr_status tfr_slice_open(struct tfr_tensor *part, void **memory, const struct tfr_tensor *whole,
                               const struct tfr_slice *slice);

#endif
