/* plugin.h - the kernel plugin ABI: all that a kernel may know of tfrun, and all that tfrun knows of a kernel.
 *
 * A plugin is a shared object (or the same source linked statically) that offers kernels: implementations of the ops of
 * ops.def. The host asks each kernel at plan time whether it can serve a problem, what it needs, and then only runs it.
 *
 * Rules
 *  - Records are static and constant; each begins with struct_size; new members come only at the end; a NULL function
 *    pointer means the default written at the member.
 *  - The host owns every byte: a kernel states sizes in `query` and allocates nothing in `pack` and `run`.
 *    `init` may create vendor objects, which `release` frees.
 *  - A kernel makes no threads, except class SELF through OpenMP. It logs nothing and does no I/O in `run`.
 *  - A plugin is never unloaded (pool threads may still stand in its code).
 *  - All activations are f32, rows dense: row r of an argument with N columns starts at element r * N. Buffers are 64-byte
 *    aligned and have room for rows_max rows: a kernel may read and write rows beyond `rows`, which mean nothing.
 *    Weights given to `pack` and the tables of `embed` come straight from a file and may be unaligned.
 */
#ifndef TFRUN_PLUGIN_H
#define TFRUN_PLUGIN_H

#include <tfrun/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TFR_PLUGIN_ABI_MAJOR 1 /* other major: refused */
#define TFR_PLUGIN_ABI_MINOR 0 /* newer minor than the host's: refused; older: accepted */

enum tfr_op {
#define TFR_OP(NAME, name, n_in, n_out, args, flops, read, written, text) TFR_OP_##NAME,
#include <tfrun/ops.def>
#undef TFR_OP
    TFR_OP_COUNT
};

/* Activations: names, formulas and costs in activations.def. */
enum tfr_activation {
#define TFR_ACTIVATION(NAME, name, flops, formula) TFR_ACT_##NAME,
#include <tfrun/activations.def>
#undef TFR_ACTIVATION
    TFR_ACT_COUNT
};

/* Instruction sets, as bits. A kernel with a bit set is offered only where CPU, system and the user's limit allow it. */
#define TFR_ISA_LIST(X)                                                                            \
    X(AVX2, 0, "avx2") /* with FMA and F16C */                                                     \
    X(AVX512, 1, "avx512") /* F, BW, DQ, VL */                                                     \
    X(AVX512_BF16, 2, "avx512_bf16")                                                               \
    X(AVX512_VNNI, 3, "avx512_vnni")                                                               \
    X(AMX_BF16, 4, "amx_bf16") /* tiles usable, permission granted */                              \
    X(NEON, 5, "neon")
enum tfr_isa {
#define TFR_ISA_BIT(NAME, bit, name) TFR_ISA_##NAME = 1 << (bit),
    TFR_ISA_LIST(TFR_ISA_BIT)
#undef TFR_ISA_BIT
};

/* In which order a linear adds its K products. Two kernels with equal orders give the same bits for the same row.
 * The order of a row must not depend on rows, batch mix or thread count. */
enum tfr_order_kind {
    TFR_ORDER_ANY, /* in a problem: the kernel may choose */
    TFR_ORDER_FMA, /* f32: K cut in blocks of k_block; in a block one chain of fused multiply-adds in the order of k, starting
                      from zero; block sums added in order; then bias, activation, residual, each rounded once */
    TFR_ORDER_DP_BF16, /* both factors rounded to bf16; as FMA, but the chain takes pairs (k+1 first, then k), as the
                          instruction vdpbf16ps does; block sums added in order */
    TFR_ORDER_OWN /* an order of the kernel's own: equal only to itself (k_block holds a number of its choice) */
};
struct tfr_order {
    int32_t kind; /* enum tfr_order_kind */
    int32_t k_block; /* elements of K per block; >= K: one block */
};

#define TFR_MAX_ARGS 6

enum tfr_arg_flag {
    TFR_ARG_ABSENT = 1, /* optional argument not given */
    TFR_ARG_CONST = 2, /* a weight: never changes after packing */
    TFR_ARG_VAR_ROWS = 4 /* dim[0] is the most rows there will be; `rows` of tfr_run_args says how many there are */
};

