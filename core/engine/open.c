/* open.c - tfr_engine_open: the whole flow in order. Start reading here.
 *
 * Every stage is opened on every rank; where one rank alone may fail, all agree before going on, so that no
 * rank waits for one that gave up and rank 0 can tell why.
 */
#include <stdio.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mapfile.h"
#include "base/plural.h"
#include "base/status.h"
#include "engine/wait_choice.h"
#include "generation/params.h"
#include "job/command.h"
#include "job/trace_file.h"
#include "rank/meet.h"
#include "report/auto_layout.h"
#include "report/doctor_seats.h"
#include "serve/batcher.h"
#include "session/feeding.h"
#include "session/prefix.h"
#include "session/warmup.h"

enum { OPENING_TIMEOUT_S = 300 }; /* where the config cannot be read */

/* The start of MPI has a limit already, and the config states it: under a launcher it is read once before, without a word. */
static int64_t opening_timeout(const char *path, const struct tfr_override *overrides, size_t n_overrides) {
    const enum tfr_log_level level = tfr_log_level();
    struct tfr_config *config = NULL;
    int64_t timeout_s = OPENING_TIMEOUT_S;
    int rank, size;
    if (!tfr_comm_launched(&rank, &size)) {
        return timeout_s;
    }
    tfr_log_set_level(TFR_LOG_NONE);
    if (tfr_config_load(&config, path, overrides, n_overrides) == TFR_OK) {
        timeout_s = config->options.parallel_timeout_s;
        tfr_config_free(config);
    }
    tfr_log_set_level(level);
    return timeout_s;
}

/* First of all, so that any later failure of one rank can be told by rank 0. Without a launcher nothing is loaded. An assistant is
 * rank 0's own: a small model is faster on one rank than in steps that pass all of them. */
static enum tfr_status open_comm(struct tfr_engine *engine, const char *path, const struct tfr_override *overrides,
                                 size_t n_overrides) {
    if (engine->lender != NULL) {
        return tfr_comm_open_alone(&engine->comm);
    }
    return tfr_rank_meet(&engine->comm, opening_timeout(path, overrides, n_overrides));
}

/* An assistant speaks and waits as the engine does that it drafts for. */
static void start_log(const struct tfr_engine *engine) {
    static const enum tfr_log_level levels[] = {
        [TFR_SAY_ERROR] = TFR_LOG_ERROR, [TFR_SAY_WARN] = TFR_LOG_WARN,   [TFR_SAY_INFO] = TFR_LOG_INFO,
        [TFR_SAY_DEBUG] = TFR_LOG_DEBUG, [TFR_SAY_TRACE] = TFR_LOG_TRACE,
    };
    if (tfr_engine_rank(engine) == 0) {
        tfr_log_set_level(levels[engine->config->options.observe_log]);
    }
    tfr_comm_set_timeout(engine->comm, engine->config->options.parallel_timeout_s);
    tfr_config_log_sampling(engine->config);
    tfr_config_warn_of_idle(engine->config);
}

static enum tfr_status read_config(struct tfr_engine *engine, const char *path, const struct tfr_override *overrides,
                                   size_t n_overrides) {
    TFR_TRY(tfr_config_load(&engine->config, path, overrides, n_overrides));
    tfr_assistant_forget_ranks(engine);
    const enum tfr_status status = tfr_params_make(&engine->params, &engine->config->options, &engine->config->model);
    return tfr_config_blame(engine->config, "sampling.", status);
}

static enum tfr_status open_config(struct tfr_engine *engine, const char *path, const struct tfr_override *overrides,
                                   size_t n_overrides) {
    if (engine->lender == NULL) {
        tfr_log_set_level(tfr_engine_rank(engine) == 0 ? TFR_LOG_WARN : TFR_LOG_NONE);
    }
    TFR_TRY(tfr_comm_agree(engine->comm, read_config(engine, path, overrides, n_overrides)));
    if (engine->lender == NULL) {
        start_log(engine);
    }
    return TFR_OK;
}

/* Decided once: while threads outnumber cores, a rank that looks for its message keeps another from sending it. */
static void choose_wait(struct tfr_engine *engine) {
    const int n_node_ranks = tfr_comm_local_size(engine->comm);
    const bool own_cores = tfr_machine_gives_own_cores(engine->machine, &engine->threads, n_node_ranks);
    const int64_t option = engine->config->options.parallel_wait;
    if (option == TFR_WAIT_SPIN && !own_cores) {
        tfr_log(TFR_LOG_WARN, "mpi",
                "parallel.wait is spin, but %d rank%s with %d thread%s have no core each on this node: ranks keep each other from "
                "working; use --wait auto",
                n_node_ranks, tfr_plural(n_node_ranks), engine->threads.n_threads, tfr_plural(engine->threads.n_threads));
    }
    tfr_comm_set_wait(engine->comm, tfr_wait_choice(option, own_cores));
}

