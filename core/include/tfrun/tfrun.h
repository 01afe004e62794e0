/* tfrun.h - the application interface of tfrun: open an engine, run sessions on it, ask it to explain itself.
 *
 * In order of use: options, engine, sessions, requests (requests.h), generations, text and tokens, reports, checkpoints; then
 * evaluate.h, forward_pass.h, profile.h, quantize.h and study.h, parts in files of their own that come with this one. The command
 * `tfrun` is a client of this header like any other.
 *
 * Conventions
 *  - Functions that can fail return enum tfr_status; tfr_last_error() has the sentence (several lines for a config with
 *    several faults). Handles are opaque; NULL is allowed in every close.
 *  - Strings that a function gives away are freed with tfr_string_free. Borrowed ones say until when.
 *  - Ranks: started by mpirun, every rank opens the engine; rank 0 drives it, the others call tfr_engine_follow and
 *    return when rank 0 closes. Without a launcher there is one rank and MPI is never touched. Under a launcher a process
 *    opens one engine in its life.
 *  - Thread rule: an engine and its sessions are driven by one thread (the one that opened it). Any thread may parse settings and
 *    submit, poll and cancel requests; tfr_engine_cancel may be called from anywhere, signal handlers included.
 */
#ifndef TFRUN_TFRUN_H
#define TFRUN_TFRUN_H

#include <tfrun/types.h>

