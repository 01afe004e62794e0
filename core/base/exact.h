/* exact.h - which f32 values a type of 16 bits holds exactly. Thread rule: any thread, no state. */
#ifndef TFR_BASE_EXACT_H
#define TFR_BASE_EXACT_H

#include <tfrun/types.h>

/* Whether all of n f32 values, possibly unaligned, come back from BF16 or F16 with the same bits. Infinities and NaN never do from
 * F16. Ends at the first that does not. */
bool tfr_is_exact(enum tfr_dtype narrow, const void *from, int64_t n);

#endif
