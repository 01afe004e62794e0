/* counting.h - what the counting plugin counts with: operations and elements, each counted where it is done or touched. */
#ifndef TFR_TEST_COUNTING_H
#define TFR_TEST_COUNTING_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tfrun/plugin.h>

static struct tally { unsigned long long runs, flops, read, written; } tallies[TFR_OP_COUNT];
static struct tally *now; /* of the op that runs; one kernel runs at a time, on one thread */

/* ---- operations, each counted -------------------------------------------------------------------------------- */

static double counted(double result) {
    now->flops++;
    return result;
}
#define ADD(a, b)  counted((a) + (b))
#define SUB(a, b)  counted((a) - (b))
#define MUL(a, b)  counted((a) * (b))
#define DIV(a, b)  counted((a) / (b))
#define MAX(a, b)  counted(fmax((a), (b)))
#define MIN(a, b)  counted(fmin((a), (b)))
#define CALL(f, a) counted(f(a))

/* ---- elements, each counted once ----------------------------------------------------------------------------- */

/* Which elements of an argument were touched in this run. */
struct seen {
    unsigned char *bits;
    size_t bytes;
};
enum { X, WEIGHT, BIAS, RESIDUAL, OUTPUT, SCALE_K, SCALE_V, N_SEEN };
static struct seen seen[N_SEEN];

static void begin(enum tfr_op op) {
    now = &tallies[op];
    now->runs++;
    for (int i = 0; i < N_SEEN; i++) {
        if (seen[i].bits != NULL) {
            memset(seen[i].bits, 0, seen[i].bytes);
        }
    }
}

static int is_new(int which, size_t index) {
    struct seen *in = &seen[which];
    if (index / 8 >= in->bytes) {
        const size_t bytes = 2 * (index / 8 + 1024);
        in->bits = realloc(in->bits, bytes);
        memset(in->bits + in->bytes, 0, bytes - in->bytes);
        in->bytes = bytes;
    }
    const unsigned char bit = (unsigned char)(1 << index % 8);
    const int fresh = (in->bits[index / 8] & bit) == 0;
    in->bits[index / 8] |= bit;
    return fresh;
}

static void touch_read(int which, int64_t index, size_t size) {
    now->read += is_new(which, (size_t)index) ? size : 0;
}

static double take(int which, const float *from, int64_t index) {
    touch_read(which, index, sizeof *from);
    return from[index];
}

static void give(float *to, int64_t index, double value) {
    now->written += is_new(OUTPUT, (size_t)index) ? sizeof *to : 0;
    to[index] = (float)value;
}

static size_t size_of(int dtype) {
    return dtype == TFR_DTYPE_F64 ? 8 : dtype == TFR_DTYPE_F32 ? 4 : 2;
}

/* An element of a table or a packed weight, in its own type; `mark` says which of them counts as which. */
static double take_typed(int which, const void *from, int dtype, int64_t index, int64_t mark) {
    touch_read(which, mark, size_of(dtype));
    if (dtype == TFR_DTYPE_BF16) {
        uint16_t half;
        memcpy(&half, (const uint16_t *)from + index, sizeof half);
        const uint32_t bits = (uint32_t)half << 16;
        float value;
        memcpy(&value, &bits, sizeof value);
        return value;
    }
    float value;
    memcpy(&value, (const char *)from + (size_t)index * sizeof value, sizeof value);
    return value;
}

static int32_t take_index(int which, const int32_t *from, int64_t index) {
    touch_read(which, index, sizeof *from);
    return from[index];
}

/* ---- activations: the cheapest form of each ------------------------------------------------------------------ */

static double one_over_exp(double minus) { /* 1 + e^minus */
    return ADD(1, CALL(exp, minus));
}

static double softplus(double x) {
    return CALL(log, ADD(1, CALL(exp, x)));
}

static double gelu_tanh(double x) {
    const double inner = MUL(ADD(MUL(MUL(MUL(x, x), x), 0.044715), x), sqrt(2 / M_PI));
    return MUL(MUL(0.5, x), ADD(1, CALL(tanh, inner)));
}

static double gelu_erf(double x) {
    return MUL(MUL(0.5, x), ADD(1, CALL(erf, MUL(x, M_SQRT1_2))));
}

static double laplace(double x) {
    return MUL(0.5, ADD(1, CALL(erf, DIV(SUB(x, 0.707107), 0.282095 * M_SQRT2))));
}

static double activate(double x, int activation) {
    switch (activation) {
    case TFR_ACT_GELU_TANH:
        return gelu_tanh(x);
    case TFR_ACT_GELU_ERF:
        return gelu_erf(x);
    case TFR_ACT_GELU_CLIP10:
        return MIN(MAX(gelu_erf(x), -10), 10);
    case TFR_ACT_QUICK_GELU:
        return DIV(x, one_over_exp(MUL(-1.702, x)));
    case TFR_ACT_RELU:
        return MAX(x, 0);
    case TFR_ACT_RELU2:
        x = MAX(x, 0);
        return MUL(x, x);
    case TFR_ACT_RELU6:
        return MIN(MAX(x, 0), 6);
    case TFR_ACT_LEAKY_RELU:
        return MAX(x, MUL(0.01, x));
    case TFR_ACT_SILU:
        return DIV(x, one_over_exp(-x));
    case TFR_ACT_TANH:
        return CALL(tanh, x);
    case TFR_ACT_SIGMOID:
        return DIV(1, one_over_exp(-x));
    case TFR_ACT_MISH:
        return MUL(x, CALL(tanh, softplus(x)));
    case TFR_ACT_LAPLACE:
        return laplace(x);
    case TFR_ACT_HARDSWISH:
        return DIV(MUL(x, MIN(MAX(ADD(x, 3), 0), 6)), 6);
    case TFR_ACT_SQRTSOFTPLUS:
        return CALL(sqrt, softplus(x));
    default:
        return x;
    }
}

#endif
