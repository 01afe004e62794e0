/* probe_rows.c - what the linears of a GPT-2 124M step cost by its rows, against what the machine could do:
 * max(reading the packed weights, FLOPs at the peak of the multipliers), both measured in the same run, in turn with the kernels.
 *
 *     probe_rows PLUGINS[,PLUGINS] [f32|bf16|int8|int8w|int4] [repetitions] [rows,...] [threads]
 *
 * `own` is gemv where it serves the rows and gemm beyond, or coarse for whole numbers; onednn stands beside gemv and gemm. Of two
 * plugin folders (two builds) `own` of each is run in turn, and the last column compares them repetition by repetition. Weights are
 * distinct, as in a step. The head takes part up to 64 rows: the rows of a prompt but the last have no logits. Of one thread CPU
 * time is counted, so that others on the machine disturb less. Uses the plugins' ABI, not the runtime.
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bandwidth.h"
#include "peak.h"
#include "plugin_run.h"
#include "usage.h"

enum { N_LAYERS = 12, N_SHAPES = 5, N_LINEARS = N_LAYERS * 4 + 1, HEAD = 4, MOST_HEAD_ROWS = 64 };
enum { MOST_REPS = 200, MOST_ROWS = 16, MOST_SIDES = 3 };

static const struct { int64_t k, n; } shapes[N_SHAPES] = {{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}, {768, 50257}};

static const struct type {
    const char *word, *plugin;
    int dtype, x_dtype, unit; /* unit: enum tfr_dtype of what multiplies */
} types[] = {{"f32", "gemv", TFR_DTYPE_F32, TFR_DTYPE_F32, TFR_DTYPE_F32},
             {"bf16", "gemv", TFR_DTYPE_BF16, TFR_DTYPE_F32, TFR_DTYPE_BF16},
             {"int8", "coarse", TFR_DTYPE_I8_CHANNEL, TFR_DTYPE_I8, TFR_DTYPE_I8},
             {"int8w", "coarse", TFR_DTYPE_I8_CHANNEL, TFR_DTYPE_F32, TFR_DTYPE_BF16},
             {"int4", "coarse", TFR_DTYPE_I4_GROUP, TFR_DTYPE_I8, TFR_DTYPE_I8}};

/* One program that can do the step: the linears of the five shapes, for one number of rows. */
struct side {
    struct bench_linear linear[N_SHAPES];
    bool is_open;
    double seconds[MOST_REPS];
};

struct probe {
    const struct type *type;
    int n_threads, repetitions, n_rows, n_sides;
    int64_t rows[MOST_ROWS];
    const char *name[MOST_SIDES];
    const struct tfr_plugin *plugin[MOST_SIDES];
    struct bench_buffer weight[N_LINEARS];
    float *x, *y;
    struct side side[MOST_ROWS][MOST_SIDES];
    double read[MOST_REPS], read_blocks[MOST_REPS], peak[MOST_REPS];
};

static int shape_of(int linear) {
    return linear < N_LINEARS - 1 ? linear % 4 : HEAD;
}

/* The first of the names that the plugin has and the CPU can run. */
static const struct tfr_kernel *find(const struct tfr_plugin *plugin, const struct type *type, int64_t rows) {
    static const char *const variants[] = {"avx512vnni", "avx512vbmi", "avx512bf16", "avx512", "avx2", "plain", "auto"};
    static const char *const families[] = {"gemv", "gemm", "coarse", "onednn"};
    char name[64];
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        for (size_t f = rows > 16 ? 1 : 0; f < sizeof families / sizeof *families; f++) {
            snprintf(name, sizeof name, "linear.%s.%s.%s", type->word, families[f], variants[v]);
            const struct tfr_kernel *kernel = bench_kernel_find(plugin, name);
            if (kernel != NULL) {
                return kernel;
            }
        }
    }
    return NULL;
}

static struct tfr_problem problem_of(const struct probe *probe, int64_t rows, int64_t k, int64_t n) {
    struct tfr_problem problem = bench_linear_problem(probe->type->dtype, rows, k, n, probe->n_threads);
    problem.attrs.x_dtype = probe->type->x_dtype;
    return problem;
}

