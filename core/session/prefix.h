/* prefix.h - the prefix of model.prefix: positions that stand before every sequence.
 *
 * Callers of sessions do not see it: lengths and capacities count tokens, and a sequence may be n_positions
 * less the prefix long. Its keys and values are kept once, in the slot beyond all others, and copied into each
 * slot that begins with them.
 */
#ifndef TFR_SESSION_PREFIX_H
#define TFR_SESSION_PREFIX_H

#include "rank/rank.h"

/* All ranks, before they serve: rank 0 reads the adapter, each rank keeps its blocks' part. Nothing without
 * model.prefix. */
enum tfr_status tfr_prefix_load(struct tfr_engine *engine);
/* Rank 0: the prefix becomes the first positions of a slot. */
enum tfr_status tfr_prefix_copy(struct tfr_engine *engine, int32_t slot);

#endif
