/* inject_vendors.c - the calls of oneDNN, hwloc and libzip that may fail, for inject.c: each passes its arguments on as they came,
 * in whatever release, or returns the vendor's own value of failure without calling it. Integers and pointers go through as words;
 * floating-point arguments have registers of their own. */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#include "inject.h"

enum { FAILED = -1, NO_MEMORY_OF_ONEDNN = 1 };

/* oneDNN is loaded with a plugin, out of sight of RTLD_NEXT. */
static void *find(const char *name) {
    static const char *const objects[] = {"libdnnl.so.2", "libdnnl.so.3"};
    void *call = dlsym(RTLD_NEXT, name);
    for (size_t i = 0; call == NULL && i < sizeof objects / sizeof objects[0]; i++) {
        void *object = dlopen(objects[i], RTLD_LAZY | RTLD_NOLOAD);
        call = object != NULL ? dlsym(object, name) : NULL;
    }
    return call;
}

typedef intptr_t word;
typedef word words_call(word a, word b, word c, word d, word e, word f, word g, word h);
typedef word floats_call(word a, word b, word c, word d, float x, float y, float z);

#define CALL(name, failure)                                                                                                        \
    word name(word a, word b, word c, word d, word e, word f, word g, word h);                                                     \
    word name(word a, word b, word c, word d, word e, word f, word g, word h) {                                                    \
        static words_call *call;                                                                                                   \
        long number;                                                                                                               \
        if (inject_must_fail(INJECT_VENDOR, __builtin_return_address(0), &number)) {                                               \
            return failure;                                                                                                        \
        }                                                                                                                          \
        *(void **)&call = find(#name);                                                                                             \
        return call(a, b, c, d, e, f, g, h);                                                                                       \
    }

#define CALL_WITH_FLOATS(name, failure)                                                                                            \
    word name(word a, word b, word c, word d, float x, float y, float z);                                                          \
    word name(word a, word b, word c, word d, float x, float y, float z) {                                                         \
        static floats_call *call;                                                                                                  \
        long number;                                                                                                               \
        if (inject_must_fail(INJECT_VENDOR, __builtin_return_address(0), &number)) {                                               \
            return failure;                                                                                                        \
        }                                                                                                                          \
        *(void **)&call = find(#name);                                                                                             \
        return call(a, b, c, d, x, y, z);                                                                                          \
    }

CALL(dnnl_engine_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_stream_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_stream_wait, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_matmul_desc_init, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_matmul_primitive_desc_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_memory_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_memory_desc_init_by_tag, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_memory_desc_create_with_tag, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_memory_set_data_handle, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_post_ops_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_primitive_attr_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_primitive_attr_set_post_ops, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_primitive_attr_set_scratchpad_mode, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_primitive_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_primitive_desc_create, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_primitive_desc_query, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_primitive_execute, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_set_max_cpu_isa, NO_MEMORY_OF_ONEDNN)
CALL(dnnl_set_primitive_cache_capacity, NO_MEMORY_OF_ONEDNN)
CALL_WITH_FLOATS(dnnl_post_ops_append_eltwise, NO_MEMORY_OF_ONEDNN)
CALL_WITH_FLOATS(dnnl_post_ops_append_sum, NO_MEMORY_OF_ONEDNN)
CALL(hwloc_topology_init, FAILED)
CALL(hwloc_topology_set_flags, FAILED)
CALL(hwloc_topology_set_io_types_filter, FAILED)
CALL(hwloc_topology_load, FAILED)
CALL(zip_source_function_create, 0)
CALL(zip_open_from_source, 0)
CALL(zip_fopen_index, 0)
CALL(zip_fread, FAILED)
CALL(zip_get_num_entries, FAILED)
CALL(zip_get_name, 0)
CALL(zip_stat, FAILED)