/* Ranks that may use the same cores divide them; each says why it has as many threads as it has. */
static enum tfr_status choose_threads(struct tfr_engine *engine) {
    int index, size;
    TFR_TRY(tfr_comm_group(engine->comm, tfr_machine_core_key(engine->machine), &index, &size));
    const enum tfr_status status =
        tfr_machine_choose_threads(engine->machine, (int)engine->config->options.runtime_threads, index, size, &engine->threads);
    TFR_TRY(tfr_comm_agree(engine->comm, tfr_config_blame(engine->config, "runtime.threads", status)));
    choose_wait(engine);
    tfr_log(TFR_LOG_INFO, "topo", "%d thread%s: %s", engine->threads.n_threads, tfr_plural(engine->threads.n_threads),
            engine->threads.reason);
    if (engine->threads.warning[0] != '\0') {
        tfr_log(TFR_LOG_WARN, "topo", "%s", engine->threads.warning);
    }
    return tfr_doctor_warn(engine->comm, engine->machine, &engine->threads);
}

/* An assistant runs on the threads of the engine that it drafts for, while that one's steps stand still. */
static void borrow_team(struct tfr_engine *engine) {
    engine->machine = engine->lender->machine;
    engine->threads = engine->lender->threads;
    engine->team = engine->lender->team;
}

/* `pus`: [n_threads], to be filled. */
static enum tfr_status open_own_team(struct tfr_engine *engine, int *pus) {
    const struct tfr_options *options = &engine->config->options;
    tfr_bind_plan(engine->machine, &engine->threads, (enum tfr_bind)options->runtime_bind, pus);
    TFR_TRY(tfr_team_open(&engine->team, engine->threads.n_threads, pus, engine->threads.oversubscribed));
    return tfr_memory_open(&engine->memory, engine->machine, &engine->threads, pus, (enum tfr_memory_rule)options->parallel_memory,
                           NULL);
}

static enum tfr_status open_team(struct tfr_engine *engine) {
    if (engine->lender != NULL) {
        borrow_team(engine);
        return TFR_OK;
    }
    TFR_TRY(tfr_comm_agree(engine->comm, tfr_machine_read(&engine->machine)));
    TFR_TRY(choose_threads(engine));
    int *pus = tfr_alloc((size_t)engine->threads.n_threads, sizeof *pus);
    const enum tfr_status status = tfr_comm_agree(engine->comm, pus != NULL ? open_own_team(engine, pus) : TFR_RESOURCE);
    tfr_free(pus);
    TFR_TRY(status);
    tfr_team_settle(engine->team, &engine->memory);
    return TFR_OK;
}

/* What the config leaves open of the layout. Rank 0 decides, as below. */
static enum tfr_status choose_layout(struct tfr_engine *engine) {
    struct tfr_options *options = &engine->config->options;
    const struct tfr_auto_question question = {.config = engine->config,
                                               .machine = engine->machine,
                                               .registry = engine->registry,
                                               .threads = &engine->threads,
                                               .n_ranks = tfr_engine_size(engine),
                                               .ranks_per_node = tfr_comm_local_size(engine->comm)};
    if (question.n_ranks == 1) {
        return tfr_auto_check(engine->config, 1);
    }
    engine->layout_told = tfr_alloc(TFR_TOLD_SIZE, 1);
    enum tfr_status status = engine->layout_told != NULL ? TFR_OK : TFR_RESOURCE;
    if (status == TFR_OK && tfr_engine_rank(engine) == 0) {
        status = tfr_auto_layout(&question, engine->layout_told);
    }
    TFR_TRY(tfr_comm_agree(engine->comm, status));
    int64_t chosen[] = {options->parallel_split, options->parallel_head, options->parallel_tensor, options->parallel_replicas};
    TFR_TRY(tfr_comm_bcast(engine->comm, chosen, sizeof chosen));
    options->parallel_split = chosen[0];
    options->parallel_head = chosen[1];
    options->parallel_tensor = chosen[2];
    options->parallel_replicas = chosen[3];
    if (engine->layout_told[0] != '\0') {
        tfr_log(TFR_LOG_INFO, "rank", "%s", engine->layout_told);
    }
    return TFR_OK;
}