#ifdef __cplusplus
extern "C" {
#endif

TFR_API const char *tfr_version(void); /* "0.1.0" */
/* Text of the last failure on this thread; valid until the next call that fails. */
TFR_API const char *tfr_last_error(void);
TFR_API int tfr_exit_code(enum tfr_status status);
/* Nearest of `n` names to `word` by edit distance (at most a third of its length), or NULL: for "did you mean". */
TFR_API const char *tfr_nearest_name(const char *word, const char *const *names, size_t n);
TFR_API void tfr_string_free(void *memory);

/* ---- options -------------------------------------------------------------------------------------------- */

/* One line of the option table (core/config/config.def): the JSON key under "tfrun", its type, and its flag. */
struct tfr_option_info {
    const char *key, *type, *default_text, *choices, *flag, *operand, *help;
    char short_flag; /* 0 if none */
    double min, max;
};
TFR_API const struct tfr_option_info *tfr_option_table(size_t *n);

/* A value that beats the file: key as in the table, value as text. `origin` is for messages ("--threads"). */
struct tfr_override {
    const char *key, *value, *origin;
};

enum tfr_report_form { TFR_REPORT_TEXT, TFR_REPORT_JSON, TFR_REPORT_DOT, TFR_REPORT_SVG };

/* ---- engine --------------------------------------------------------------------------------------------- */

struct tfr_engine;

/* Config, model, machine, ranks, plugins: everything up to the first plan. `path` is a config file or a model folder. */
TFR_API enum tfr_status tfr_engine_open(struct tfr_engine **engine, const char *path, const struct tfr_override *overrides,
                                        size_t n_overrides);
TFR_API void tfr_engine_close(struct tfr_engine *engine);
TFR_API int tfr_engine_rank(const struct tfr_engine *engine);
TFR_API int tfr_engine_size(const struct tfr_engine *engine);
/* Ranks other than 0: serve rank 0's steps until it closes. */
TFR_API enum tfr_status tfr_engine_follow(struct tfr_engine *engine);
/* Rank 0, after the work: writes the trace of all ranks that observe.trace asks for; nothing without it. tfr_engine_close does it
 * where it was not done, but can only log a failure. */
TFR_API enum tfr_status tfr_engine_write_trace(struct tfr_engine *engine);
/* The rank a launcher gives this process, 0 without one; usable before anything else. */
TFR_API int tfr_launched_rank(void);
/* A rank that is stopped and let go on, to be ended, need not tell of its end where another one has, nor one whose messages fail
 * as those of another one did: the other leaves a signal (SIGURG), which is held back from tfr_launched_hear on, called before
 * there are threads. tfr_launched_is_named may be asked in a handler of signals. */
TFR_API void tfr_launched_hear(void);
TFR_API bool tfr_launched_is_named(void);
/* Asks the running call to stop after the step it is in; it then returns TFR_CANCELLED. Async-signal-safe. */
TFR_API void tfr_engine_cancel(void);
/* The same where another rank is gone and the launcher is about to end all: this one waits for none any more. What it has by then
 * is delivered as of any cancelled work; the engine can only be closed afterwards. A rank that does not answer within
 * parallel.timeout_s has the same effect, and tfr_engine_close then ends the job and this process with exit code 1. */
TFR_API void tfr_engine_leave(void);

TFR_API int64_t tfr_engine_vocab_size(const struct tfr_engine *engine);
/* The longest sequence: runtime.kv_capacity, or the model's n_positions where that is 0, less those of model.prefix. */
TFR_API int64_t tfr_engine_n_positions(const struct tfr_engine *engine);

/* Bytes that this rank holds now: packed weights, kv caches of open sessions with those of encoders (all of their room, touched
 * or not), activations and scratch. */
struct tfr_memory {
    int64_t weights_bytes, kv_bytes, activations_bytes;
};
TFR_API struct tfr_memory tfr_engine_memory(const struct tfr_engine *engine);
/* Bytes of the kv cache of one full sequence, on this rank. */
TFR_API int64_t tfr_engine_slot_bytes(const struct tfr_engine *engine);
/* Whether requests that come from now on have a logits_digest in their statistics, as they have at first: it costs about as much as
 * five looks for the best token. */
TFR_API void tfr_engine_set_digest(struct tfr_engine *engine, bool is_wanted);
/* Rank 0. Without a tokenizer prompts are ids, and generations have ids and no text. */
TFR_API bool tfr_engine_has_tokenizer(struct tfr_engine *engine);
/* The same, and a failure where there is one that could not be read for want of memory: an answer would be ids in place of text. */
TFR_API enum tfr_status tfr_engine_find_tokenizer(struct tfr_engine *engine, bool *found);
TFR_API int tfr_engine_threads(const struct tfr_engine *engine);
/* The widest instruction set that its kernels may use: "avx512_bf16", "plain". */
TFR_API const char *tfr_engine_isa(const struct tfr_engine *engine);
/* The same before an engine is there: of this CPU within a limit, a word of runtime.isa; NULL where it is none. */
TFR_API const char *tfr_isa_within(const char *limit);
/* The class whose head it has: "GPT2LMHeadModel". */
TFR_API const char *tfr_engine_class(const struct tfr_engine *engine);

/* ---- sessions ------------------------------------------------------------------------------------------- */

struct tfr_session; /* one sequence: its tokens, position, kv cache */

/* `capacity` is the most positions it will hold (<= tfr_engine_n_positions). At most runtime.max_batch sessions are open
 * at once. Of several replicas (docs/ranks.md) the first has it, whatever the others do; requests are dealt out. */
TFR_API enum tfr_status tfr_session_open(struct tfr_session **session, struct tfr_engine *engine, int64_t capacity);
TFR_API void tfr_session_close(struct tfr_session *session);
TFR_API int64_t tfr_session_length(const struct tfr_session *session); /* tokens in the cache; a prefix does not count */

/* Forgets all but the first `length` positions (0 .. its length). */
TFR_API enum tfr_status tfr_session_crop(struct tfr_session *session, int64_t length);
/* `to` becomes the first n positions of `from`, another session of the same engine. Encoder states are shared, not copied. */
TFR_API enum tfr_status tfr_session_copy(struct tfr_session *to, const struct tfr_session *from, int64_t n);
/* Session i becomes what session source[i] was, for all n at once: all of one engine and capacity, source[i] in 0 .. n - 1.
 * A source wanted once moves without a copy, so a permutation copies nothing. Repeat: open n * times sessions, feed the
 * first n, source[i] = i / times. Select: source[i] = the i-th chosen one, then close those behind the chosen. */
TFR_API enum tfr_status tfr_session_reorder(struct tfr_session *const *sessions, size_t n, const int32_t *source);

/* The positions of a session as a safetensors file, complete or not at all (an existing one is refused unless `force`):
 * input_ids I64 [T], past_key_values.{i}.key and .value F32 [1, H, T, n_embd / H] of every block, T its length. ids[T] are the
 * tokens that it was fed. A prefix is not in the file. The file is the same for any number of ranks. */
TFR_API enum tfr_status tfr_session_save(const struct tfr_session *session, const int32_t *ids, const char *path, bool force);
/* The session becomes as many positions of a saved one as its tokens and ids[n] begin alike, at most its capacity;
 * tfr_session_length says how many, 0 if the first differs. What follows has the bits that it has after feeding those
 * tokens. A damaged file and one of another model, prefix, runtime.dtype or layout are refused (TFR_MODEL); the session is
 * empty then. */
TFR_API enum tfr_status tfr_session_load(struct tfr_session *session, const char *path, const int32_t *ids, int64_t n);

/* What cross-attention sees: states [n, n_embd], and a mask [n] of 0 (hidden) and 1, or NULL. */
struct tfr_encoder_states {
    const float *states;
    const uint8_t *mask;
    int64_t n;
};
/* Only for a model with cross-attention, and before the session's first token: keys and values of the states are computed here,
 * once. Without this call the session's blocks pass cross-attention by. Sessions with and without may be fed in one call. */
TFR_API enum tfr_status tfr_session_encode(struct tfr_session *session, const struct tfr_encoder_states *encoder);

/* Feeds sessions as one ragged batch: session i takes n[i] new tokens ids[i][..] (n[i] >= 1) and gives the
 * logits of its last keep[i] (0 .. n[i]) tokens. Long input is cut into steps of runtime.max_rows rows. The
 * logits of all sessions stand one after the other in *logits [sum of keep, vocab_size], borrowed until the
 * next call on the engine. */
struct tfr_feed {
    struct tfr_session *session;
    const int32_t *ids;
    int64_t n, keep;
};
TFR_API enum tfr_status tfr_engine_feed(struct tfr_engine *engine, const struct tfr_feed *feeds, size_t n_feeds,
                                        const float **logits);

/* Requests that run side by side, and what a server asks of an engine. */
#include <tfrun/requests.h>

/* ---- whole generations ---------------------------------------------------------------------------------- */

struct tfr_generation {
    char *text;       /* new text, without the prompt; NUL-terminated */
    size_t text_size; /* bytes */
    int32_t *prompt_ids, *ids;
    size_t n_prompt_ids, n_ids;
    /* As in struct tfr_event, of ids and prompt_ids; NULL where they were not asked for. */
    struct tfr_logprob *logprobs, *prompt_logprobs;
    size_t n_top;
    enum tfr_finish finish;
};
/* What a rank has done since the engine was opened. The rest of its time went to loading, packing weights, choosing tokens, and
 * callers. */
struct tfr_rank_facts {
    uint64_t busy_ns;    /* in kernels, by the first thread of the team, until all threads are done */
    uint64_t wait_ns;    /* for other ranks: for their rows, and on ranks other than 0 for what is to be done next */
    uint64_t control_ns; /* for commands of rank 0, those of steps too: saying, reading and carrying out, without the two above */
    uint64_t sent_bytes, sent_messages; /* to other ranks, commands too */
};
/* Rank 0: (*facts)[tfr_engine_size], the engine's until the next call. */
TFR_API enum tfr_status tfr_engine_rank_facts(struct tfr_engine *engine, const struct tfr_rank_facts **facts);
/* A line for each rank to stderr where observe.log is info or more, and there are several ranks. */
TFR_API void tfr_engine_log_rank_facts(const struct tfr_engine *engine, const struct tfr_rank_facts *facts);

struct tfr_generation_stats {
    size_t prompt_tokens, output_tokens;
    uint64_t load_ns, first_token_ns, prompt_ns, decode_ns; /* open; start to first token; prompt steps; the other steps */
    int64_t seed;
    uint64_t logits_digest;    /* of one prompt: struct tfr_request_stats; of several: a hash of theirs, in order */
    int64_t peak_memory_bytes; /* of this process */
    size_t cached_tokens;      /* of the prompts' tokens, those that input.cache_load had */
    uint64_t pack_ns; /* bringing weights into the kernels' layouts, in the first steps; in no other time but first_token_ns */
    int n_ranks;
    const int64_t *rank_memory_bytes; /* [n_ranks] peak of each, the engine's until the next call; NULL where the run failed */
    const struct tfr_rank_facts *rank_facts; /* [n_ranks] likewise */
    const struct tfr_rank_facts *run_facts;  /* [n_ranks] likewise, of this run alone; NULL on one rank too */
};

/* New text of generation `index`, whole characters only. Return false to stop everything. */
typedef bool (*tfr_text_fn)(void *user, size_t index, const char *text, size_t size);

/* One prompt. `text` NULL: `ids` are taken as they are. `encoder` NULL: the states of input.encoder_states, if it is set. */
struct tfr_prompt {
    const char *text;
    size_t size;
    const int32_t *ids;
    size_t n_ids;
    const struct tfr_encoder_states *encoder;
};

/* Continuations of each prompt: sampling.num_return_sequences. */
TFR_API size_t tfr_generate_choices(const struct tfr_engine *engine);
/* Continues the prompts as the config's sampling section says: all are submitted as requests and run side by side, as many as
 * runtime.max_batch holds; the first failure ends all. results[n * tfr_generate_choices] are filled, those of one prompt
 * together, the best first where they are ranked; free each with tfr_generation_free, also after a failure. `on_text` may be NULL.
 * After TFR_CANCELLED the results hold what there was. Prompts take what input.cache_load has of them; with output.cache_save (one
 * prompt) the first result's session is saved once all went well. */
TFR_API enum tfr_status tfr_generate(struct tfr_engine *engine, const struct tfr_prompt *prompts, size_t n, tfr_text_fn on_text,
                                     void *user, struct tfr_generation *results, struct tfr_generation_stats *stats);
TFR_API void tfr_generation_free(struct tfr_generation *generation);
/* What the run was predicted to take and to send on its ranks, beside what it took and sent: lines to stderr where observe.log is
 * info or more, and there are several ranks. */
TFR_API void tfr_engine_log_prediction(const struct tfr_engine *engine, const struct tfr_generation_stats *stats,
                                       size_t n_sequences);
/* What the config itself asks for: its prompts (input.prompt, input.prompts, or the file) and where output goes. Borrowed. */
struct tfr_engine_io {
    const char *prompt;
    char *const *prompts;
    size_t n_prompts;
    const char *input_file, *output_file, *eval_data;
    bool json, force, stats, echo;
};
TFR_API struct tfr_engine_io tfr_engine_io(const struct tfr_engine *engine);

/* Results and statistics as one JSON document ("schema": "tfrun-generate-1"). */
TFR_API enum tfr_status tfr_generation_json(const struct tfr_engine *engine, const struct tfr_generation *results, size_t n,
                                            const struct tfr_generation_stats *stats, char **text);
/* Removes what is written of files that are not complete yet. Only for a program that ends: its signal handler may call this. */
TFR_API void tfr_abandon_files(void);
/* A file that appears complete or not at all; an existing one is refused unless `force`. With `text` NULL
 * nothing is written: only whether it could be is checked, so that long work does not end in a refusal. */
TFR_API enum tfr_status tfr_result_write(const char *path, const char *text, size_t size, bool force);

/* ---- text and tokens ------------------------------------------------------------------------------------ */

struct tfr_vocabulary; /* a tokenizer on its own; any thread */

/* From a config file, a model folder or a tokenizer.json; beside the last, and a folder without config.json, an override of
 * model.tokenizer is refused. */
TFR_API enum tfr_status tfr_vocabulary_open(struct tfr_vocabulary **vocabulary, const char *path,
                                            const struct tfr_override *overrides, size_t n_overrides);
TFR_API void tfr_vocabulary_close(struct tfr_vocabulary *vocabulary);
/* That of an engine, which has it until it closes. NULL in *vocabulary where it has none. */
TFR_API enum tfr_status tfr_vocabulary_of(struct tfr_vocabulary **vocabulary, struct tfr_engine *engine);
/* *ids is freed with tfr_string_free. plain: special tokens spelled out are ordinary text. */
TFR_API enum tfr_status tfr_vocabulary_encode(const struct tfr_vocabulary *vocabulary, const char *text, size_t size, bool plain,
                                              int32_t **ids, size_t *n);
TFR_API enum tfr_status tfr_vocabulary_decode(const struct tfr_vocabulary *vocabulary, const int32_t *ids, size_t n, char **text,
                                              size_t *size);
/* Bytes of one token, borrowed; NULL for an unknown id. */
TFR_API const char *tfr_vocabulary_bytes(const struct tfr_vocabulary *vocabulary, int32_t id, size_t *size);
TFR_API bool tfr_vocabulary_is_special(const struct tfr_vocabulary *vocabulary, int32_t id);

/* ---- reports (text for people, or JSON) ----------------------------------------------------------------- */

/* The plan of a config, without weights: every node with kernel, refusals, FLOPs, bytes, predicted time. rows
 * = token rows of the step, context = cached positions, fewer than a sequence may have; -1: 128, or as many as there is room for;
 * n_ranks plans for that many ranks and reports all of them. */
struct tfr_plan_question {
    int64_t rows, context;
    int n_ranks;
    bool refusals;
};
TFR_API enum tfr_status tfr_report_plan(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                        const struct tfr_plan_question *question, enum tfr_report_form form, char **text);
/* The graph of one step of a config, without weights, as it is built, as a plan runs it, or both: shapes and costs of each node. */
enum tfr_graph_stage { TFR_GRAPH_FUSED, TFR_GRAPH_BUILT, TFR_GRAPH_BOTH };
struct tfr_graph_question {
    int64_t seq, batch; /* new rows of each sequence, sequences */
    int64_t context;    /* cached positions of each; -1: 128, or as many as the model has room for */
    int64_t encoder;    /* encoder rows of each sequence, of a model with cross-attention */
    int n_ranks;        /* all of them are drawn */
    enum tfr_graph_stage stage;
    bool all_logits;             /* of every row, else of the last row of each sequence */
    bool unfold;                 /* every block, also where they are equal */
    bool critical_path;          /* mark the path that is predicted to take longest; not of BUILT */
    const char *measured, *head; /* a file of observe.trace whose times are shown, not of BUILT; lm, qa, ..., as below. Or NULL */
};
/* SVG needs graphviz's dot on PATH (TFR_RESOURCE), which has a minute for it. */
TFR_API enum tfr_status tfr_report_graph(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                         const struct tfr_graph_question *question, enum tfr_report_form form, char **text);
/* The same where it is drawn again and again: the config is read and the plan made once. Drawing needs neither the engine nor its
 * thread. `profile`: whose times are shown, its decoding where seq is 1, else its prefill; NULL: those of the question, if any.
 * TFR_USAGE where it is one of another graph. */
struct tfr_step_picture;
struct tfr_profile;
TFR_API enum tfr_status tfr_step_picture_open(struct tfr_step_picture **picture, const char *path,
                                              const struct tfr_override *overrides, size_t n_overrides,
                                              const struct tfr_graph_question *question);
TFR_API enum tfr_status tfr_step_picture_draw(const struct tfr_step_picture *picture, const struct tfr_profile *profile,
                                              enum tfr_report_form form, char **text);
TFR_API void tfr_step_picture_close(struct tfr_step_picture *picture);
/* Programs that draw are ended, of all threads, and none runs any more: for the end of the process. */
TFR_API void tfr_drawing_end(void);
/* The modules of a config as PyTorch prints them, and torchinfo's table of their parameters, with what memory the model takes; no
 * weights. `head` is lm, none, double, seq-cls, token-cls or qa. The activations are those of a step of batch * seq rows, or of
 * runtime.max_rows where that is less. */
enum tfr_summary_part { TFR_SUMMARY_ALL, TFR_SUMMARY_PRINT, TFR_SUMMARY_TABLE };
struct tfr_summary_question {
    const char *head;           /* NULL: the config's */
    int cross_attention;        /* enum tfr_switch */
    int64_t batch, seq;         /* seq 0: n_positions */
    int depth;                  /* of the table: 3 shows the blocks of a model with a head */
    enum tfr_summary_part part; /* of the text; JSON has all */
    bool norm_shows_bias;       /* as PyTorch 2.12 and later print a LayerNorm */
};
TFR_API enum tfr_status tfr_report_summary(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                           const struct tfr_summary_question *question, enum tfr_report_form form, char **text);
/* FLOPs and bytes of a forward: of PyTorch's reference, nothing fused, and of what tfrun executes. Exact; sums beyond 2^127 are
 * refused (TFR_USAGE). No weights. */
enum tfr_cost_level { TFR_COST_KERNEL, TFR_COST_MODULE, TFR_COST_LINE };
enum tfr_cost_form { TFR_COST_NUMERIC, TFR_COST_SYMBOLIC, TFR_COST_BOTH };
enum tfr_cost_format { TFR_COST_TABLE, TFR_COST_MARKDOWN, TFR_COST_JSON, TFR_COST_CSV };
enum tfr_cost_phase { TFR_COST_PREFILL, TFR_COST_DECODE };
enum tfr_cost_logits { TFR_COST_LOGITS_DEFAULT, TFR_COST_LOGITS_ALL, TFR_COST_LOGITS_LAST, TFR_COST_LOGITS_NONE };
struct tfr_cost_query {
    enum tfr_cost_level level;
    enum tfr_cost_form form;
    enum tfr_cost_format format;
    enum tfr_cost_phase phase;
    enum tfr_cost_logits
        logits;    /* default: the reference's of all positions, tfrun's of the last (of all where each gets a label) */
    int64_t batch; /* 0: 1, or as many as are listed */
    const int64_t *seq, *cache;      /* new and cached positions: one number for all sequences or one for each */
    size_t n_seq, n_cache;           /* 0: 1024, or what n_positions leaves, behind 0; decoding 1 behind n_positions - 1 */
    int64_t encoder_len;             /* 0: no encoder states */
    const char *head;                /* lm, none, double, seq-cls, token-cls, qa; NULL: the config's */
    enum tfr_dtype stored;           /* of embedding tables; TFR_DTYPE_NONE: the checkpoint's, without one runtime.dtype */
    bool any_length, plain_formulas; /* also more positions than the model has; sums of terms, no brackets */
    int n_ranks;
    const char *class_name, *release; /* TFR_COST_LINE: of transformers; NULL: the head's class, the newest release */
    bool fused_attention;
    int expand; /* levels of references that are looked into */
};
TFR_API enum tfr_status tfr_report_cost(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                        const struct tfr_cost_query *query, char **text);

/* What every layout of ranks would take, without weights: first token of a prompt, a token of one stream, tokens a second of
 * several, messages, memory, waiting; of first_ranks .. last_ranks. `net` is "ALPHA_US,GBIT_S" or "calibrated", `cluster` a file
 * that describes nodes (docs/scaling.md); one of them. */
enum tfr_goal { TFR_GOAL_LATENCY, TFR_GOAL_THROUGHPUT }; /* option parallel.goal, which marks the best */
struct tfr_layouts_question {
    int first_ranks, last_ranks;
    const char *net, *cluster;
    int64_t prompt, sequences; /* tokens of a prompt, 0: 512 or half of what the model has; sequences that are generated together */
    int64_t context;           /* cached positions of each; -1: 128 */
    enum tfr_cost_format format;
};
TFR_API enum tfr_status tfr_report_layouts(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                           const struct tfr_layouts_question *question, char **text);
TFR_API enum tfr_status tfr_report_plugins(const char *const *paths, size_t n_paths, enum tfr_report_form form, char **text);
/* Under a launcher all ranks call it; *text is NULL on all but rank 0. HWLOC_SYNTHETIC and HWLOC_XMLFILE are obeyed, here and in a
 * plan. */
TFR_API enum tfr_status tfr_report_topology(enum tfr_report_form form, char **text);
/* Mistakes in how this job's ranks were started, with the fix of each, and how many; the config may be NULL, and the overrides are
 * read in any case. All ranks call it; *text is NULL on all but rank 0. */
TFR_API enum tfr_status tfr_report_doctor(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                          enum tfr_report_form form, char **text, int *n_found);
/* Whether ranks of this config could start, as far as that shows without loading: fails as opening would, and warns of nothing. */
TFR_API enum tfr_status tfr_report_start(const char *path, const struct tfr_override *overrides, size_t n_overrides, int n_ranks);
TFR_API enum tfr_status tfr_report_config(const char *path, const struct tfr_override *overrides, size_t n_overrides, char **text);
/* Every field, option and tensor with what becomes of it; headers alone are read. *verdict is TFR_OK if nothing is refused,
 * otherwise the status that opening would end in; the report is complete in either case. */
TFR_API enum tfr_status tfr_report_check(const char *path, const struct tfr_override *overrides, size_t n_overrides,
                                         enum tfr_report_form form, char **text, enum tfr_status *verdict);

/* ---- checkpoints ---------------------------------------------------------------------------------------- */

/* Writes a randomly initialised checkpoint of a config into the folder output.file, in runtime.dtype, with sampling.seed (null: 0);
 * an existing checkpoint is refused unless output.force. *directory (may be NULL) is the folder; free with tfr_string_free. */
TFR_API enum tfr_status tfr_checkpoint_init(const char *config_path, const struct tfr_override *overrides, size_t n_overrides,
                                            char **directory);

#ifdef __cplusplus
}
#endif

/* Parts of this header: scores, evaluation and classification; one forward pass; calibrations and profiles; coarse weights;
 * benches; what a config says. */
#include <tfrun/evaluate.h>
#include <tfrun/forward_pass.h>
#include <tfrun/profile.h>
#include <tfrun/quantize.h>
#include <tfrun/settings.h>
#include <tfrun/study.h>

#endif
