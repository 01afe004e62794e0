/* plugin.h - the kernel plugin ABI: all that a kernel may know of tfrun, and all that tfrun knows of a kernel.
 *
 * A plugin is a shared object (or the same source linked statically) that offers kernels: implementations of the ops of
 * ops.def, or of a pattern of them. The host asks each kernel at plan time whether it can serve a problem, what it needs,
 * and then only runs it. docs/plugin-abi.md says all this in prose.
 *
 * Rules
 *  - Records are constant from the moment the entry function returns; each begins with struct_size. A newer minor version
 *    only appends members: whoever reads a record that the other side made reads no further than its struct_size (TFR_HAS),
 *    and what is missing has the default written at the member. A NULL function pointer means its default too.
 *  - Every function gets `self`, the kernel's record or a copy of it, and through self->user whatever the plugin wants to
 *    know: one function serves many kernels, and a plugin needs no variable of its own.
 *  - The host owns every byte: a kernel states sizes in `prepare` and allocates nothing in `pack` and `run`. `prepare`, `init` and,
 *    for numbers of rows that first come, `run` of class SELF may make vendor objects; `release` frees what the last two made.
 *  - A kernel makes no threads, except class SELF through OpenMP. It logs nothing and does no I/O in `run`.
 *  - A plugin is never unloaded (pool threads may still stand in its code).
 *  - Room: all activations are f32 and rows are dense, row r of an argument with N columns starts at element r * N. An argument
 *    with TFR_ARG_VAR_ROWS has room for exactly dim[0] rows, whoever gave it: a kernel may read and write rows from `rows`
 *    up to there, which mean nothing and which nobody reads afterwards, but not one element more. Its address is aligned to
 *    its element; packed weights, vectors, state and scratch to 64 bytes. Weights given to `pack` and the tables of
 *    `embed` and `lookup_add` come straight from a file and may be unaligned even to their elements.
 */
#ifndef TFRUN_PLUGIN_H
#define TFRUN_PLUGIN_H

#include <tfrun/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TFR_PLUGIN_ABI_MAJOR 2 /* other major: refused */
#define TFR_PLUGIN_ABI_MINOR 3 /* newer or older: accepted, records are read as far as both sides know them */

/* True if a record that the other side made reaches as far as `member`. */
#define TFR_HAS(type, record, member) ((record)->struct_size >= offsetof(struct type, member) + sizeof((record)->member))

enum tfr_op {
#define TFR_OP(NAME, name, n_in, n_out, args, flops, read, written, text) TFR_OP_##NAME,
#include <tfrun/ops.def>
    TFR_OP_COUNT
};

/* Activations: names, formulas and costs in activations.def. */
enum tfr_activation {
#define TFR_ACTIVATION(NAME, name, flops, formula) TFR_ACT_##NAME,
#include <tfrun/activations.def>
    TFR_ACT_COUNT
};

/* Instruction sets, as bits. A kernel with a bit set is offered only where CPU, system and the user's limit allow it. */
#define TFR_ISA_LIST(X)                                                                                                            \
    X(AVX2, 0, "avx2")     /* with FMA and F16C */                                                                                 \
    X(AVX512, 1, "avx512") /* F, BW, DQ, VL */                                                                                     \
    X(AVX512_BF16, 2, "avx512_bf16")                                                                                               \
    X(AVX512_VNNI, 3, "avx512_vnni")                                                                                               \
    X(AMX_BF16, 4, "amx_bf16") /* tiles usable, permission granted */                                                              \
    X(NEON, 5, "neon")                                                                                                             \
    X(AVX512_FP16, 6, "avx512_fp16")                                                                                               \
    X(AMX_INT8, 7, "amx_int8") /* tiles usable, permission granted */                                                              \
    X(DOTPROD, 8, "dotprod")                                                                                                       \
    X(I8MM, 9, "i8mm")                                                                                                             \
    X(ARM_BF16, 10, "arm_bf16")                                                                                                    \
    X(SVE, 11, "sve")                                                                                                              \
    X(AVX512_VBMI, 12, "avx512_vbmi")
enum tfr_isa {
#define TFR_ISA_BIT(NAME, bit, name) TFR_ISA_##NAME = 1 << (bit),
    TFR_ISA_LIST(TFR_ISA_BIT)
#undef TFR_ISA_BIT
};

