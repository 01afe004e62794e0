/* probe_decode.c - how close do the linears come to the machine? In one run, repetitions interleaved:
 *   decode   the 49 linears of one GPT-2 124M step, one row, by gemv, against reading the same bytes
 *   prefill  the four linears of a block, 512 rows, by the onednn plugin and by gemm, against oneDNN called
 * directly Only ratios within one run mean something: the machine may be shared. Uses the plugins' ABI, not
 * the runtime. tfr_probe PLUGIN_FOLDER [threads] [repetitions]
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include "bandwidth.h"
#include "plugin_run.h"
#include "probe_direct.h"
#include "usage.h"

#define N_LAYERS     12
#define PREFILL_ROWS 512
#define MAX_REPS     200

static const struct { int64_t k, n; } block_shape[4] = {{768, 2304}, {768, 768}, {768, 3072}, {3072, 768}};
static const int64_t head_k = 768, head_n = 50257;

/* All linears of a step, with weights of their own. */
struct model {
    struct bench_linear linear[N_LAYERS * 4 + 1];
    struct bench_buffer weight[N_LAYERS * 4 + 1];
    int count;
    size_t bytes;
};

static bool add_linear(struct model *model, const struct tfr_kernel *kernel, int dtype, int64_t k, int64_t n, int n_threads,
                       const float *weight) {
    const struct tfr_problem problem = bench_linear_problem(dtype, 1, k, n, n_threads);
    struct bench_linear *linear = &model->linear[model->count];
    if (kernel == NULL || !bench_linear_open(linear, kernel, &problem, weight, NULL)) {
        return false;
    }
    const struct bench_buffer buffer = {.data = linear->packed, .bytes = linear->needs.pack[1].bytes};
    model->weight[model->count++] = buffer;
    model->bytes += buffer.bytes;
    return true;
}

static bool open_model(struct model *model, const struct tfr_kernel *kernel, int dtype, int n_threads, const float *weight) {
    *model = (struct model){0};
    for (int i = 0; i < N_LAYERS * 4; i++) {
        if (!add_linear(model, kernel, dtype, block_shape[i % 4].k, block_shape[i % 4].n, n_threads, weight)) {
            return false;
        }
    }
    return add_linear(model, kernel, dtype, head_k, head_n, n_threads, weight);
}

static void keep_best(double *best, double seconds) {
    *best = *best == 0 || seconds < *best ? seconds : *best;
}

/* One region for the whole step and a barrier after each linear, as the executor does it. best[i]: of linear
 * i. */
static double decode_seconds(const struct model *model, const float *x, const float *bias, float *y, int n_threads, double *best) {
    const double begin = bench_now();
#pragma omp parallel num_threads(n_threads)
    for (int i = 0; i < model->count; i++) {
        const double start = bench_now();
        bench_linear_run_part(&model->linear[i], 1, x, bias, NULL, y, omp_get_thread_num(), n_threads);
#pragma omp barrier
        if (omp_get_thread_num() == 0) {
            keep_best(&best[i], bench_now() - start);
        }
    }
    return bench_now() - begin;
}

static double read_seconds(const struct model *model, int n_threads, double *best) {
    double total = 0;
    for (int i = 0; i < model->count; i++) {
        const double seconds = bench_read_seconds(&model->weight[i], 1, n_threads);
        keep_best(&best[i], seconds);
        total += seconds;
    }
    return total;
}

static double sum_of(const double *value, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum += value[i];
    }
    return sum;
}

static void probe_decode(const char *name, const struct tfr_plugin *gemv, int dtype, int n_threads, int reps, const float *weight,
                         float *y) {
    static struct model model;
    double read[MAX_REPS], step[MAX_REPS], best_read[N_LAYERS * 4 + 1] = {0}, best_step[N_LAYERS * 4 + 1] = {0};
    if (!open_model(&model, bench_kernel_find(gemv, name), dtype, n_threads, weight)) {
        printf("decode   %-32s not on this machine\n", name);
        return;
    }
    for (int i = 0; i < reps; i++) {
        read[i] = read_seconds(&model, n_threads, best_read);
        step[i] = decode_seconds(&model, weight, weight, y, n_threads, best_step);
    }
    const struct bench_summary r = bench_summarise(read, reps), s = bench_summarise(step, reps);
    const double gb = (double)model.bytes * 1e-9;
    const double quiet_read = sum_of(best_read, model.count), quiet_step = sum_of(best_step, model.count);
    printf("decode   %-28s %.0f MB, median: read %.1f GB/s (spread %.0f %%), step %.2f ms %.1f GB/s (spread "
           "%.0f %%), ratio %.3f\n",
           name, gb * 1e3, gb / r.median, r.spread * 100, s.median * 1e3, gb / s.median, s.spread * 100, s.median / r.median);
    printf("         each linear's best: read %.1f GB/s, step %.2f ms %.1f GB/s, ratio %.3f\n", gb / quiet_read, quiet_step * 1e3,
           gb / quiet_step, quiet_step / quiet_read);
}