static void open_side(struct probe *probe, int row, int s) {
    struct side *side = &probe->side[row][s];
    const int64_t rows = probe->rows[row];
    const struct tfr_kernel *kernel = find(probe->plugin[s], probe->type, rows);
    side->is_open = kernel != NULL;
    for (int i = 0; side->is_open && i < N_SHAPES; i++) {
        const struct tfr_problem problem = problem_of(probe, rows, shapes[i].k, shapes[i].n);
        void *packed = (void *)(uintptr_t)probe->weight[i < HEAD ? i : N_LINEARS - 1].data;
        side->is_open = bench_linear_open(&side->linear[i], kernel, &problem, NULL, packed);
    }
}

/* Packs the weights once, by the first side's kernel for one row: all own kernels and onednn share the form. */
static void pack(struct probe *probe) {
    float *weight = bench_random_floats(shapes[HEAD].k * shapes[HEAD].n);
    for (int i = 0; i < N_LINEARS; i++) {
        const int64_t k = shapes[shape_of(i)].k, n = shapes[shape_of(i)].n;
        const struct tfr_problem problem = problem_of(probe, 1, k, n);
        struct bench_linear linear;
        if (!bench_linear_open(&linear, find(probe->plugin[0], probe->type, 1), &problem, weight, NULL)) {
            exit(1);
        }
        probe->weight[i] = (struct bench_buffer){.data = linear.packed, .bytes = linear.needs.pack[1].bytes};
        bench_linear_close(&linear);
    }
}

static int linears_of(int64_t rows) {
    return rows <= MOST_HEAD_ROWS ? N_LINEARS : N_LINEARS - 1;
}

static double step_seconds(const struct probe *probe, const struct side *side, int64_t rows) {
    const bool is_team = side->linear[0].kernel->run_class == TFR_RUN_TEAM;
    const double begin = bench_now();
#pragma omp parallel num_threads(probe->n_threads) if (is_team)
    for (int i = 0; i < linears_of(rows); i++) {
        struct bench_linear linear = side->linear[shape_of(i)];
        linear.packed = (void *)(uintptr_t)probe->weight[i].data;
        bench_linear_run_part(&linear, rows, probe->x, probe->x, NULL, probe->y, omp_get_thread_num(), omp_get_num_threads());
#pragma omp barrier
    }
    return bench_now() - begin;
}

static void measure(struct probe *probe) {
    for (int turn = -1; turn < probe->repetitions; turn++) {
        const int at = turn < 0 ? 0 : turn;
        probe->read_blocks[at] = bench_read_seconds(probe->weight, N_LINEARS - 1, probe->n_threads);
        probe->read[at] = probe->read_blocks[at] + bench_read_seconds(probe->weight + N_LINEARS - 1, 1, probe->n_threads);
        probe->peak[at] = bench_peak_flops(probe->type->unit, probe->n_threads);
        for (int row = 0; row < probe->n_rows; row++) {
            for (int s = 0; s < probe->n_sides; s++) {
                struct side *side = &probe->side[row][s];
                side->seconds[at] = side->is_open ? step_seconds(probe, side, probe->rows[row]) : 0;
            }
        }
    }
}

static double flops_of(int64_t rows) {
    double sum = 0;
    for (int i = 0; i < linears_of(rows); i++) {
        sum += 2.0 * (double)(rows * shapes[shape_of(i)].k * shapes[shape_of(i)].n);
    }
    return sum;
}

static void print_ratio(const struct probe *probe, int row) {
    double ratio[MOST_REPS];
    for (int i = 0; i < probe->repetitions; i++) {
        ratio[i] = probe->side[row][1].seconds[i] / probe->side[row][0].seconds[i];
    }
    const struct bench_summary s = bench_summarise(ratio, probe->repetitions);
    printf("  %.3f (%.0f %%)", s.median, s.spread * 100);
}