/* In which order a linear adds its K products. Two kernels with equal orders give the same bits for the same row.
 * The order of a row must not depend on rows, batch mix or thread count. */
enum tfr_order_kind {
    TFR_ORDER_ANY,     /* in a problem: the kernel may choose */
    TFR_ORDER_FMA,     /* f32: K cut in blocks of k_block; in a block one chain of fused multiply-adds in the order of k, starting
                          from zero; block sums added in order; then bias, activation, residual, each rounded once */
    TFR_ORDER_DP_BF16, /* both factors rounded to bf16; as FMA, but the chain takes pairs (k+1 first, then k), as the
                          instruction vdpbf16ps does; block sums added in order */
    TFR_ORDER_OWN,     /* an order of the kernel's own: equal only to itself (k_block holds a number of its choice) */
    /* Of weights in a coarse type, x rounded as attrs.x_dtype says (tfrun/quant.h defines both roundings); k_block is 0 in INT: */
    TFR_ORDER_INT,      /* I8_CHANNEL: the products of all of K added as whole numbers, exactly; then (float)sum times
                           (scale of the row * scale of the column), each rounded once */
    TFR_ORDER_INT_GROUP /* types with groups; rows with a scale for each k_block (TFR_QUANT_SPAN) of K. From zero, in order: chain =
                           fma((float)exact sum, scale of the column's group, chain); total = fma(scale of the row, chain, total) */
};
struct tfr_order {
    int32_t kind;    /* enum tfr_order_kind */
    int32_t k_block; /* elements of K per block; >= K: one block */
};

#define TFR_MAX_ARGS 16

enum tfr_arg_flag {
    TFR_ARG_ABSENT = 1,   /* optional argument not given */
    TFR_ARG_CONST = 2,    /* a weight: never changes after packing */
    TFR_ARG_VAR_ROWS = 4, /* dim[0] is the most rows there will be; `rows` of tfr_run_args says how many there are */
    TFR_ARG_READ = 8,    /* state that outlives the step and is read: the kv caches. Its data are not in one place: see tfr_batch */
    TFR_ARG_APPEND = 16, /* state that is appended to: what was in it stays, and whoever reads it runs afterwards */
    TFR_ARG_EXACT = 32 /* weight of a linear: f32 values, all of which `dtype` (BF16, F16) holds exactly. The linear is that of f32,
                          x is not rounded; problem.order says FMA */
};

struct tfr_arg_desc {
    int32_t dtype; /* enum tfr_dtype; weights: the type the weight is to be PACKED in (runtime.dtype); caches: F32, BF16, F16, I8 */
    int32_t rank;
    int64_t dim[TFR_MAX_RANK]; /* a cache: [n_heads, head_dim] */
    uint32_t flags;            /* enum tfr_arg_flag */
    int32_t reserved[3];       /* 0 */
};

/* runtime.attn: which kind of attention kernel may serve. Fused kernels never hold a row of scores, eager ones do. */
enum tfr_attention_choice { TFR_ATTENTION_ANY, TFR_ATTENTION_EAGER, TFR_ATTENTION_FUSED };

struct tfr_attrs {
    uint32_t struct_size;
    float epsilon;             /* layer_norm */
    float scale;               /* attention: factor of q k^T, all scale flags folded in */
    int32_t activation;        /* linear, activation: enum tfr_activation */
    int32_t transposed;        /* linear: weight is stored [N,K] */
    int32_t n_heads, head_dim; /* kv_append, attention */
    int32_t layer;             /* kv_append, attention: index into the caches of a sequence (local to the rank) */
    int32_t causal;            /* attention: row t of a sequence sees the keys [0, past + t], else all keys of its sequence */
    int32_t peer, tag;         /* send_hidden, recv_hidden */
    int32_t cross;             /* attention: q is [T, C] alone, keys and values are the encoder's (cross_kv), all of them visible */
    int32_t has_mask, has_head_mask, wants_weights; /* attention: members of struct tfr_attention_extra that are set */
    int32_t attention;                              /* enum tfr_attention_choice: a kernel of another kind refuses */
    int32_t k_block;  /* linear: the graph wants block sums of this many elements of K; problem.order says so too. 0: no wish */
    int32_t n_blocks; /* linear, > 0: so many blocks, whose sums are not added but stay apart: y is [rows, n_blocks N], block b of a
                         row at b N; no bias, activation or residual then. sum_blocks: those of a row */
    int32_t whole_k, whole_n; /* linear: inputs and outputs of the weight that this one is a part of; 0: all are here */
    /* Linear on a coarse weight: F32 (0): x enters as the order says; I8: rounded to whole numbers, with a scale for each row
     * (I8_CHANNEL) or for each span of TFR_QUANT_SPAN of it (types with groups). Minor version 2.
     *
     * Attention: F32: products of f32, whatever the cache holds; BF16, on a cache of BF16 only: queries and probabilities (before
     * they are divided by their total) enter the products rounded to bf16. Minor version 3. */
    int32_t x_dtype;
};

