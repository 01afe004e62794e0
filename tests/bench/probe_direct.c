/* probe_direct.c - see probe_direct.h. x is in bf16 beforehand: the plugin's rounding of x counts against the
 * plugin. */
#include "probe_direct.h"

#include <stddef.h>

#ifdef TFR_BENCH_HAVE_ONEDNN
#include <omp.h>

#include "bandwidth.h"
#include "onednn/onednn_compat.h"

struct probe_direct {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, w, y;
};

bool probe_direct_is_built(void) {
    return true;
}

/* `from` (f32, dense) in the layout of `to`. */
static bool reorder(struct probe_direct *d, dnnl_memory_t to, const struct compat_desc *from, const float *data) {
    dnnl_memory_t source = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    bool is_done =
        compat_memory(&source, d->engine, from) && dnnl_memory_set_data_handle(source, (void *)(uintptr_t)data) == dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
    const_dnnl_memory_desc_t target = NULL;
#else
    const dnnl_memory_desc_t *target = NULL;
#endif
    is_done = is_done && dnnl_memory_get_memory_desc(to, &target) == dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
    is_done = is_done && dnnl_reorder_primitive_desc_create(&desc, from->handle, d->engine, target, d->engine, NULL) == 0;
#else
    is_done = is_done && dnnl_reorder_primitive_desc_create(&desc, &from->handle, d->engine, target, d->engine, NULL) == 0;
#endif
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, to}};
    is_done = is_done && dnnl_primitive_create(&primitive, desc) == dnnl_success &&
              dnnl_primitive_execute(primitive, d->stream, 2, args) == dnnl_success;
    if (primitive != NULL) {
        dnnl_primitive_destroy(primitive);
    }
    if (desc != NULL) {
        dnnl_primitive_desc_destroy(desc);
    }
    if (source != NULL) {
        dnnl_memory_destroy(source);
    }
    return is_done;
}

static bool make(struct probe_direct *d, int dtype, int64_t rows, int64_t k, int64_t n, const float *x, const float *w, float *y) {
    const dnnl_data_type_t type = dtype == TFR_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
    struct compat_desc x_desc, w_desc, y_desc, x_plain, w_plain;
    if (!compat_desc_make(&x_desc, rows, k, type, dnnl_ab) || !compat_desc_make(&w_desc, k, n, type, dnnl_format_tag_any) ||
        !compat_desc_make(&y_desc, rows, n, dnnl_f32, dnnl_ab) || !compat_desc_make(&x_plain, rows, k, dnnl_f32, dnnl_ab) ||
        !compat_desc_make(&w_plain, k, n, dnnl_f32, dnnl_ab) ||
        !compat_matmul(&d->desc, d->engine, &x_desc, &w_desc, NULL, &y_desc, NULL) ||
        dnnl_primitive_create(&d->primitive, d->desc) != dnnl_success) {
        return false;
    }
    const size_t w_bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(d->desc, dnnl_query_weights_md, 0));
    return dnnl_memory_create(&d->w, dnnl_primitive_desc_query_md(d->desc, dnnl_query_weights_md, 0), d->engine,
                              bench_huge_alloc(w_bytes)) == dnnl_success &&
           compat_memory(&d->x, d->engine, &x_desc) && compat_memory(&d->y, d->engine, &y_desc) &&
           dnnl_memory_set_data_handle(d->x, bench_huge_alloc((size_t)(rows * k) * 4)) == dnnl_success &&
           dnnl_memory_set_data_handle(d->y, y) == dnnl_success && reorder(d, d->x, &x_plain, x) && reorder(d, d->w, &w_plain, w);
}

struct probe_direct *probe_direct_open(int dtype, int64_t rows, int64_t k, int64_t n, int n_threads, const float *x, const float *w,
                                       float *y) {
    struct probe_direct *d = calloc(1, sizeof *d);
    omp_set_num_threads(n_threads);
    if (d == NULL || dnnl_engine_create(&d->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags) != dnnl_success ||
        !make(d, dtype, rows, k, n, x, w, y)) {
        fprintf(stderr, "oneDNN refuses %lld x %lld x %lld\n", (long long)rows, (long long)k, (long long)n);
        probe_direct_close(d);
        return NULL;
    }
    return d;
}

double probe_direct_seconds(const struct probe_direct *d) {
    if (d == NULL) {
        return 0;
    }
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, d->x}, {DNNL_ARG_WEIGHTS, d->w}, {DNNL_ARG_DST, d->y}};
    const double begin = bench_now();
    dnnl_primitive_execute(d->primitive, d->stream, 3, args);
    dnnl_stream_wait(d->stream);
    return bench_now() - begin;
}

/* The few handles left behind end with the process. */
void probe_direct_close(struct probe_direct *d) {
    if (d != NULL && d->primitive != NULL) {
        dnnl_primitive_destroy(d->primitive);
    }
    free(d);
}

#else

bool probe_direct_is_built(void) {
    return false;
}

struct probe_direct *probe_direct_open(int dtype, int64_t rows, int64_t k, int64_t n, int n_threads, const float *x, const float *w,
                                       float *y) {
    (void)dtype, (void)rows, (void)k, (void)n, (void)n_threads, (void)x, (void)w, (void)y;
    return NULL;
}

double probe_direct_seconds(const struct probe_direct *direct) {
    (void)direct;
    return 0;
}

void probe_direct_close(struct probe_direct *direct) {
    (void)direct;
}
#endif
