/* saved_cache.h - saved caches: the positions of a session as a file, for a session of the same model later on. */
#ifndef TFR_SESSION_SAVED_CACHE_H
#define TFR_SESSION_SAVED_CACHE_H

#include "rank/rank.h"

struct tfr_generation_run;
struct tfr_live;

/* Of what keys and values depend on: sizes, every tensor's name, dtype, shape and samples of its bytes, the
 * prefix. Rank 0. */
uint64_t tfr_engine_fingerprint(const struct tfr_engine *engine);
/* Whether a file is a whole saved cache of this model. Every byte of it is read. */
enum tfr_status tfr_saved_cache_check(struct tfr_engine *engine, const char *path);
/* tfr_session_load from a file that was checked already, into a session without encoder states. */
enum tfr_status tfr_saved_cache_take(struct tfr_session *session, const char *path, const int32_t *ids, int64_t n);

/* saved_cache_run.c: input.cache_load and output.cache_save around tfr_generate. */
/* Whether what is asked can be done; before any work. */
enum tfr_status tfr_run_check_cache(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n_prompts);
/* An empty session of a sequence takes what the saved cache shares with its prompt, but its last token. */
enum tfr_status tfr_run_take_cached(struct tfr_generation_run *run, const struct tfr_live *live,
                                    struct tfr_session *session);
/* Saves the sequence; one that generated nothing is fed first. */
enum tfr_status tfr_run_save_cache(struct tfr_generation_run *run, struct tfr_live *live);

#endif
