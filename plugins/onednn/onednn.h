/* onednn.h - the parts of this plugin: the table of primitives, the probe of the order of additions, the
 * linear itself.
 *
 * Primitives depend on shapes only, not on weights, so all blocks of a model share them: a table of the
 * process holds one family for each distinct problem. Guarded by one mutex. A primitive is machine code that the library writes
 * when it is made, which takes it a third of a millisecond or more: each is made when a run first has its number of rows, since
 * most of a plan's never come, or all by `warm` where no run is to wait. Such a run is of class SELF and outside of parallel
 * regions, as making one must be.
 */
#ifndef TFR_PLUGINS_ONEDNN_H
#define TFR_PLUGINS_ONEDNN_H

#include "onednn/onednn_compat.h"

#define ONEDNN_MAX_BUCKETS 8

struct onednn_key {
    int64_t k, n, rows_max;
    int32_t dtype, n_threads;
    int32_t has_bias, adds; /* adds: y += result, for the residual */
    int32_t activation;     /* fused activation, or TFR_ACT_NONE */
    int32_t is_plain;       /* weights dense [K,N] instead of panel64 */
};

/* The primitive for up to `rows` rows. */
struct onednn_bucket {
    int64_t rows;
    bool is_known, is_good; /* the library was asked; and has fast code that does with the family's scratch */
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive; /* NULL until a run had so many rows, or a warm-up made it */
    struct compat_desc x, y;
};

struct onednn_family {
    struct onednn_key key;
    struct onednn_family *next;
    struct compat_desc weight, bias;
    int n_buckets;
    struct onednn_bucket bucket[ONEDNN_MAX_BUCKETS]; /* rows ascending; the last has rows_max */
    size_t scratch_bytes;                            /* the most of the first and the last bucket */
    const char *implementation;                      /* the library's name of what runs rows_max */
    int n_users;
};

dnnl_engine_t onednn_engine(void);
dnnl_stream_t onednn_stream(void);
bool onednn_open_engine(void);

/* The family of `key`, made if need be; never freed. With a reason: TFR_UNSUPPORTED where the library offers only its
 * reference code, TFR_RESOURCE without memory. Of either of the first two there is one answer, whoever asks how often. */
int32_t onednn_family_find(const struct onednn_key *key, struct onednn_family **family, char *reason, size_t reason_size);
/* While a family has users, its primitives stay. */
void onednn_family_take(struct onednn_family *family);
/* The least bucket that serves so many rows, with its primitive, which is made for the first who asks; -1 where the library fails
 * to. For users, one thread of each. */
int onednn_bucket_for(struct onednn_family *family, int64_t rows);
void onednn_family_leave(struct onednn_family *family);

/* True if the library has a fused form of `activation`: sets its kind and parameters. */
bool onednn_eltwise(int activation, dnnl_alg_kind_t *kind, float *alpha, float *beta);

/* The order in which the library adds K products of this dtype and layout, found by comparing bits once per
 * (dtype, K, layout); TFR_ORDER_OWN if no known order gives the same bits. TFR_RESOURCE without memory. */
int32_t onednn_order(int dtype, int64_t k, bool is_plain, struct tfr_order *order, char *reason, size_t reason_size);
/* Where that is OWN, in deterministic mode: TFR_OK if a row of this problem has the same bits among any number of others and on any
 * threads. That holds where the tiles of AMX take K in one piece, and take one row too: for some shapes the library has other code
 * for few rows (of 2.6: for one row of 256 elements, and for up to 256 results). TFR_UNSUPPORTED with a reason, or as
 * onednn_family_find.
 */
int32_t onednn_own_order_holds(const struct onednn_family *family, char *reason, size_t reason_size);

typedef void tfr_onednn_act_fn(float *y, int64_t n, int activation);
tfr_onednn_act_fn tfr_onednn_act_plain, tfr_onednn_act_avx2, tfr_onednn_act_avx512, tfr_onednn_act_neon;
/* y[i] = activation(y[i]), the same bits as every own kernel on this machine. Set by the plugin's entry. */
extern tfr_onednn_act_fn *tfr_onednn_act;

enum { ONEDNN_N_KERNELS = 2 };
extern const struct tfr_kernel *const onednn_kernels[ONEDNN_N_KERNELS];

#endif
