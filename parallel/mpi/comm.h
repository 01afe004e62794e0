/* comm.h - the contract of ranks: who am I, post, test, agree, give up.
 *
 * Back ends: comm_self.c (one process), comm_mpi.c (a shared object of its own, the only file that includes
 * mpi.h, loaded only when a launcher is visible, so that one process never initialises MPI). Funnelled: one
 * thread calls all of it. No blocking MPI call is used after start-up: waits poll, then yield, then sleep, up
 * to the deadline.
 */
#ifndef TFR_PARALLEL_COMM_H
#define TFR_PARALLEL_COMM_H

#include <tfrun/types.h>

struct tfr_comm;
#define TFR_COMM_MAX_REQUESTS 8192 /* rank 0 tells every rank of a large job about several steps */
/* A rank that tells all others of a command has two messages to each in flight, and where a rank is lost three more; the last
 * share is for the messages of steps. */
#define TFR_COMM_MAX_RANKS (TFR_COMM_MAX_REQUESTS / 6)
typedef int tfr_comm_request; /* index of a request in flight, -1 none */

/* Looks for a launcher (OMPI_COMM_WORLD_SIZE, PMIX_RANK, PMI_RANK/PMI_SIZE); without one: a comm of size 1.
 * `plugin_dirs` is a NULL-terminated list of folders where comm_mpi.so may lie (the kernel plugins' folders;
 * its name keeps it out of their scan). A launcher with more than one rank and no MPI back end is an error
 * that says what to install; tasks of an srun step that did not wire up (SLURM_STEP_NUM_TASKS > 1, size 1)
 * are refused, and more ranks than TFR_COMM_MAX_RANKS. One rank under a launcher needs no MPI. timeout_s 0 = never; it holds for
 * the start of MPI too, whose end by it ends the process (watchdog.h). A failure that leaves *comm not NULL is one that all ranks
 * know of, and all close it. */
enum tfr_status tfr_comm_open(struct tfr_comm **comm, const char *const *plugin_dirs, int64_t timeout_s);
/* `status`, with which a rank failed before there was a comm: where no other rank of this host tells of a failure in a moment, this
 * one does so on stderr, unless it is rank 0, whose caller does. */
enum tfr_status tfr_comm_not_met(enum tfr_status status);
/* Of this process alone, whoever started it: for what one rank of a job does by itself. */
enum tfr_status tfr_comm_open_alone(struct tfr_comm **comm);
/* A clean end: all ranks call it; it waits for them, with the deadline. NULL-safe. */
void tfr_comm_close(struct tfr_comm *comm);
/* True if the environment shows a launcher with more than one rank, and the rank it gives (0 without): usable
 * before open. */
bool tfr_comm_launched(int *rank, int *size);

int tfr_comm_rank(const struct tfr_comm *comm);
int tfr_comm_size(const struct tfr_comm *comm);
int tfr_comm_local_rank(const struct tfr_comm *comm); /* among the ranks of this node */
int tfr_comm_local_size(const struct tfr_comm *comm);
const char *tfr_comm_describe(const struct tfr_comm *comm); /* "Open MPI 4.1.4, funneled" or "one process" */
void tfr_comm_set_timeout(struct tfr_comm *comm, int64_t timeout_s);
/* How waits treat the core: look without end; look for longer than a step takes, then sleep, for ranks that have their cores alone;
 * give it away at once. At first the last where this node has more ranks than CPUs, else the one before; whoever chooses the
 * threads knows better. */
enum tfr_comm_wait { TFR_COMM_WAIT_SPIN, TFR_COMM_WAIT_OWN_CORES, TFR_COMM_WAIT_SLEEP };
void tfr_comm_set_wait(struct tfr_comm *comm, enum tfr_comm_wait wait);

/* Who uses which tags. Below: messages of the graph, by block. */
enum tfr_comm_tag {
    TFR_TAG_COLLECT = 20000, /* results of a step on their way to rank 0; as many tags as TFR_N_COLLECT_TAGS */
    TFR_N_COLLECT_TAGS = 9000,
    TFR_TAG_COMMAND = 29990, /* what rank 0 says: its first bytes, and the rest */
    TFR_TAG_COMMAND_REST,
    TFR_TAG_TRACE /* time stamps on their way to rank 0 */
};
/* Asynchronous, matched by (peer, tag) in the order of posting; tags 0 .. 30000. */
enum tfr_status tfr_comm_isend(struct tfr_comm *comm, const void *data, size_t bytes, int peer, int tag, tfr_comm_request *request);
enum tfr_status tfr_comm_irecv(struct tfr_comm *comm, void *data, size_t bytes, int peer, int tag, tfr_comm_request *request);
/* *done: the request finished (and is free again). A receive that got another size than asked is a failure.
 */
