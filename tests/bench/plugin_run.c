/* plugin_run.c - see plugin_run.h. The barrier is OpenMP's. */
#include "plugin_run.h"

#include <dlfcn.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bandwidth.h"
#include "common/isa.h"

static void host_log(const char *plugin, const char *text) {
    fprintf(stderr, "%s: %s\n", plugin, text);
}

float *bench_random_floats(int64_t count) {
    float *data = bench_huge_alloc((size_t)count * sizeof *data);
    uint32_t seed = 1;
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525U + 1013904223U;
        data[i] = (float)(int32_t)seed * 0x1p-36f;
    }
    return data;
}

const struct tfr_plugin *bench_plugin_load(const char *path) {
    static struct tfr_host host;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    tfr_plugin_entry_fn entry = NULL;
    host = (struct tfr_host){
        .struct_size = sizeof host,
        .abi_major = TFR_PLUGIN_ABI_MAJOR,
        .abi_minor = TFR_PLUGIN_ABI_MINOR,
        .isa = tfr_isa_probe(),
        .n_cores = omp_get_num_procs(),
        .log = host_log,
    };
    if (library != NULL) {
        *(void **)&entry = dlsym(library, TFR_PLUGIN_SYMBOL);
    }
    if (entry == NULL) {
        fprintf(stderr, "%s: %s\n", path, dlerror());
        exit(5);
    }
    return entry(&host);
}

const struct tfr_kernel *bench_kernel_find(const struct tfr_plugin *plugin, const char *name) {
    const uint32_t isa = tfr_isa_probe();
    for (int i = 0; plugin != NULL && i < plugin->n_kernels; i++) {
        const struct tfr_kernel *kernel = plugin->kernels[i];
        if (strcmp(kernel->name, name) == 0 && (kernel->isa & ~isa) == 0) {
            return kernel;
        }
    }
    return NULL;
}

static struct tfr_arg_desc matrix(int dtype, int64_t rows, int64_t columns, uint32_t flags) {
    return (struct tfr_arg_desc){.dtype = dtype, .rank = 2, .dim = {rows, columns}, .flags = flags};
}

struct tfr_problem bench_linear_problem(int dtype, int64_t rows, int64_t k, int64_t n, int n_threads) {
    struct tfr_problem problem = {
        .struct_size = sizeof problem,
        .op = TFR_OP_LINEAR,
        .n_args = 5,
        .n_threads = n_threads,
        .rows_min = 1,
        .rows_max = rows,
        .deterministic = 1,
    };
    problem.attrs.struct_size = sizeof problem.attrs;
    problem.arg[0] = matrix(TFR_DTYPE_F32, rows, k, TFR_ARG_VAR_ROWS);
    problem.arg[1] = matrix(dtype, k, n, TFR_ARG_CONST);
    problem.arg[2] = (struct tfr_arg_desc){.dtype = TFR_DTYPE_F32, .rank = 1, .dim = {n}, .flags = TFR_ARG_CONST};
    problem.arg[3] = matrix(TFR_DTYPE_F32, rows, n, TFR_ARG_VAR_ROWS | TFR_ARG_ABSENT);
    problem.arg[4] = matrix(TFR_DTYPE_F32, rows, n, TFR_ARG_VAR_ROWS);
    return problem;
}

static void pack_by_team(struct bench_linear *linear, const float *weight) {
    struct tfr_problem *problem = &linear->problem;
    const int64_t rows = problem->arg[problem->attrs.transposed ? 4 : 0].dim[1];
    const int64_t columns = problem->arg[problem->attrs.transposed ? 0 : 4].dim[1];
    const struct tfr_tensor view = {
        .data = (void *)(uintptr_t)weight, .dtype = TFR_DTYPE_F32, .rank = 2, .dim = {rows, columns}, .stride = {columns, 1}};
    linear->packed = bench_huge_alloc(linear->needs.pack[1].bytes);
#pragma omp parallel num_threads(problem->n_threads)
    linear->kernel->pack(linear->kernel, problem, 1, &view, linear->packed, omp_get_thread_num(), omp_get_num_threads());
}

