/* saved_cache.h - saved caches: the positions of a session as a file, for a session of the same model later on. */
#ifndef TFR_SESSION_SAVED_CACHE_H
#define TFR_SESSION_SAVED_CACHE_H

#include "rank/rank.h"

/* Of what keys and values depend on: sizes, every tensor's name, dtype, shape and samples of its bytes, the
 * prefix. Rank 0. */
uint64_t tfr_engine_fingerprint(const struct tfr_engine *engine);
/* Whether a file is a whole saved cache of this model. Every byte of it is read. */
enum tfr_status tfr_saved_cache_check(struct tfr_engine *engine, const char *path);
/* tfr_session_load from a file that was checked already, into a session without encoder states. */
enum tfr_status tfr_saved_cache_take(struct tfr_session *session, const char *path, const int32_t *ids, int64_t n);

#endif
