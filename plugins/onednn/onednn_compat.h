/* onednn_compat.h - the part of oneDNN's C API that differs between 2.x and 3.x, behind functions with one
 * form.
 *
 * 2.x: memory descriptors are plain structs, operations have descriptors of their own. 3.x: descriptors are
 * handles, a primitive descriptor is made in one call. Everything else is called directly.
 */
#ifndef TFR_PLUGINS_ONEDNN_COMPAT_H
#define TFR_PLUGINS_ONEDNN_COMPAT_H

#include <stdio.h>
#include <stdlib.h>

#include <dnnl.h>

#include <tfrun/plugin.h>

/* A dense or blocked matrix. Release with compat_desc_free. */
struct compat_desc {
    dnnl_memory_desc_t handle;
};

#if DNNL_VERSION_MAJOR >= 3

static inline dnnl_status_t compat_desc_make(struct compat_desc *desc, int64_t rows, int64_t columns, dnnl_data_type_t type,
                                             dnnl_format_tag_t tag) {
    const dnnl_dims_t dims = {rows, columns};
    desc->handle = NULL;
    return dnnl_memory_desc_create_with_tag(&desc->handle, 2, dims, type, tag);
}

static inline void compat_desc_free(struct compat_desc *desc) {
    if (desc->handle != NULL) {
        dnnl_memory_desc_destroy(desc->handle);
        desc->handle = NULL;
    }
}

/* y = x w (+ bias), with attr's post-ops. `bias` may be NULL. */
static inline dnnl_status_t compat_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const struct compat_desc *x,
                                          const struct compat_desc *w, const struct compat_desc *bias, const struct compat_desc *y,
                                          const_dnnl_primitive_attr_t attr) {
    return dnnl_matmul_primitive_desc_create(out, engine, x->handle, w->handle, bias != NULL ? bias->handle : NULL, y->handle,
                                             attr);
}

/* Memory without data: its handle is set before each run. */
static inline bool compat_memory(dnnl_memory_t *out, dnnl_engine_t engine, const struct compat_desc *desc) {
    return dnnl_memory_create(out, desc->handle, engine, DNNL_MEMORY_NONE) == dnnl_success;
}

static inline dnnl_status_t compat_append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
}

static inline dnnl_status_t compat_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta) {
    return dnnl_post_ops_append_eltwise(ops, kind, alpha, beta);
}

#else

static inline dnnl_status_t compat_desc_make(struct compat_desc *desc, int64_t rows, int64_t columns, dnnl_data_type_t type,
                                             dnnl_format_tag_t tag) {
    const dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_init_by_tag(&desc->handle, 2, dims, type, tag);
}

static inline void compat_desc_free(struct compat_desc *desc) {
    (void)desc;
}

/* y = x w (+ bias), with attr's post-ops. `bias` may be NULL. */
static inline dnnl_status_t compat_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const struct compat_desc *x,
                                          const struct compat_desc *w, const struct compat_desc *bias, const struct compat_desc *y,
                                          const_dnnl_primitive_attr_t attr) {
    dnnl_matmul_desc_t op;
    const dnnl_memory_desc_t *bias_handle = bias != NULL ? &bias->handle : NULL;
    const dnnl_status_t status = dnnl_matmul_desc_init(&op, &x->handle, &w->handle, bias_handle, &y->handle);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &op, attr, engine, NULL) : status;
}

/* Memory without data: its handle is set before each run. */
static inline bool compat_memory(dnnl_memory_t *out, dnnl_engine_t engine, const struct compat_desc *desc) {
    return dnnl_memory_create(out, &desc->handle, engine, DNNL_MEMORY_NONE) == dnnl_success;
}

static inline dnnl_status_t compat_append_sum(dnnl_post_ops_t ops) {
    return dnnl_post_ops_append_sum(ops, 1.0f);
}

static inline dnnl_status_t compat_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta) {
    return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, alpha, beta);
}

#endif

/* Memory for the user's scratchpad of `desc`; its descriptor is borrowed from there in both versions. */
static inline bool compat_scratch_memory(dnnl_memory_t *out, dnnl_engine_t engine, const_dnnl_primitive_desc_t desc) {
    return dnnl_memory_create(out, dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0), engine, DNNL_MEMORY_NONE) ==
           dnnl_success;
}

static inline size_t compat_scratch_bytes(const_dnnl_primitive_desc_t desc) {
    return dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0));
}

static inline const char *compat_implementation(const_dnnl_primitive_desc_t desc) {
    const char *text = NULL;
    return dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &text) == dnnl_success && text != NULL ? text : "unknown";
}

/* Holds the library to the instruction sets of `isa` (enum tfr_isa). Has effect once, before anything else is
 * called; a limit in the library's own environment variable stands. */
static inline void compat_limit_isa(uint32_t isa) {
    dnnl_cpu_isa_t limit = dnnl_cpu_isa_sse41;
    if (getenv("ONEDNN_MAX_CPU_ISA") != NULL || getenv("DNNL_MAX_CPU_ISA") != NULL) {
        return;
    }
    if (isa & TFR_ISA_AVX2) {
        limit = dnnl_cpu_isa_avx2;
    }
    if (isa & TFR_ISA_AVX512) {
        limit = dnnl_cpu_isa_avx512_core;
        if (isa & TFR_ISA_AVX512_VNNI) {
            limit = isa & TFR_ISA_AVX512_BF16 ? dnnl_cpu_isa_avx512_core_bf16 : dnnl_cpu_isa_avx512_core_vnni;
        }
        if (isa & TFR_ISA_AMX_BF16) {
            limit = dnnl_cpu_isa_avx512_core_amx;
        }
    }
    dnnl_set_max_cpu_isa(limit);
}

static inline bool compat_has_amx(void) {
    const int isa = (int)dnnl_get_effective_cpu_isa(), amx = (int)dnnl_cpu_isa_avx512_core_amx;
    return (isa & amx) == amx;
}

static inline bool compat_has_bf16(void) {
    const int isa = (int)dnnl_get_effective_cpu_isa(), bf16 = (int)dnnl_cpu_isa_avx512_core_bf16;
    return (isa & bf16) == bf16;
}

static inline const char *compat_isa_text(void) {
    switch ((int)dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "sse41";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx:
        return "avx512_core_amx";
    default:
        return "other";
    }
}

static inline const char *compat_runtime_text(void) {
    switch (dnnl_version()->cpu_runtime) {
    case DNNL_RUNTIME_OMP:
        return "openmp";
    case DNNL_RUNTIME_SEQ:
        return "sequential";
    case DNNL_RUNTIME_TBB:
        return "tbb";
    case DNNL_RUNTIME_THREADPOOL:
        return "threadpool";
    default:
        return "other";
    }
}

#endif
