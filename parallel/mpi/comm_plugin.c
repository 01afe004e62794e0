/* comm_plugin.c - messages as graph nodes: the kernels send_hidden and recv_hidden, class ASYNC.
 *
 * `run` posts the rows of this step, `poll` tests; what was posted is state of the run, so a plan may be in several runs. The
 * communicator is the kernels' user pointer; without one they are only planned with.
 */
#include "mpi/comm.h"

#include <stdio.h>

#include <tfrun/plugin.h>

#include "base/status.h"
#include "mpi/comm_internal.h"

struct message {
    tfr_comm_request request;
    bool posted;
};

/* Operations move the communicator's state, not the record that names it. */
static struct tfr_comm *comm_of(const struct tfr_kernel *self) {
    return (struct tfr_comm *)self->user;
}

static bool supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const struct tfr_comm *comm = comm_of(self);
    const int peer = problem->attrs.peer, tag = problem->attrs.tag;
    if (comm == NULL) { /* a plan on paper, for ranks that were not started */
        return true;
    }
    if (peer < 0 || peer >= tfr_comm_size(comm) || peer == tfr_comm_rank(comm)) {
        snprintf(reason, reason_size, "rank %d of %d has no peer %d", tfr_comm_rank(comm), tfr_comm_size(comm), peer);
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

static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t reason_size) {
    (void)self, (void)problem, (void)reason, (void)reason_size;
    needs->run_state_bytes = sizeof(struct message);
    return TFR_OK;
}

/* The transport raised its sentence: it becomes the reason. */
static enum tfr_status pass_on(enum tfr_status status, const struct tfr_run_ctx *ctx) {
    if (status != TFR_OK && ctx->reason_size > 0) {
        snprintf(ctx->reason, ctx->reason_size, "%s", tfr_failure_text());
    }
    return status;
}

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    struct message *message = args->run_state;
    const size_t bytes = (size_t)args->rows * (size_t)problem->arg[0].dim[1] * sizeof(float);
    /* Messages of one tag are paired in the order of posting, which the executor keeps alike on all ranks within a lane. */
    const int peer = problem->attrs.peer, tag = args->lane * TFR_COMM_LANE_TAGS + problem->attrs.tag;
    const enum tfr_status status = self->op == TFR_OP_SEND_HIDDEN
                                       ? tfr_comm_isend(comm_of(self), args->arg[0], bytes, peer, tag, &message->request)
                                       : tfr_comm_irecv(comm_of(self), args->arg[0], bytes, peer, tag, &message->request);
    message->posted = status == TFR_OK;
    return pass_on(status, ctx);
}

static int32_t poll(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                    const struct tfr_run_ctx *ctx) {
    struct message *message = args->run_state;
    bool done = false;
    (void)problem;
    if (!message->posted) {
        snprintf(ctx->reason, ctx->reason_size, "a message was polled before it was posted");
        return -1;
    }
    if (pass_on(tfr_comm_test(comm_of(self), message->request, &done), ctx) != TFR_OK) {
        return -1;
    }
    message->posted = !done;
    return done;
}

#define KERNEL(OP, op_text, communicator)                                                                                          \
    {                                                                                                                              \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_##OP, .name = op_text ".f32.comm.plain", .user = (communicator),    \
        .dtypes = 1U << TFR_DTYPE_F32, .run_class = TFR_RUN_ASYNC, .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = 10,            \
        .supports = supports, .prepare = prepare, .run = run, .poll = poll                                                         \
    }
#define PLUGIN(pointers)                                                                                                           \
    {                                                                                                                              \
        .struct_size = sizeof(struct tfr_plugin), .abi_major = TFR_PLUGIN_ABI_MAJOR, .abi_minor = TFR_PLUGIN_ABI_MINOR,            \
        .name = "comm", .version = TFR_VERSION_TEXT, .build = "messages between ranks", .n_kernels = 2, .kernels = (pointers)      \
    }

const struct tfr_plugin *tfr_comm_plugin(struct tfr_comm *comm) {
    static const struct tfr_kernel send = KERNEL(SEND_HIDDEN, "send_hidden", NULL), recv = KERNEL(RECV_HIDDEN, "recv_hidden", NULL);
    static const struct tfr_kernel *const paper_kernels[] = {&send, &recv};
    static const struct tfr_plugin paper = PLUGIN(paper_kernels);
    if (comm == NULL) { /* only the records are wanted, for a plan that will not run */
        return &paper;
    }
    struct tfr_comm_records *records = &comm->records;
    *records = (struct tfr_comm_records){
        .kernel = {KERNEL(SEND_HIDDEN, "send_hidden", comm), KERNEL(RECV_HIDDEN, "recv_hidden", comm)},
        .pointer = {&records->kernel[0], &records->kernel[1]},
        .plugin = PLUGIN(records->pointer),
    };
    return &records->plugin;
}
