/* counting_plugin.c - kernels for all ops that compute as the reference does and count what they do: every operation where it is
 * done, every distinct element that is read or written. At the end of the process a file in the folder TFR_COUNT_FOLDER tells it.
 *
 * One run of a kernel is one account: an element is counted once in it, however often it is used. A lookup reads its row, also
 * where another lookup has read the same. Conversions of a type are part of reading. Built against the public headers alone.
 */
#include "counting.h"

#include <stdio.h>
#include <unistd.h>

#include <tfrun/kv.h>

/* ---- ops ------------------------------------------------------------------------------------------------------ */

#define RUN(name)                                                                                                                  \
    static int32_t name(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,         \
                        const struct tfr_run_ctx *ctx)

RUN(run_embed) {
    const int64_t width = problem->arg[4].dim[1];
    begin(TFR_OP_EMBED);
    for (int64_t t = 0; t < args->rows; t++) {
        const int32_t id = take_index(X, args->arg[0], t), position = take_index(RESIDUAL, args->arg[1], t);
        for (int64_t c = 0; c < width; c++) {
            const int64_t mark = t * width + c;
            const double token = take_typed(WEIGHT, args->arg[2], problem->arg[2].dtype, id * width + c, mark);
            const double place = take_typed(BIAS, args->arg[3], problem->arg[3].dtype, position * width + c, mark);
            give(args->arg[4], mark, ADD(token, place));
        }
    }
    return TFR_OK;
}

RUN(run_lookup_add) {
    const int64_t width = problem->arg[3].dim[1];
    begin(TFR_OP_LOOKUP_ADD);
    for (int64_t t = 0; t < args->rows; t++) {
        const int32_t id = take_index(RESIDUAL, args->arg[1], t);
        for (int64_t c = 0; c < width; c++) {
            const int64_t mark = t * width + c;
            const double row = take_typed(WEIGHT, args->arg[2], problem->arg[2].dtype, id * width + c, mark);
            give(args->arg[3], mark, ADD(take(X, args->arg[0], mark), row));
        }
    }
    return TFR_OK;
}

RUN(run_layer_norm) {
    const int64_t width = problem->arg[3].dim[1];
    double *centred = ctx->scratch;
    begin(TFR_OP_LAYER_NORM);
    for (int64_t r = 0; r < args->rows; r++) {
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < width; c++) {
            sum = ADD(sum, take(X, args->arg[0], r * width + c));
        }
        const double mean = DIV(sum, (double)width);
        for (int64_t c = 0; c < width; c++) {
            centred[c] = SUB(take(X, args->arg[0], r * width + c), mean);
            squares = ADD(squares, MUL(centred[c], centred[c]));
        }
        const double factor = DIV(1, CALL(sqrt, ADD(DIV(squares, (double)width), problem->attrs.epsilon)));
        for (int64_t c = 0; c < width; c++) {
            const double scaled = MUL(MUL(centred[c], factor), take(WEIGHT, args->arg[1], c));
            give(args->arg[3], r * width + c, ADD(scaled, take(BIAS, args->arg[2], c)));
        }
    }
    return TFR_OK;
}

RUN(run_linear) {
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    begin(TFR_OP_LINEAR);
    for (int64_t m = 0; m < args->rows; m++) {
        for (int64_t n = 0; n < n_out; n++) {
            double sum = 0;
            for (int64_t k = 0; k < n_in; k++) {
                const double weight = take_typed(WEIGHT, args->arg[1], problem->arg[1].dtype, k * n_out + n, k * n_out + n);
                sum = ADD(sum, MUL(take(X, args->arg[0], m * n_in + k), weight));
            }
            if (args->arg[2] != NULL) {
                sum = ADD(sum, take(BIAS, args->arg[2], n));
            }
            sum = activate(sum, problem->attrs.activation);
            if (args->arg[3] != NULL) {
                sum = ADD(sum, take(RESIDUAL, args->arg[3], m * n_out + n));
            }
            give(args->arg[4], m * n_out + n, sum);
        }
    }
    return TFR_OK;
}

RUN(run_activation) {
    begin(TFR_OP_ACTIVATION);
    for (int64_t i = 0; i < args->rows * problem->arg[1].dim[1]; i++) {
        give(args->arg[1], i, activate(take(X, args->arg[0], i), problem->attrs.activation));
    }
    return TFR_OK;
}

RUN(run_add) {
    begin(TFR_OP_ADD);
    for (int64_t i = 0; i < args->rows * problem->arg[2].dim[1]; i++) {
        give(args->arg[2], i, ADD(take(X, args->arg[0], i), take(RESIDUAL, args->arg[1], i)));
    }
    return TFR_OK;
}

RUN(run_gather_rows) {
    const int64_t width = problem->arg[2].dim[1];
    begin(TFR_OP_GATHER_ROWS);
    for (int64_t r = 0; r < args->rows; r++) {
        const int32_t row = take_index(RESIDUAL, args->arg[1], r);
        for (int64_t c = 0; c < width; c++) {
            give(args->arg[2], r * width + c, take(X, args->arg[0], row * width + c));
        }
    }
    return TFR_OK;
}

