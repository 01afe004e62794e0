/* test_onednn_table.c - the table of plugins/onednn: one answer for each key, whatever the library fails at meanwhile. The call
 * that describes a primitive goes by way of this program. */
#include "tfr_test.h"

#include <dlfcn.h>

#include "onednn/onednn.h"

static dnnl_status_t failure = dnnl_success; /* that the library is made to tell */
static int n_asked;

static void *library_call(const char *name) {
    void *call = dlsym(RTLD_NEXT, name);
    assert_non_null(call);
    return call;
}

#if DNNL_VERSION_MAJOR >= 3
dnnl_status_t dnnl_matmul_primitive_desc_create(dnnl_primitive_desc_t *made, dnnl_engine_t engine, const_dnnl_memory_desc_t x,
                                                const_dnnl_memory_desc_t w, const_dnnl_memory_desc_t bias,
                                                const_dnnl_memory_desc_t y, const_dnnl_primitive_attr_t attr) {
    __typeof__(dnnl_matmul_primitive_desc_create) *call;
    *(void **)&call = library_call("dnnl_matmul_primitive_desc_create");
    n_asked++;
    return failure != dnnl_success ? failure : call(made, engine, x, w, bias, y, attr);
}
#else
dnnl_status_t dnnl_primitive_desc_create(dnnl_primitive_desc_t *made, const_dnnl_op_desc_t op, const_dnnl_primitive_attr_t attr,
                                         dnnl_engine_t engine, const_dnnl_primitive_desc_t hint) {
    __typeof__(dnnl_primitive_desc_create) *call;
    *(void **)&call = library_call("dnnl_primitive_desc_create");
    n_asked++;
    return failure != dnnl_success ? failure : call(made, op, attr, engine, hint);
}
#endif

static struct onednn_key key_of(int64_t k, int64_t n, bool is_plain) {
    return (struct onednn_key){.k = k, .n = n, .rows_max = 32, .dtype = TFR_DTYPE_F32, .n_threads = 1, .is_plain = is_plain};
}

/* A weight that `prepare` found no panels for is packed dense. Were `pack` told of panels afterwards it would write them into less
 * room than they take. */
TFR_TEST(what_was_refused_stays_refused) {
    TFR_UNUSED_STATE;
    const struct onednn_key key = key_of(80, 240, false);
    struct onednn_family *family;
    char first[128] = "", again[128] = "";
    assert_true(onednn_open_engine());
    failure = dnnl_unimplemented;
    assert_int_equal(onednn_family_find(&key, &family, first, sizeof first), TFR_UNSUPPORTED);
    failure = dnnl_success;
    n_asked = 0;
    assert_int_equal(onednn_family_find(&key, &family, again, sizeof again), TFR_UNSUPPORTED);
    assert_null(family);
    assert_true(first[0] != '\0');
    assert_string_equal(again, first);
    assert_int_equal(n_asked, 0);
}

TFR_TEST(what_was_made_is_made_once) {
    TFR_UNUSED_STATE;
    char reason[128] = "";
    assert_true(onednn_open_engine());
    for (int is_plain = 0; is_plain < 2; is_plain++) {
        const struct onednn_key key = key_of(48, 112, is_plain != 0);
        struct onednn_family *first, *again;
        n_asked = 0;
        const int32_t status = onednn_family_find(&key, &first, reason, sizeof reason);
        assert_true(status == TFR_OK || status == TFR_UNSUPPORTED); /* not every processor has code for panels */
        assert_true(n_asked > 0);
        n_asked = 0;
        failure = dnnl_out_of_memory;
        assert_int_equal(onednn_family_find(&key, &again, reason, sizeof reason), status);
        failure = dnnl_success;
        assert_ptr_equal(again, first);
        assert_int_equal(n_asked, 0);
    }
}

/* Else a moment without memory would choose other kernels, and with them other bits. */
TFR_TEST(no_memory_is_no_refusal) {
    TFR_UNUSED_STATE;
    const struct onednn_key key = key_of(64, 176, true);
    struct onednn_family *family;
    char reason[128] = "";
    assert_true(onednn_open_engine());
    failure = dnnl_out_of_memory;
    assert_int_equal(onednn_family_find(&key, &family, reason, sizeof reason), TFR_RESOURCE);
    assert_null(family);
    assert_non_null(strstr(reason, "memory"));
    failure = dnnl_success;
    n_asked = 0;
    assert_int_not_equal(onednn_family_find(&key, &family, reason, sizeof reason), TFR_RESOURCE);
    assert_true(n_asked > 0);
}

TFR_TEST_MAIN(TFR_CASE(what_was_refused_stays_refused), TFR_CASE(what_was_made_is_made_once), TFR_CASE(no_memory_is_no_refusal))