/* One op of a pattern (TFR_OP_FUSED). */
struct tfr_part {
    int32_t op; /* enum tfr_op */
    int32_t n_args;
    int32_t arg[TFR_MAX_ARGS]; /* index into the problem's arguments; -1: what is handed on inside the pattern */
    struct tfr_arg_desc out;   /* what it gives */
    struct tfr_attrs attrs;
};

/* What is asked of a kernel. Arguments stand in the order of ops.def, inputs first; those of a pattern part after part, without
 * what is handed on inside, the output of the last part at the end. */
struct tfr_problem {
    uint32_t struct_size;
    int32_t op; /* enum tfr_op */
    int32_t n_args;
    int32_t n_threads; /* team size at run time */
    struct tfr_arg_desc arg[TFR_MAX_ARGS];
    int64_t rows_min, rows_max; /* rows of the output in one run */
    int32_t deterministic;      /* activation and residual rounded as TFR_ORDER_FMA says (own activation functions, see
                                   plugins/common/act.h), no choice that depends on rows or threads */
    struct tfr_order order;     /* linear: ANY, or the order to keep */
    int32_t n_parts;            /* TFR_OP_FUSED: ops of the pattern, else 0 */
    uint32_t part_stride;       /* bytes from one part to the next: read them by tfr_part_at */
    const struct tfr_part *parts;
    struct tfr_attrs attrs; /* of the op; of a pattern: of its first part. Stays last, and grows */
};

static inline const struct tfr_part *tfr_part_at(const struct tfr_problem *problem, int32_t i) {
    return (const struct tfr_part *)(const void *)((const char *)problem->parts + (size_t)i * problem->part_stride);
}

/* A weight that a checkpoint holds in a coarse type already: what `pack_coarse` gets. */
struct tfr_coarse {
    uint32_t struct_size;
    int32_t dtype;           /* the coarse type, enum tfr_dtype: that of the packed form too */
    struct tfr_tensor q;     /* whole numbers in the file's layout: I8, or U8 with two of them in a byte (tfrun/quant.h) */
    struct tfr_tensor scale; /* one for each output, or for each group and output */
    struct tfr_tensor zero;  /* zero points of types that have them; data NULL where not */
};

/* Answer of `prepare`; comes in zeroed, with the host's struct_size. */
struct tfr_needs {
    uint32_t struct_size;
    struct tfr_order order; /* linear: the order the kernel keeps */
    struct tfr_pack_need {
        const char *format; /* static string; equal format, type and weight share one packed copy */
        size_t bytes;       /* 0: the kernel reads the weight where it is, dense and in the type of its argument */
    } pack[TFR_MAX_ARGS];   /* of each constant argument */
    size_t state_bytes;     /* zeroed, 64-byte aligned, one per task of a plan: what `init` fills */
    size_t run_state_bytes; /* zeroed before every run, 64-byte aligned, one per task of a run: a plan may be in several runs */
    size_t scratch_bytes;   /* one buffer per team, shared by its threads */
    size_t scratch_per_thread_bytes; /* one buffer per thread */
};

/* Prediction. time = max(flops / (peak * flop_fraction), bytes / (bandwidth * byte_fraction)) + overhead. The peak is that of the
 * f32 units, or of the bf16 units for a linear on bf16 weights that does not add in TFR_ORDER_FMA (AMX's only where AMX is
 * asked for or no ISA is named), or of the int8 units of the kernel's ISA for one that adds whole numbers. */
struct tfr_cost {
    uint32_t struct_size;
    double flops, bytes_read, bytes_written;
    double flop_fraction, byte_fraction; /* share of the machine's peaks that the kernel expects to reach, (0, 1] */
    double overhead_ns;
};