RUN(run_copy) {
    begin(TFR_OP_COPY);
    for (int64_t i = 0; i < args->rows * problem->arg[1].dim[1]; i++) {
        give(args->arg[1], i, take(X, args->arg[0], i));
    }
    return TFR_OK;
}

static size_t cache_size(const struct tfr_kv *kv) {
    return kv->k8 != NULL ? 1 : kv->k != NULL ? sizeof(float) : 2;
}

/* One vector of keys or values into the cache: its elements, and in an int8 cache its scale. */
static void give_vector(const struct tfr_kv *kv, int64_t head_dim, int64_t vector) {
    const int is_int8 = kv->k8 != NULL;
    for (int64_t d = 0; d < head_dim; d++) {
        now->written += is_new(OUTPUT, (size_t)(vector * head_dim + d)) ? cache_size(kv) : 0;
    }
    now->written += is_int8 && is_new(SCALE_K, (size_t)vector) ? sizeof(float) : 0;
}

RUN(run_kv_append) {
    const int64_t head_dim = problem->attrs.head_dim, n_heads = problem->attrs.n_heads, width = n_heads * head_dim;
    const int64_t pitch = problem->arg[0].dim[1];
    float *key = ctx->scratch, *value = key + head_dim;
    begin(TFR_OP_KV_APPEND);
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, b);
        const struct tfr_kv *kv = tfr_seq_kv(args->batch, seq, &problem->attrs, 0);
        for (int64_t t = 0; t < seq->n_rows && !seq->query_only; t++) {
            for (int64_t h = 0; h < n_heads; h++) {
                const int64_t at = (seq->row0 + t) * pitch + pitch - 2 * width + h * head_dim;
                const int64_t vector = 2 * ((seq->row0 + t) * n_heads + h);
                for (int64_t d = 0; d < head_dim; d++) {
                    key[d] = (float)take(X, args->arg[0], at + d);
                    value[d] = (float)take(X, args->arg[0], at + width + d);
                }
                tfr_kv_put(kv, head_dim, h, seq->past + t, key, value);
                give_vector(kv, head_dim, vector);
                give_vector(kv, head_dim, vector + 1);
            }
        }
    }
    return TFR_OK;
}

/* The caches of a sequence, its keys behind those of the sequences before it. */
struct cache {
    const struct tfr_kv *kv;
    int64_t head_dim, first_vector, n_heads;
};

static double take_cached(const struct cache *cache, int is_value, int64_t h, int64_t s, int64_t d) {
    const int64_t vector = (cache->first_vector + s) * cache->n_heads + h;
    const int is_int8 = cache->kv->k8 != NULL;
    touch_read(is_value ? RESIDUAL : WEIGHT, vector * cache->head_dim + d, cache_size(cache->kv));
    if (is_int8) {
        touch_read(is_value ? SCALE_V : SCALE_K, vector, sizeof(float));
    }
    return is_value ? tfr_kv_value(cache->kv, cache->head_dim, h, s, d) : tfr_kv_key(cache->kv, cache->head_dim, h, s, d);
}

/* One row of one head over its visible keys; scores in `p`, sums of values in `sum`. */
static void attend(const struct cache *cache, const float *q, int64_t q_at, int64_t h, int64_t n_keys, double scale, double *p,
                   double *sum) {
    double largest = -INFINITY, total = 0;
    for (int64_t s = 0; s < n_keys; s++) {
        p[s] = 0;
        for (int64_t d = 0; d < cache->head_dim; d++) {
            p[s] = ADD(p[s], MUL(take(X, q, q_at + d), take_cached(cache, 0, h, s, d)));
        }
        p[s] = MUL(p[s], scale);
        largest = MAX(largest, p[s]);
    }
    for (int64_t s = 0; s < n_keys; s++) {
        p[s] = CALL(exp, SUB(p[s], largest));
        total = ADD(total, p[s]);
    }
    memset(sum, 0, (size_t)cache->head_dim * sizeof *sum);
    for (int64_t s = 0; s < n_keys; s++) {
        p[s] = DIV(p[s], total);
        for (int64_t d = 0; d < cache->head_dim; d++) {
            sum[d] = ADD(sum[d], MUL(p[s], take_cached(cache, 1, h, s, d)));
        }
    }
}

enum { MOST_KEYS = 4096 };

RUN(run_attention) {
    const struct tfr_attrs *attrs = &problem->attrs;
    const int64_t head_dim = attrs->head_dim, width = attrs->n_heads * head_dim, pitch = problem->arg[0].dim[1];
    double *p = ctx->scratch, *sum = p + MOST_KEYS;
    int64_t first_vector = 0;
    begin(TFR_OP_ATTENTION);
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, b);
        const int64_t all = attrs->cross ? seq->n_cross : seq->past + (seq->query_only ? 0 : seq->n_rows);
        const int is_causal = attrs->causal && !attrs->cross && !seq->query_only;
        const struct cache cache = {tfr_seq_kv(args->batch, seq, attrs, attrs->cross), head_dim, first_vector, attrs->n_heads};
        for (int64_t t = 0; t < seq->n_rows; t++) {
            for (int64_t h = 0; h < attrs->n_heads; h++) {
                const int64_t row = seq->row0 + t, n_keys = is_causal ? seq->past + t + 1 : all;
                attend(&cache, args->arg[0], row * pitch + h * head_dim, h, n_keys, attrs->scale, p, sum);
                for (int64_t d = 0; d < head_dim; d++) {
                    give(args->arg[2], row * width + h * head_dim + d, sum[d]);
                }
            }
        }
        first_vector += all;
    }
    return TFR_OK;
}

