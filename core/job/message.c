/* message.c - the ring of posted copies on rank 0, and the posted receive on the others: see message.h. */
#include "job/message.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/status.h"

enum { RING = 4 };

/* Bytes of one message, and on rank 0 its sends in flight: two for each other rank. */
struct copy {
    struct tfr_message *message;
    size_t room;
    tfr_comm_request *requests;
    int n_requests;
};

struct tfr_job {
    int n_ahead;                /* commands that may be on their way beside a new one: fewer in a job of many ranks */
    struct copy ring[RING + 1]; /* the last for a call; other ranks: the first two hold first parts, the third whole messages */
    int next;
    uint32_t number;         /* of the last message to all */
    uint32_t *number_to;     /* [replicas] of the last one to each; other ranks count their own */
    tfr_comm_request posted; /* the receive into ring[next]; -1 none */
};

static enum tfr_status reserve(struct copy *copy, size_t bytes) {
    const size_t wanted = bytes > TFR_MESSAGE_INLINE ? bytes : TFR_MESSAGE_INLINE;
    if (wanted <= copy->room) {
        return TFR_OK;
    }
    void *grown = tfr_alloc(1, wanted);
    if (grown == NULL) {
        return TFR_RESOURCE;
    }
    tfr_free(copy->message);
    copy->message = grown;
    copy->room = wanted;
    return TFR_OK;
}

/* Of rank 0, whose wait is over: nothing else is said afterwards, and nobody waits for these. */
static void call_all(void *user) {
    struct tfr_engine *engine = user;
    struct tfr_message *call = engine->job->ring[RING].message;
    *call = (struct tfr_message){.kind = TFR_MESSAGE_CALL, .to = TFR_ALL_REPLICAS};
    for (int peer = 1; peer < tfr_engine_size(engine); peer++) {
        tfr_comm_request request;
        (void)tfr_comm_isend(engine->comm, call, TFR_MESSAGE_INLINE, peer, TFR_TAG_COMMAND, &request);
    }
}

enum tfr_status tfr_job_open(struct tfr_engine *engine) {
    const size_t most = 2 * (size_t)tfr_engine_size(engine);
    struct tfr_job *job = engine->job = tfr_alloc(1, sizeof *job);
    if (job == NULL) {
        return TFR_RESOURCE;
    }
    job->posted = -1;
    job->n_ahead = most * RING > TFR_COMM_MAX_REQUESTS / 2 ? 0 : RING - 1;
    job->number_to = tfr_alloc((size_t)engine->placement.replicas, sizeof *job->number_to);
    if (job->number_to == NULL) {
        return TFR_RESOURCE;
    }
    for (int i = 0; i <= RING; i++) {
        job->ring[i].requests = tfr_alloc(most, sizeof(tfr_comm_request));
        if (job->ring[i].requests == NULL) {
            return TFR_RESOURCE;
        }
        TFR_TRY(reserve(&job->ring[i], TFR_MESSAGE_INLINE));
    }
    if (tfr_engine_rank(engine) == 0) {
        tfr_comm_on_loss(engine->comm, call_all, engine);
    }
    return TFR_OK;
}

/* Until a request is done; steps in flight go on, because the peer may wait for them before it looks at its messages. */
static enum tfr_status await(struct tfr_engine *engine, tfr_comm_request request, const char *awaited) {
    struct tfr_backoff backoff = {0};
    bool done = false, went_on;
    for (;;) {
        TFR_TRY(tfr_comm_test(engine->comm, request, &done));
        if (done) {
            return TFR_OK;
        }
        TFR_TRY(tfr_steps_progress(engine, &went_on));
        if (went_on) {
            backoff = (struct tfr_backoff){0};
        } else {
            TFR_TRY(tfr_comm_pause(engine->comm, &backoff, awaited));
        }
    }
}

/* Until all sends of a copy are done. */
static enum tfr_status settle(struct tfr_engine *engine, struct copy *copy) {
    for (; copy->n_requests > 0; copy->n_requests--) {
        TFR_TRY(await(engine, copy->requests[copy->n_requests - 1], "a command to be taken by the other ranks"));
    }
    return TFR_OK;
}

