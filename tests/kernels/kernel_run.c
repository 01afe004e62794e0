/* kernel_run.c - a small host: loads plugins, packs, and runs a kernel by its class on plain threads. */
#include "kernel_run.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/tensor.h"
#include "common/isa.h"
#include "common/plugins_static.h"

enum { GUARD_BYTES = 1024, GUARD = 0x5a };

static void print_log(const char *plugin, const char *text) {
    fprintf(stderr, "%s: %s\n", plugin, text);
}

static void add_plugin(tfr_plugin_entry_fn entry, struct kernel_list *list) {
    static struct tfr_host host = {.struct_size = sizeof host,
                                   .abi_major = TFR_PLUGIN_ABI_MAJOR,
                                   .abi_minor = TFR_PLUGIN_ABI_MINOR,
                                   .n_cores = 3,
                                   .log = print_log};
    host.isa = tfr_isa_probe();
    const struct tfr_plugin *plugin = entry(&host);
    for (int i = 0; plugin != NULL && i < plugin->n_kernels && list->n < MAX_KERNELS; i++) {
        if ((plugin->kernels[i]->isa & host.isa) == plugin->kernels[i]->isa) {
            list->kernel[list->n++] = plugin->kernels[i];
        }
    }
}

void kernels_load(const char *folder, struct kernel_list *list) {
    for (int i = 0; i < tfr_n_static_plugins; i++) {
        add_plugin(tfr_static_plugins[i], list);
    }
    DIR *dir = folder != NULL ? opendir(folder) : NULL;
    if (folder != NULL && dir == NULL) { /* or `ref` alone would be held against itself */
        fprintf(stderr, "cannot read the folder of plugins %s\n", folder);
        exit(2);
    }
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[4096];
        const size_t length = strlen(entry->d_name);
        if (length < 7 || strncmp(entry->d_name, "tfr_", 4) != 0 || strcmp(entry->d_name + length - 3, ".so") != 0) {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* never closed: rule of plugin.h */
        void *symbol = library != NULL ? dlsym(library, TFR_PLUGIN_SYMBOL) : NULL;
        if (symbol == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            exit(2);
        }
        tfr_plugin_entry_fn found;
        memcpy(&found, &symbol, sizeof found);
        add_plugin(found, list);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void *must_alloc(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (memory == NULL) {
        fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(2);
    }
    memset(memory, 0, (bytes + 127) / 64 * 64);
    return memory;
}

void *random_floats(uint64_t *state, enum tfr_dtype dtype, int64_t n, double spread, double offset) {
    void *values = must_alloc((size_t)n * tfr_dtype_size(dtype));
    tfr_kernel_fill(state, dtype, values, n, spread, offset);
    return values;
}

void *guarded_alloc(size_t bytes) {
    uint8_t *buffer = must_alloc(bytes + GUARD_BYTES);
    memset(buffer, 0xff, bytes);
    memset(buffer + bytes, GUARD, GUARD_BYTES);
    return buffer;
}

bool guard_holds(const void *buffer, size_t bytes) {
    const uint8_t *at = (const uint8_t *)buffer + bytes;
    for (int i = 0; buffer != NULL && i < GUARD_BYTES; i++) {
        if (at[i] != GUARD) {
            return false;
        }
    }
    return true;
}

bool setup_open(const struct tfr_kernel *kernel, const struct tfr_kernel_data *data, int n_threads, struct tfr_order order,
                struct kernel_setup *setup, char *reason, size_t reason_size) {
    *setup =
        (struct kernel_setup){.kernel = kernel, .data = data, .problem = data->problem, .needs.struct_size = sizeof setup->needs};
    setup->problem.n_threads = n_threads;
    setup->problem.order = order;
    snprintf(reason, reason_size, "no reason given");
    const struct tfr_problem *problem = &setup->problem;
    if (kernel->supports != NULL && !kernel->supports(kernel, problem, reason, reason_size)) {
        return false;
    }
    if (kernel->prepare != NULL && kernel->prepare(kernel, problem, &setup->needs, reason, reason_size) != TFR_OK) {
        return false;
    }
    const struct tfr_needs *needs = &setup->needs;
    if (needs->state_bytes > 0) {
        setup->state = guarded_alloc(needs->state_bytes);
        memset(setup->state, 0, needs->state_bytes);
    }
    setup->scratch = guarded_alloc(needs->scratch_bytes);
    for (int t = 0; t < n_threads; t++) {
        setup->thread_scratch[t] = guarded_alloc(needs->scratch_per_thread_bytes);
    }
    if (needs->pack[1].bytes > 0) {
        setup->packed = guarded_alloc(needs->pack[1].bytes);
        for (int t = 0; t < n_threads; t++) {
            kernel->pack(kernel, problem, 1, &data->weight, setup->packed, t, n_threads);
        }
    }
    if (kernel->init != NULL && kernel->init(kernel, problem, setup->state, reason, reason_size) != TFR_OK) {
        setup_close(setup);
        return false;
    }
    return true;
}

/* Spins, and yields after a while, since threads may outnumber cores. */
struct barrier {
    atomic_int n_arrived, phase;
};

struct thread_job {
    const struct kernel_setup *setup;
    const struct tfr_run_args *args;
    struct tfr_run_ctx ctx;
};

static void wait_barrier(const struct tfr_run_ctx *ctx) {
    struct barrier *barrier = ctx->team;
    const int phase = atomic_load(&barrier->phase);
    if (atomic_fetch_add(&barrier->n_arrived, 1) + 1 == ctx->nth) {
        atomic_store(&barrier->n_arrived, 0);
        atomic_store(&barrier->phase, phase + 1);
        return;
    }
    for (int spins = 0; atomic_load(&barrier->phase) == phase; spins++) {
        if (spins > 2000) {
            sched_yield();
        }
    }
}

static void run_once(const struct kernel_setup *setup, const struct tfr_run_args *args, const struct tfr_run_ctx *ctx) {
    if (setup->kernel->run(setup->kernel, &setup->problem, args, ctx) != TFR_OK) {
        fprintf(stderr, "%s fails: %s\n", setup->kernel->name, ctx->reason);
        exit(6);
    }
}

static void *run_thread(void *arg) {
    const struct thread_job *job = arg;
    run_once(job->setup, job->args, &job->ctx);
    wait_barrier(&job->ctx);
    return NULL;
}

/* A SELF kernel takes the size of its team from OpenMP: set it there, if a plugin brought an OpenMP. */
static void set_omp_threads(int n) {
    void *omp = dlopen("libgomp.so.1", RTLD_NOW | RTLD_NOLOAD);
    void *symbol = omp != NULL ? dlsym(omp, "omp_set_num_threads") : NULL;
    void (*set)(int) = NULL;
    memcpy(&set, &symbol, sizeof set);
    if (set != NULL) {
        set(n);
    }
}

static void run_team(struct kernel_setup *setup, const struct tfr_run_args *args, int nth) {
    struct thread_job job[8];
    pthread_t thread[8];
    struct barrier barrier = {0};
    char reason[8][128] = {{0}};
    for (int t = nth - 1; t >= 0; t--) {
        job[t] = (struct thread_job){setup,
                                     args,
                                     {.struct_size = sizeof(struct tfr_run_ctx),
                                      .tid = t,
                                      .nth = nth,
                                      .scratch = setup->scratch,
                                      .thread_scratch = setup->thread_scratch[t],
                                      .barrier = wait_barrier,
                                      .team = &barrier,
                                      .reason = reason[t],
                                      .reason_size = sizeof reason[t]}};
        if (t == 0) {
            run_thread(&job[0]);
        } else if (pthread_create(&thread[t], NULL, run_thread, &job[t]) != 0) {
            fprintf(stderr, "no thread\n");
            exit(2);
        }
    }
    for (int t = 1; t < nth; t++) {
        pthread_join(thread[t], NULL);
    }
}

void setup_run(struct kernel_setup *setup, void *const *in, int64_t rows, const struct tfr_batch *batch, void *out) {
    const struct tfr_kernel_data *data = setup->data;
    void *arg[TFR_MAX_ARGS] = {0};
    memcpy(arg, in, (size_t)data->n_in * sizeof *arg);
    arg[data->n_in] = out;
    if (data->problem.op == TFR_OP_LINEAR) {
        arg[1] = setup->packed != NULL ? setup->packed : data->weight.data;
    }
    const struct tfr_run_args args = {.struct_size = sizeof args, .arg = arg, .rows = rows, .batch = batch, .state = setup->state};
    if (setup->kernel->run_class == TFR_RUN_TEAM) {
        run_team(setup, &args, setup->problem.n_threads);
        return;
    }
    set_omp_threads(setup->problem.n_threads);
    char reason[128] = "";
    const struct tfr_run_ctx ctx = {.struct_size = sizeof ctx,
                                    .nth = 1,
                                    .scratch = setup->scratch,
                                    .thread_scratch = setup->thread_scratch[0],
                                    .reason = reason,
                                    .reason_size = sizeof reason};
    run_once(setup, &args, &ctx);
}

const char *setup_overrun(const struct kernel_setup *setup) {
    if (!guard_holds(setup->packed, setup->needs.pack[1].bytes)) {
        return "packed weight";
    }
    if (!guard_holds(setup->state, setup->needs.state_bytes)) {
        return "state";
    }
    if (!guard_holds(setup->scratch, setup->needs.scratch_bytes)) {
        return "scratch";
    }
    for (int t = 0; t < setup->problem.n_threads; t++) {
        if (!guard_holds(setup->thread_scratch[t], setup->needs.scratch_per_thread_bytes)) {
            return "thread scratch";
        }
    }
    return NULL;
}

void setup_close(struct kernel_setup *setup) {
    if (setup->kernel->release != NULL && setup->state != NULL) {
        setup->kernel->release(setup->kernel, setup->state);
    }
    for (int t = 0; t < setup->problem.n_threads; t++) {
        free(setup->thread_scratch[t]);
    }
    free(setup->scratch);
    free(setup->state);
    free(setup->packed);
}