/* ---- what the host asks --------------------------------------------------------------------------------------- */

static bool plain_attention(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size) {
    const struct tfr_attrs *attrs = &problem->attrs;
    const bool serves = !attrs->has_mask && !attrs->has_head_mask && !attrs->wants_weights;
    snprintf(reason, reason_size, "%s", serves ? "" : "counts attention without masks and weights");
    return serves;
}

static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t reason_size) {
    enum { MARK = 54 }; /* an order of its own */
    const int64_t widest = problem->arg[0].dim[1] + problem->attrs.head_dim;
    needs->scratch_bytes = (size_t)(2 * widest + MOST_KEYS) * sizeof(double);
    if (problem->op == TFR_OP_LINEAR) {
        const size_t size = size_of(problem->arg[1].dtype);
        needs->pack[1].bytes = (size_t)(problem->arg[0].dim[1] * problem->arg[4].dim[1]) * size;
        needs->pack[1].format = size == 2 ? "counting.bf16" : "counting.f32";
        needs->order = (struct tfr_order){.kind = TFR_ORDER_OWN, .k_block = MARK};
    }
    return TFR_OK;
}

/* [K][N]; the models of the test are stored in the type that they are packed in. */
static void pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg, const struct tfr_tensor *weight,
                 void *packed, int32_t tid, int32_t nth) {
    const int64_t n_in = problem->arg[0].dim[1], n_out = problem->arg[4].dim[1];
    const int64_t stride_k = weight->stride[problem->attrs.transposed ? 1 : 0],
                  stride_n = weight->stride[problem->attrs.transposed ? 0 : 1];
    const size_t size = size_of(problem->arg[1].dtype), stored = size_of((int)weight->dtype);
    for (int64_t k = 0; k < n_in && tid == 0; k++) {
        for (int64_t n = 0; n < n_out; n++) {
            /* bf16 is the upper half of f32, and this machine's first byte is the lowest */
            const char *from = (const char *)weight->data + (size_t)(k * stride_k + n * stride_n) * stored;
            char *to = (char *)packed + (size_t)(k * n_out + n) * size;
            memset(to, 0, size);
            memcpy(size > stored ? to + 2 : to, size < stored ? from + 2 : from, size < stored ? size : stored);
        }
    }
}

static void report(void) __attribute__((destructor));
static void report(void) {
    const char *folder = getenv("TFR_COUNT_FOLDER");
    char path[4096];
    snprintf(path, sizeof path, "%s/%ld", folder != NULL ? folder : "", (long)getpid());
    FILE *file = folder != NULL ? fopen(path, "w") : NULL;
    static const char *const names[] = {
#define TFR_OP(NAME, name, n_in, n_out, args, flops, read, written, text) name,
#include <tfrun/ops.def>
    };
    for (int op = 0; op < TFR_OP_COUNT && file != NULL; op++) {
        const struct tally *t = &tallies[op];
        fprintf(file, "%s %llu %llu %llu %llu\n", names[op], t->runs, t->flops, t->read, t->written);
    }
    if (file != NULL) {
        fclose(file);
    }
}

#define KERNEL(OP, name_text, run_function, ...)                                                                                   \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_##OP, .name = name_text ".any.counting.plain",                      \
        .dtypes = 1U << TFR_DTYPE_F32 | 1U << TFR_DTYPE_BF16, .run_class = TFR_RUN_SEQ, .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,    \
        .score = 1000, .prepare = prepare, .run = run_function, __VA_ARGS__                                                        \
    }

static const struct tfr_kernel *const kernels[] = {
    KERNEL(EMBED, "embed", run_embed, .supports = NULL),
    KERNEL(LAYER_NORM, "layer_norm", run_layer_norm, .supports = NULL),
    KERNEL(LINEAR, "linear", run_linear, .pack = pack),
    KERNEL(KV_APPEND, "kv_append", run_kv_append, .supports = NULL),
    KERNEL(ATTENTION, "attention", run_attention, .supports = plain_attention),
    KERNEL(ACTIVATION, "activation", run_activation, .supports = NULL),
    KERNEL(ADD, "add", run_add, .supports = NULL),
    KERNEL(GATHER_ROWS, "gather_rows", run_gather_rows, .supports = NULL),
    KERNEL(LOOKUP_ADD, "lookup_add", run_lookup_add, .supports = NULL),
    KERNEL(COPY, "copy", run_copy, .supports = NULL),
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "counting",
    .version = "1",
    .build = "counts what it does",
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
};

TFR_PLUGIN_ENTRY(counting) {
    (void)host;
    return &plugin;
}