/* Room for one more message: in its copy, and among the requests that there are. */
static enum tfr_status make_way(struct tfr_engine *engine) {
    struct tfr_job *job = engine->job;
    for (int i = 0; i < RING - job->n_ahead; i++) { /* the oldest first */
        TFR_TRY(settle(engine, &job->ring[(job->next + i) % RING]));
    }
    return TFR_OK;
}

void tfr_job_close(struct tfr_engine *engine) {
    struct tfr_job *job = engine->job;
    if (job == NULL) {
        return;
    }
    bool is_taken = true; /* one time limit for a rank that is gone, which the end of the communicator tells of */
    for (int i = 0; i <= RING; i++) {
        is_taken = is_taken && settle(engine, &job->ring[i]) == TFR_OK;
        tfr_free(job->ring[i].requests);
        tfr_free(job->ring[i].message);
    }
    tfr_comm_on_loss(engine->comm, NULL, NULL);
    tfr_free(job->number_to);
    tfr_free(job);
    engine->job = NULL;
}

struct tfr_message *tfr_message_new(struct tfr_engine *engine, enum tfr_message_kind kind, size_t body_bytes) {
    struct tfr_job *job = engine->job;
    struct copy *copy = &job->ring[job->next];
    tfr_rank_give_up(engine, make_way(engine)); /* a rank does not take what was said before */
    if (reserve(copy, sizeof *copy->message + body_bytes) != TFR_OK) {
        return NULL;
    }
    *copy->message = (struct tfr_message){.kind = kind, .to = TFR_ALL_REPLICAS, .body_bytes = (int64_t)body_bytes};
    return copy->message;
}

static enum tfr_status post(struct tfr_engine *engine, struct copy *copy, const void *bytes, size_t n, int peer, int tag) {
    TFR_TRY(tfr_comm_isend(engine->comm, bytes, n, peer, tag, &copy->requests[copy->n_requests]));
    copy->n_requests++;
    return TFR_OK;
}

static enum tfr_status post_rest(struct tfr_engine *engine, struct copy *copy, int peer) {
    const uint8_t *at = (const uint8_t *)copy->message + TFR_MESSAGE_INLINE;
    const size_t total = sizeof *copy->message + (size_t)copy->message->body_bytes;
    size_t left = total > TFR_MESSAGE_INLINE ? total - TFR_MESSAGE_INLINE : 0;
    /* All pieces but the last are waited for. */
    for (; left > TFR_COMM_PIECE_BYTES; left -= TFR_COMM_PIECE_BYTES, at += TFR_COMM_PIECE_BYTES) {
        TFR_TRY(tfr_comm_send(engine->comm, at, TFR_COMM_PIECE_BYTES, peer, TFR_TAG_COMMAND_REST));
    }
    if (left == 0) {
        return TFR_OK;
    }
    return post(engine, copy, at, left, peer, TFR_TAG_COMMAND_REST);
}

static bool hears(const struct tfr_engine *engine, const struct tfr_message *message, int peer) {
    return message->to == TFR_ALL_REPLICAS || tfr_placement_replica_of(&engine->placement, peer) == message->to;
}

static enum tfr_status post_to_all(struct tfr_engine *engine, struct copy *copy) {
    const int size = tfr_engine_size(engine);
    for (int peer = 1; peer < size; peer++) {
        if (hears(engine, copy->message, peer)) {
            TFR_TRY(post(engine, copy, copy->message, TFR_MESSAGE_INLINE, peer, TFR_TAG_COMMAND));
        }
    }
    for (int peer = 1; peer < size; peer++) {
        if (hears(engine, copy->message, peer)) {
            TFR_TRY(post_rest(engine, copy, peer));
        }
    }
    return TFR_OK;
}

