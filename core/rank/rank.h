/* rank.h - what one process owns: struct tfr_engine, the one object that holds all others. tfrun.h shows it as a handle.
 *
 * engine/open.c opens it (the whole flow in order), plans.c keeps one plan for each shape class, slots.c the caches, step_run.c
 * runs a step on this rank. The folders after this one give it faces: job speaks to the other ranks, step cuts rows, session and
 * all above are what callers use. Private to core. Thread rule: the engine's thread.
 */
#ifndef TFR_RANK_RANK_H
#define TFR_RANK_RANK_H

#include <tfrun/tfrun.h>

#include "config/config.h"
#include "exec/exec.h"
#include "exec/kvcache.h"
#include "model/model.h"
#include "mpi/comm.h"
#include "plan/plan.h"
#include "rank/slots.h"
#include "rank/step_run.h"

#define TFR_MAX_PLANS 256 /* of one replica: rank 0 has those of all, and the others know their numbers */

struct tfr_shape_plan {
    int64_t rows, logits; /* the buckets */
    struct tfr_gpt2_features features;
    struct tfr_plan *plan;
    uint64_t used; /* when it was last asked for, counted in questions */
};

struct tfr_engine {
    struct tfr_config *config;
    struct tfr_comm *comm;
    struct tfr_machine *machine;
    struct tfr_thread_choice threads;
    struct tfr_memory_plan memory; /* NUMA domains; not an assistant's, which has the team of its engine */
    struct tfr_team *team;
    struct tfr_model *model;
    _Atomic(struct tfr_tokenizer *) tokenizer; /* opened when text is first used, rank 0, by any thread */
    struct tfr_registry *registry;
    struct tfr_store *store;
    struct tfr_exec *exec;
    struct tfr_trace *trace; /* NULL without observe.trace; an assistant adds to that of its lender */
    bool trace_written;
    struct tfr_json_out *traced; /* rank 0: where the events of all ranks are collected */
    bool is_watched;
    struct tfr_trace *watch; /* job/samples.h: of steps that are measured, where there is no observe.trace */
    struct tfr_task_sample *sampled;
    size_t n_sampled;
    struct tfr_placement placement;
    char *layout_told; /* what parallel.split = auto took, and why; "" else, NULL on one rank */
    int64_t n_local_layers;
    struct tfr_order_book orders;
    bool serving;                 /* all ranks opened: the others now wait for control messages */
    struct tfr_shape_plan *plans; /* [max_plans] */
    int n_plans, max_plans;
    uint64_t n_plan_uses, n_plans_made;
    bool is_warming;        /* plans are made before a step needs them */
    struct tfr_slot *slots; /* [n_slots], and one more for the prefix */
    int64_t max_batch, max_slots, max_rows;
    int64_t chunk_rows;   /* rank 0 cuts longer prompts into steps of so many rows; at most max_rows */
    int64_t n_slots;      /* max_slots, and one for what a server does between steps */
    bool no_digest;       /* of requests that come from now on */
    bool is_server;       /* rank 0, tfr_engine_warm: that one may be used, and slots keep their memory for the next sequence */
    int64_t n_prefix;     /* positions before every sequence; 0 without model.prefix */
    uint64_t fingerprint; /* of model and prefix, once a saved cache asked for it; else 0 */
    uint64_t prefix_hash; /* of their keys and values; rank 0 */
    uint64_t load_ns;
    uint64_t control_ns;               /* struct tfr_rank_facts */
    struct tfr_rank_facts *rank_facts; /* rank 0, once asked */
    struct tfr_rank_facts *run_facts;  /* rank 0, likewise: when a run began, then of the run */
    int64_t *rank_memory_bytes;        /* rank 0, once asked: the peak of each rank */
    struct tfr_params *params;         /* of a request that says nothing of its own: the sampling section, parsed */
    struct tfr_batcher *batcher;       /* requests under way; rank 0, NULL for an assistant */
    struct tfr_engine *lender;         /* of an assistant: whose team and machine it borrows */
    struct tfr_engine *assistant;      /* drafts for this one; rank 0, NULL without sampling.assistant */
    struct tfr_steps steps;
    struct tfr_job *job;         /* job/message.c: what rank 0 says to the others */
    struct tfr_feeding *feeding; /* of tfr_engine_feed; NULL before the first call */
    struct tfr_block fetched;    /* keys and values on their way to rank 0 */
};

/* owners.c: which rank owns which block, from device_map or the split asked for. To be closed also where it fails. */
enum tfr_status tfr_engine_place(const struct tfr_config *config, const struct tfr_machine *machine,
                                 const struct tfr_registry *registry, int n_ranks, struct tfr_placement *placement);

