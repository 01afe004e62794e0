/* shards_check.c - sums by head in shares: T linears that hold some heads each, their block sums added in order, give the bits of
 * one linear that adds by head. Every linear that leaves blocks apart, every sum_blocks; kernels alone, without ranks.
 *
 *   shards_check PLUGINS    a folder of shared plugins ("-": only those linked in); exit status 6 when bits differ
 */
#include <stdlib.h>
#include <string.h>

#include "kernel_run.h"

enum { HEADS = 12, N = 100, MOST_ROWS = 40, MOST_BLOCK = 64 };

struct world {
    const struct tfr_kernel *linear, *sum;
    struct tfr_order order;
    int64_t rows, block;
    float *x, *w, *bias, *residual;
};

static struct tfr_arg_desc rows_of(int64_t rows, int64_t width, const float *data) {
    return (struct tfr_arg_desc){.rank = 2, .dim = {rows, width}, .flags = TFR_ARG_VAR_ROWS | (data == NULL ? TFR_ARG_ABSENT : 0)};
}

static struct tfr_problem problem_of(const struct world *world, int op, int n_blocks) {
    return (struct tfr_problem){.struct_size = sizeof(struct tfr_problem),
                                .op = op,
                                .n_args = 5,
                                .n_threads = 2,
                                .rows_min = 1,
                                .rows_max = world->rows,
                                .deterministic = 1,
                                .attrs = {.struct_size = sizeof(struct tfr_attrs), .n_blocks = n_blocks}};
}

static bool run(const struct tfr_kernel *kernel, const struct tfr_kernel_data *data, struct tfr_order order, float *y) {
    struct kernel_setup setup;
    char reason[128] = "";
    if (!setup_open(kernel, data, 2, order, &setup, reason, sizeof reason)) {
        return false;
    }
    setup_run(&setup, data->in, data->rows, NULL, y);
    setup_close(&setup);
    return true;
}

/* Heads [first, first + n) of x times their rows of w; apart: the block sums side by side. False: not served. */
static bool linear(const struct world *world, int first, int n, bool apart, bool ends, float *y) {
    const int64_t whole = HEADS * world->block, k = n * world->block;
    float *x = must_alloc((size_t)(world->rows * k) * sizeof *x);
    for (int64_t r = 0; r < world->rows; r++) {
        memcpy(x + r * k, world->x + r * whole + first * world->block, (size_t)k * sizeof *x);
    }
    struct tfr_kernel_data data = {.problem = problem_of(world, TFR_OP_LINEAR, apart ? n : 0), .n_in = 4, .rows = world->rows};
    data.in[0] = x;
    data.in[2] = ends ? world->bias : NULL;
    data.in[3] = ends ? world->residual : NULL;
    data.weight = (struct tfr_tensor){
        .data = world->w + first * world->block * N, .dtype = TFR_DTYPE_F32, .rank = 2, .dim = {k, N}, .stride = {N, 1}};
    const int dtype = (world->linear->dtypes & 1U << TFR_DTYPE_F32) != 0 ? TFR_DTYPE_F32 : TFR_DTYPE_BF16;
    data.problem.arg[0] = rows_of(world->rows, k, x);
    data.problem.arg[1] = (struct tfr_arg_desc){.dtype = dtype, .rank = 2, .dim = {k, N}, .flags = TFR_ARG_CONST};
    data.problem.arg[2] = (struct tfr_arg_desc){.rank = 1, .dim = {N}, .flags = TFR_ARG_CONST | (ends ? 0 : TFR_ARG_ABSENT)};
    data.problem.arg[3] = rows_of(world->rows, N, data.in[3]);
    data.problem.arg[4] = rows_of(world->rows, apart ? n * N : N, y);
    const bool is_served = run(world->linear, &data, world->order, y);
    free(x);
    return is_served;
}

