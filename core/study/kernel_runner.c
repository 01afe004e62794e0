/* kernel_runner.c - see kernel_runner.h. */
#include "study/kernel_runner.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "base/tensor.h"

enum { LINE_BYTES = 64 };

double tfr_kernel_runner_bytes(const struct tfr_needs *needs, int n_threads) {
    double bytes = (double)needs->state_bytes + (double)needs->run_state_bytes + (double)needs->scratch_bytes +
                   n_threads * ((double)needs->scratch_per_thread_bytes + LINE_BYTES);
    for (int a = 0; a < TFR_MAX_ARGS; a++) {
        bytes += (double)needs->pack[a].bytes;
    }
    return bytes;
}

struct packing {
    struct tfr_kernel_runner *runner;
    int arg;
    struct tfr_tensor weight;
};

static void pack_part(void *user, int tid, int nth) {
    const struct packing *packing = user;
    struct tfr_kernel_runner *runner = packing->runner;
    runner->kernel->pack(runner->kernel, &runner->problem, packing->arg, &packing->weight, runner->packed[packing->arg].data, tid,
                         nth);
}

/* A constant argument as its file has it. */
static struct tfr_tensor tensor_of(const struct tfr_kernel_data *data, int arg) {
    const struct tfr_arg_desc *desc = &data->problem.arg[arg];
    if (data->problem.op == TFR_OP_LINEAR && arg == 1) {
        return data->weight;
    }
    return tfr_tensor_make(data->in[arg], (enum tfr_dtype)desc->dtype, desc->rank, desc->dim);
}

static enum tfr_status pack(struct tfr_kernel_runner *runner, enum tfr_hugepages hugepages) {
    for (int a = 0; a < runner->problem.n_args; a++) {
        if (runner->needs.pack[a].bytes > 0) {
            struct packing packing = {.runner = runner, .arg = a, .weight = tensor_of(runner->data, a)};
            TFR_TRY(tfr_block_open(&runner->packed[a], runner->needs.pack[a].bytes, hugepages));
            tfr_team_run(runner->team, pack_part, &packing);
            runner->arg[a] = runner->packed[a].data;
        }
    }
    return TFR_OK;
}

static enum tfr_status open_block(struct tfr_block *block, size_t bytes) {
    return bytes > 0 ? tfr_block_open(block, bytes, TFR_HUGEPAGES_OFF) : TFR_OK;
}

static enum tfr_status open_memory(struct tfr_kernel_runner *runner) {
    const struct tfr_needs *needs = &runner->needs;
    runner->thread_scratch_bytes = tfr_align_up(needs->scratch_per_thread_bytes, LINE_BYTES);
    const size_t of_threads = (size_t)tfr_team_size(runner->team) * runner->thread_scratch_bytes;
    TFR_TRY(open_block(&runner->state, needs->state_bytes));
    TFR_TRY(open_block(&runner->run_state, needs->run_state_bytes));
    return open_block(&runner->scratch, tfr_align_up(needs->scratch_bytes, LINE_BYTES) + of_threads);
}

enum tfr_status tfr_kernel_runner_open(struct tfr_kernel_runner *runner, enum tfr_hugepages hugepages, float *out) {
    const struct tfr_kernel_data *data = runner->data;
    const struct tfr_kernel *kernel = runner->kernel;
    char reason[128] = "";
    memcpy(runner->arg, data->in, sizeof runner->arg);
    if (data->problem.op == TFR_OP_LINEAR) {
        runner->arg[1] = data->weight.data;
    }
    if (data->problem.op != TFR_OP_KV_APPEND) {
        runner->arg[data->n_in] = out + data->weights_floats;
    }
    TFR_TRY(pack(runner, hugepages));
    TFR_TRY(open_memory(runner));
    if (kernel->init != NULL) {
        const int32_t status = kernel->init(kernel, &runner->problem, runner->state.data, reason, sizeof reason);
        if (status != TFR_OK) {
            return tfr_raise(TFR_RUNTIME, "%s cannot be made ready: %s", kernel->name,
                             reason[0] != '\0' ? reason : "no reason given");
        }
    }
    runner->is_initialised = true;
    runner->args = (struct tfr_run_args){.struct_size = sizeof runner->args,
                                         .arg = runner->arg,
                                         .rows = data->rows,
                                         .batch = data->batch.n_seqs > 0 ? &data->batch : NULL,
                                         .state = runner->state.data,
                                         .run_state = runner->run_state.data};
    return TFR_OK;
}

