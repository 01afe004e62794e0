/* session.h - one sequence: its slot, how much of it is filled. What tfrun.h says of sessions is implemented in this folder.
 * Thread rule: the engine's thread. */
#ifndef TFR_SESSION_SESSION_H
#define TFR_SESSION_SESSION_H

#include <tfrun/tfrun.h>

#include "job/command.h"

/* Its slot holds the prefix first, which length and capacity do not count. */
struct tfr_session {
    struct tfr_engine *engine;
    int32_t slot;
    int64_t length, capacity;
    bool encoded; /* has encoder states */
};

/* tfr_session_open on the ranks of a replica; that one opens on those of rank 0. */
enum tfr_status tfr_session_open_on(struct tfr_session **session, struct tfr_engine *engine, int32_t replica, int64_t capacity);
int32_t tfr_session_replica(const struct tfr_session *session);
/* Room for this many tokens from now on; false where its memory has less, or it is longer already. */
bool tfr_session_refit(struct tfr_session *session, int64_t capacity);
/* Rank 0: between requests it takes none of the places of max_batch; at most max_slots - max_batch rest. */
void tfr_session_rest(struct tfr_session *session, bool resting);
/* TFR_UNSUPPORTED for a model that writes no text. */
enum tfr_status tfr_session_check_model(const struct tfr_engine *engine);
int64_t tfr_session_past(const struct tfr_session *session); /* positions of its slot in use, prefix included */
enum tfr_status tfr_engine_check_ids(const struct tfr_engine *engine, const int32_t *ids, int64_t n, size_t index);

#endif