static void print(struct probe *probe, bool compares) {
    double peak[MOST_REPS], read[MOST_REPS], blocks[MOST_REPS];
    memcpy(peak, probe->peak, sizeof peak);
    memcpy(read, probe->read, sizeof read);
    memcpy(blocks, probe->read_blocks, sizeof blocks);
    const double flops = bench_summarise(peak, probe->repetitions).median;
    const double all = bench_summarise(read, probe->repetitions).median, few = bench_summarise(blocks, probe->repetitions).median;
    printf("%s, %d threads, %d repetitions: peak %.0f GFLOP/s, reading %.2f ms (%.2f without the head)\n", probe->type->word,
           probe->n_threads, probe->repetitions, flops * 1e-9, all * 1e3, few * 1e3);
    printf("rows  roof ms");
    for (int s = 0; s < probe->n_sides; s++) {
        printf("  %9s ms  / roof  of peak", probe->name[s]);
    }
    printf(compares ? "  second / first (spread)\n" : "\n");
    for (int row = 0; row < probe->n_rows; row++) {
        const int64_t rows = probe->rows[row];
        const double stream = linears_of(rows) == N_LINEARS ? all : few, compute = flops_of(rows) / flops;
        const double roof = stream > compute ? stream : compute;
        printf("%4lld %8.2f", (long long)rows, roof * 1e3);
        for (int s = 0; s < probe->n_sides; s++) {
            double seconds[MOST_REPS];
            memcpy(seconds, probe->side[row][s].seconds, sizeof seconds);
            const double median = bench_summarise(seconds, probe->repetitions).median;
            printf("  %12.2f  %6.2f  %6.0f%%", median * 1e3, median / roof, median > 0 ? compute / median * 100 : 0);
        }
        if (compares) {
            print_ratio(probe, row);
        }
        printf("\n");
    }
}

static int take_rows(struct probe *probe, const char *words) {
    for (char *end; probe->n_rows < MOST_ROWS && *words != '\0'; words = end + (*end == ',')) {
        const long rows = strtol(words, &end, 10);
        if (end == words || rows < 1 || rows > 4096) {
            return 0;
        }
        probe->rows[probe->n_rows++] = rows;
    }
    return probe->n_rows;
}

static const struct tfr_plugin *load(const char *folder, size_t length, const char *plugin) {
    char path[1024];
    snprintf(path, sizeof path, "%.*s/tfr_%s.so", (int)length, folder, plugin);
    return bench_plugin_load(path);
}

static void add_side(struct probe *probe, const char *name, const struct tfr_plugin *plugin) {
    probe->name[probe->n_sides] = name;
    probe->plugin[probe->n_sides++] = plugin;
}

static const char usage[] =
    "usage: probe_rows PLUGINS[,PLUGINS] [f32|bf16|int8|int8w|int4] [repetitions] [rows,...] [threads]\n"
    "linears of GPT-2 124M by rows of a step, against what the machine could do; two folders are compared\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    static struct probe probe;
    bench_words(argc, 1, 5, usage);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        probe.type = strcmp(argc > 2 ? argv[2] : "f32", types[i].word) == 0 ? &types[i] : probe.type;
    }
    probe.repetitions = (int)bench_number(argc, argv, 3, 15, 1, MOST_REPS, usage);
    probe.n_threads = (int)bench_number(argc, argv, 5, omp_get_num_procs(), 1, BENCH_MOST_THREADS, usage);
    if (probe.type == NULL || take_rows(&probe, argc > 4 ? argv[4] : "1,2,4,8,16,24,32,48,64,128,512") == 0) {
        return bench_misuse(usage);
    }
    if (probe.n_threads == 1) {
        bench_use_cpu_clock();
    }
    const char *comma = strchr(argv[1], ',');
    add_side(&probe, "own", load(argv[1], comma != NULL ? (size_t)(comma - argv[1]) : strlen(argv[1]), probe.type->plugin));
    if (comma != NULL) {
        add_side(&probe, "second", load(comma + 1, strlen(comma + 1), probe.type->plugin));
    }
    if (comma == NULL && strcmp(probe.type->plugin, "gemv") == 0) {
        add_side(&probe, "onednn", load(argv[1], strlen(argv[1]), "onednn"));
    }
    probe.x = bench_random_floats(4096 * 3072);
    probe.y = bench_huge_alloc((size_t)(MOST_HEAD_ROWS * shapes[HEAD].n + 4096 * 3072) * sizeof(float));
    pack(&probe);
    for (int row = 0; row < probe.n_rows; row++) {
        for (int s = 0; s < probe.n_sides; s++) {
            open_side(&probe, row, s);
        }
    }
    measure(&probe);
    print(&probe, comma != NULL);
    return 0;
}