static double seconds_of(const struct bench_linear *linear, const float *x, const float *bias, float *y) {
    const double begin = bench_now();
    bench_linear_run(linear, PREFILL_ROWS, x, bias, NULL, y);
    return bench_now() - begin;
}

/* Runs the kernels and oneDNN in turn on one shape and prints GFLOP/s. */
static void probe_shape(const struct tfr_kernel *const *kernel, int n_kernels, int dtype, int64_t k, int64_t n, int n_threads,
                        int reps, const float *data, float *y) {
    const struct tfr_problem problem = bench_linear_problem(dtype, PREFILL_ROWS, k, n, n_threads);
    struct probe_direct *direct = probe_direct_open(dtype, PREFILL_ROWS, k, n, n_threads, data, data, y);
    struct bench_linear linear[2];
    double time[3][MAX_REPS], median[3] = {0};
    bool is_open[2] = {false};
    for (int i = 0; i < n_kernels; i++) {
        is_open[i] = kernel[i] != NULL && bench_linear_open(&linear[i], kernel[i], &problem, data, NULL);
    }
    for (int r = 0; r < reps; r++) {
        for (int i = 0; i < n_kernels; i++) {
            time[i][r] = is_open[i] ? seconds_of(&linear[i], data, data, y) : 0;
        }
        time[2][r] = probe_direct_seconds(direct);
    }
    printf("prefill  %dx%lldx%lld %s:", PREFILL_ROWS, (long long)k, (long long)n, dtype == TFR_DTYPE_BF16 ? "bf16" : "f32");
    for (int i = 2; i >= 0; i--) {
        const struct bench_summary s = bench_summarise(time[i], reps);
        const double gflop = 2e-9 * PREFILL_ROWS * (double)(k * n);
        median[i] = s.median;
        if (s.median > 0) {
            printf("  %s %.0f GFLOP/s (best %.0f)", i == 2 ? "direct" : kernel[i]->name, gflop / s.median, gflop / s.best);
            if (i < 2 && median[2] > 0) {
                printf(" = %.2f of direct", median[2] / s.median);
            }
        }
    }
    printf("\n");
    for (int i = 0; i < n_kernels; i++) {
        if (is_open[i]) {
            bench_linear_close(&linear[i]);
        }
    }
    probe_direct_close(direct);
}

static void probe_prefill(const struct tfr_plugin *gemv, const struct tfr_plugin *onednn, int dtype, int n_threads, int reps,
                          const float *data, float *y) {
    const bool is_bf16 = dtype == TFR_DTYPE_BF16;
    const struct tfr_kernel *kernel[2] = {
        bench_kernel_find(onednn, is_bf16 ? "linear.bf16.onednn.auto" : "linear.f32.onednn.auto"),
        bench_kernel_find(gemv, is_bf16 ? "linear.bf16.gemm.avx512bf16" : "linear.f32.gemm.avx512")};
    for (int i = 0; i < 4; i++) {
        probe_shape(kernel, 2, dtype, block_shape[i].k, block_shape[i].n, n_threads, reps, data, y);
    }
}

static const char usage[] =
    "usage: tfr_probe PLUGIN_FOLDER [threads] [repetitions]\n"
    "linears of GPT-2 124M: decode against reading the same bytes, prefill against oneDNN called directly\n";

int main(int argc, char **argv) {
    bench_help(argc, argv, usage);
    char path[2][1024];
    bench_words(argc, 1, 3, usage);
    const int n_threads = (int)bench_number(argc, argv, 2, omp_get_num_procs(), 1, BENCH_MOST_THREADS, usage);
    const int reps = (int)bench_number(argc, argv, 3, 15, 1, MAX_REPS, usage);
    snprintf(path[0], sizeof path[0], "%s/tfr_gemv.so", argv[1]);
    snprintf(path[1], sizeof path[1], "%s/tfr_onednn.so", argv[1]);
    const struct tfr_plugin *gemv = bench_plugin_load(path[0]);
    const struct tfr_plugin *onednn = probe_direct_is_built() ? bench_plugin_load(path[1]) : NULL;
    float *data = bench_random_floats(head_k * head_n), *y = bench_random_floats((int64_t)PREFILL_ROWS * 3072);
    printf("%d threads, %d repetitions; %s\n", n_threads, reps, onednn != NULL ? onednn->build : "no oneDNN");
    probe_decode("linear.f32.gemv.avx512", gemv, TFR_DTYPE_F32, n_threads, reps, data, y);
    probe_decode("linear.bf16.gemv.avx512bf16", gemv, TFR_DTYPE_BF16, n_threads, reps, data, y);
    probe_decode("linear.f32.gemv.avx2", gemv, TFR_DTYPE_F32, n_threads, reps, data, y);
    probe_prefill(gemv, onednn, TFR_DTYPE_F32, n_threads, reps, data, y);
    probe_prefill(gemv, onednn, TFR_DTYPE_BF16, n_threads, reps, data, y);
    printf("huge pages: %.0f MB\n", (double)bench_huge_bytes() * 1e-6);
    return 0;
}
