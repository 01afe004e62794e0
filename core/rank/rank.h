/* rank.h - what the files of this folder share: the one object that owns all others.
 *
 * engine/open.c opens it (the whole flow in order), plans.c keeps one plan per shape class, step.c runs a step on
 * all ranks, session.c and generate.c are what callers use. Everything here is private to core.
 */
#ifndef TFR_RANK_RANK_H
#define TFR_RANK_RANK_H

#include <tfrun/tfrun.h>

#include "config/config.h"
#include "exec/exec.h"
#include "exec/kvcache.h"
#include "generation/pipeline.h"
#include "model/model.h"
#include "mpi/comm.h"
#include "plan/plan.h"

#define TFR_MAX_PLANS 128

struct tfr_shape_plan {
    int64_t rows, logits; /* the buckets */
    struct tfr_gpt2_features features;
    struct tfr_plan *plan;
};

struct tfr_slot {
    bool open;
    struct tfr_kvcache kv;
    struct tfr_cross *cross; /* keys and values of encoder states (encoder.h); NULL: cross-attention is passed by */
};

struct tfr_engine {
    struct tfr_config *config;
    struct tfr_comm *comm;
    struct tfr_machine *machine;
    struct tfr_thread_choice threads;
    struct tfr_team *team;
    struct tfr_model *model;
    struct tfr_tokenizer *tokenizer; /* opened when text is first used, rank 0 */
    struct tfr_registry *registry;
    struct tfr_store *store;
    struct tfr_exec *exec;
    int *owner; /* [n_layer] rank of each block */
    int ln_f_rank;
    int64_t n_local_layers;
    struct tfr_order_book orders;
    bool serving; /* all ranks opened: the others now wait for control messages */
    struct tfr_shape_plan plans[TFR_MAX_PLANS];
    int n_plans;
    struct tfr_slot *slots; /* [max_batch], and one more for the prefix */
    int64_t max_batch, max_rows;
    int64_t n_prefix;     /* positions before every sequence; 0 without model.prefix */
    uint64_t fingerprint; /* of model and prefix, once a saved cache asked for it; else 0 */
    uint64_t prefix_hash; /* of their keys and values; rank 0 */
    uint64_t load_ns;
    struct tfr_pipeline pipeline; /* the sampling section, parsed */
    struct tfr_engine *lender;    /* of an assistant: whose team, machine and comm it borrows */
    struct tfr_engine *assistant; /* drafts for this one; NULL without sampling.assistant */
    /* of the step under way; sized in step.c */
    struct tfr_control *control;
    size_t control_bytes;
    struct tfr_batch_seq *seqs;
    int32_t *ids, *positions, *logit_rows;
    struct tfr_block logits, gathered;
    void *payload; /* of the command under way, rank 0 */
    struct tfr_payload_side *payload_side; /* what stays on rank 0 of it: payload.c */
};

/* One sequence. Its slot holds the prefix first, which length and capacity do not count. */
struct tfr_session {
    struct tfr_engine *engine;
    int32_t slot;
    int64_t length, capacity;
    bool encoded; /* has encoder states */
};

/* owners.c: which rank owns which block, from device_map or the split asked for. */
enum tfr_status tfr_engine_place_blocks(const struct tfr_config *config, const struct tfr_machine *machine,
                                        const struct tfr_registry *registry, int n_ranks, int *owner, int *ln_f_rank);

/* same_job.c: all ranks compare what results depend on; a rank that differs is named, with the part in which it differs. */
enum tfr_status tfr_engine_same_config(struct tfr_engine *engine);
enum tfr_status tfr_engine_same_orders(struct tfr_engine *engine);
uint64_t tfr_hparams_fingerprint(const struct tfr_hparams *hparams);

/* Who plans a step, and with what: an engine, a report without weights, the split of the blocks. */
struct tfr_planner {
    const struct tfr_config *config;
    const struct tfr_model *model; /* NULL with store and team: a dry plan */
    const struct tfr_machine *machine;
    const struct tfr_registry *registry;
    struct tfr_store *store;
    struct tfr_team *team;
    struct tfr_order_book *orders;
    const int *owner;
    int rank, n_ranks, ln_f_rank, n_threads;
    int64_t context; /* cached positions assumed for predictions; -1: an eighth of n_positions */
    struct tfr_gpt2_features features;
};
/* plans.c: the one way from a step's shape to a plan: graph, fusion, plan. */
enum tfr_status tfr_plan_step(const struct tfr_planner *planner, int64_t rows, int64_t logits, struct tfr_plan **plan);