struct tfr_arg_desc {
    int32_t dtype; /* enum tfr_dtype; weights: the type the weight is to be PACKED in (runtime.dtype) */
    int32_t rank;
    int64_t dim[TFR_MAX_RANK];
    uint32_t flags;
};

/* runtime.attn: which kind of attention kernel may serve. Fused kernels never hold a row of scores, eager ones do. */
enum tfr_attention_choice { TFR_ATTENTION_ANY, TFR_ATTENTION_EAGER, TFR_ATTENTION_FUSED };

struct tfr_attrs {
    float epsilon; /* layer_norm */
    float scale; /* attention: factor of q k^T, all scale flags folded in */
    int32_t activation; /* linear, activation: enum tfr_activation */
    int32_t transposed; /* linear: weight is stored [N,K] */
    int32_t n_heads, head_dim; /* kv_append, attention */
    int32_t layer; /* kv_append, attention: index into the tfr_kv array of a sequence (local to the rank) */
    int32_t causal; /* attention: row t of a sequence sees the keys [0, past + t], else all keys of its sequence */
    int32_t peer, tag; /* send_hidden, recv_hidden */
    int32_t cross; /* attention: q is [T, C] alone, keys and values are the encoder's (cross_kv), all of them visible */
    int32_t has_mask, has_head_mask, wants_weights; /* attention: members of struct tfr_attention_extra that are set */
    int32_t attention; /* enum tfr_attention_choice: a kernel of another kind refuses */
    int32_t kv_dtype; /* kv_append, attention: TFR_DTYPE_F32 or TFR_DTYPE_I8, which members of struct tfr_kv are set */
};

/* What is asked of a kernel. Arguments stand in the order of ops.def, inputs first. */
struct tfr_problem {
    uint32_t struct_size;
    int32_t op; /* enum tfr_op */
    int32_t n_args;
    int32_t n_threads; /* team size at run time */
    struct tfr_arg_desc arg[TFR_MAX_ARGS];
    struct tfr_attrs attrs;
    int64_t rows_min, rows_max; /* rows of the output in one run */
    int32_t deterministic; /* activation and residual rounded as TFR_ORDER_FMA says (own activation functions, see
                              plugins/common/act.h), no choice that depends on rows or threads */
    struct tfr_order order; /* linear: ANY, or the order to keep */
};

/* Answer of `query`. */
struct tfr_needs {
    size_t packed_bytes; /* size of the packed weight; 0: the kernel reads the weight argument where it is */
    const char *pack_format; /* static string; equal format and equal weight share one packed copy */
    size_t state_bytes; /* zeroed, 64-byte aligned, one per step: what `init` fills */
    size_t scratch_bytes; /* one buffer per team, shared by its threads */
    size_t scratch_per_thread_bytes; /* one buffer per thread */
    struct tfr_order order; /* linear: the order the kernel keeps */
    size_t run_state_bytes; /* ASYNC: zeroed when a run begins, 64-byte aligned, one per step and run in flight */
};

/* Prediction. time = max(flops / (peak * flop_fraction), bytes / (bandwidth * byte_fraction)) + overhead. The peak is that of the
 * f32 units, or of the bf16 units for a linear on bf16 weights that does not add in TFR_ORDER_FMA (AMX's only where AMX is
 * asked for or no ISA is named). */
struct tfr_cost {
    double flops, bytes_read, bytes_written;
    double flop_fraction, byte_fraction; /* share of the machine's peaks that the kernel expects to reach, (0, 1] */
    double overhead_ns;
};

/* The kv cache of one layer of one sequence. Capacity is a multiple of TFR_KV_PANEL keys.
 * K lies in panels of 16 keys, so that 16 scores are computed side by side in the same order for one row and for many:
 *   key s, head h, element d:  k[((h * (capacity / 16) + s / 16) * head_dim + d) * 16 + s % 16]
 *   value:                     v[(h * capacity + s) * head_dim + d]
 * attrs.kv_dtype says which members are set: k and v (f32), or the others (int8). k8 and v8 lie as k and v do, and stand for
 *   k8[..] * k_scale[h * capacity + s],  v8[..] * v_scale[h * capacity + s]
 * where the product is exact in f32. How a vector becomes int8 is defined in tfrun/kv.h. */
