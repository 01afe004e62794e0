/* onednn_table.c - families of matmul primitives, one per distinct problem.
 *
 * A primitive has a fixed number of rows. A family holds up to eight sizes of rows, an eighth of rows_max
 * apart, so that short runs of a long plan pay for few rows too many. The library is asked about the most and the
 * fewest at once, since it may have no fast code, and about those between when a run has as many rows, or in a
 * warm-up: a plan of one class of rows meets two of the eight. The library's own cache is off: this table is the cache.
 */
#include "onednn/onednn.h"

#include <omp.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct onednn_family *families;
/* What was refused once stays refused, even where the library only lacked memory at that moment: how a weight lies in memory
 * follows from the answer, so `pack` and `init` must get the one that `prepare` got. */
static struct refusal {
    struct onednn_key key;
    char reason[128];
    struct refusal *next;
} * refusals;
static dnnl_engine_t engine;
static dnnl_stream_t stream;

static bool refuse(char *reason, size_t size, const char *text) {
    snprintf(reason, size, "%s", text);
    return false;
}

bool onednn_open_engine(void) {
    if (engine != NULL) {
        return true;
    }
    dnnl_set_primitive_cache_capacity(0);
    return dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
           dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
}

dnnl_engine_t onednn_engine(void) {
    return engine;
}

dnnl_stream_t onednn_stream(void) {
    return stream;
}

bool onednn_eltwise(int activation, dnnl_alg_kind_t *kind, float *alpha, float *beta) {
    static const struct {
        int activation;
        dnnl_alg_kind_t kind;
        float alpha, beta;
    } known[] = {
        {TFR_ACT_GELU_TANH, dnnl_eltwise_gelu_tanh, 0.0f, 0.0f}, {TFR_ACT_GELU_ERF, dnnl_eltwise_gelu_erf, 0.0f, 0.0f},
        {TFR_ACT_RELU, dnnl_eltwise_relu, 0.0f, 0.0f},           {TFR_ACT_LEAKY_RELU, dnnl_eltwise_relu, 0.01f, 0.0f},
        {TFR_ACT_TANH, dnnl_eltwise_tanh, 0.0f, 0.0f},           {TFR_ACT_SIGMOID, dnnl_eltwise_logistic, 0.0f, 0.0f},
        {TFR_ACT_SILU, dnnl_eltwise_swish, 1.0f, 0.0f},          {TFR_ACT_QUICK_GELU, dnnl_eltwise_swish, 1.702f, 0.0f},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].activation == activation) {
            *kind = known[i].kind;
            *alpha = known[i].alpha;
            *beta = known[i].beta;
            return true;
        }
    }
    return false;
}

static dnnl_format_tag_t weight_tag(const struct onednn_key *key) {
    if (key->is_plain) {
        return dnnl_ab;
    }
    return key->dtype == TFR_DTYPE_BF16 ? dnnl_BA16a64b2a : dnnl_BA16a64b;
}