void tfr_kernel_runner_close(struct tfr_kernel_runner *runner) {
    if (runner->is_initialised && runner->kernel->release != NULL && runner->state.data != NULL) {
        runner->kernel->release(runner->kernel, runner->state.data);
    }
    for (int a = 0; a < TFR_MAX_ARGS; a++) {
        tfr_block_close(&runner->packed[a]);
    }
    tfr_block_close(&runner->state);
    tfr_block_close(&runner->run_state);
    tfr_block_close(&runner->scratch);
}

static void wait_for_all(const struct tfr_run_ctx *ctx) {
    const struct tfr_kernel_runner *runner = ctx->team;
    if (ctx->nth > 1) {
        tfr_team_barrier(runner->team, ctx->tid);
    }
}

static void note(struct tfr_kernel_runner *runner, int32_t status, const char *reason) {
    if (!atomic_flag_test_and_set(&runner->is_noted)) {
        runner->noted = status > 0 && status < TFR_STATUS_COUNT ? (enum tfr_status)status : TFR_RUNTIME;
        snprintf(runner->reason, sizeof runner->reason, "%s", reason[0] != '\0' ? reason : "no reason given");
    }
}

/* A kernel that fails in one thread meets every barrier, and so does this. */
static void run_thread(void *user, int tid, int nth) {
    struct tfr_kernel_runner *runner = user;
    char reason[sizeof runner->reason] = "";
    uint8_t *scratch = runner->scratch.data;
    const size_t shared = tfr_align_up(runner->needs.scratch_bytes, LINE_BYTES);
    const struct tfr_run_ctx ctx = {
        .struct_size = sizeof ctx,
        .tid = tid,
        .nth = nth,
        .scratch = scratch,
        .thread_scratch = scratch != NULL ? scratch + shared + (size_t)tid * runner->thread_scratch_bytes : NULL,
        .barrier = wait_for_all,
        .team = runner,
        .reason = reason,
        .reason_size = sizeof reason,
    };
    wait_for_all(&ctx);
    const uint64_t start_ns = tid == 0 ? tfr_clock_ns() : 0;
    for (int i = 0; i < runner->repeats; i++) {
        if (runner->run_state.data != NULL && tid == 0) {
            memset(runner->run_state.data, 0, runner->needs.run_state_bytes);
        }
        if (runner->run_state.data != NULL) {
            wait_for_all(&ctx);
        }
        const int32_t status = runner->kernel->run(runner->kernel, &runner->problem, &runner->args, &ctx);
        if (status != TFR_OK) {
            note(runner, status, reason);
        }
        wait_for_all(&ctx);
    }
    if (tid == 0) {
        runner->took_ns = tfr_clock_ns() - start_ns;
    }
}

enum tfr_status tfr_kernel_runner_time(struct tfr_kernel_runner *runner, int repeats, double *seconds) {
    runner->repeats = repeats;
    if (runner->kernel->run_class == TFR_RUN_TEAM) {
        tfr_team_run(runner->team, run_thread, runner);
    } else {
        run_thread(runner, 0, 1);
    }
    if (seconds != NULL) {
        *seconds = (double)runner->took_ns / repeats / 1e9;
    }
    return runner->noted == TFR_OK ? TFR_OK : tfr_raise(runner->noted, "%s failed: %s", runner->kernel->name, runner->reason);
}
