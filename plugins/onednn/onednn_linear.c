/* onednn_linear.c - linear by oneDNN's matmul primitive, for many rows.
 *
 * Weights lie in panel64 (oneDNN's BA16a64b, BA16a64b2a), the packed form that gemv and gemm use too; only
 * where the library has no fast code for it they lie dense. y = x W + bias is the primitive's; the residual
 * is added by its `sum` post-op, so y holds the residual before. An activation is applied by own code after
 * the primitive where bits must equal those of other kernels, else fused.
 *
 * A run computes whole buckets: with rows < rows_max some rows behind the last are read from x and written to
 * y. Both buffers have room for rows_max rows, and nobody reads those of y.
 */
#include "onednn/onednn.h"

#include <omp.h>
#include <string.h>

#include "common/dtype.h"
#include "common/panel.h"

#define MIN_SIDE 16 /* K and N below this: not worth the call */

/* What one step holds: memory objects carry the pointers of a run, so steps cannot share them. */
struct state {
    struct onednn_family *family;
    dnnl_memory_t weight, bias, scratch[ONEDNN_MAX_BUCKETS], x[ONEDNN_MAX_BUCKETS], y[ONEDNN_MAX_BUCKETS];
};

tfr_onednn_act_fn *tfr_onednn_act = tfr_onednn_act_plain;

static bool refuse(char *reason, size_t size, const char *text) {
    snprintf(reason, size, "%s", text);
    return false;
}

static bool is_present(const struct tfr_problem *problem, int arg) {
    return (problem->arg[arg].flags & TFR_ARG_ABSENT) == 0;
}

static bool has_activation(const struct tfr_problem *problem) {
    return problem->attrs.activation != TFR_ACT_NONE && problem->attrs.activation != TFR_ACT_LINEAR;
}

/* Fused only where nobody counts on the bits. */
static bool is_fused(const struct tfr_problem *problem) {
    dnnl_alg_kind_t kind;
    float alpha, beta;
    return has_activation(problem) && !problem->deterministic && problem->order.kind == TFR_ORDER_ANY &&
           onednn_eltwise(problem->attrs.activation, &kind, &alpha, &beta);
}

static struct onednn_key key_of(const struct tfr_problem *problem) {
    return (struct onednn_key){
        .k = problem->arg[0].dim[1],
        .n = problem->arg[4].dim[1],
        .rows_max = problem->rows_max,
        .dtype = problem->arg[1].dtype,
        .n_threads = problem->n_threads,
        .has_bias = is_present(problem, 2),
        .adds = is_present(problem, 3),
        .activation = is_fused(problem) ? problem->attrs.activation : TFR_ACT_NONE,
    };
}

