/* best_check.c - best_rows of every plugin on rows that tell good ones from bad ones: many equal numbers, zeros of both signs,
 * infinities, NaN, widths around those that kernels count in. What is expected is counted here.
 *
 *   best_check PLUGINS    a folder of shared plugins ("-": only those linked in); exit status 6 when a number differs
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_run.h"

enum { ROWS = 40, MOST = 5000 };

static uint64_t next(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Few numbers, so that the largest stands in several columns; rows of one kind of number alone; every fourth row holds a NaN. */
static void fill(float *x, int64_t width, uint64_t *state) {
    static const float numbers[] = {-INFINITY, -1.5f, -0.0f, 0.0f, 1.5f, INFINITY};
    for (int64_t r = 0; r < ROWS; r++) {
        const uint64_t kinds = 1 + (uint64_t)r % 6;
        for (int64_t c = 0; c < width; c++) {
            x[r * width + c] = numbers[next(state) % kinds];
        }
        if (r % 4 == 3) {
            x[r * width + (int64_t)(next(state) % (uint64_t)width)] = NAN;
        }
    }
}

static bool is_right(const float *x, int64_t width, const float *y) {
    int64_t best = 0;
    bool has_nan = false;
    for (int64_t c = 0; c < width; c++) {
        has_nan |= isnan(x[c]);
        best = x[c] > x[best] ? c : best;
    }
    return has_nan ? isnan(y[0]) && y[1] == 0 : y[0] == x[best] && y[1] == (float)best;
}

/* Rows of one kernel that are wrong, at one width. */
static int check(const struct tfr_kernel *kernel, int64_t width, int n_threads) {
    static float x[ROWS * MOST], y[2 * ROWS];
    uint64_t state = (uint64_t)width;
    int n_failed = 0;
    struct tfr_kernel_data data = {.n_in = 1, .rows = ROWS, .in = {x}};
    data.problem = (struct tfr_problem){.struct_size = sizeof data.problem,
                                        .op = TFR_OP_BEST_ROWS,
                                        .n_args = 2,
                                        .n_threads = n_threads,
                                        .rows_min = 1,
                                        .rows_max = ROWS,
                                        .attrs = {.struct_size = sizeof(struct tfr_attrs)}};
    data.problem.arg[0] = (struct tfr_arg_desc){.rank = 2, .dim = {ROWS, width}, .flags = TFR_ARG_VAR_ROWS};
    data.problem.arg[1] = (struct tfr_arg_desc){.rank = 2, .dim = {ROWS, 2}, .flags = TFR_ARG_VAR_ROWS};
    struct kernel_setup setup;
    char reason[128] = "";
    fill(x, width, &state);
    if (!setup_open(kernel, &data, n_threads, (struct tfr_order){.kind = TFR_ORDER_ANY}, &setup, reason, sizeof reason)) {
        printf("FAIL %s: %s\n", kernel->name, reason);
        return 1;
    }
    setup_run(&setup, data.in, ROWS, NULL, y);
    setup_close(&setup);
    for (int64_t r = 0; r < ROWS; r++) {
        if (!is_right(x + r * width, width, y + 2 * r)) {
            printf("FAIL %s: width %lld, row %lld: %g at %g\n", kernel->name, (long long)width, (long long)r, (double)y[0 + 2 * r],
                   (double)y[1 + 2 * r]);
            n_failed++;
        }
    }
    return n_failed;
}

int main(int argc, char **argv) {
    static struct kernel_list list;
    static const int64_t widths[] = {1, 2, 15, 16, 17, 1023, 1024, 1025, 2048, MOST};
    int n_kernels = 0, n_failed = 0;
    kernels_load(argc < 2 || strcmp(argv[1], "-") == 0 ? NULL : argv[1], &list);
    for (int i = 0; i < list.n; i++) {
        n_kernels += list.kernel[i]->op == TFR_OP_BEST_ROWS;
        for (size_t w = 0; w < sizeof widths / sizeof widths[0] && list.kernel[i]->op == TFR_OP_BEST_ROWS; w++) {
            n_failed += check(list.kernel[i], widths[w], 1) + check(list.kernel[i], widths[w], 2);
        }
    }
    printf("%d kernels\n", n_kernels);
    return n_failed > 0 || n_kernels == 0 ? 6 : 0;
}