static dnnl_data_type_t factor_type(const struct onednn_key *key) {
    return key->dtype == TFR_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

static dnnl_status_t append_post_ops(const struct onednn_key *key, dnnl_post_ops_t ops) {
    dnnl_alg_kind_t kind;
    float alpha, beta;
    const dnnl_status_t status = key->adds ? compat_append_sum(ops) : dnnl_success;
    if (status != dnnl_success || key->activation == TFR_ACT_NONE) {
        return status;
    }
    return onednn_eltwise(key->activation, &kind, &alpha, &beta) ? compat_append_eltwise(ops, kind, alpha, beta)
                                                                 : dnnl_unimplemented;
}

/* User-mode scratchpad: the default one may only be used by the thread that made the primitive. */
static dnnl_status_t fill_attr(const struct onednn_key *key, dnnl_primitive_attr_t attr) {
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    status = status == dnnl_success ? dnnl_post_ops_create(&ops) : status;
    status = status == dnnl_success ? append_post_ops(key, ops) : status;
    status = status == dnnl_success ? dnnl_primitive_attr_set_post_ops(attr, ops) : status;
    if (ops != NULL) {
        dnnl_post_ops_destroy(ops);
    }
    return status;
}

/* The library reads the caller's OpenMP setting when it makes a primitive and blocks for that many threads.
 */
static dnnl_status_t make_bucket(struct onednn_family *family, struct onednn_bucket *bucket, const_dnnl_primitive_attr_t attr) {
    const struct onednn_key *key = &family->key;
    const int threads_before = omp_get_max_threads();
    dnnl_status_t status = compat_desc_make(&bucket->x, bucket->rows, key->k, factor_type(key), dnnl_ab);
    status = status == dnnl_success ? compat_desc_make(&bucket->y, bucket->rows, key->n, dnnl_f32, dnnl_ab) : status;
    if (status != dnnl_success) {
        return status;
    }
    omp_set_num_threads(key->n_threads);
    status =
        compat_matmul(&bucket->desc, engine, &bucket->x, &family->weight, key->has_bias ? &family->bias : NULL, &bucket->y, attr);
    omp_set_num_threads(threads_before);
    return status;
}

static void free_bucket(struct onednn_bucket *bucket) {
    if (bucket->desc != NULL) {
        dnnl_primitive_desc_destroy(bucket->desc);
    }
    compat_desc_free(&bucket->x);
    compat_desc_free(&bucket->y);
    *bucket = (struct onednn_bucket){.rows = bucket->rows};
}

/* Only fast code is taken: brgemm for panel64; anything but the reference loop for plain weights. */
static bool is_fast(const struct onednn_key *key, const char *implementation) {
    return key->is_plain ? strstr(implementation, "ref") == NULL : strstr(implementation, "brg") != NULL;
}

/* Row counts of the buckets: multiples of 16 about rows_max / 8 apart, and rows_max itself. */
static int bucket_rows(int64_t rows_max, int64_t rows[ONEDNN_MAX_BUCKETS]) {
    int count = 0;
    for (int64_t i = 1; i < ONEDNN_MAX_BUCKETS; i++) {
        const int64_t size = (rows_max * i / ONEDNN_MAX_BUCKETS + 15) / 16 * 16;
        if (size < rows_max && size > (count > 0 ? rows[count - 1] : 0)) {
            rows[count++] = size;
        }
    }
    rows[count++] = rows_max;
    return count;
}

/* No memory is no answer: the choice of kernels must not depend on that. With the words. */
static bool lacks_memory(dnnl_status_t status, char *reason, size_t size) {
    if (status == dnnl_out_of_memory) {
        refuse(reason, size, "oneDNN has no memory");
    }
    return status == dnnl_out_of_memory;
}

/* What the library does for so many rows; TFR_UNSUPPORTED with a text where that is slow. Without memory it may be asked again. */
static int32_t describe(struct onednn_family *family, struct onednn_bucket *bucket, char *reason, size_t size) {
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    status = status == dnnl_success ? fill_attr(&family->key, attr) : status;
    const bool has_attr = status == dnnl_success;
    status = has_attr ? make_bucket(family, bucket, attr) : status;
    if (attr != NULL) {
        dnnl_primitive_attr_destroy(attr);
    }
    if (lacks_memory(status, reason, size)) {
        free_bucket(bucket);
        return TFR_RESOURCE;
    }
    if (!has_attr) {
        refuse(reason, size, "oneDNN refuses the post-operations");
        return TFR_UNSUPPORTED;
    }
    bucket->is_known = true;
    bucket->is_good = status == dnnl_success && is_fast(&family->key, compat_implementation(bucket->desc));
    if (!bucket->is_good) {
        const char *text = status == dnnl_success ? compat_implementation(bucket->desc) : "none";
        snprintf(reason, size, "oneDNN has no fast code for %lld rows here: %s", (long long)bucket->rows, text);
    }
    return bucket->is_good ? TFR_OK : TFR_UNSUPPORTED;
}

static size_t scratch_of(const struct onednn_bucket *bucket) {
    return bucket->is_good ? compat_scratch_bytes(bucket->desc) : 0;
}

/* The most and the fewest rows say how much scratch there is. Where a number between needs more, the next one has its runs. */
static int32_t describe_ends(struct onednn_family *family, char *reason, size_t size) {
    struct onednn_bucket *first = &family->bucket[0], *last = &family->bucket[family->n_buckets - 1];
    int32_t status = describe(family, last, reason, size);
    if (status != TFR_OK) {
        return status;
    }
    family->implementation = compat_implementation(last->desc);
    family->scratch_bytes = scratch_of(last);
    if (first != last) {
        char why[128];
        status = describe(family, first, why, sizeof why);
        if (status == TFR_RESOURCE) {
            snprintf(reason, size, "%s", why);
            return status;
        }
        family->scratch_bytes = scratch_of(first) > family->scratch_bytes ? scratch_of(first) : family->scratch_bytes;
    }
    return TFR_OK;
}

static void free_family(struct onednn_family *family) {
    for (int i = 0; i < family->n_buckets; i++) {
        free_bucket(&family->bucket[i]);
    }
    compat_desc_free(&family->weight);
    compat_desc_free(&family->bias);
    free(family);
}

static int32_t make_family(const struct onednn_key *key, struct onednn_family **made, char *reason, size_t size) {
    struct onednn_family *family = calloc(1, sizeof *family);
    if (family == NULL) {
        refuse(reason, size, "no memory");
        return TFR_RESOURCE;
    }
    family->key = *key;
    dnnl_status_t layout = compat_desc_make(&family->weight, key->k, key->n, factor_type(key), weight_tag(key));
    layout = layout == dnnl_success ? compat_desc_make(&family->bias, 1, key->n, dnnl_f32, dnnl_ab) : layout;
    if (layout != dnnl_success) {
        free_family(family);
        refuse(reason, size, "oneDNN refuses the layout of the weights");
        return lacks_memory(layout, reason, size) ? TFR_RESOURCE : TFR_UNSUPPORTED;
    }
    int64_t rows[ONEDNN_MAX_BUCKETS];
    family->n_buckets = bucket_rows(key->rows_max, rows);
    for (int i = 0; i < family->n_buckets; i++) {
        family->bucket[i].rows = rows[i];
    }
    const int32_t status = describe_ends(family, reason, size);
    if (status != TFR_OK) {
        free_family(family);
        return status;
    }
    *made = family;
    return TFR_OK;
}

static bool is_same_key(const struct onednn_key *a, const struct onednn_key *b) {
    return a->k == b->k && a->n == b->n && a->rows_max == b->rows_max && a->dtype == b->dtype && a->n_threads == b->n_threads &&
           a->has_bias == b->has_bias && a->adds == b->adds && a->activation == b->activation && a->is_plain == b->is_plain;
}

static const struct refusal *find_refusal(const struct onednn_key *key) {
    const struct refusal *refusal = refusals;
    while (refusal != NULL && !is_same_key(&refusal->key, key)) {
        refusal = refusal->next;
    }
    return refusal;
}

/* A key that nobody has asked for yet. Without memory to keep the answer there is none. */
static int32_t add(const struct onednn_key *key, struct onednn_family **family, char *reason, size_t size) {
    struct refusal *refusal = calloc(1, sizeof *refusal);
    if (refusal == NULL) {
        refuse(reason, size, "no memory");
        return TFR_RESOURCE;
    }
    const int32_t status = make_family(key, family, reason, size);
    if (status == TFR_UNSUPPORTED) {
        *refusal = (struct refusal){.key = *key, .next = refusals};
        snprintf(refusal->reason, sizeof refusal->reason, "%s", reason);
        refusals = refusal;
        return status;
    }
    free(refusal);
    if (status == TFR_OK) {
        (*family)->next = families;
        families = *family;
    }
    return status;
}

int32_t onednn_family_find(const struct onednn_key *key, struct onednn_family **family, char *reason, size_t reason_size) {
    int32_t status = TFR_OK;
    pthread_mutex_lock(&table_lock);
    *family = families;
    while (*family != NULL && !is_same_key(&(*family)->key, key)) {
        *family = (*family)->next;
    }
    const struct refusal *refusal = *family == NULL ? find_refusal(key) : NULL;
    if (refusal != NULL) {
        refuse(reason, reason_size, refusal->reason);
        status = TFR_UNSUPPORTED;
    } else if (*family == NULL) {
        status = add(key, family, reason, reason_size);
    }
    pthread_mutex_unlock(&table_lock);
    return status;
}

static void free_primitives(struct onednn_family *family) {
    for (int i = 0; i < family->n_buckets; i++) {
        if (family->bucket[i].primitive != NULL) {
            dnnl_primitive_destroy(family->bucket[i].primitive);
            family->bucket[i].primitive = NULL;
        }
    }
}

void onednn_family_take(struct onednn_family *family) {
    pthread_mutex_lock(&table_lock);
    family->n_users++;
    pthread_mutex_unlock(&table_lock);
}

static bool is_ready(struct onednn_family *family, struct onednn_bucket *bucket) {
    char reason[128];
    if (!bucket->is_known && describe(family, bucket, reason, sizeof reason) == TFR_OK) {
        bucket->is_good = scratch_of(bucket) <= family->scratch_bytes;
    }
    return bucket->is_good &&
           (bucket->primitive != NULL || dnnl_primitive_create(&bucket->primitive, bucket->desc) == dnnl_success);
}

int onednn_bucket_for(struct onednn_family *family, int64_t rows) {
    int i = 0;
    pthread_mutex_lock(&table_lock);
    while (i < family->n_buckets && (family->bucket[i].rows < rows || !is_ready(family, &family->bucket[i]))) {
        i++;
    }
    pthread_mutex_unlock(&table_lock);
    return i < family->n_buckets ? i : -1;
}

void onednn_family_leave(struct onednn_family *family) {
    pthread_mutex_lock(&table_lock);
    family->n_users--;
    if (family->n_users == 0) {
        free_primitives(family);
    }
    pthread_mutex_unlock(&table_lock);
}
