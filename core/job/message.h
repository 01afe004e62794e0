/* message.h - what rank 0 says to the others: one fixed record and a body, with a number; the others answer by doing.
 *
 * Messages are posted: rank 0 writes each into a ring of buffers and goes on while they are on the way; the others keep the
 * receive of the next one posted while they do what the last one said, and look for it while steps are in flight. The first
 * TFR_MESSAGE_INLINE bytes go in one message, so that a decode step is one message a rank; a longer body follows in a second. They
 * arrive in the order of their numbers, because MPI keeps the order of one sender and tag. Thread rule: the engine's thread.
 */
#ifndef TFR_JOB_MESSAGE_H
#define TFR_JOB_MESSAGE_H

#include "rank/rank.h"
#include "rank/slots.h"

/* What a rank waits for before it does what a message says: NONE of its steps in flight, those that use part.slot (SLOT) or `from`
 * too (SLOTS), ALL. */
enum tfr_message_waits { TFR_WAITS_NONE, TFR_WAITS_SLOT, TFR_WAITS_SLOTS, TFR_WAITS_ALL };

/* Every kind, with the function of command.c that every rank runs for it. */
#define TFR_EACH_MESSAGE(EACH)                                                                                                     \
    EACH(STEP, obey_step, NONE)             /* body: struct tfr_step_body; one in flight goes to its replica's ranks alone */      \
    EACH(OPEN_SLOT, obey_open_slot, SLOT)   /* part.slot of replica `from`, of part.n positions, with memory for part.first */     \
    EACH(CLOSE_SLOT, obey_close_slot, SLOT) /* part.slot; its memory stays where part.n is not 0 */                                \
    EACH(COPY_SLOT, obey_copy_slot, SLOTS)  /* the first part.n positions of slot `from` into part.slot */                         \
    EACH(OPEN_CROSS, obey_open_cross, SLOT) /* room for part.n encoder positions in part.slot; 0: none any more */                 \
    EACH(LOAD_KV, obey_load_kv, SLOT)       /* body: keys and values of `part` */                                                  \
    EACH(FETCH_KV, obey_fetch_kv, ALL)      /* `part` to rank 0 */                                                                 \
    EACH(PLAN, obey_plan, ALL)       /* body: struct tfr_gpt2_features; builds the plan of part.n rows with part.first logits */   \
    EACH(MEMORY, obey_memory, ALL)   /* the peak memory of every rank to rank 0 */                                                 \
    EACH(FACTS, obey_facts, ALL)     /* struct tfr_rank_facts of every rank to rank 0 */                                           \
    EACH(TRACE, obey_trace, ALL)     /* the time stamps of all ranks to rank 0 */                                                  \
    EACH(WATCH, obey_watch, ALL)     /* time stamps are taken from now on (part.n 1), or no longer (0) */                          \
    EACH(SAMPLES, obey_samples, ALL) /* body: struct tfr_step_facts of the last steps; what their tasks took to rank 0 */          \
    EACH(CALL, obey_call, NONE)      /* a rank is lost: those that compute or wait for commands say that they are well */          \
    EACH(END, obey_end, ALL)

enum tfr_message_kind {
#define TFR_MESSAGE_KIND(name, function, waits) TFR_MESSAGE_##name,
    TFR_EACH_MESSAGE(TFR_MESSAGE_KIND)
#undef TFR_MESSAGE_KIND
        TFR_N_MESSAGES
};

struct tfr_message {
    uint32_t number; /* counts from 1 those to the same ranks: `to`, a replica's or TFR_ALL_REPLICAS */
    int32_t kind, from, to;
    struct tfr_kv_part part;
    int64_t body_bytes;
};

enum { TFR_MESSAGE_INLINE = 1024 }; /* of a message and its body; below every transport's limit for sending at once */

struct tfr_job;
enum tfr_status tfr_job_open(struct tfr_engine *engine);
/* Waits until what was sent is taken. */
void tfr_job_close(struct tfr_engine *engine);

/* Rank 0: the next message, to all, zeroed but for its kind and body_bytes; NULL after raising. Borrowed until it is sent. */
struct tfr_message *tfr_message_new(struct tfr_engine *engine, enum tfr_message_kind kind, size_t body_bytes);
static inline void *tfr_message_body(struct tfr_message *message) {
    return message + 1;
}
/* Posts it to the other ranks that it is to. Where that fails, or they do not take what was posted before, the job ends. */
enum tfr_status tfr_message_post(struct tfr_engine *engine, struct tfr_message *message);
/* Other ranks: posts the receive of the first message, waits for it, and posts that of the next one; steps in flight go on
 * meanwhile. While there are some, parallel.timeout_s holds; otherwise rank 0 may take its time. Borrowed until the next call. */
enum tfr_status tfr_message_next(struct tfr_engine *engine, struct tfr_message **message);

#endif
