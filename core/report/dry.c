/* dry.c - a config, a machine, a registry and a placement: what dry plans are made of. See dry.h. */
#include "report/dry.h"

#include <string.h>

#include "base/arena.h"
#include "base/status.h"
#include "report/auto_layout.h"

void tfr_dry_close(struct tfr_dry *dry) {
    tfr_free(dry->exact);
    tfr_placement_close(&dry->placement);
    tfr_registry_close(dry->registry);
    tfr_machine_free(dry->machine);
    tfr_config_free(dry->config);
}

enum tfr_status tfr_dry_check_one_replica(const struct tfr_config *config, int n_ranks, const char *command) {
    const int64_t replicas = config->options.parallel_replicas;
    if (replicas == 1) {
        return TFR_OK;
    }
    return tfr_raise(
        TFR_USAGE,
        "%s: tfrun.parallel.replicas is %lld, and `tfrun %s` tells of one step, which one replica has; give --ranks %lld and "
        "--set parallel.replicas=1",
        config->path, (long long)replicas, command, (long long)(n_ranks / replicas));
}

enum tfr_status tfr_dry_check_said(const struct tfr_override *overrides, size_t n_overrides, int n_ranks) {
    static const char *const keys[] = {"parallel.tensor", "parallel.replicas"};
    for (size_t i = 0; n_ranks == 1 && i < n_overrides * TFR_COUNT_OF(keys); i++) {
        const struct tfr_override *said = &overrides[i / TFR_COUNT_OF(keys)];
        if (strcmp(said->key, keys[i % TFR_COUNT_OF(keys)]) == 0 && strcmp(said->value, "1") != 0) {
            return tfr_raise(TFR_USAGE,
                             "%s = %s is a layout of several ranks, and this is about one; give --ranks %s or a multiple",
                             said->key, said->value, said->value);
        }
    }
    return TFR_OK;
}

/* f32 values are looked at for reports alone, which wait for nobody. */
static enum tfr_status find_types(struct tfr_dry *dry) {
    TFR_TRY(tfr_model_table_types(dry->config, tfr_table_dtype(dry->config), &dry->tables));
    if (tfr_is_lossless(dry->config)) {
        TFR_TRY(tfr_model_exact_types(dry->config, true, &dry->exact));
        dry->tables.exact = dry->exact;
    }
    return TFR_OK;
}

enum tfr_status tfr_dry_open(struct tfr_dry *dry, const char *path, const struct tfr_override *overrides, size_t n_overrides,
                             int n_ranks) {
    *dry = (struct tfr_dry){0};
    TFR_TRY(tfr_config_load(&dry->config, path, overrides, n_overrides));
    TFR_TRY(find_types(dry));
    TFR_TRY(tfr_machine_read_for_plan(&dry->machine));
    if (n_ranks == 1) {
        tfr_forget_ranks(dry->config);
    }
    const int threads = (int)dry->config->options.runtime_threads;
    TFR_TRY(tfr_config_blame(dry->config, "runtime.threads",
                             tfr_machine_choose_threads(dry->machine, threads, 0, n_ranks, &dry->threads)));
    TFR_TRY(tfr_open_registry(&dry->registry, dry->config, dry->machine));
    if (n_ranks > 1) {
        TFR_TRY(tfr_registry_add(dry->registry, tfr_comm_plugin(NULL), ""));
    }
    if (n_ranks > 1) {
        const struct tfr_auto_question question = {.config = dry->config,
                                                   .machine = dry->machine,
                                                   .registry = dry->registry,
                                                   .threads = &dry->threads,
                                                   .n_ranks = n_ranks,
                                                   .ranks_per_node = n_ranks};
        TFR_TRY(tfr_auto_layout(&question, dry->told));
    }
    return tfr_engine_place(dry->config, dry->machine, dry->registry, n_ranks, &dry->placement);
}

enum tfr_status tfr_dry_choose_head(struct tfr_dry *dry, const char *word) {
    const int head = word != NULL ? tfr_head_find(word) : 0;
    if (head < 0) {
        return tfr_raise(TFR_USAGE, "head \"%s\" is none of lm, token-cls, seq-cls, qa, double, none", word);
    }
    if (word != NULL) {
        tfr_config_choose_head(dry->config, head);
    }
    return tfr_check_head_place(dry->config, dry->placement.n_ranks);
}

/* A rank's step is one of its replica; that of rank 0 is asked about without a placement too. */
static struct tfr_planner planner_of(struct tfr_dry *dry, const struct tfr_dry_step *step) {
    struct tfr_planner planner = {
        .config = dry->config,
        .tables = &dry->tables,
        .machine = dry->machine,
        .registry = dry->registry,
        .orders = &dry->orders,
        .placement = &dry->placement,
        .rank = step->rank,
        .n_threads = dry->threads.n_threads,
        .context = step->context,
        .sequences = step->sequences,
        .encoder = step->encoder,
        .features = step->features,
    };
    planner.features.replica = step->rank > 0 ? tfr_placement_replica_of(&dry->placement, step->rank) : 0;
    return planner;
}

struct tfr_planner tfr_dry_planner(struct tfr_dry *dry) {
    return planner_of(dry, &(struct tfr_dry_step){.context = -1, .features = {.attention = dry->config->options.runtime_attn}});
}

enum tfr_status tfr_dry_graph(struct tfr_dry *dry, const struct tfr_dry_step *step, struct tfr_graph **graph) {
    const struct tfr_planner planner = planner_of(dry, step);
    return tfr_step_graph(&planner, step->rows, step->logits, graph);
}

enum tfr_status tfr_dry_plan(struct tfr_dry *dry, const struct tfr_dry_step *step, struct tfr_plan **plan) {
    struct tfr_planner planner = planner_of(dry, step);
    const int64_t max_rows = dry->config->options.runtime_max_rows;
    dry->orders = (struct tfr_order_book){0};
    struct tfr_plan *largest;
    planner.sequences = 0;
    TFR_TRY(tfr_plan_step(&planner, max_rows, max_rows, &largest));
    tfr_plan_free(largest);
    planner.sequences = step->sequences;
    return tfr_plan_step(&planner, step->rows, step->logits, plan);
}