/* Panel64 first, dense weights where the library has only slow code for it. */
static int32_t find_family(const struct tfr_problem *problem, struct onednn_family **family, char *reason, size_t size) {
    struct onednn_key key = key_of(problem);
    int32_t status = onednn_family_find(&key, family, reason, size);
    if (status == TFR_UNSUPPORTED) {
        key.is_plain = 1;
        status = onednn_family_find(&key, family, reason, size);
    }
    return status;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* OWN orders are told apart by a number: here the version, and whether the activation is the library's. */
static struct tfr_order own_order(const struct tfr_problem *problem, struct tfr_order order) {
    if (order.kind == TFR_ORDER_OWN || is_fused(problem)) {
        order.kind = TFR_ORDER_OWN;
        order.k_block = (DNNL_VERSION_MAJOR * 100 + DNNL_VERSION_MINOR) * 2 + (is_fused(problem) ? 1 : 0);
    }
    return order;
}

static bool keeps_order(const struct tfr_problem *problem, const struct onednn_family *family, struct tfr_order own, char *reason,
                        size_t size) {
    const struct tfr_order *asked = &problem->order;
    const int64_t k = family->key.k;
    if (asked->kind == TFR_ORDER_ANY) {
        return true;
    }
    if (asked->kind != own.kind || (own.kind == TFR_ORDER_OWN && asked->k_block != own.k_block)) {
        return refuse(reason, size, "this oneDNN adds in another order");
    }
    if (own.kind != TFR_ORDER_OWN && smaller(asked->k_block, k) != smaller(own.k_block, k)) {
        snprintf(reason, size, "this oneDNN adds in blocks of %d, asked is %d", own.k_block, asked->k_block);
        return false;
    }
    return true;
}

static bool supports(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t size) {
    const struct onednn_key key = key_of(problem);
    (void)self;
    if (key.k < MIN_SIDE || key.n < MIN_SIDE) {
        return refuse(reason, size, "K and N must be 16 at least");
    }
    if (key.n_threads < 1 || key.rows_max < 1) {
        return refuse(reason, size, "needs a thread and a row");
    }
    if (has_activation(problem) && key.adds) {
        return refuse(reason, size, "has either an activation or a residual, not both");
    }
    return true;
}

/* Floats rounded to bf16 stand behind the library's scratchpad. */
static size_t scratchpad_bytes(const struct onednn_family *family) {
    return (family->scratch_bytes + 63) / 64 * 64;
}

static void need_weight(const struct onednn_key *key, struct tfr_pack_need *need) {
    need->bytes = panel_bytes(key->dtype, key->k, key->n);
    need->format = panel_format(key->dtype);
    if (key->is_plain) {
        need->bytes = (size_t)(key->k * key->n) * panel_element_bytes(key->dtype);
        need->format = key->dtype == TFR_DTYPE_BF16 ? "plain.bf16" : "plain.f32";
    }
}

/* Primitive descriptors are made and the order is measured the first time such a problem comes; both are kept. */
static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t size) {
    struct onednn_family *family;
    struct tfr_order order;
    int32_t status = find_family(problem, &family, reason, size);
    if (status == TFR_OK) {
        status = onednn_order(family->key.dtype, family->key.k, family->key.is_plain, &order, reason, size);
    }
    if (status != TFR_OK) {
        return status;
    }
    const struct onednn_key *key = &family->key;
    const bool is_bf16 = key->dtype == TFR_DTYPE_BF16;
    (void)self;
    needs->order = own_order(problem, order);
    if (problem->deterministic && needs->order.kind == TFR_ORDER_OWN) {
        status = onednn_own_order_holds(family, reason, size);
    }
    if (status == TFR_OK && !keeps_order(problem, family, needs->order, reason, size)) {
        status = TFR_UNSUPPORTED;
    }
    if (status != TFR_OK) {
        return status;
    }
    need_weight(key, &needs->pack[1]);
    needs->state_bytes = sizeof(struct state);
    needs->scratch_bytes = scratchpad_bytes(family);
    if (is_bf16) {
        needs->scratch_bytes += (size_t)(key->rows_max * key->k) * sizeof(uint16_t);
    }
    return TFR_OK;
}

/* Dense [K,N] in the packed dtype, rows split over the threads. */
static void pack_plain(const struct tfr_problem *problem, const struct tfr_tensor *weight, void *packed, int tid, int nth) {
    const int64_t k_count = problem->arg[0].dim[1], n_count = problem->arg[4].dim[1];
    const bool transposed = problem->attrs.transposed != 0;
    const int64_t stride = weight->stride[0] > 0 ? weight->stride[0] : weight->dim[1];
    int64_t k, k_end;
    split_evenly(k_count, tid, nth, &k, &k_end);
    for (; k < k_end; k++) {
        for (int64_t n = 0; n < n_count; n++) {
            const float value = load_as_f32(weight->data, weight->dtype, transposed ? n * stride + k : k * stride + n);
            if (problem->arg[1].dtype == TFR_DTYPE_BF16) {
                ((uint16_t *)packed)[k * n_count + n] = bf16_from_f32(value);
            } else {
                ((float *)packed)[k * n_count + n] = value;
            }
        }
    }
}

/* The family is there since `prepare`. */
static void pack(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg, const struct tfr_tensor *weight,
                 void *packed, int32_t tid, int32_t nth) {
    char reason[128];
    struct onednn_family *family;
    (void)self, (void)arg;
    if (find_family(problem, &family, reason, sizeof reason) == TFR_OK && family->key.is_plain) {
        pack_plain(problem, weight, packed, tid, nth);
    } else {
        tfr_panel_pack(problem->arg[1].dtype, weight, problem->attrs.transposed != 0, packed, tid, nth);
    }
}