/* idle.c: refuses (TFR_USAGE) so many ranks that most would have no work; tells of those that have none. */
enum tfr_status tfr_check_idle_ranks(const struct tfr_config *config, int n_ranks);
void tfr_warn_of_idle_ranks(const struct tfr_config *config, const struct tfr_placement *placement);

/* Refuses a place for lm_head where several ranks have no such head. */
enum tfr_status tfr_check_head_place(const struct tfr_config *config, int n_ranks);

/* same_job.c: all ranks compare what results depend on; a rank that differs is named, with the part in which it differs. */
enum tfr_status tfr_engine_same_config(struct tfr_engine *engine);
/* same_weights.c: the same for what they opened. */
enum tfr_status tfr_engine_same_weights(struct tfr_engine *engine);
enum tfr_status tfr_engine_same_orders(struct tfr_engine *engine);
uint64_t tfr_hparams_fingerprint(const struct tfr_hparams *hparams);

/* Who plans a step, and with what: an engine, a report without weights, the split of the blocks. */
struct tfr_planner {
    const struct tfr_config *config;
    const struct tfr_model *model;        /* NULL with store and team: a dry plan */
    const struct tfr_table_types *tables; /* struct tfr_gpt2_spec.tables */
    const struct tfr_machine *machine;
    const struct tfr_registry *registry;
    struct tfr_store *store;
    struct tfr_team *team;
    struct tfr_order_book *orders;
    const struct tfr_placement *placement;
    int rank, n_threads;
    int64_t context;   /* cached positions assumed for predictions; -1: an eighth of n_positions */
    int64_t sequences; /* that the rows are of, for predictions; 0: a row each where runtime.max_batch allows that, else one */
    int64_t encoder;   /* encoder rows of a sequence, for predictions; 0: not known */
    struct tfr_gpt2_features features;
};
/* plans.c: the graph of a step as it is built. */
enum tfr_status tfr_step_graph(const struct tfr_planner *planner, int64_t rows, int64_t logits, struct tfr_graph **graph);
/* plans.c: the one way from a step's shape to a plan: graph, fusion, plan. */
enum tfr_status tfr_plan_step(const struct tfr_planner *planner, int64_t rows, int64_t logits, struct tfr_plan **plan);

/* plans.c: the plan for at least this many rows and logits, built (and its weights packed) on first use by all ranks together. */
enum tfr_status tfr_engine_plan(struct tfr_engine *engine, int64_t rows, int64_t logits, const struct tfr_gpt2_features *features,
                                const struct tfr_plan **plan);
/* Whether it is there, on every rank: all know of the same plans. */
bool tfr_engine_has_plan(struct tfr_engine *engine, int64_t rows, int64_t logits, const struct tfr_gpt2_features *features);
/* The one to give up of n plans: not used for longest. */
int tfr_plans_oldest(const struct tfr_shape_plan *plans, int n);
/* What generation asks of a step: token ids to logits, attention as the config says. */
struct tfr_gpt2_features tfr_engine_features(const struct tfr_engine *engine);
/* Floats of the widest row of logits of any head. */
int64_t tfr_engine_logit_width(const struct tfr_engine *engine);
int64_t tfr_bucket(int64_t rows, int64_t max_rows);
/* Fills the order book from the largest class, before any real plan. */
enum tfr_status tfr_engine_fix_orders(struct tfr_engine *engine);
/* Rank 0: chunk_rows, where ranks share the model and runtime.max_rows is not given. */
void tfr_engine_choose_chunk(struct tfr_engine *engine);
/* stage_times.c: predicted, of a step that makes a token for each of `rows` sequences: in all stages, and in the longest one. */
enum tfr_status tfr_engine_stage_times(const struct tfr_engine *engine, int64_t rows, double *all_ns, double *most_ns);
/* The registry of a config: built-in folders, the config's plugins, ISA limit, bans. */
enum tfr_status tfr_open_registry(struct tfr_registry **registry, const struct tfr_config *config,
                                  const struct tfr_machine *machine);

/* memory_need.c: refuses weights that can't fit into the memory that is free for this process, and warns
 * where weights and one full sequence do not. */
enum tfr_status tfr_rank_check_memory(const struct tfr_engine *engine);
struct tfr_memory_need {
    int64_t n_layers, weights_bytes, cache_bytes;
    int64_t free_bytes; /* 0: not known */
    bool can_halve;     /* weights are packed as f32 */
};
/* Matrices of so many blocks and of so many rows of the vocabulary, in `dtype` but for runtime.int4_finer (a block then counts as
 * the mean of all). */