/* plans.c: the plan for at least this many rows and logits, built (and its weights packed) on first use by all ranks together. */
enum tfr_status tfr_engine_plan(struct tfr_engine *engine, int64_t rows, int64_t logits, const struct tfr_gpt2_features *features,
                                const struct tfr_plan **plan);
/* What generation asks of a step: token ids to logits, attention as the config says. */
struct tfr_gpt2_features tfr_engine_features(const struct tfr_engine *engine);
/* Floats of the widest row of logits of any head. */
int64_t tfr_engine_logit_width(const struct tfr_engine *engine);
int64_t tfr_bucket(int64_t rows, int64_t max_rows);
/* Fills the order book from the largest class, before any real plan. */
enum tfr_status tfr_engine_fix_orders(struct tfr_engine *engine);
/* The registry of a config: built-in folders, the config's plugins, ISA limit, bans. */
enum tfr_status tfr_open_registry(struct tfr_registry **registry, const struct tfr_config *config,
                                  const struct tfr_machine *machine);

/* step.c: rank 0 says what to do, every rank does it. */
struct tfr_step_seq {
    int32_t slot;
    int32_t rows, keep; /* new rows; logits of the last `keep` */
    int64_t past;
};
enum tfr_status tfr_step_open_buffers(struct tfr_engine *engine);
void tfr_step_close_buffers(struct tfr_engine *engine);
/* ids stand one sequence after the other; logits come back the same way in engine->logits. */
enum tfr_status tfr_engine_run_step(struct tfr_engine *engine, const struct tfr_step_seq *seqs,
                                    int64_t n_seqs, const int32_t *ids);
enum tfr_status tfr_engine_open_slot(struct tfr_engine *engine, int64_t capacity, int32_t *slot);
int64_t tfr_engine_free_slots(const struct tfr_engine *engine);
void tfr_engine_close_slot(struct tfr_engine *engine, int32_t slot);
/* The first n positions of slot `from` become those of slot `to`, on all ranks; encoder states are shared. */
enum tfr_status tfr_engine_copy_slot(struct tfr_engine *engine, int32_t to, int32_t from, int64_t n);
void tfr_engine_end(struct tfr_engine *engine);
/* limits.c: what runtime.kv_* say. */
enum tfr_dtype tfr_kv_dtype(const struct tfr_config *config);
int64_t tfr_kv_capacity(const struct tfr_config *config);
struct tfr_kvcache_spec tfr_kv_spec(const struct tfr_config *config, int64_t n_layers);
/* Fails for `n_past` cached and `n_new` new positions that a cache of this engine is not to hold; those of a prefix are cached
 * ones. */
enum tfr_status tfr_engine_check_capacity(const struct tfr_engine *engine, int64_t n_past, int64_t n_new);
/* The cache of a sequence, and one that does not grow (of encoder states, of a prefix), for the blocks of this rank; all ranks
 * agree on success. */
enum tfr_status tfr_engine_open_kv(struct tfr_engine *engine, struct tfr_kvcache *cache, int64_t capacity);
enum tfr_status tfr_engine_open_fixed_kv(struct tfr_engine *engine, struct tfr_kvcache *cache, int64_t n);
/* A command with a body, sent in a message of its own; tfr_payload_obey (payload.c) runs on every rank. */
enum tfr_status tfr_engine_command_payload(struct tfr_engine *engine, void *payload, size_t bytes);
enum tfr_status tfr_payload_obey(struct tfr_engine *engine, void *payload);

/* session.c */
int64_t tfr_session_past(const struct tfr_session *session); /* positions of its slot in use, prefix included */
enum tfr_status tfr_engine_check_ids(const struct tfr_engine *engine, const int32_t *ids, int64_t n, size_t index);

/* rank.c */
enum tfr_status tfr_engine_tokenizer(struct tfr_engine *engine, const struct tfr_tokenizer **tokenizer);
bool tfr_engine_cancelled(void);
void tfr_engine_clear_cancel(void);

#endif
