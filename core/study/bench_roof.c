/* bench_roof.c - what no kernel could beat: bytes and FLOPs of each case at the roofs that were measured between the rounds. */
#include "study/bench_roof.h"

#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/status.h"
#include "profile/profile_run.h"
#include "report/dry.h"
#include "study/bench_steps.h"

static bool weights_pass_caches(const struct tfr_engine *engine) {
    return (int64_t)tfr_store_bytes(engine->store) > 2 * engine->machine->l3_bytes;
}

enum tfr_status tfr_bench_roofs_measure(struct tfr_bench_roofs *roofs, const struct tfr_engine *engine) {
    TFR_TRY(tfr_roofs_measure(&roofs->roofs, engine->team, engine->machine, true, NULL, NULL));
    return weights_pass_caches(engine) ? tfr_roofs_memory(engine->team, engine->machine, &roofs->roofs.memory_rate) : TFR_OK;
}

/* Whether the packed weights lie between two points of the ladder, and reading as much beside them leaves memory for others. */
static bool has_set_of_its_own(const struct tfr_bench_roofs *roofs, const struct tfr_engine *engine) {
    const int64_t bytes = (int64_t)tfr_store_bytes(engine->store), available = engine->machine->memory_available_bytes;
    const int n = roofs->roofs.n_bandwidths;
    return n > 0 && bytes < roofs->roofs.bandwidth[n - 1].bytes && (available <= 0 || bytes <= available / 4);
}

enum tfr_status tfr_bench_roofs_look(struct tfr_bench_roofs *roofs, const struct tfr_engine *engine) {
    if (!weights_pass_caches(engine) || roofs->n_rates == TFR_MOST_TIMES) {
        return TFR_OK;
    }
    if (has_set_of_its_own(roofs, engine)) {
        TFR_TRY(
            tfr_roofs_set(engine->team, engine->machine, (int64_t)tfr_store_bytes(engine->store), &roofs->packed[roofs->n_rates]));
    }
    return tfr_roofs_memory(engine->team, engine->machine, &roofs->rates[roofs->n_rates++]);
}

struct sum {
    const struct tfr_roofs *now;
    const struct tfr_calibration *calibration; /* NULL: nothing is predicted */
    struct tfr_dry *dry;
    int64_t chunk;       /* rows of a prompt that go in one step */
    int64_t n_positions; /* of a sequence: of the model, or of its cache, less a prefix */
    double roof_ns, predicted_ns;
    int n_ranks;     /* that took part */
    char unseen[64]; /* the first kernel of a linear that the calibration does not know; empty: none */
};

/* Adds what a step is for one rank. */
static enum tfr_status add_rank(struct sum *sum, const struct tfr_step_facts *step, int rank) {
    const int64_t max_rows = sum->dry->config->options.runtime_max_rows;
    const struct tfr_dry_step asked = {
        .rank = rank,
        .rows = tfr_bucket(step->rows, max_rows),
        .logits = tfr_bucket(step->logits > 0 ? step->logits : 1, max_rows),
        .context = step->past,
        .sequences = step->sequences,
        .features = {.attention = sum->dry->config->options.runtime_attn},
    };
    struct tfr_plan *plan;
    TFR_TRY(tfr_dry_plan(sum->dry, &asked, &plan));
    for (int t = 0; t < plan->n_tasks; t++) {
        struct tfr_task_facts facts;
        struct tfr_task_prediction prediction = {0};
        enum tfr_bound bound;
        tfr_task_facts_make(&facts, plan, t, step);
        if (facts.is_message || facts.rows < 1) {
            continue;
        }
        sum->roof_ns += tfr_roof_ns(sum->now, &facts, &bound);
        if (sum->calibration != NULL) {
            tfr_predict_task(sum->calibration, &facts, &prediction);
            sum->predicted_ns += prediction.ns;
            if (facts.op == TFR_OP_LINEAR && prediction.base == TFR_BASED_ON_ROOF && sum->unseen[0] == '\0') {
                memcpy(sum->unseen, facts.kernel, sizeof sum->unseen);
            }
        }
    }
    if (sum->calibration != NULL) {
        sum->predicted_ns += tfr_predict_between(sum->calibration, step->rows, step->rows, plan->n_tasks);
    }
    tfr_plan_free(plan);
    return TFR_OK;
}

/* Of the ranks of one replica, each with its part of the model. */
static enum tfr_status add_step(struct sum *sum, const struct tfr_step_facts *step) {
    const struct tfr_placement *placement = &sum->dry->placement;
    sum->n_ranks = 0;
    for (int rank = 0; rank < placement->n_ranks; rank++) {
        if (tfr_placement_replica_of(placement, rank) == 0) {
            TFR_TRY(add_rank(sum, step, rank));
            sum->n_ranks++;
        }
    }
    return TFR_OK;
}

/* Beside decodes the rows of a prompt are taken as if they were spread over all sequences, which have as many pairs of a query and
 * a key or fewer. */
static enum tfr_status add_step_of_several(struct sum *sum, const struct tfr_bench_case *what) {
    const struct tfr_config *config = sum->dry->config;
    const int64_t replicas = sum->dry->placement.replicas, context = tfr_bench_step_context(sum->n_positions);
    const int64_t decodes = tfr_bench_step_sequences(what, config->options.runtime_max_batch);
    if (what->kind == TFR_BENCH_STEPS) {
        const int64_t n = (what->n + replicas - 1) / replicas;
        return add_step(sum, &(struct tfr_step_facts){.rows = n, .sequences = n, .past = context, .logits = n});
    }
    return add_step(sum,
                    &(struct tfr_step_facts){.rows = decodes + what->n, .sequences = decodes + 1, .past = 0, .logits = decodes});
}

