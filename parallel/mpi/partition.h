/* partition.h - blocks over ranks: pure functions from costs to owners. No state, any thread. */
#ifndef TFR_PARALLEL_PARTITION_H
#define TFR_PARALLEL_PARTITION_H

#include <tfrun/types.h>

/* Contiguous split that makes the slowest rank as fast as possible: rank 0 also carries `first_cost`
 * (embeddings and lm_head), the last rank with blocks `last_cost` (ln_f). Rank 0 may get no blocks when
 * others exist, trailing ranks may stay empty. Dynamic programming, exact. Of the splits with an equally fast
 * slowest rank the most even one is taken (least sum of squares), of these the one whose earlier ranks hold
 * more blocks. owner[n_blocks] non-decreasing. Fails for lack of memory only. */
enum tfr_status tfr_partition_balanced(const double *block_cost, int64_t n_blocks, double first_cost, double last_cost, int n_ranks,
                                       int *owner);
/* Hugging Face's get_device_map: groups of ceil(n_blocks / n_ranks); trailing ranks may get nothing. */
void tfr_partition_hf(int64_t n_blocks, int n_ranks, int *owner);
/* Cost of the slowest rank under a split. */
double tfr_partition_bottleneck(const double *block_cost, int64_t n_blocks, double first_cost, double last_cost, int n_ranks,
                                const int *owner);

#endif