/* The kv cache of one layer of one sequence. Capacity is a multiple of TFR_KV_PANEL keys.
 * K lies in panels of 16 keys, so that 16 scores are computed side by side in the same order for one row and for many:
 *   key s, head h, element d:  k[((h * (capacity / 16) + s / 16) * head_dim + d) * 16 + s % 16]
 *   value:                     v[(h * capacity + s) * head_dim + d]
 * The dtype of the argument says which members are set: k and v (F32), k8 and v8 with their scales (I8), k_half and v_half (F16),
 * k_pair and v_pair (BF16). k8, v8, k_half and v_half lie as k and v do; int8 stands for
 *   k8[..] * k_scale[h * capacity + s],  v8[..] * v_scale[h * capacity + s]
 * where the product is exact in f32. BF16 lies in pairs, as the instructions take them that add two products at once: two
 * neighbouring elements of a key side by side (the last one of an odd head_dim alone), and two neighbouring values.
 *
 *   p = (h * (capacity / 16) + s / 16) * head_dim * 16                (of the panel of s)
 *   key, d < head_dim / 2 * 2:    k_pair[p + (d / 2 * 16 + s % 16) * 2 + d % 2]
 *   key, the last d of an odd number:  k_pair[p + d * 16 + s % 16]
 *   value:                        v_pair[((h * capacity + s) / 2 * head_dim + d) * 2 + s % 2]
 *
 * tfrun/kv.h defines how a vector becomes int8, tfrun/half.h bf16 and f16. A host of ABI 2.2 or older has no members behind
 * v_scale: who reads a cache asks for k first, then for k8, and only where both are NULL for the others. */
#define TFR_KV_PANEL 16
struct tfr_kv {
    float *k, *v;
    int64_t capacity;
    int8_t *k8, *v8;
    float *k_scale, *v_scale;
    uint16_t *k_half, *v_half, *k_pair, *v_pair; /* minor version 3 */
};

/* What an attention may have beside its keys; each member is read only where the attrs say so. n_keys is past + n_rows,
 * past where query_only, n_cross for cross-attention. */
#define TFR_MASK_INVISIBLE (-3.0e38f) /* a mask entry this low or lower hides the key, whatever the other scores are */
struct tfr_attention_extra {
    const float *mask;      /* has_mask: added to the scaled scores, [mask_heads][n_rows][n_keys] */
    int64_t mask_heads;     /* 1 or n_heads */
    const float *head_mask; /* has_head_mask: factor of the probabilities after softmax, [layers of this rank][n_heads] */
    float *const *weights;  /* wants_weights: [layers of this rank]; each takes the probabilities times the head mask, */
    int64_t weights_offset; /* from this element on as [n_heads][n_rows][n_keys]; 0 for invisible keys */
};

/* One sequence in the step: rows [row0, row0 + n_rows) are its new tokens, at cache slots [past, past + n_rows).
 * A row that sees no key at all gives zeros. */
struct tfr_batch_seq {
    int64_t row0, n_rows, past;
    const struct tfr_kv *kv;       /* of each layer of this rank: read by tfr_seq_kv */
    int64_t query_only;            /* 1: the rows only ask: nothing is appended, each sees the keys [0, past) and no other */
    int64_t n_cross;               /* keys of the encoder */
    const struct tfr_kv *cross_kv; /* of each layer of this rank */
    struct tfr_attention_extra self, cross;
};
/* The sequences of the step, and with them the data of the cache arguments. Both records may grow at their ends. */
struct tfr_batch {
    uint32_t struct_size;
    uint32_t seq_stride, kv_stride; /* bytes from one sequence, and from one layer's cache, to the next */
    int64_t n_seqs;
    const struct tfr_batch_seq *seq;
};

static inline const struct tfr_batch_seq *tfr_batch_at(const struct tfr_batch *batch, int64_t i) {
    return (const struct tfr_batch_seq *)(const void *)((const char *)batch->seq + (size_t)i * batch->seq_stride);
}

/* The cache that a kv_append or an attention with these attributes uses. */
static inline const struct tfr_kv *tfr_seq_kv(const struct tfr_batch *batch, const struct tfr_batch_seq *seq,
                                              const struct tfr_attrs *attrs, int32_t is_cross) {
    const struct tfr_kv *kv = is_cross ? seq->cross_kv : seq->kv;
    return (const struct tfr_kv *)(const void *)((const char *)kv + (size_t)attrs->layer * batch->kv_stride);
}