/* The steps of a case: of sequences side by side the middle one; of a prompt those that it is cut into. */
static enum tfr_status add_case(struct sum *sum, const struct tfr_bench_case *what) {
    const int64_t replicas = sum->dry->placement.replicas, chunk = sum->chunk;
    if (what->kind == TFR_BENCH_DECODE) {
        return add_step(sum, &(struct tfr_step_facts){.rows = 1, .sequences = 1, .past = what->n, .logits = 1});
    }
    if (what->kind == TFR_BENCH_SEQUENCES) {
        const int64_t n = (what->n + replicas - 1) / replicas, past = tfr_bench_company_size(sum->n_positions).middle;
        return add_step(sum, &(struct tfr_step_facts){.rows = n, .sequences = n, .past = past, .logits = n});
    }
    if (what->kind == TFR_BENCH_STEPS || what->kind == TFR_BENCH_MIXED) {
        return add_step_of_several(sum, what);
    }
    for (int64_t past = 0; past < what->n; past += chunk) {
        const int64_t rows = what->n - past < chunk ? what->n - past : chunk;
        const int64_t kept = what->kind == TFR_BENCH_CLASS ? sum->dry->config->options.runtime_max_batch : 1;
        const int64_t logits = past + rows < what->n ? 0 : kept < rows ? kept : rows;
        TFR_TRY(add_step(sum, &(struct tfr_step_facts){.rows = rows, .sequences = 1, .past = past, .logits = logits}));
    }
    return TFR_OK;
}

static enum tfr_status settle_figures(struct tfr_bench *bench, struct sum *sum) {
    for (size_t i = 0; i < bench->n_figures; i++) {
        struct tfr_bench_figure *figure = &bench->figures[i];
        sum->roof_ns = sum->predicted_ns = 0;
        TFR_TRY(add_case(sum, &figure->what));
        figure->roof_s = sum->roof_ns / sum->n_ranks / 1e9;
        figure->predicted_s = sum->predicted_ns / 1e9;
    }
    return TFR_OK;
}

/* By the calibration of ranks with so many threads. One rank by the tasks of its plans, with the roofs; several by their layout. */
static enum tfr_status predict_too(struct tfr_bench *bench, const struct tfr_engine *engine, struct sum *sum,
                                   const struct tfr_bench_question *question) {
    struct tfr_profile *taken = tfr_alloc(1, sizeof *taken);
    if (taken == NULL) {
        return TFR_RESOURCE;
    }
    enum tfr_status status = tfr_profile_take_calibration(taken, engine, NULL);
    if (status == TFR_OK && taken->is_calibrated) {
        taken->calibration.roofs = tfr_roofs_with_memory(&taken->calibration.roofs, bench->memory_rate);
        sum->calibration = bench->n_ranks == 1 ? &taken->calibration : NULL;
    }
    status = status == TFR_OK ? settle_figures(bench, sum) : status;
    if (status == TFR_OK && sum->unseen[0] != '\0') {
        tfr_log(TFR_LOG_WARN, "bench",
                "the calibration of this host does not know %s, whose time is predicted at its roof; `tfrun calibrate` with the "
                "same --dtype, --isa, --kernels and --finer measures it, in the place of what the file has",
                sum->unseen);
    }
    if (status == TFR_OK && taken->is_calibrated && bench->n_ranks > 1) {
        status = tfr_bench_predict_ranks(bench, engine, &taken->calibration, question);
    }
    tfr_profile_free(taken);
    return status;
}

/* Of the units that multiply in linears. */
static enum tfr_dtype unit_dtype(const struct tfr_config *config) {
    if (tfr_x_dtype(config) == TFR_DTYPE_I8) {
        return TFR_DTYPE_I8;
    }
    return tfr_packed_dtype(config) == TFR_DTYPE_F32 ? TFR_DTYPE_F32 : TFR_DTYPE_BF16; /* int8w: bf16 holds its whole numbers */
}

enum tfr_status tfr_bench_roofs_settle(struct tfr_bench *bench, const struct tfr_bench_roofs *roofs,
                                       const struct tfr_engine *engine, const struct tfr_bench_question *question) {
    struct tfr_dry dry;
    const struct tfr_spread rates = tfr_spread_of(roofs->rates, roofs->n_rates);
    struct tfr_roofs now = tfr_roofs_with_memory(&roofs->roofs, rates.median);
    struct sum sum = {.now = &now, .dry = &dry, .chunk = engine->chunk_rows, .n_positions = tfr_engine_n_positions(engine)};
    tfr_roofs_put_set(&now, (int64_t)tfr_store_bytes(engine->store), tfr_spread_of(roofs->packed, roofs->n_rates).median);
    bench->memory_rate = rates.median;
    bench->flop_rate = tfr_roof_flops(&now, now.n_threads, unit_dtype(engine->config), 0);
    enum tfr_status status = tfr_dry_open(&dry, question->config, question->overrides, question->n_overrides, bench->n_ranks);
    if (status == TFR_OK) {
        status = predict_too(bench, engine, &sum, question);
    }
    tfr_dry_close(&dry);
    return status;
}