#define TFR_KV_PANEL 16
struct tfr_kv {
    float *k, *v;
    int64_t capacity;
    int8_t *k8, *v8;
    float *k_scale, *v_scale;
};

/* What an attention may have beside its keys; each member is read only where the attrs say so. n_keys is past + n_rows,
 * past where query_only, n_cross for cross-attention. */
#define TFR_MASK_INVISIBLE (-3.0e38f) /* a mask entry this low or lower hides the key, whatever the other scores are */
struct tfr_attention_extra {
    const float *mask; /* has_mask: added to the scaled scores, [mask_heads][n_rows][n_keys] */
    int64_t mask_heads; /* 1 or n_heads */
    const float *head_mask; /* has_head_mask: factor of the probabilities after softmax, [layers of this rank][n_heads] */
    float *const *weights; /* wants_weights: [layers of this rank]; each takes the probabilities times the head mask, */
    int64_t weights_offset; /* from this element on as [n_heads][n_rows][n_keys]; 0 for invisible keys */
};

/* One sequence in the step: rows [row0, row0 + n_rows) are its new tokens, at cache slots [past, past + n_rows).
 * A row that sees no key at all gives zeros. */
struct tfr_batch_seq {
    int64_t row0, n_rows, past;
    const struct tfr_kv *kv; /* [layers of this rank] */
    int64_t query_only; /* 1: the rows only ask: nothing is appended, each sees the keys [0, past) and no other */
    int64_t n_cross; /* keys of the encoder */
    const struct tfr_kv *cross_kv; /* [layers of this rank] */
    struct tfr_attention_extra self, cross;
};
struct tfr_batch {
    int64_t n_seqs;
    const struct tfr_batch_seq *seq;
};

struct tfr_run_args {
    void *const *arg; /* data of each argument, in order; NULL where absent; a packed weight stands at its argument */
    int64_t rows; /* rows of the output, rows_min <= rows <= rows_max; the input has as many, but for gather_rows */
    const struct tfr_batch *batch; /* kv_append and attention; NULL elsewhere */
    void *state; /* of the step in its plan, which may be in flight several times */
    void *run_state; /* ASYNC: of the step in this run; NULL without run_state_bytes */
    int32_t lane; /* ASYNC: steps of runs in different lanes never share a message tag */
};

struct tfr_run_ctx {
    int32_t tid, nth;
    void *scratch; /* of the team */
    void *thread_scratch; /* of this thread */
    void (*barrier)(const struct tfr_run_ctx *ctx); /* TEAM only: all threads of the team */
    void *team; /* the host's */
    /* A kernel that runs for long may call this between pieces of its work, from any thread: messages in flight move on. NULL in
     * hosts without messages. `barrier` does the same. */
    void (*progress)(const struct tfr_run_ctx *ctx);
};

enum tfr_run_class {
    TFR_RUN_SEQ, /* one thread calls run (tid 0, nth 1) */
    TFR_RUN_TEAM, /* every thread of the team calls run with its tid; all must return */
    TFR_RUN_SELF, /* run makes its own OpenMP region; called outside of any */
    TFR_RUN_ASYNC /* run starts the work; poll says when it is done. One thread, always the same */
};

enum tfr_kernel_flag {
    TFR_KERNEL_IN_PLACE = 1, /* first output may be the buffer of the residual (linear), of a (add), of x (others) */
    TFR_KERNEL_SAME_BITS_ANY_TEAM = 2 /* same bits for any number of threads */
};