struct tfr_run_args {
    uint32_t struct_size;
    void *const *arg; /* data of each argument, in order; NULL where absent, and for caches; a packed weight stands at its
                         argument */
    int64_t rows;     /* rows of the output, rows_min <= rows <= rows_max; the input has as many, but for gather_rows */
    const struct tfr_batch *batch; /* where an argument is a cache; else NULL or anything */
    void *state;                   /* state_bytes of the task: runs of the plan share it, one at a time is in `run` */
    void *run_state;               /* run_state_bytes of this task in this run: what must last from `run` to `poll`; NULL where 0 */
    int32_t lane;                  /* ASYNC: tasks of runs in different lanes never share a message tag */
};

struct tfr_run_ctx {
    uint32_t struct_size;
    int32_t tid, nth;
    void *scratch;                                  /* of the team */
    void *thread_scratch;                           /* of this thread */
    void (*barrier)(const struct tfr_run_ctx *ctx); /* TEAM only: all threads of the team */
    void *team;                                     /* the host's */
    /* A kernel that runs for long may call this between pieces of its work, from any thread: messages in flight move on. NULL in
     * hosts without messages. `barrier` does the same. */
    void (*progress)(const struct tfr_run_ctx *ctx);
    char *reason; /* why `run` or `poll` fails, in a few words: of this thread, "" at first */
    size_t reason_size;
};

enum tfr_run_class {
    TFR_RUN_SEQ,  /* one thread calls run (tid 0, nth 1) */
    TFR_RUN_TEAM, /* every thread of the team calls run with its tid; all must return */
    TFR_RUN_SELF, /* run makes its own OpenMP region; called outside of any */
    TFR_RUN_ASYNC /* run starts the work; poll says when it is done. One thread, always the same */
};

enum tfr_kernel_flag {
    TFR_KERNEL_IN_PLACE = 1,           /* first output may be the buffer of the residual (linear), of a (add), of x (others) */
    TFR_KERNEL_SAME_BITS_ANY_TEAM = 2, /* same bits for any number of threads */
    TFR_KERNEL_FUSED_ATTENTION = 4,    /* attention that never holds a row of scores: what runtime.attn calls fused */
    TFR_KERNEL_APART = 8               /* linear that serves attrs.n_blocks > 0; others are not asked */
};