static void sum_blocks(const struct world *world, int n, float *parts, float *start, bool ends, float *y) {
    struct tfr_kernel_data data = {.problem = problem_of(world, TFR_OP_SUM_BLOCKS, n), .n_in = 4, .rows = world->rows};
    void *in[] = {parts, start, ends ? world->bias : NULL, ends ? world->residual : NULL};
    memcpy(data.in, in, sizeof in);
    data.problem.arg[0] = rows_of(world->rows, n * N, parts);
    data.problem.arg[1] = rows_of(world->rows, N, start);
    data.problem.arg[2] = (struct tfr_arg_desc){.rank = 1, .dim = {N}, .flags = TFR_ARG_CONST | (ends ? 0 : TFR_ARG_ABSENT)};
    data.problem.arg[3] = rows_of(world->rows, N, data.in[3]);
    data.problem.arg[4] = rows_of(world->rows, N, y);
    run(world->sum, &data, (struct tfr_order){.kind = TFR_ORDER_ANY}, y);
}

/* The first share adds its blocks at once; each later one leaves them apart and goes on from what came before. */
static bool shares_agree(const struct world *world, int n_shares, const float *whole) {
    const int n = HEADS / n_shares;
    const size_t bytes = (size_t)(world->rows * N) * sizeof(float);
    float *parts = must_alloc(bytes * (size_t)n), *y = must_alloc(bytes), *start = must_alloc(bytes);
    linear(world, 0, n, false, n_shares == 1, y);
    for (int t = 1; t < n_shares; t++) {
        memcpy(start, y, bytes);
        linear(world, t * n, n, true, false, parts);
        sum_blocks(world, n, parts, start, t == n_shares - 1, y);
    }
    const bool is_same = memcmp(y, whole, bytes) == 0;
    free(parts);
    free(y);
    free(start);
    return is_same;
}

/* Failures of one pair of kernels. */
static int check_pair(struct world *world) {
    static const int64_t rows[] = {1, 5, 17, MOST_ROWS}, blocks[] = {8, 22, MOST_BLOCK};
    static const int shares[] = {1, 2, 3, 4, 6, HEADS};
    float *whole = must_alloc(MOST_ROWS * N * sizeof *whole);
    int n_failed = 0;
    for (int i = 0; i < 4 * 3; i++) {
        world->rows = rows[i % 4];
        world->block = blocks[i / 4];
        world->order.k_block = (int32_t)world->block;
        for (int s = 0; s < 6 && linear(world, 0, HEADS, false, true, whole); s++) {
            if (!shares_agree(world, shares[s], whole)) {
                printf("FAIL %s, %s: %lld rows, blocks of %lld, %d shares\n", world->linear->name, world->sum->name,
                       (long long)world->rows, (long long)world->block, shares[s]);
                n_failed++;
            }
        }
    }
    free(whole);
    return n_failed;
}

int main(int argc, char **argv) {
    static struct kernel_list list;
    uint64_t state = 1;
    int n_pairs = 0, n_failed = 0;
    kernels_load(argc < 2 || strcmp(argv[1], "-") == 0 ? NULL : argv[1], &list);
    struct world world = {.x = random_floats(&state, TFR_DTYPE_F32, MOST_ROWS * HEADS * MOST_BLOCK, 1, 0),
                          .w = random_floats(&state, TFR_DTYPE_F32, HEADS * MOST_BLOCK * N, 1, 0),
                          .bias = random_floats(&state, TFR_DTYPE_F32, N, 1, 0),
                          .residual = random_floats(&state, TFR_DTYPE_F32, MOST_ROWS * N, 1, 0)};
    for (int i = 0; i < list.n; i++) {
        world.linear = list.kernel[i];
        for (int j = 0; j < list.n && world.linear->op == TFR_OP_LINEAR && (world.linear->flags & TFR_KERNEL_APART); j++) {
            world.sum = list.kernel[j];
            for (int kind = TFR_ORDER_FMA; kind <= TFR_ORDER_DP_BF16 && world.sum->op == TFR_OP_SUM_BLOCKS; kind++) {
                world.order.kind = kind;
                n_failed += check_pair(&world);
                n_pairs++;
            }
        }
    }
    printf("%d pairs of kernels\n", n_pairs);
    free(world.x);
    free(world.w);
    free(world.bias);
    free(world.residual);
    return n_failed > 0 || n_pairs == 0 ? 6 : 0;
}