int64_t tfr_packed_bytes(const struct tfr_config *config, int64_t n_layers, int64_t n_vocabulary, enum tfr_dtype dtype);
enum tfr_status tfr_memory_judge(const char *what, const struct tfr_memory_need *need);

/* pack_cache.c: the store, with the file of runtime.pack_cache, which is written when the store closes. */
enum tfr_status tfr_rank_open_store(struct tfr_engine *engine);

/* isa_limit.c: the enum tfr_isa bits that runtime.isa leaves, and a refusal where this CPU lacks what it names. */
uint32_t tfr_isa_limit(int choice);
enum tfr_status tfr_check_isa(const struct tfr_config *config, uint32_t isa);

/* limits.c: what runtime.kv_* say. */
enum tfr_dtype tfr_packed_dtype(const struct tfr_config *config); /* of linears */
enum tfr_dtype tfr_x_dtype(const struct tfr_config *config);      /* how x meets them: attrs.x_dtype */
enum tfr_dtype tfr_table_dtype(const struct tfr_config *config);  /* of embedding tables without a checkpoint */
bool tfr_is_lossless(const struct tfr_config *config);            /* f32 weights that 16 bits hold exactly are packed so */
enum tfr_dtype tfr_kv_dtype(const struct tfr_config *config);
int64_t tfr_kv_capacity(const struct tfr_config *config);
/* Sequences that have a place, those of max_batch and cached prefixes. */
int64_t tfr_max_slots(const struct tfr_options *options);
struct tfr_kvcache_spec tfr_kv_spec(const struct tfr_config *config, int64_t n_layers);
/* Of the blocks and heads of this rank. */
struct tfr_kvcache_spec tfr_engine_kv_spec(const struct tfr_engine *engine);
/* Whether projections add head by head: asked for, or implied by shards. */
bool tfr_sums_by_head(const struct tfr_options *options);
/* For one rank: of shards and replicas the order of sums is left. */
void tfr_forget_ranks(struct tfr_config *config);
/* Of an assistant, which is rank 0's own, whatever its folder says; nothing of others. */
void tfr_assistant_forget_ranks(struct tfr_engine *engine);
/* A growing cache without a capacity has no bound of its own: positions are checked where they are given. */
bool tfr_engine_is_unbounded(const struct tfr_engine *engine);
/* Fails for `n_past` cached and `n_new` new positions that a cache of this engine is not to hold; those of a prefix are cached
 * ones. */
enum tfr_status tfr_engine_check_capacity(const struct tfr_engine *engine, int64_t n_past, int64_t n_new);
/* The cache of a sequence, and one that does not grow (of encoder states, of a prefix), for the blocks of this rank, none where it
 * is of another replica; all ranks agree on success. */
enum tfr_status tfr_engine_open_kv(struct tfr_engine *engine, struct tfr_kvcache *cache, int32_t replica, int64_t capacity);
enum tfr_status tfr_engine_open_fixed_kv(struct tfr_engine *engine, struct tfr_kvcache *cache, int32_t replica, int64_t n);
/* rank.c */
/* Whether this rank is of a replica; TFR_ALL_REPLICAS: of any. */
bool tfr_engine_is_of(const struct tfr_engine *engine, int32_t replica);
/* What tfr_engine_n_positions is in the words of a message (limits.c). */
const char *tfr_engine_positions_name(const struct tfr_engine *engine);
enum tfr_status tfr_engine_tokenizer(struct tfr_engine *engine, const struct tfr_tokenizer **tokenizer);
bool tfr_engine_cancelled(void);
/* Ends the job of several ranks with the sentence of the last failure, which leaves them in different places;
 * with one rank, or status OK, nothing. */
void tfr_rank_give_up(const struct tfr_engine *engine, enum tfr_status status);
/* The rule of what several ranks do together. Where one alone may fail (memory, a file, a plan) all agree (tfr_comm_agree) before
 * they go on: that failure all know of, and rank 0 reports it. Any other one (a message, memory between two messages) leaves the
 * others waiting for this rank, and the job ends. Who does something together need not see to that: whoever begins it does, by
 * this, with tfr_comm_count_agreed from before it. Those are the commands (obey in job/command.c, which has all kinds), the
 * opening (engine/open.c), and meetings without an engine (tfr_rank_part in meet.h). What rank 0 does alone while the others wait
 * for a command stays outside of them. */
void tfr_rank_stay_together(const struct tfr_engine *engine, enum tfr_status status, uint64_t agreed_before);
void tfr_engine_clear_cancel(void);

#endif