struct tfr_kernel {
    uint32_t struct_size;
    int32_t op;        /* enum tfr_op; TFR_OP_FUSED for a pattern */
    const char *name;  /* "<op>.<dtype>.<plugin>.<isa>": linear.f32.gemv.avx512 */
    const void *user;  /* the plugin's own */
    uint64_t dtypes;   /* weight (or activation) dtypes served: bits 1 << enum tfr_dtype */
    uint32_t isa;      /* needed bits of enum tfr_isa, all of them */
    int32_t run_class; /* enum tfr_run_class */
    uint32_t flags;    /* enum tfr_kernel_flag */
    int32_t score;     /* tie-break: ref 0, portable 10, avx2 20, avx512 30 */
    /* TFR_OP_FUSED: the ops claimed, each but the first taking what the one before gives as its first argument, and nobody else
     * reading that. */
    const int32_t *pattern; /* enum tfr_op */
    int32_t n_pattern;      /* at least 2 */
    /* True if served. Else false with a short reason ("needs rows <= 16, has 512") in `reason`. NULL: serves all that the
     * static filter lets through. Any thread; looks at the problem alone, touches and creates nothing: it is asked often, for
     * shapes that never run. */
    bool (*supports)(const struct tfr_kernel *self, const struct tfr_problem *problem, char *reason, size_t reason_size);
    /* Fills fractions, may correct flops and bytes (they come in as the op table's least cost). NULL: fractions 1, no
     * overhead. Must be a pure function of the problem: the choice of kernels follows from it. */
    void (*cost)(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_cost *cost);
    /* States the needs; asked once `supports` said yes, and where the dear things may happen: vendor objects are made, orders
     * measured, answers kept for the next time. One thread, outside parallel regions. TFR_OK: served. TFR_UNSUPPORTED: not
     * served, with a reason. TFR_RESOURCE: no memory or the like: the plan fails with the reason. NULL: needs nothing. */
    int32_t (*prepare)(const struct tfr_kernel *self, const struct tfr_problem *problem, struct tfr_needs *needs, char *reason,
                       size_t reason_size);
    /* Writes the packed form of argument `arg` (from F32, BF16, F16 or F64, in the file's layout, maybe unaligned): part tid of
     * nth, no barrier; first touch places the pages. Threads pack at once, a large weight in several parts each, so that nth may
     * be a multiple of their number. NULL if nothing is packed. */
    void (*pack)(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg, const struct tfr_tensor *weight,
                 void *packed, int32_t tid, int32_t nth);
    /* Fills `state`. One thread, outside parallel regions. Not TFR_OK: the plan fails with the reason. NULL: state stays zero. */
    int32_t (*init)(const struct tfr_kernel *self, const struct tfr_problem *problem, void *state, char *reason,
                    size_t reason_size);
    /* TFR_OK, or what went wrong (enum tfr_status) with a reason in ctx->reason: the run stops, nothing of it is used, and the
     * message names task and kernel. A TEAM kernel that fails in one thread still meets every barrier. */
    int32_t (*run)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                   const struct tfr_run_ctx *ctx);
    /* ASYNC only: 1 done, 0 not yet, -1 failed, with a reason in ctx->reason. Of args, `arg` is NULL. */
    int32_t (*poll)(const struct tfr_kernel *self, const struct tfr_problem *problem, const struct tfr_run_args *args,
                    const struct tfr_run_ctx *ctx);
    void (*release)(const struct tfr_kernel *self, void *state); /* frees vendor objects; NULL: nothing to free */
    /* As `pack`, of a weight that is coarse already, into the same packed form: the bytes that `pack` would make of the numbers
     * that were rounded. NULL: the host reads the weight to f32 and calls `pack`. Minor version 2. */
    void (*pack_coarse)(const struct tfr_kernel *self, const struct tfr_problem *problem, int32_t arg,
                        const struct tfr_coarse *weight, void *packed, int32_t tid, int32_t nth);
    /* Makes what runs would make when one first has some number of rows, up to rows_max: machine code, vendor objects. Called
     * once, after `init`, where no run is to wait for that (runtime.warmup). What fails here is left to the runs. One thread,
     * outside parallel regions. NULL: runs make nothing. Minor version 3. */
    void (*warm)(const struct tfr_kernel *self, const struct tfr_problem *problem, void *state);
};

/* Facts a plugin may ask the host for; valid during the whole process. */
struct tfr_host {
    uint32_t struct_size;
    int32_t abi_major, abi_minor;
    uint32_t isa;                                      /* what kernels may use: CPU, system and user's limit together */
    int32_t n_cores;                                   /* cores this process may use */
    int64_t l1d_bytes, l2_bytes, l3_bytes;             /* per core, per core, shared; 0 unknown */
    void (*log)(const char *plugin, const char *text); /* load time only */
};

struct tfr_plugin {
    uint32_t struct_size;
    int32_t abi_major, abi_minor; /* TFR_PLUGIN_ABI_* of the build */
    const char *name;             /* "gemv" */
    const char *version;          /* "0.1.0" */
    const char *build;            /* compiler, vendor library with version: shown by `tfrun plugins` */
    int32_t n_kernels;
    const struct tfr_kernel *const *kernels; /* pointers, so that records of any size stand side by side */
};

/* The one exported symbol. Returns NULL to decline, after a reason through host->log. */
typedef const struct tfr_plugin *(*tfr_plugin_entry_fn)(const struct tfr_host *host);
#define TFR_PLUGIN_SYMBOL "tfr_plugin_entry"

/* Head of the entry function: one exported symbol in a shared plugin, a name of its own when linked statically.
 *     TFR_PLUGIN_ENTRY(gemv) { (void)host; return &plugin; } */
#ifdef TFR_PLUGIN_STATIC
#define TFR_PLUGIN_ENTRY(name)                                                                                                     \
    const struct tfr_plugin *tfr_plugin_entry_##name(const struct tfr_host *host);                                                 \
    const struct tfr_plugin *tfr_plugin_entry_##name(const struct tfr_host *host)
#else
#define TFR_PLUGIN_ENTRY(name)                                                                                                     \
    TFR_API const struct tfr_plugin *tfr_plugin_entry(const struct tfr_host *host);                                                \
    const struct tfr_plugin *tfr_plugin_entry(const struct tfr_host *host)
#endif

#ifdef __cplusplus
}
#endif
#endif