enum tfr_status tfr_comm_test(struct tfr_comm *comm, tfr_comm_request request, bool *done);

/* MPI counts in int. What goes with a wait is cut into pieces of this size, the last one shorter; both sides know the length. */
#define TFR_COMM_PIECE_BYTES ((size_t)1 << 30)
/* Waiting forms, made of the above with the back-off, of any length. After a failure a request may still be in flight: the
 * job is to be aborted. */
enum tfr_status tfr_comm_send(struct tfr_comm *comm, const void *data, size_t bytes, int peer, int tag);
enum tfr_status tfr_comm_recv(struct tfr_comm *comm, void *data, size_t bytes, int peer, int tag);
struct tfr_backoff {            /* zero to begin; lets a caller poll several things in turn */
    uint64_t start_ns, last_ns; /* the first pause, later by the time in which this process was stopped; the end of the last one */
    uint64_t looked_ns, stopped_ns;
    uint64_t rounds; /* a rank that spins makes millions a second: 32 bits would be over in a quarter of an hour */
    bool is_crowded; /* another took the core when it was offered */
};
/* When a wait of this rank is over its limit, `call` tells those that wait without one, before all call each other (comm_lost.c);
 * they say that they are well by tfr_comm_answer, which ends the job as a wait that is over does. NULL: nobody is told. */
void tfr_comm_on_loss(struct tfr_comm *comm, void (*call)(void *user), void *user);
enum tfr_status tfr_comm_answer(struct tfr_comm *comm);
/* One pause of a polling loop, by the way of waiting that is set: spin, or yield, then sleep 50 us to 1 ms, after a second 5 ms.
 * TFR_RUNTIME after the deadline, with what was awaited: "the rows of rank 2". */
enum tfr_status tfr_comm_pause(struct tfr_comm *comm, struct tfr_backoff *backoff, const char *awaited);
/* Since it was opened: time of pauses and between them, and what was sent. */
uint64_t tfr_comm_waited_ns(const struct tfr_comm *comm);
void tfr_comm_count_sent(const struct tfr_comm *comm, uint64_t *bytes, uint64_t *messages);

/* The same for a wait that may last as long as `peer` likes, for it waits for a user: over only when that process was stopped for
 * as long as the deadline, which is seen from the same host alone. */
enum tfr_status tfr_comm_pause_idle(struct tfr_comm *comm, struct tfr_backoff *backoff, int peer, const char *awaited);

/* Rank 0's bytes to all (tag space of its own). */
enum tfr_status tfr_comm_bcast(struct tfr_comm *comm, void *data, size_t bytes);
/* All ranks: the status of the lowest failing rank comes back on every rank (a cancelled rank counts only if
 * no other failed). On rank 0 the failure text becomes that rank's, prefixed "rank N: " unless it is rank 0;
 * other ranks that did not fail themselves get a text that names it. Call at every point where one rank alone
 * may fail. */
enum tfr_status tfr_comm_agree(struct tfr_comm *comm, enum tfr_status mine);
/* How many failures all ranks know of so far, since they agreed on them. */
uint64_t tfr_comm_count_agreed(const struct tfr_comm *comm);
/* Every rank's `bytes` to rank 0: all[size * bytes], NULL elsewhere. */
enum tfr_status tfr_comm_gather(struct tfr_comm *comm, const void *mine, size_t bytes, void *all);
/* Ranks with the same key: how many, and which of them this one is, in rank order. For dividing the cores of
 * a node. */
enum tfr_status tfr_comm_group(struct tfr_comm *comm, uint64_t key, int *index, int *size);
/* Another rank is gone, and the launcher is ending all: waits of this process fail as cancelled from now on, so that it can still
 * deliver what it has. Of the process; a signal handler may call it. Closing then waits for nobody. */
void tfr_comm_leave(void);
bool tfr_comm_has_left(void);
/* Of ranks that meet the same failure one of each host speaks (comm_word.c): whether there is one. A handler of signals may ask,
 * once the first of these was called; before that none is found. */
void tfr_word_name_job(void);
bool tfr_word_is_taken(void);
/* The end without agreement: prints nothing, kills all ranks, exits with `code`. */
void tfr_comm_abort(struct tfr_comm *comm, int code);

/* Tags of the message kernels: 0 .. TFR_COMM_LANE_TAGS - 1 in every lane (tfr_run_args.lane) of runs. */
#define TFR_COMM_LANE_TAGS 10000
/* Kernels send_hidden and recv_hidden over `comm` (comm_plugin.c), valid as long as it is open; with NULL for plans that will not
 * run. */
struct tfr_plugin;
const struct tfr_plugin *tfr_comm_plugin(struct tfr_comm *comm);

#endif
