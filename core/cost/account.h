/* account.h - what a forward of a config costs: item by item, as it is executed and as PyTorch's reference runs it.
 *
 * Items are the nodes of the graphs that the engine builds (executed: after fusing, for every rank), and the kernels that PyTorch
 * runs for the same nodes when nothing is fused (reference: one process). Needs the config alone. Thread rule: built on one thread,
 * read-only afterwards.
 */
#ifndef TFR_COST_ACCOUNT_H
#define TFR_COST_ACCOUNT_H

#include "cost/batch.h"
#include "cost/formula.h"

enum tfr_account_side { TFR_REFERENCE, TFR_EXECUTED, TFR_ACCOUNT_SIDES };

struct tfr_account_question {
    const struct tfr_hparams *hparams;
    const struct tfr_sequences *sequences; /* borrowed; one group: symbolic forms have all names */
    size_t n_sequences;
    int64_t encoder_len; /* positions of the encoder's states, 0: none are given */
    bool has_past;       /* formulas of a step with cached keys, though the sequences have none; those with some have it anyway */
    bool runs_encoder;   /* executed: their keys and values are computed in this call, not before */
    enum tfr_logits_kept logits[TFR_ACCOUNT_SIDES];
    enum tfr_dtype dtype, kv_dtype;      /* of packed weights; of the cache */
    const struct tfr_string_list *finer; /* as in struct tfr_gpt2_spec; NULL: none */
    struct tfr_table_types tables;
    const struct tfr_placement *placement; /* NULL: all on one rank */
    int64_t max_rows;
};

struct tfr_amount {
    tfr_int128 flops, visible_flops; /* reference: of all pairs, of those that causality leaves visible; executed: the same twice */
    tfr_int128 read, written;        /* bytes */
};

/* One kind of item: the same in every block. */
struct tfr_account_kind {
    enum tfr_account_side side;
    enum tfr_gpt2_part part; /* graph it stands in */
    enum tfr_op op;          /* of the node; TFR_OP_COUNT: computed behind the graph, a mean of rows */
    int reference;           /* enum tfr_reference_op, -1 where a node is executed */
    char name[64];           /* of the node, "h.N." left out: "attn.c_attn" */
    char module[64];         /* below its block, or below the model: "attn.c_attn", "ln_f"; "" is the block or the model itself */
    int64_t columns;         /* of a share of lm_head or of its logits, else 0 */
    enum tfr_dtype weight;   /* executed linear: what its weight is packed in, which may differ from block to block */
    bool in_block, in_transformer;
    struct tfr_formula formula; /* in letters of a step: see formula.h */
    struct tfr_amount amount;
};

struct tfr_account_item {
    int kind;
    int64_t layer; /* -1 outside blocks */
    int rank;
};

struct tfr_account {
    struct tfr_account_question question;
    struct tfr_account_kind *kinds;
    struct tfr_account_item *items;
    int n_kinds, n_items, kind_capacity, item_capacity;
    tfr_int128 step[TFR_DIM_COUNT]; /* executed: T R A X B U W of the model's part, and the names */
};

/* The case that formulas are of: that of any of its sequences. */
struct tfr_reference_case tfr_account_case(const struct tfr_account_question *question);
/* Of the reference's weights and activations: the library has no coarse ones, its side is that of f32 then. */
enum tfr_dtype tfr_account_reference_dtype(const struct tfr_account_question *question);
int tfr_account_n_ranks(const struct tfr_account_question *question);
enum tfr_status tfr_account_open(struct tfr_account **account, const struct tfr_account_question *question);
void tfr_account_close(struct tfr_account *account);

/* numbers.c. The amount of a kind: its formula with the numbers of the question. */
enum tfr_status tfr_account_count(const struct tfr_account *account, struct tfr_account_kind *kind);
enum tfr_status tfr_amount_add(struct tfr_amount *sum, const struct tfr_amount *more);
/* Sequences of all groups, and the steps that so many rows of a part of their own are cut into. */
tfr_int128 tfr_account_n_sequences(const struct tfr_account *account);
tfr_int128 tfr_account_steps_of(const struct tfr_account *account, tfr_int128 rows);

/* Which items; zeroed members that begin with `by_` are not looked at. */
struct tfr_account_filter {
    enum tfr_account_side side;
    bool by_rank, by_op, by_reference, by_module;
    bool is_exact; /* of by_module: not what is in modules below it */
    int rank, op, reference;
    const char *module; /* full path "transformer.h.3.attn": the module with all that is in it; a layer of N is any block */
};
bool tfr_account_matches(const struct tfr_account *account, const struct tfr_account_item *item,
                         const struct tfr_account_filter *filter);
/* Sum of those items, and how many they are. */
enum tfr_status tfr_account_sum(const struct tfr_account *account, const struct tfr_account_filter *filter, struct tfr_amount *sum,
                                int64_t *n);
/* The same as polynomials in the names of the model. `is_visible`: pairs that causality leaves visible, else all; the blocks that
 * are alike are num_layers. Letters stay where
 * sequences are not alike or do not fit one step. */
enum tfr_status tfr_account_sum_poly(const struct tfr_account *account, const struct tfr_account_filter *filter, bool is_visible,
                                     struct tfr_formula *sum);
/* Full path of an item's module: "transformer.h.3.attn.c_attn"; without its layer "transformer.h.N.attn.c_attn". Returns `text`. */
const char *tfr_account_module(const struct tfr_account_kind *kind, int64_t layer, char *text, size_t size);

/* letters.c. Letters of a step become names of the model: batch_size, seq_len, cache_len. `is_visible`: pairs that causality leaves
 * visible, else all. The letters stay
 * where sequences are not alike or do not fit one step. */
enum tfr_status tfr_account_name_letters(const struct tfr_account *account, const struct tfr_account_kind *kind, bool is_visible,
                                         struct tfr_poly *poly);

#endif