/* Of the messages that go to the same ranks, which all of them count. */
static uint32_t *count_of(struct tfr_engine *engine, const struct tfr_message *message) {
    struct tfr_job *job = engine->job;
    const bool is_to_all = message->to < 0 || message->to >= engine->placement.replicas;
    return is_to_all ? &job->number : &job->number_to[message->to];
}

enum tfr_status tfr_message_post(struct tfr_engine *engine, struct tfr_message *message) {
    struct tfr_job *job = engine->job;
    struct copy *copy = &job->ring[job->next];
    message->number = ++*count_of(engine, message);
    if (tfr_engine_size(engine) == 1) {
        return TFR_OK;
    }
    job->next = (job->next + 1) % RING;
    const enum tfr_status status = post_to_all(engine, copy);
    tfr_rank_give_up(engine, status); /* some have it, others do not */
    return status;
}

static enum tfr_status post_receive(struct tfr_engine *engine) {
    struct tfr_job *job = engine->job;
    return tfr_comm_irecv(engine->comm, job->ring[job->next].message, TFR_MESSAGE_INLINE, 0, TFR_TAG_COMMAND, &job->posted);
}

/* Between steps without a limit. */
static enum tfr_status await_first(struct tfr_engine *engine) {
    struct tfr_job *job = engine->job;
    struct tfr_backoff backoff = {0};
    bool done = false, went_on;
    for (;;) {
        TFR_TRY(tfr_comm_test(engine->comm, job->posted, &done));
        if (done) {
            return TFR_OK;
        }
        const bool flies = tfr_steps_in_flight(engine);
        TFR_TRY(tfr_steps_progress(engine, &went_on));
        if (went_on) {
            backoff = (struct tfr_backoff){0};
        } else if (flies) {
            TFR_TRY(tfr_comm_pause(engine->comm, &backoff, "the rows of a step"));
        } else {
            TFR_TRY(tfr_comm_pause_idle(engine->comm, &backoff, 0, "a command of rank 0"));
        }
    }
}

static enum tfr_status take_rest(struct tfr_engine *engine, struct copy *whole, const struct tfr_message *first) {
    const size_t total = sizeof *first + (size_t)first->body_bytes;
    TFR_TRY(reserve(whole, total));
    memcpy(whole->message, first, TFR_MESSAGE_INLINE);
    uint8_t *at = (uint8_t *)whole->message + TFR_MESSAGE_INLINE;
    for (size_t left = total - TFR_MESSAGE_INLINE; left > 0;) {
        const size_t n = left < TFR_COMM_PIECE_BYTES ? left : TFR_COMM_PIECE_BYTES;
        tfr_comm_request request;
        TFR_TRY(tfr_comm_irecv(engine->comm, at, n, 0, TFR_TAG_COMMAND_REST, &request));
        TFR_TRY(await(engine, request, "the rest of a command of rank 0"));
        at += n;
        left -= n;
    }
    return TFR_OK;
}

enum tfr_status tfr_message_next(struct tfr_engine *engine, struct tfr_message **message) {
    struct tfr_job *job = engine->job;
    if (job->posted < 0) {
        TFR_TRY(post_receive(engine));
    }
    const enum tfr_status heard = await_first(engine);
    TFR_TRY(heard);
    struct tfr_message *first = job->ring[job->next].message;
    const uint32_t due = ++*count_of(engine, first);
    if ((first->number != due && first->kind != TFR_MESSAGE_CALL) || first->kind < 0 || first->kind >= TFR_N_MESSAGES ||
        first->body_bytes < 0) {
        return tfr_raise(TFR_RUNTIME, "rank %d got command %u of kind %d where number %u was due: the ranks have lost each other",
                         tfr_engine_rank(engine), first->number, first->kind, due);
    }
    job->next = 1 - job->next;
    job->posted = -1;
    if (first->kind != TFR_MESSAGE_END) {
        TFR_TRY(post_receive(engine));
    }
    *message = first;
    if (sizeof *first + (size_t)first->body_bytes > TFR_MESSAGE_INLINE) {
        TFR_TRY(take_rest(engine, &job->ring[2], first));
        *message = job->ring[2].message;
    }
    return TFR_OK;
}