/* Rank 0 decides, from its own machine, and tells the others: ranks on unlike nodes must not split differently. */
static enum tfr_status place_blocks(struct tfr_engine *engine) {
    struct tfr_placement *placement = &engine->placement;
    enum tfr_status status =
        tfr_engine_place(engine->config, engine->machine, engine->registry, tfr_engine_size(engine), placement);
    status = status == TFR_OK ? tfr_check_idle_ranks(engine->config, tfr_engine_size(engine)) : status;
    TFR_TRY(tfr_comm_agree(engine->comm, status));
    int *stages = placement->stage_of_block;
    TFR_TRY(tfr_comm_bcast(engine->comm, stages, (size_t)placement->n_blocks * sizeof *stages));
    TFR_TRY(tfr_comm_bcast(engine->comm, placement, sizeof *placement));
    placement->stage_of_block = stages;
    engine->n_local_layers = tfr_placement_count_blocks(placement, tfr_engine_rank(engine));
    tfr_warn_of_idle_ranks(engine->config, placement);
    return TFR_OK;
}

static enum tfr_status open_runtime(struct tfr_engine *engine) {
    const struct tfr_options *options = &engine->config->options;
    engine->max_rows = engine->chunk_rows = options->runtime_max_rows;
    engine->max_batch = options->runtime_max_batch;
    engine->max_slots = tfr_max_slots(options);
    engine->n_slots = engine->max_slots + 1;
    engine->max_plans = TFR_MAX_PLANS * engine->placement.replicas;
    engine->plans = tfr_alloc((size_t)engine->max_plans, sizeof *engine->plans);
    if (engine->plans == NULL) {
        return TFR_RESOURCE;
    }
    TFR_TRY(tfr_rank_check_memory(engine));
    TFR_TRY(tfr_rank_open_store(engine));
    TFR_TRY(tfr_exec_open(&engine->exec, engine->team, engine->comm));
    TFR_TRY(tfr_slots_open(engine));
    TFR_TRY(tfr_steps_open(engine));
    TFR_TRY(tfr_job_open(engine));
    TFR_TRY(tfr_engine_fix_orders(engine));
    tfr_engine_choose_chunk(engine);
    return TFR_OK;
}

/* What a rank opens on its own, in order. */
static enum tfr_status open_local(struct tfr_engine *engine) {
    TFR_TRY(tfr_model_open(&engine->model, engine->config, TFR_MODEL_WEIGHTS));
    TFR_TRY(tfr_open_registry(&engine->registry, engine->config, engine->machine));
    if (tfr_comm_size(engine->comm) > 1) {
        TFR_TRY(tfr_registry_add(engine->registry, tfr_comm_plugin(engine->comm), ""));
    }
    return TFR_OK;
}

static enum tfr_status open_in_order(struct tfr_engine *engine, const char *path, const struct tfr_override *overrides,
                                     size_t n_overrides) {
    TFR_TRY(open_comm(engine, path, overrides, n_overrides));
    TFR_TRY(open_config(engine, path, overrides, n_overrides));
    TFR_TRY(tfr_engine_same_config(engine));
    TFR_TRY(open_team(engine));
    TFR_TRY(tfr_comm_agree(engine->comm, open_local(engine)));
    TFR_TRY(tfr_engine_same_weights(engine));
    TFR_TRY(choose_layout(engine));
    TFR_TRY(place_blocks(engine));
    TFR_TRY(tfr_comm_agree(engine->comm, open_runtime(engine)));
    TFR_TRY(tfr_engine_same_orders(engine));
    TFR_TRY(tfr_trace_file_open(engine));
    TFR_TRY(tfr_prefix_load(engine));
    engine->serving = true;
    return TFR_OK;
}

static enum tfr_status open_stages(struct tfr_engine *engine, const char *path, const struct tfr_override *overrides,
                                   size_t n_overrides) {
    const enum tfr_status status = open_in_order(engine, path, overrides, n_overrides);
    if (engine->comm != NULL) {
        tfr_rank_stay_together(engine, status, 0);
    }
    return status;
}

/* Stages of the assistant: of the command line's words, those about trust hold for its config too. */
static enum tfr_status open_assistant_stages(struct tfr_engine *small, const char *path) {
    const struct tfr_string_list *trusted = &small->lender->config->options.trust;
    struct tfr_override *overrides = tfr_alloc(trusted->n + 1, sizeof *overrides);
    if (overrides == NULL) {
        return TFR_RESOURCE;
    }
    for (size_t i = 0; i < trusted->n; i++) {
        overrides[i] = (struct tfr_override){.key = "trust", .value = trusted->items[i], .origin = "--trust"};
    }
    const enum tfr_status status = open_stages(small, path, overrides, trusted->n);
    tfr_free(overrides);
    return status;
}

static enum tfr_status load_assistant(struct tfr_engine *engine, const char *path) {
    struct tfr_engine *small = engine->assistant = tfr_alloc(1, sizeof *small);
    if (small == NULL) {
        return TFR_RESOURCE;
    }
    small->lender = engine;
    enum tfr_status status = open_assistant_stages(small, path);
    if (status != TFR_OK) {
        return tfr_raise_prefix(status, "assistant %s", path);
    }
    if (tfr_engine_vocab_size(small) != tfr_engine_vocab_size(engine)) {
        return tfr_raise(TFR_MODEL, "assistant %s has vocab_size %lld, this model %lld; drafts need one vocabulary", path,
                         (long long)tfr_engine_vocab_size(small), (long long)tfr_engine_vocab_size(engine));
    }
    return TFR_OK;
}