static void *zeroed(size_t bytes) {
    const size_t whole = (bytes + 63) / 64 * 64;
    void *data = whole > 0 ? aligned_alloc(64, whole) : NULL;
    if (data != NULL) {
        memset(data, 0, whole);
    }
    return data;
}

static size_t per_thread_bytes(const struct bench_linear *linear) {
    return (linear->needs.scratch_per_thread_bytes + 63) / 64 * 64;
}

bool bench_linear_open(struct bench_linear *linear, const struct tfr_kernel *kernel, const struct tfr_problem *problem,
                       const float *weight, void *packed) {
    char reason[256] = "";
    *linear =
        (struct bench_linear){.kernel = kernel, .problem = *problem, .packed = packed, .needs.struct_size = sizeof linear->needs};
    if ((kernel->supports != NULL && !kernel->supports(kernel, problem, reason, sizeof reason)) ||
        (kernel->prepare != NULL && kernel->prepare(kernel, problem, &linear->needs, reason, sizeof reason) != TFR_OK)) {
        fprintf(stderr, "%s refuses: %s\n", kernel->name, reason);
        return false;
    }
    linear->state = zeroed(linear->needs.state_bytes);
    linear->scratch = zeroed(linear->needs.scratch_bytes);
    linear->thread_scratch = zeroed(per_thread_bytes(linear) * (size_t)problem->n_threads);
    if (kernel->init != NULL && kernel->init(kernel, problem, linear->state, reason, sizeof reason) != TFR_OK) {
        fprintf(stderr, "%s fails: %s\n", kernel->name, reason);
        return false;
    }
    if (packed == NULL) {
        pack_by_team(linear, weight);
    }
    return true;
}

static void team_barrier(const struct tfr_run_ctx *ctx) {
    (void)ctx;
#pragma omp barrier
}

void bench_linear_run_part(const struct bench_linear *linear, int64_t rows, const float *x, const float *bias,
                           const float *residual, float *y, int tid, int nth) {
    void *arg[5] = {(void *)(uintptr_t)x, linear->packed, (void *)(uintptr_t)bias, (void *)(uintptr_t)residual, y};
    const struct tfr_run_args args = {.struct_size = sizeof args, .arg = arg, .rows = rows, .state = linear->state};
    char reason[128] = "";
    const struct tfr_run_ctx ctx = {
        .struct_size = sizeof ctx,
        .tid = tid,
        .nth = nth,
        .scratch = linear->scratch,
        .thread_scratch = (char *)linear->thread_scratch + per_thread_bytes(linear) * (size_t)tid,
        .barrier = team_barrier,
        .reason = reason,
        .reason_size = sizeof reason,
    };
    if (linear->kernel->run(linear->kernel, &linear->problem, &args, &ctx) != TFR_OK) {
        fprintf(stderr, "%s fails: %s\n", linear->kernel->name, reason);
        exit(1);
    }
}

void bench_linear_run(const struct bench_linear *linear, int64_t rows, const float *x, const float *bias, const float *residual,
                      float *y) {
    if (linear->kernel->run_class != TFR_RUN_TEAM) {
        bench_linear_run_part(linear, rows, x, bias, residual, y, 0, 1);
        return;
    }
#pragma omp parallel num_threads(linear->problem.n_threads)
    bench_linear_run_part(linear, rows, x, bias, residual, y, omp_get_thread_num(), omp_get_num_threads());
}

void bench_linear_close(struct bench_linear *linear) {
    if (linear->kernel->release != NULL && linear->state != NULL) {
        linear->kernel->release(linear->kernel, linear->state);
    }
    free(linear->state);
    free(linear->scratch);
    free(linear->thread_scratch);
}