static void free_memory(dnnl_memory_t *memory) {
    if (*memory != NULL) {
        dnnl_memory_destroy(*memory);
        *memory = NULL;
    }
}

static void leave(struct state *s) {
    if (s->family == NULL) {
        return;
    }
    for (int i = 0; i < ONEDNN_MAX_BUCKETS; i++) {
        free_memory(&s->scratch[i]);
        free_memory(&s->x[i]);
        free_memory(&s->y[i]);
    }
    free_memory(&s->weight);
    free_memory(&s->bias);
    onednn_family_leave(s->family);
    s->family = NULL;
}

static void release(const struct tfr_kernel *self, void *state) {
    (void)self;
    leave(state);
}

static bool make_memory(struct state *s) {
    const struct onednn_family *family = s->family;
    return compat_memory(&s->weight, onednn_engine(), &family->weight) && compat_memory(&s->bias, onednn_engine(), &family->bias);
}

/* For so many rows, at the first run that has them. */
static bool has_memory(struct state *s, int i) {
    const struct onednn_bucket *bucket = &s->family->bucket[i];
    return (s->x[i] != NULL || compat_memory(&s->x[i], onednn_engine(), &bucket->x)) &&
           (s->y[i] != NULL || compat_memory(&s->y[i], onednn_engine(), &bucket->y)) &&
           (s->scratch[i] != NULL || compat_scratch_memory(&s->scratch[i], onednn_engine(), bucket->desc));
}

static int32_t init(const struct tfr_kernel *self, const struct tfr_problem *problem, void *state, char *reason, size_t size) {
    struct state *s = state;
    struct onednn_family *family;
    const int32_t status = find_family(problem, &family, reason, size);
    (void)self;
    if (status != TFR_OK) {
        return status;
    }
    onednn_family_take(family);
    s->family = family;
    if (!make_memory(s)) {
        leave(s);
        snprintf(reason, size, "oneDNN fails to make memory objects");
        return TFR_RESOURCE;
    }
    return TFR_OK;
}

