/* comm_plugin.c - messages as graph nodes: the kernels send_hidden and recv_hidden, class ASYNC.
 *
 * `run` posts the rows of this step, `poll` tests; the message under way is state of the run, so a plan may be in flight any number
 * of times. The text of a failure is in tfr_failure_text() of the
 * calling thread. The plugin ABI has no place for the communicator, so it is bound here, once, before plans
 * are made.
 */
#include "mpi/comm.h"

#include <stdio.h>

#include <tfrun/plugin.h>

#include "base/status.h"
#include "mpi/comm_internal.h"

static struct tfr_comm *bound; /* set by tfr_comm_plugin, constant afterwards */

struct message {
    tfr_comm_request request;
    bool posted, failed;
};

static bool supports(const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const int peer = problem->attrs.peer, tag = problem->attrs.tag;
    if (bound == NULL) { /* a plan on paper, for ranks that were not started */
        return true;
    }
    if (peer < 0 || peer >= tfr_comm_size(bound) || peer == tfr_comm_rank(bound)) {
        snprintf(reason, reason_size, "rank %d of %d has no peer %d", tfr_comm_rank(bound),
                 tfr_comm_size(bound), peer);
        return false;
    }
    if (tag < 0 || tag >= TFR_COMM_LANE_TAGS) {
        snprintf(reason, reason_size, "tag %d is not in 0 .. %d", tag, TFR_COMM_LANE_TAGS - 1);
        return false;
    }
    if (problem->arg[0].rank != 2) {
        snprintf(reason, reason_size, "needs rows of one width, rank 2, has rank %d", problem->arg[0].rank);
        return false;
    }
    return true;
}

static bool query(const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                  size_t reason_size) {
    (void)problem, (void)reason, (void)reason_size;
    needs->run_state_bytes = sizeof(struct message);
    return true;
}

static size_t message_bytes(const struct tfr_run_args *args, const struct tfr_problem *problem) {
    return (size_t)args->rows * (size_t)problem->arg[0].dim[1] * sizeof(float);
}

/* Messages of one tag are paired in the order of posting, which the executor keeps alike on all ranks within a lane. */
static int wire_tag(const struct tfr_run_args *args, const struct tfr_problem *problem) {
    return args->lane * TFR_COMM_LANE_TAGS + problem->attrs.tag;
}

static void note_posted(struct message *message, enum tfr_status status) {
    message->posted = status == TFR_OK;
    message->failed = status != TFR_OK;
}

static void run_send(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                     const struct tfr_problem *problem) {
    struct message *message = args->run_state;
    (void)ctx;
    note_posted(message, tfr_comm_isend(bound, args->arg[0], message_bytes(args, problem),
                                        problem->attrs.peer, wire_tag(args, problem), &message->request));
}

static void run_recv(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx,
                     const struct tfr_problem *problem) {
    struct message *message = args->run_state;
    (void)ctx;
    note_posted(message, tfr_comm_irecv(bound, args->arg[0], message_bytes(args, problem),
                                        problem->attrs.peer, wire_tag(args, problem), &message->request));
}

static int poll(const struct tfr_run_args *args, const struct tfr_problem *problem) {
    struct message *message = args->run_state;
    bool done = false;
    (void)problem;
    if (message->failed) {
        return -1;
    }
    if (!message->posted) {
        tfr_raise(TFR_RUNTIME, "a message was polled before it was posted");
        return -1;
    }
    if (tfr_comm_test(bound, message->request, &done) != TFR_OK) {
        message->failed = true;
        return -1;
    }
    message->posted = !done;
    return done;
}

static const struct tfr_kernel kernels[] = {
    {
        .struct_size = sizeof(struct tfr_kernel),
        .name = "send_hidden.f32.comm.plain",
        .op = TFR_OP_SEND_HIDDEN,
        .dtypes = 1u << TFR_DTYPE_F32,
        .run_class = TFR_RUN_ASYNC,
        .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,
        .score = 10,
        .supports = supports,
        .query = query,
        .run = run_send,
        .poll = poll,
    },
    {
        .struct_size = sizeof(struct tfr_kernel),
        .name = "recv_hidden.f32.comm.plain",
        .op = TFR_OP_RECV_HIDDEN,
        .dtypes = 1u << TFR_DTYPE_F32,
        .run_class = TFR_RUN_ASYNC,
        .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,
        .score = 10,
        .supports = supports,
        .query = query,
        .run = run_recv,
        .poll = poll,
    },
};

const struct tfr_plugin *tfr_comm_plugin(struct tfr_comm *comm) {
    static const struct tfr_plugin plugin = {
        .struct_size = sizeof plugin,
        .abi_major = TFR_PLUGIN_ABI_MAJOR,
        .abi_minor = TFR_PLUGIN_ABI_MINOR,
        .name = "comm",
        .version = TFR_VERSION_TEXT,
        .build = "messages between ranks",
        .n_kernels = sizeof kernels / sizeof kernels[0],
        .kernels = kernels,
    };
    if (comm != NULL) { /* NULL: only the records are wanted, for a plan that will not run */
        bound = comm;
    }
    return &plugin;
}
