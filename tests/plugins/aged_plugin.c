/* aged_plugin.c - a layer_norm with the bits of ref's, built against an older and against a grown plugin header (make_header.py).
 *
 * AGED_GROWN sets and looks for members that the host does not know, as a plugin of a newer minor version would: it must find
 * that they are not there. It also brings a kernel of an op that the host has never heard of. AGED_OLDER brings a kv_append of the
 * time when caches had f32 alone: it has no `supports`, so the host must ask it for no other.
 */
#include <math.h>
#include <stdio.h>

#include <tfrun/plugin.h>

static const double epsilon_scale = 1; /* what self->user leads to */

/* False where a record of the host has members that it cannot have. */
static bool are_records_as_expected(const struct tfr_problem *problem, const struct tfr_run_args *args,
                                    const struct tfr_run_ctx *ctx) {
#ifdef AGED_GROWN
    return !TFR_HAS(tfr_attrs, &problem->attrs, later) && !TFR_HAS(tfr_run_args, args, later) && !TFR_HAS(tfr_run_ctx, ctx, later);
#else
    return problem->attrs.struct_size > sizeof problem->attrs && args->struct_size > sizeof *args && ctx->struct_size > sizeof *ctx;
#endif
}

static void norm_row(const float *x, const float *weight, const float *bias, float *y, int64_t width, double epsilon) {
    double sum = 0, squares = 0;
    for (int64_t c = 0; c < width; c++) {
        sum += x[c];
    }
    const double mean = sum / (double)width;
    for (int64_t c = 0; c < width; c++) {
        squares += (x[c] - mean) * (x[c] - mean);
    }
    const double deviation = sqrt(squares / (double)width + epsilon);
    for (int64_t c = 0; c < width; c++) {
        y[c] = (float)((x[c] - mean) / deviation * weight[c] + bias[c]);
    }
}

static int32_t run(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx) {
    const int64_t width = problem->arg[3].dim[1];
    const double scale = *(const double *)self->user;
    if (!are_records_as_expected(problem, args, ctx)) {
        return TFR_RUNTIME;
    }
    for (int64_t r = args->rows * ctx->tid / ctx->nth; r < args->rows * (ctx->tid + 1) / ctx->nth; r++) {
        norm_row((const float *)args->arg[0] + r * width, args->arg[1], args->arg[2], (float *)args->arg[3] + r * width, width,
                 problem->attrs.epsilon * scale);
    }
    return TFR_OK;
}

static int32_t prepare(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t reason_size) {
    (void)self, (void)problem;
#ifdef AGED_GROWN
    if (TFR_HAS(tfr_needs, needs, later)) {
        snprintf(reason, reason_size, "the host claims to know what a later version needs");
        return TFR_UNSUPPORTED;
    }
#else
    (void)reason, (void)reason_size;
#endif
    needs->scratch_bytes = 64;
    return TFR_OK;
}

static const struct tfr_kernel norm = {
    .struct_size = sizeof(struct tfr_kernel),
    .op = TFR_OP_LAYER_NORM,
    .name = "layer_norm.f32.aged.plain",
    .user = &epsilon_scale,
    .dtypes = 1U << TFR_DTYPE_F32,
    .run_class = TFR_RUN_TEAM,
    .flags = TFR_KERNEL_IN_PLACE | TFR_KERNEL_SAME_BITS_ANY_TEAM,
    .score = 10,
    .prepare = prepare,
    .run = run,
#ifdef AGED_GROWN
    .later = 42,
#endif
};
#ifdef AGED_OLDER
static void append_row(const struct tfr_kv *kv, const struct tfr_attrs *attrs, int64_t s, const float *k, const float *v) {
    for (int64_t h = 0; h < attrs->n_heads; h++) {
        for (int64_t d = 0; d < attrs->head_dim; d++) {
            const int64_t panel = (h * (kv->capacity / TFR_KV_PANEL) + s / TFR_KV_PANEL) * attrs->head_dim + d;
            kv->k[panel * TFR_KV_PANEL + s % TFR_KV_PANEL] = k[h * attrs->head_dim + d];
            kv->v[(h * kv->capacity + s) * attrs->head_dim + d] = v[h * attrs->head_dim + d];
        }
    }
}

static int32_t append(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                      const struct tfr_run_ctx *ctx) {
    (void)self, (void)ctx;
    const int64_t pitch = problem->arg[0].dim[1], width = (int64_t)problem->attrs.n_heads * problem->attrs.head_dim;
    for (int64_t b = 0; b < args->batch->n_seqs; b++) {
        const struct tfr_batch_seq *seq = tfr_batch_at(args->batch, b);
        for (int64_t t = 0; t < (seq->query_only ? 0 : seq->n_rows); t++) {
            const float *k = (const float *)args->arg[0] + (seq->row0 + t + 1) * pitch - 2 * width;
            append_row(tfr_seq_kv(args->batch, seq, &problem->attrs, 0), &problem->attrs, seq->past + t, k, k + width);
        }
    }
    return TFR_OK;
}

static const struct tfr_kernel kv_append = {
    .struct_size = sizeof(struct tfr_kernel),
    .op = TFR_OP_KV_APPEND,
    .name = "kv_append.f32.aged.plain",
    .dtypes = 1U << TFR_DTYPE_F32,
    .flags = TFR_KERNEL_SAME_BITS_ANY_TEAM,
    .run = append,
};
#endif
#ifdef AGED_GROWN
static const struct tfr_kernel unheard_of = {
    .struct_size = sizeof(struct tfr_kernel),
    .op = TFR_OP_COUNT + 7,
    .name = "rotary.f32.aged.plain",
    .dtypes = 1U << TFR_DTYPE_F32,
    .run = run,
};
#endif
static const struct tfr_kernel *const kernels[] = {
    &norm,
#ifdef AGED_OLDER
    &kv_append,
#endif
#ifdef AGED_GROWN
    &unheard_of,
#endif
};

static const struct tfr_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = TFR_PLUGIN_ABI_MAJOR,
    .abi_minor = TFR_PLUGIN_ABI_MINOR,
    .name = "aged",
    .version = "1.0",
    .build = "test",
    .n_kernels = sizeof kernels / sizeof kernels[0],
    .kernels = kernels,
#ifdef AGED_GROWN
    .later = 42,
#endif
};

TFR_PLUGIN_ENTRY(aged) {
#ifdef AGED_GROWN
    return TFR_HAS(tfr_host, host, later) ? NULL : &plugin;
#else
    (void)host;
    return &plugin;
#endif
}