static void round_rows(uint16_t *to, const float *from, int64_t count, int n_threads) {
#pragma omp parallel num_threads(n_threads)
    {
        int64_t begin, end;
        split_evenly((count + 63) / 64, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        end = smaller(end * 64, count);
        if (begin * 64 < end) {
            tfr_panel_round(to + begin * 64, from + begin * 64, end - begin * 64);
        }
    }
}

static void copy_rows(float *to, const float *from, int64_t count, int n_threads) {
#pragma omp parallel num_threads(n_threads)
    {
        int64_t begin, end;
        split_evenly(count, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        memcpy(to + begin, from + begin, (size_t)(end - begin) * sizeof *to);
    }
}

static void activate(float *y, int64_t count, int activation, int n_threads) {
#pragma omp parallel num_threads(n_threads)
    {
        int64_t begin, end;
        split_evenly((count + 63) / 64, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        end = smaller(end * 64, count);
        if (begin * 64 < end) {
            tfr_onednn_act(y + begin * 64, end - begin * 64, activation);
        }
    }
}

/* Where the data of a run are; a primitive that was not told would take the addresses of the run before. */
static bool point(struct state *s, int bucket, const struct tfr_run_args *args, void *x, void *scratchpad) {
    return dnnl_memory_set_data_handle(s->x[bucket], x) == dnnl_success &&
           dnnl_memory_set_data_handle(s->weight, args->arg[1]) == dnnl_success &&
           dnnl_memory_set_data_handle(s->y[bucket], args->arg[4]) == dnnl_success &&
           dnnl_memory_set_data_handle(s->scratch[bucket], scratchpad) == dnnl_success &&
           (!s->family->key.has_bias || dnnl_memory_set_data_handle(s->bias, args->arg[2]) == dnnl_success);
}

static bool execute(struct state *s, const struct tfr_run_args *args, void *x, void *scratchpad) {
    const int bucket = onednn_bucket_for(s->family, args->rows);
    if (bucket < 0 || !has_memory(s, bucket) || !point(s, bucket, args, x, scratchpad)) {
        return false;
    }
    const dnnl_exec_arg_t exec[] = {{DNNL_ARG_SRC, s->x[bucket]},
                                    {DNNL_ARG_WEIGHTS, s->weight},
                                    {DNNL_ARG_DST, s->y[bucket]},
                                    {DNNL_ARG_SCRATCHPAD, s->scratch[bucket]},
                                    {DNNL_ARG_BIAS, s->bias}};
    const int count = s->family->key.has_bias ? 5 : 4;
    return dnnl_primitive_execute(s->family->bucket[bucket].primitive, onednn_stream(), count, exec) == dnnl_success &&
           dnnl_stream_wait(onednn_stream()) == dnnl_success;
}

/* All of a family's primitives: most of them were made for the same linear of another block. */
static void warm(const struct tfr_kernel *self, const struct tfr_problem *problem, void *state) {
    struct state *s = state;
    const int threads_before = omp_get_max_threads();
    (void)self, (void)problem;
    omp_set_num_threads(s->family->key.n_threads);
    for (int i = 0; i < s->family->n_buckets; i++) {
        const int bucket = onednn_bucket_for(s->family, s->family->bucket[i].rows);
        if (bucket >= 0) {
            (void)has_memory(s, bucket);
        }
    }
    omp_set_num_threads(threads_before);
}

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    struct state *s = args->state;
    const struct onednn_key *key = &s->family->key;
    const int threads_before = omp_get_max_threads();
    void *x = args->arg[0];
    float *y = args->arg[4];
    if (args->rows <= 0) {
        return TFR_OK;
    }
    if (key->dtype == TFR_DTYPE_BF16) {
        x = (char *)ctx->scratch + scratchpad_bytes(s->family);
        round_rows(x, args->arg[0], args->rows * key->k, key->n_threads);
    }
    if (key->adds && args->arg[3] != args->arg[4]) {
        copy_rows(y, args->arg[3], args->rows * key->n, key->n_threads);
    }
    if (threads_before != key->n_threads) {
        omp_set_num_threads(key->n_threads);
    }
    const bool is_done = execute(s, args, x, ctx->scratch);
    if (threads_before != key->n_threads) {
        omp_set_num_threads(threads_before);
    }
    if (!is_done) {
        snprintf(ctx->reason, ctx->reason_size, "oneDNN fails to run its primitive for %lld rows", (long long)args->rows);
        return TFR_RUNTIME;
    }
    if (has_activation(problem) && key->activation == TFR_ACT_NONE) {
        activate(y, args->rows * key->n, problem->attrs.activation, key->n_threads);
    }
    return TFR_OK;
}

/* Shares of the peaks, set by hand after measurements on AVX-512 with two threads. The library computes whole blocks of rows: a
 * part of one is lost, as if there were so many rows more. The call, its parallel regions and, in bf16, the rounding of x cost a
 * few microseconds; with few rows the library reads weights more slowly than gemv.
 */
static void cost(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *out) {
    const double rows = (double)problem->rows_max, lost = problem->arg[1].dtype == TFR_DTYPE_BF16 ? 12 : 8;
    (void)self;
    out->flop_fraction = 0.87 * rows / (rows + lost);
    out->byte_fraction = 0.78;
    out->overhead_ns = has_activation(problem) && problem->deterministic ? 8000.0 : 5000.0;
}

#define KERNEL(DTYPE, dtype)                                                                                                       \
    &(const struct tfr_kernel) {                                                                                                   \
        .struct_size = sizeof(struct tfr_kernel), .op = TFR_OP_LINEAR, .name = "linear." #dtype ".onednn.auto",                    \
        .dtypes = 1U << TFR_DTYPE_##DTYPE, .run_class = TFR_RUN_SELF,                                                              \
        .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM, .score = 25, .supports = supports, .cost = cost,             \
        .prepare = prepare, .pack = pack, .init = init, .run = run, .release = release, .warm = warm                               \
    }

const struct tfr_kernel *const onednn_kernels[ONEDNN_N_KERNELS] = {KERNEL(F32, f32), KERNEL(BF16, bf16)};