struct tfr_kernel {
    uint32_t struct_size;
    const char *name; /* "<op>.<dtype>.<plugin>.<isa>": linear.f32.gemv.avx512 */
    int32_t op; /* enum tfr_op */
    uint32_t dtypes; /* weight (or activation) dtypes served: bits 1 << enum tfr_dtype */
    uint32_t isa; /* needed bits of enum tfr_isa, all of them */
    int32_t run_class; /* enum tfr_run_class */
    uint32_t flags; /* enum tfr_kernel_flag */
    int32_t score; /* tie-break: ref 0, portable 10, avx2 20, avx512 30 */
    /* True if served. Else false with a short reason ("needs rows <= 16, has 512") in `reason`. NULL: serves all that the
     * static filter lets through. Any thread; must be quick and free of side effects on bits. */
    bool (*supports)(const struct tfr_problem *problem, char *reason, size_t reason_size);
    /* Fills fractions, may correct flops and bytes (they come in as the op table's least cost). NULL: fractions 1, no
     * overhead. Must be a pure function of the problem: the choice of kernels follows from it. */
    void (*cost)(const struct tfr_problem *problem, struct tfr_cost *cost);
    /* NULL: needs nothing. False with a reason where the vendor library refuses after all. */
    bool (*query)(const struct tfr_problem *problem, struct tfr_needs *needs, char *reason, size_t reason_size);
    /* Writes the packed form of `weight` (any of F32, BF16, F16, F64, in the file's layout, maybe unaligned). Called by every
     * thread with its tid: each writes its own part, no barrier; first touch places the pages. NULL if nothing is packed. */
    void (*pack)(const struct tfr_problem *problem, const struct tfr_tensor *weight, void *packed, int tid, int nth);
    /* Fills `state`. One thread, outside parallel regions. NULL: state stays zero. */
    bool (*init)(const struct tfr_problem *problem, void *state, char *reason, size_t reason_size);
    void (*run)(const struct tfr_run_args *args, const struct tfr_run_ctx *ctx, const struct tfr_problem *problem);
    /* ASYNC only: 1 done, 0 not yet, -1 failed. */
    int (*poll)(const struct tfr_run_args *args, const struct tfr_problem *problem);
    void (*release)(void *state); /* frees vendor objects; NULL: nothing to free */
};

/* Facts a plugin may ask the host for; valid during the whole process. */
struct tfr_host {
    uint32_t struct_size;
    int32_t abi_major, abi_minor;
    uint32_t isa; /* what kernels may use: CPU, system and user's limit together */
    int32_t n_cores; /* cores this process may use */
    int64_t l1d_bytes, l2_bytes, l3_bytes; /* per core, per core, shared; 0 unknown */
    void (*log)(const char *plugin, const char *text); /* load time only */
};

struct tfr_plugin {
    uint32_t struct_size;
    int32_t abi_major, abi_minor; /* TFR_PLUGIN_ABI_* of the build */
    const char *name; /* "gemv" */
    const char *version; /* "0.1.0" */
    const char *build; /* compiler, vendor library with version: shown by `tfrun plugins` */
    int32_t n_kernels;
    const struct tfr_kernel *kernels;
};

/* The one exported symbol. Returns NULL to decline, after a reason through host->log. */
typedef const struct tfr_plugin *(*tfr_plugin_entry_fn)(const struct tfr_host *host);
#define TFR_PLUGIN_SYMBOL "tfr_plugin_entry"

/* Head of the entry function: one exported symbol in a shared plugin, a name of its own when linked statically.
 *     TFR_PLUGIN_ENTRY(gemv) { (void)host; return &plugin; } */
#ifdef TFR_PLUGIN_STATIC
#define TFR_PLUGIN_ENTRY(name)                                                                     \
    const struct tfr_plugin *tfr_plugin_entry_##name(const struct tfr_host *host);                 \
    const struct tfr_plugin *tfr_plugin_entry_##name(const struct tfr_host *host)
#else
#define TFR_PLUGIN_ENTRY(name)                                                                     \
    TFR_API const struct tfr_plugin *tfr_plugin_entry(const struct tfr_host *host);                \
    const struct tfr_plugin *tfr_plugin_entry(const struct tfr_host *host)
#endif

#ifdef __cplusplus
}
#endif
#endif
