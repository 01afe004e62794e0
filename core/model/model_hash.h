/* model_hash.h - numbers that are equal for equal weights: for saved caches, and for ranks that must have
 * opened the same model.
 *
 * They speak of names, types, shapes and bytes, not of files: a checkpoint cut into other shards, or in
 * another format, has the same. What an adapter changed counts. No protection against intent. Thread rule:
 * any, of an opened model.
 */
#ifndef TFR_MODEL_MODEL_HASH_H
#define TFR_MODEL_MODEL_HASH_H

#include "model/model.h"

/* From samples of every tensor: milliseconds. */
uint64_t tfr_model_sample_hash(const struct tfr_model *model);
/* From every byte, of checkpoints of up to 2 GiB; of larger ones from samples, denser than the above. Pages
 * are dropped again. */
uint64_t tfr_model_full_hash(const struct tfr_model *model);
/* Of the files as the system knows them, without reading them, and of what an adapter changed: equal only for
 * processes of one machine that opened the same files, which need no comparison. 0 where the system does not
 * tell. */
uint64_t tfr_model_identity(const struct tfr_model *model);

#endif
