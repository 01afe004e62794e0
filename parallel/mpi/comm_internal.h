/* comm_internal.h - the record behind struct tfr_comm, shared by comm.c (messages), comm_open.c (choice),
 * comm_collect.c (collectives) and comm_lost.c (the end of a job). */
#ifndef TFR_MPI_COMM_INTERNAL_H
#define TFR_MPI_COMM_INTERNAL_H

#include <tfrun/plugin.h>

#include "mpi/comm_backend.h"

enum { TFR_COMM_HOST_BYTES = 64 };
/* Where a rank is: the number means something to ranks that see the same processes. */
struct tfr_comm_place {
    char host[TFR_COMM_HOST_BYTES];
    uint64_t sees; /* which processes it sees, 0 unknown */
    int64_t process;
};

struct tfr_comm {
    struct tfr_comm_backend *backend;
    int64_t timeout_s;
    enum tfr_comm_wait wait;
    void (*call)(void *user); /* tfr_comm_on_loss; NULL: nobody */
    void *call_user;
    bool has_lost;                  /* a rank, and said so: the end of the communicator ends the job */
    bool is_spare;                  /* a record of the process: this rank had no memory for one of its own */
    struct tfr_comm_place *places;  /* [size]; NULL in one process and until all are known */
    char host[TFR_COMM_HOST_BYTES]; /* of this rank */
    uint64_t waited_ns, sent_bytes, sent_messages;
    uint64_t n_agreed;        /* failures */
    struct tfr_comm_records { /* of the kernels of tfr_comm_plugin, whose user pointer is this communicator */
        struct tfr_kernel kernel[2];
        const struct tfr_kernel *pointer[2];
        struct tfr_plugin plugin;
    } records;
};

/* Tags of tfrun's own; callers end at TFR_COMM_MAX_TAG. MPI promises 32767. */
#define TFR_COMM_MAX_TAG 30000
enum { TFR_TAG_BCAST = TFR_COMM_MAX_TAG + 1, TFR_TAG_GATHER, TFR_TAG_AGREE, TFR_TAG_ROLL };

/* The next piece of what is left to go. */
static inline size_t tfr_comm_piece(size_t left) {
    return left < TFR_COMM_PIECE_BYTES ? left : TFR_COMM_PIECE_BYTES;
}
/* As the public forms, without the limit on tags; `awaited` is what a timeout names. */
enum tfr_status tfr_comm_send_tagged(struct tfr_comm *comm, const void *data, size_t bytes, int peer, int tag, const char *awaited);
enum tfr_status tfr_comm_recv_tagged(struct tfr_comm *comm, void *data, size_t bytes, int peer, int tag, const char *awaited);

/* Every rank learns the place of every other, and whether another one has no memory: for its places, or for a record. */
enum tfr_status tfr_comm_learn_places(struct tfr_comm *comm);
/* "?" while it is not known. */
const char *tfr_comm_host(const struct tfr_comm *comm, int rank);
/* True where it is known that somebody stopped the rank's process. */
bool tfr_comm_is_stopped(const struct tfr_comm *comm, int rank);
/* The limit of a wait is over. In one process a failure; among ranks it says which of them is lost and ends the job, but where
 * there is somebody to call (rank 0 at work): then TFR_CANCELLED, as of tfr_comm_leave, and tfr_comm_close ends the job. */
enum tfr_status tfr_comm_lose(struct tfr_comm *comm, const char *awaited);
/* A call of MPI failed, and the text of that is this rank's failure: the others would wait for a message that does not come. Says
 * so and ends the job, or leaves it, as tfr_comm_lose does. */
enum tfr_status tfr_comm_break(struct tfr_comm *comm);

/* True for the first rank of this job on this host that asks, which may then speak of what the others meet too, until its process
 * ends. In doubt true: two sentences are better than none. Asked once by a process. */
bool tfr_word_take(void);
/* The ranks of this job that this one's launcher started here hear that one has spoken (base/named.h): before they know each
 * other's places. Programs of other jobs, which a launcher that stays may have beside them, do not. */
void tfr_word_tell_beside(void);

#endif