/* On the rank that drives; the others wait for its first command meanwhile, without a limit. */
static enum tfr_status open_assistant(struct tfr_engine *engine) {
    const char *path = engine->config->options.sampling_assistant;
    return path != NULL && tfr_engine_rank(engine) == 0 ? load_assistant(engine, path) : TFR_OK;
}

/* Where requests come in: on the rank that drives. */
static enum tfr_status open_requests(struct tfr_engine *engine) {
    return tfr_engine_rank(engine) == 0 ? tfr_batcher_open(&engine->batcher, engine) : TFR_OK;
}

enum tfr_status tfr_engine_open(struct tfr_engine **engine, const char *path, const struct tfr_override *overrides,
                                size_t n_overrides) {
    uint64_t start_ns = tfr_clock_ns();
    *engine = tfr_alloc(1, sizeof **engine);
    if (*engine == NULL) {
        return tfr_comm_not_met(TFR_RESOURCE);
    }
    enum tfr_status status = open_stages(*engine, path, overrides, n_overrides);
    status = status == TFR_OK ? open_assistant(*engine) : status;
    status = status == TFR_OK ? open_requests(*engine) : status;
    status = status == TFR_OK ? tfr_warmup(*engine) : status;
    if (status != TFR_OK) {
        tfr_engine_close(*engine);
        *engine = NULL;
        return status;
    }
    (*engine)->load_ns = tfr_clock_ns() - start_ns;
    return TFR_OK;
}

static enum tfr_status open_bare(struct tfr_engine *engine, const struct tfr_override *overrides, size_t n_overrides) {
    TFR_TRY(tfr_comm_open_alone(&engine->comm));
    tfr_log_set_level(TFR_LOG_WARN);
    TFR_TRY(tfr_config_alone(&engine->config, overrides, n_overrides));
    start_log(engine);
    TFR_TRY(open_team(engine));
    return tfr_open_registry(&engine->registry, engine->config, engine->machine);
}

enum tfr_status tfr_engine_open_bare(struct tfr_engine **engine, const struct tfr_override *overrides, size_t n_overrides) {
    *engine = tfr_alloc(1, sizeof **engine);
    const enum tfr_status status = *engine != NULL ? open_bare(*engine, overrides, n_overrides) : TFR_RESOURCE;
    if (status != TFR_OK) {
        tfr_engine_close(*engine);
        *engine = NULL;
    }
    return status;
}

/* Rank 0 lets the others go; a trace that nobody asked for before is written now, while the kernels that it
 * names are there. */
static void end_serving(struct tfr_engine *engine) {
    if (!engine->serving) {
        return;
    }
    if (tfr_engine_rank(engine) == 0 && tfr_engine_write_trace(engine) != TFR_OK) {
        tfr_log(TFR_LOG_ERROR, "engine", "%s", tfr_failure_text());
    }
    tfr_command_end(engine);
}

/* Reverse order of opening; every close takes NULL. */
void tfr_engine_close(struct tfr_engine *engine) {
    if (engine == NULL) {
        return;
    }
    tfr_batcher_close(engine->batcher);
    end_serving(engine);
    tfr_engine_close(engine->assistant);
    tfr_job_close(engine); /* steps that are still in flight need their plans */
    tfr_steps_close(engine);
    for (int i = 0; i < engine->n_plans; i++) {
        tfr_plan_free(engine->plans[i].plan);
    }
    tfr_free(engine->plans);
    tfr_slots_close(engine);
    tfr_feeding_close(engine->feeding);
    tfr_free(engine->feeding);
    tfr_exec_close(engine->exec);
    tfr_trace_close(engine->trace);
    tfr_trace_close(engine->watch);
    tfr_store_close(engine->store);
    tfr_registry_close(engine->registry);
    tfr_tokenizer_close(engine->tokenizer);
    tfr_model_close(engine->model);
    if (engine->lender == NULL) {
        tfr_team_unsettle(engine->team, &engine->memory);
        tfr_memory_close(&engine->memory);
        tfr_team_close(engine->team);
        tfr_machine_free(engine->machine);
    }
    tfr_comm_close(engine->comm);
    tfr_free(engine->sampled);
    tfr_placement_close(&engine->placement);
    tfr_params_free(engine->params);
    tfr_free(engine->rank_memory_bytes);
    tfr_free(engine->layout_told);
    tfr_free(engine->run_facts);
    tfr_free(engine->rank_facts);
    tfr_config_free(engine->config);
    tfr_free(engine);
}
